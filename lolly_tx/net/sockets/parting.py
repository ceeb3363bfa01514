"""The end of a client's connection: what is still read when all has been said.

Closing a socket with unread bytes makes the kernel send a reset, and who is still sending
when it comes never reads the answer (RFC 9112 section 9.6). So we end our direction only,
and read and discard until the client has ended its own, within the bounds below.

Imports: net, Twisted. Used by: net, net.http1, net.http2, net.sockets.acceptor, net.streams,
net.tunnels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IHalfCloseableProtocol, IProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from lolly_tx.net.deadlines import NEVER, Deadlines
from lolly_tx.net.loaded import loaded

LINGER_SECONDS = 30.0
"""How long a client may go on sending after our last byte: who sends first and reads then
finds the answer if it is done by then. As nginx's `lingering_time`."""
LINGER_IDLE_SECONDS = 5.0
"""The longest gap in that. As nginx's `lingering_timeout`."""
CLOSE_SECONDS = 2.0
"""How long a peer that has taken all may take to close as well, and an orderly close in general."""
LOOK_SECONDS = 2.0
"""How often we look whether a peer takes what was written before the end: nobody tells."""

DRAIN_SECONDS = 2.0
"""When the proxy stops: how long a client that is kept alive may take to send one more
request, whose answer says `Connection: close`. It would meet a close otherwise."""

TURNED_AWAY_MOST = 128
"""Of each listener, at once. More are closed without a word: turning away a TLS client costs a
handshake, which is too much to give to any number of strangers."""
TURNED_AWAY_SECONDS = 5.0
"""How long each of them may take, handshake included."""


def end_writing(transport: Any) -> None:
    """Send no more when what is queued has left; reading goes on.

    Over TLS this is a close_notify, which ends one direction (RFC 8446 section 6.1).
    """
    # With a producer that it has paused a transport would not end.
    transport.unregisterProducer()
    half_close = getattr(transport, "loseWriteConnection", None)
    if half_close is None or _is_twisted_tls(transport):
        # The half-close of Twisted's TLS would be that of the socket below it, without a
        # close_notify. Its close delivers what comes until the peer has closed as well.
        transport.loseConnection()
    else:
        half_close()


def cut(transport: Any) -> None:
    """Break it at once, so that its peer cannot take for whole what is not.

    The abort of Twisted's TLS says close_notify first, which is what a complete end looks like (RFC 8446 section 6.1).
    """
    if _is_twisted_tls(transport) and transport.transport is not None:
        below: Any = transport.transport
        below.abortConnection()
    else:
        transport.abortConnection()


def _is_twisted_tls(transport: Any) -> bool:
    return isinstance(
        transport, loaded("twisted.protocols.tls", "TLSMemoryBIOProtocol")
    )


class Leftover:
    """What was written to a peer before the end, and it has not taken yet.

    In user space or in the kernel's queue, megabytes of it. Closing waits for its last byte,
    and a cut would destroy it all. `seconds`: how long the peer may take no byte of it.
    """

    __slots__ = ("_seconds", "_untaken", "_until")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._untaken = -1
        self._until = NEVER

    def next_look(self, untaken: int, now: float) -> float:
        """When to look again, with so many bytes `untaken`; `now` or before: the peer is gone."""
        if untaken != self._untaken:
            self._untaken = untaken
            self._until = now + self._seconds
        return min(now + LOOK_SECONDS, self._until)


Words = Callable[[Any, bytes], bytes | None]
"""What a client beyond the limits is told, by its transport and what it has sent; None: that is not known yet."""


@implementer(IProtocol, IHalfCloseableProtocol)
class TurnedAway:
    """A connection over the limit: told so, in `words`, and closed in good order.

    `on_lost(self)`: called when it is gone.
    """

    def __init__(
        self,
        words: Words,
        deadlines: Deadlines,
        on_lost: Callable[[TurnedAway], None],
    ) -> None:
        self.deadline = NEVER
        self.transport: Any = None
        self._told = False
        self._words = words
        self._deadlines = deadlines
        self._on_lost = on_lost

    def makeConnection(self, transport: Any) -> None:
        """Say it. With TLS it leaves after the handshake."""
        self.transport = transport
        self.deadline = self._deadlines.now() + TURNED_AWAY_SECONDS
        self._deadlines.add(self)
        self._tell(b"")

    def connectionMade(self) -> None:
        """Nothing: makeConnection has done it."""

    def dataReceived(self, data: bytes) -> None:
        """A request: nobody looks at it, but for what it is spoken in."""
        if not self._told:
            self._tell(data)

    def _tell(self, data: bytes) -> None:
        words = self._words(self.transport, data)
        if words is not None:
            self._told = True
            self.transport.write(words)
            end_writing(self.transport)

    def readConnectionLost(self) -> None:
        """The client has done with it as well."""
        self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        """It has been told."""

    def expired(self, now: float) -> None:
        """It takes too long."""
        self.deadline = NEVER
        self.transport.abortConnection()

    def connectionLost(self, reason: Failure) -> None:
        """It is gone."""
        self._deadlines.discard(self)
        self._on_lost(self)
