"""What a client of a forward proxy speaks, known by its first byte.

    05 --> SocksServer      04 --> refused by name      anything else --> ForwardServer, if HTTP is spoken

Imports: net.forward, net.http2, net.sockets, Twisted. Used by: net.forward.listening.
"""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar

from twisted.logger import Logger

from lolly_tx.net.forward.server import ForwardServer
from lolly_tx.net.forward.socks import SocksServer, SocksSite
from lolly_tx.net.http2.choosing import Choosing
from lolly_tx.net.sockets.acceptor import Acceptor

_SOCKS4_REFUSED = b"\x00\x5b\x00\x00\x00\x00\x00\x00"


class FirstByte(Choosing):
    """A connection until it is known. `http`: that is spoken as well."""

    __slots__ = ("_http", "_site")

    log: ClassVar[Logger] = Logger()

    def __init__(
        self, site: SocksSite, shared: Any, http: bool, acceptor: Acceptor, client: str
    ) -> None:
        super().__init__(shared, False, acceptor, client)
        self._site = site
        self._http = http

    def dataReceived(self, data: bytes) -> None:
        """Its first bytes; later ones where the transport goes on calling this."""
        inner: Any = self._inner
        if inner is None:
            if data[0] == 5:
                inner = self._become(partial(SocksServer, self._site))
            elif data[0] != 4 and self._http:
                inner = self._become(ForwardServer)
            else:
                self._refuse(data[0])
                return
        inner.dataReceived(data)

    def _refuse(self, first: int) -> None:
        why = "SOCKS4" if first == 4 else "not SOCKS5"
        self._site.note(why)
        self.log.debug(
            "{place}: {client} speaks {why}, which is not served",
            place=self.acceptor.name,
            client=self.address,
            why=why,
        )
        if first == 4:
            self.transport.write(_SOCKS4_REFUSED)
        self.transport.loseConnection()
