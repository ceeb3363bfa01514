"""What a client speaks is known when its connection is there: by ALPN after the handshake, or by the first bytes.

    accept --> Choosing --negotiated h2, or the preface--> Http2Server
                   +------------------anything else------> Http1Server

Imports: net, net.http1, net.http2, net.sockets, wire.http2, Twisted. Used by:
net.forward, net.http2.listening.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IHalfCloseableProtocol, IProtocol
from twisted.python.failure import Failure
from zope.interface import classImplements

from lolly_tx.net.deadlines import NEVER
from lolly_tx.net.doors import Peer
from lolly_tx.net.http1.server import Http1Server
from lolly_tx.net.http2.server import Http2Server
from lolly_tx.net.http2.shared import Http2Shared
from lolly_tx.net.sockets.acceptor import Acceptor
from lolly_tx.net.sockets.parting import CLOSE_SECONDS
from lolly_tx.net.sockets.tls_names import ALPN_HTTP2
from lolly_tx.wire.http2.frames import PREFACE


class Choosing:
    """A connection until it is known which door it is. `by_preface`: HTTP/2 may begin without ALPN (section 3.3)."""

    __slots__ = (
        "__weakref__",
        "_data",
        "_inner",
        "_shared",
        "acceptor",
        "address",
        "by_preface",
        "deadline",
        "factory",
        "peer",
        "transport",
    )

    idle = False

    def __init__(
        self, shared: Http2Shared, by_preface: bool, acceptor: Acceptor, client: str
    ) -> None:
        self.factory: Any = None
        self.transport: Any = None
        self.acceptor = acceptor
        self.address = client
        self.peer = Peer(client, acceptor.name, shared.secure, shared.introduce)
        self.by_preface = by_preface
        self.deadline = NEVER
        self._shared = shared
        self._data = b""
        self._inner: Http1Server | Http2Server | None = None

    def makeConnection(self, transport: Any) -> None:
        """A client has connected."""
        self.transport = transport
        acceptor = self.acceptor
        first = self._shared.timeouts.head
        if acceptor.draining:
            first = min(first, acceptor.idle_seconds)
        self.deadline = acceptor.now() + first
        acceptor.connected(self)

    def connectionMade(self) -> None:
        """Nothing: makeConnection has done it."""

    def dataReceived(self, data: bytes) -> None:
        """Its first bytes; later ones where the transport goes on calling this."""
        inner = self._inner
        if inner is None:
            negotiated = getattr(self.transport, "negotiatedProtocol", None)
            if negotiated == ALPN_HTTP2:
                inner = self._become(Http2Server)
            elif not self.by_preface:
                inner = self._become(Http1Server)
            else:
                data = self._data + data
                if data.startswith(PREFACE):
                    inner = self._become(Http2Server)
                elif PREFACE.startswith(data):
                    self._data = data
                    return
                else:
                    inner = self._become(Http1Server)
            self._data = b""
        inner.dataReceived(data)

    def _become(self, kind: Any) -> Any:
        """Hand the connection over."""
        acceptor, transport = self.acceptor, self.transport
        acceptor.lost(self)
        self.deadline = NEVER
        self._inner = inner = kind(self._shared, acceptor, self.address)
        inner.peer = self.peer
        if getattr(transport, "protocol", None) is self:
            transport.protocol = inner  # data goes there directly from now on
        inner.makeConnection(transport)
        return inner

    def readConnectionLost(self) -> None:
        """The client has sent its last byte."""
        if self._inner is not None:
            self._inner.readConnectionLost()
        else:
            self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        """Our own half-close is done."""

    def connectionLost(self, reason: Failure) -> None:
        """The connection is over."""
        if self._inner is not None:
            self._inner.connectionLost(reason)
        else:
            self.deadline = NEVER
            self.acceptor.lost(self)

    # -- what the acceptor asks

    def expired(self, now: float) -> None:
        """No handshake, or nothing after it, in time."""
        if self.transport.disconnecting:
            self.transport.abortConnection()
        else:
            self.deadline = now + CLOSE_SECONDS
            self.transport.loseConnection()

    def shed(self) -> bool:
        """It is not idle, so nobody asks."""
        return False

    def shut(self) -> None:
        """The proxy stops now."""
        self.transport.abortConnection()

    def drain(self, until: float) -> None:
        """The proxy is stopping."""
        self.deadline = min(self.deadline, until)


classImplements(Choosing, IProtocol, IHalfCloseableProtocol)
