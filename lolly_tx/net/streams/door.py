"""A client's connection of a stream: it waits for its target, then it is an end of a tunnel.

    accepted --> admitted --(TLS that ends here is up; its ClientHello has come)--> connecting --> joined --> closed

Nothing of what the client sends is looked at but the name in its ClientHello, where that matters, and nothing is taken
from it: TLS goes through to the target as it is. Who decides about all this is its `Visit`.

Imports: net, net.http1, net.sockets, net.streams, wire, Twisted. Used by:
net.streams.listening, proxy.streams, service, service.records.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.interfaces import IHandshakeListener
from twisted.python.failure import Failure
from zope.interface import implementer

from lolly_tx.net.deadlines import NEVER
from lolly_tx.net.doors import Peer
from lolly_tx.net.http1.upgraded import Upgraded
from lolly_tx.net.sockets.acceptor import Acceptor
from lolly_tx.net.streams.clients import ClientConnection
from lolly_tx.net.streams.raw import OPENING, TUNNEL, RawConnection
from lolly_tx.net.tunnel import Tunnel
from lolly_tx.wire.client_hello import HelloReader, NotAHello
from lolly_tx.wire.message import RequestHead


class Visit(Protocol):
    """What becomes of one client of a stream. It tells the door: `admitted`, then `join`; or `turn_away`, `cut`."""

    def begin(self) -> None:
        """The client is connected."""

    def connect(self, name: str | None) -> None:
        """It asks for `name`; "": for nobody, or in no TLS; None: nobody has looked."""

    def over(self, sent: int, received: int, why: str) -> None:
        """Its tunnel is closed; so many bytes went up and down. `why`: as of `net.tunnel.Tunnel`."""

    def left(self, why: str) -> None:
        """It goes, or is closed, and never had a tunnel. Repeated, it does nothing."""


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

    def visit(self, door: StreamDoor) -> Visit:
        """Of the client of `door`, who has just connected."""


def _unspoken(peer: Peer, head: RequestHead) -> bytes:
    """No target of a stream is told of its client in a request."""
    return b""


@implementer(IHandshakeListener)
class StreamDoor(ClientConnection):
    """See the module. `since`: when it was accepted. `name`: what its client asked for.

    `exchange`: what looks for a target for it, while somebody does. `identity`, `asked`, `verdict`: nothing, where
    doors of requests have something for logs.
    """

    identity = None
    asked = None
    verdict = ""

    def __init__(self, site: StreamSite, acceptor: Acceptor, client: str) -> None:
        peer = Peer(client, acceptor.name, False, _unspoken)
        super().__init__(acceptor, peer, site.write_seconds)
        self.site = site
        self.since = acceptor.now()
        self.name: str | None = None
        self.exchange: Any = None
        self._hello = HelloReader()
        self._asked = False
        self._admitted = False
        self._shaking = False
        self._visit: Visit = site.visit(self)
        self._tunnel: Tunnel | None = None
        self._moved = (0, 0)

    def makeConnection(self, transport: Any) -> None:
        """A client has connected."""
        super().makeConnection(transport)
        self._shaking = self.peer.secure
        if self.site.by_name or self._shaking:
            self.deadline = self.since + self.site.hello_seconds
        self._visit.begin()

    def admitted(self) -> None:
        """The client may be served."""
        self._admitted = True
        self._go_on()

    def handshakeCompleted(self) -> None:
        """TLS that ends here is up."""
        self._shaking = False
        self._go_on()

    def dataReceived(self, data: bytes) -> None:
        """Bytes from the client."""
        if self.end is not None:  # every piece of a session passes here
            self.end.received(data)
            return
        super().dataReceived(data)
        if self.state == OPENING and not self._asked:
            self._shaking = False  # what has come is behind the handshake
            self._go_on()

    def _go_on(self) -> None:
        """Have it connected, once that may be and it is known to whom."""
        if self._shaking or not self._admitted or self._asked or self.state != OPENING:
            return
        if not self.site.by_name:
            self._ask(None)
            return
        try:
            hello = self._hello.read(self.early)
        except NotAHello:
            self._ask("")
        else:
            if hello is not None:
                self._ask(hello.name)
            elif self.input_ended:
                self._close("client")

    def _ask(self, name: str | None) -> None:
        self._asked = True
        self.name = name
        self.deadline = NEVER
        self._visit.connect(name)

    def join(
        self, target: RawConnection, make: Callable[[Any], Upgraded] = Upgraded
    ) -> None:
        """Join it to `target`, which nobody else uses. `make`: makes the end of the tunnel there."""
        site = self.site
        self._tunnel = Tunnel(
            self.tunnel_end(),
            target.tunnel_end(make),
            self._closed,
            deadlines=self.deadlines,
            half_closed=site.half_closed,
            idle=site.idle,
            frames=False,
        )
        if self._tunnel.why:  # it has ended while it was made
            self._tell(self._tunnel)

    def _closed(self, sent: int, received: int) -> None:
        self._moved = (sent, received)
        if self._tunnel is not None:
            self._tell(self._tunnel)

    def _tell(self, tunnel: Tunnel) -> None:
        self._visit.over(*self._moved, tunnel.why)

    def turn_away(self) -> None:
        """The client is not served: close it without a word."""
        if self.state == OPENING:
            self.hang_up()

    def cut(self) -> None:
        """Nobody is there: what the client sees had it connected there itself."""
        if self.state == OPENING:
            self.abort()

    def readConnectionLost(self) -> None:
        """The client has sent its last byte."""
        super().readConnectionLost()
        if self.state == OPENING:
            if self._shaking:
                self._close("client")
            else:
                self._go_on()

    def _close(self, why: str) -> None:
        self._visit.left(why)
        self.hang_up()

    def connectionLost(self, reason: Failure) -> None:
        """The connection is over."""
        opening = self.end is None
        super().connectionLost(reason)
        self.peer.gone()
        if opening:
            self._visit.left("client")

    def expired(self, now: float) -> None:
        """Its time in this state is over."""
        if self.state == OPENING:
            self._close("handshake" if self._shaking else "no_hello")
        else:
            super().expired(now)

    def shut(self) -> None:
        """The proxy stops now."""
        if self.state != TUNNEL:
            self._visit.left("stopped")
        super().shut()
