"""A client's connection of a stream: it waits for its target, then it is an end of a tunnel.

    accepted --(its ClientHello names whom it wants)--> connecting --> joined --> closed

Nothing of what the client sends is looked at but that name, and nothing is taken from it: TLS goes through to the
target as it is.

Imports: net, net.sockets, net.streams, wire, Twisted. Used by: net.streams.listening,
proxy, service.
"""

from __future__ import annotations

from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from lolly_tx.net.deadlines import NEVER
from lolly_tx.net.doors import Peer
from lolly_tx.net.sockets.acceptor import Acceptor
from lolly_tx.net.sockets.transports import is_secure, probe_when_idle
from lolly_tx.net.streams.raw import LINGER, OPENING, TUNNEL, RawConnection
from lolly_tx.net.tunnel import Tunnel
from lolly_tx.wire.client_hello import NotAHello, read_hello
from lolly_tx.wire.message import RequestHead


class StreamSite(Protocol):
    """What serves the clients of a stream.

    `by_name`: the target depends on the name in their ClientHello. `hello_seconds`: how long they have for that.
    `half_closed`, `idle`: of tunnels. `write_seconds`: how long a peer may take no byte.
    """

    by_name: bool
    hello_seconds: float
    half_closed: float
    idle: float
    write_seconds: float

    def connect(self, door: StreamDoor, name: str | None) -> Deferred[RawConnection]:
        """A connection to somebody for `door`, whose client asks for `name`; None: for nobody by name.

        Errbacks, after it is noted, when there is none.
        """

    def over(self, door: StreamDoor, sent: int, received: int) -> None:
        """The tunnel of `door` is closed; so many bytes went up and down."""

    def left(self, door: StreamDoor, why: str) -> None:
        """A client goes, or is closed, that never had a tunnel."""


def _unspoken(peer: Peer, head: RequestHead) -> bytes:
    """No target of a stream is told of its client in a request."""
    return b""


class StreamDoor(RawConnection):
    """See the module. `since`: when it was accepted. `name`: what its client asked for."""

    def __init__(self, site: StreamSite, acceptor: Acceptor, client: str) -> None:
        super().__init__(acceptor.deadlines, site.write_seconds)
        self.site = site
        self.acceptor = acceptor
        self.peer = Peer(client, acceptor.name, False, _unspoken)
        self.since = acceptor.now()
        self.name: str | None = None
        self.asked = False
        self.notes: Any = None
        self._connecting: Deferred[Any] | None = None

    def makeConnection(self, transport: Any) -> None:
        """A client has connected."""
        super().makeConnection(transport)
        self.peer.transport = transport
        self.peer.secure = is_secure(transport)
        probe_when_idle(transport)
        self.acceptor.connected(self)
        if self.site.by_name:
            self.deadline = self.since + self.site.hello_seconds
        else:
            self._ask(None)

    def dataReceived(self, data: bytes) -> None:
        """Bytes from the client."""
        super().dataReceived(data)
        if self.state == OPENING and not self.asked:
            self._look()

    def _look(self) -> None:
        try:
            hello = read_hello(self.early)
        except NotAHello:
            self._ask("")
        else:
            if hello is not None:
                self._ask(hello.name)

    def _ask(self, name: str | None) -> None:
        """Have it connected to somebody."""
        self.asked = True
        self.name = name
        self.deadline = NEVER
        self._connecting = connecting = self.site.connect(self, name)
        connecting.addCallbacks(self._cb_connected, self._eb_failed)

    def _cb_connected(self, target: RawConnection) -> None:
        self._connecting = None
        if self.state != OPENING:
            target.abort()
            return
        site = self.site
        Tunnel(
            self.tunnel_end(),
            target.tunnel_end(),
            self._closed,
            deadlines=self.deadlines,
            half_closed=site.half_closed,
            idle=site.idle,
            frames=False,
        )

    def _eb_failed(self, reason: Failure) -> None:
        self._connecting = None
        if self.state == OPENING:
            # Nobody is there: what the client sees had it connected there itself.
            self.abort()

    def _closed(self, sent: int, received: int) -> None:
        self.site.over(self, sent, received)

    def readConnectionLost(self) -> None:
        """The client has sent its last byte."""
        super().readConnectionLost()
        if self.state == OPENING and not self.asked:
            self.hang_up()

    def connectionLost(self, reason: Failure) -> None:
        """The connection is over."""
        opening = self.end is None and self.state == OPENING
        connecting, self._connecting = self._connecting, None
        super().connectionLost(reason)
        self.acceptor.lost(self)
        if connecting is not None:
            connecting.cancel()
        if opening:
            self.site.left(self, "client went away")

    def expired(self, now: float) -> None:
        """Its time in this state is over."""
        if self.state == OPENING:
            self.site.left(self, "no ClientHello in time")
            self.hang_up()
        else:
            super().expired(now)

    # -- what the acceptor asks

    @property
    def address(self) -> str:
        """The client's."""
        return self.peer.address

    @property
    def idle(self) -> bool:
        """Nothing of it is under way."""
        return self.state == LINGER and self._rest is None

    def shed(self) -> bool:
        """Close it, idle, at once."""
        self.hang_up()
        return True

    def shut(self) -> None:
        """The proxy stops now."""
        if self.state == TUNNEL:
            assert self.end is not None
            self.end.shut()
        else:
            self.abort()

    def drain(self, until: float) -> None:
        """The proxy stops: a stream goes on until it is over, or its time is."""
