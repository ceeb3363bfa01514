"""A connection whose bytes are nobody's business: kept until a tunnel takes them, and closed without losing any.

    OPENING --hand_over--> TUNNEL --tunnel_over--> LINGER --the peer has ended, or its time is over--> CLOSED

It is what `net.http1.upgraded.Upgraded` makes an end of a tunnel of; a client's is a `net.streams.door.StreamDoor`.

Imports: net, net.http1, net.sockets, Twisted. Used by: net.forward,
net.streams.clients, net.streams.door, net.streams.target, net.tunnels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IHalfCloseableProtocol, IProtocol, IPushProducer
from twisted.python.failure import Failure
from zope.interface import implementer

from lolly_tx.net.deadlines import NEVER, Deadlines
from lolly_tx.net.http1.upgraded import Upgraded
from lolly_tx.net.sockets.parting import (
    CLOSE_SECONDS,
    LINGER_IDLE_SECONDS,
    LINGER_SECONDS,
    Leftover,
    cut,
    end_writing,
)
from lolly_tx.net.sockets.transports import untaken_bytes

EARLY_BYTES = 65536
"""Kept of what a peer sends before there is somebody to have it; then it is not read."""

OPENING, TUNNEL, LINGER, CLOSED = range(4)


@implementer(IProtocol, IHalfCloseableProtocol, IPushProducer)
class RawConnection:
    """See the module. `write_seconds`: how long its peer may take no byte of what is sent."""

    leaving = False

    def __init__(self, deadlines: Deadlines, write_seconds: float) -> None:
        self.factory: Any = None
        self.transport: Any = None
        self.deadline = NEVER
        self.write_seconds = write_seconds
        self.deadlines = deadlines
        self.state = OPENING
        self.early = b""
        self.input_ended = False
        self.end: Upgraded | None = None
        self._stopped = False
        self._untaken = -1
        self._until = NEVER
        self._rest: Leftover | None = None

    # -- IProtocol

    def makeConnection(self, transport: Any) -> None:
        """It is connected."""
        self.transport = transport
        transport.registerProducer(self, True)

    def connectionMade(self) -> None:
        """Nothing: makeConnection has done it."""

    def connectionLost(self, reason: Failure) -> None:
        """The connection is over, whoever ended it."""
        self.state = CLOSED
        self.deadline = NEVER
        self.deadlines.discard(self)
        end, self.end = self.end, None
        if end is not None:
            end.lost(reason)

    def dataReceived(self, data: bytes) -> None:
        """Bytes from the peer."""
        if self.state == TUNNEL:
            assert self.end is not None
            self.end.received(data)
        elif self.state == OPENING:
            self.early += data
            if len(self.early) > EARLY_BYTES and not self._stopped:
                self._stopped = True
                self.transport.pauseProducing()
        elif self.state == LINGER and self._rest is None:
            now = self.deadlines.now()
            self.deadline = min(now + LINGER_IDLE_SECONDS, self._until)

    def readConnectionLost(self) -> None:
        """The peer has sent its last byte; it may still read."""
        self.input_ended = True
        if self.state == TUNNEL:
            assert self.end is not None
            self.end.ended()
        elif self.state == LINGER and self._rest is None:
            self.hang_up()

    def writeConnectionLost(self) -> None:
        """Our own half-close is done."""

    # -- IPushProducer

    def pauseProducing(self) -> None:
        """The peer reads slower than we write."""
        if self.end is not None:
            self._untaken = -1
            self.deadline = self.deadlines.now() + self.write_seconds
            self.deadlines.add(self)
            self.end.pause()

    def resumeProducing(self) -> None:
        """It reads on."""
        if self.end is not None:
            self.deadline = NEVER
            self.end.resume()

    def stopProducing(self) -> None:
        """The connection is going; connectionLost tells."""

    # -- what the end of a tunnel asks (`net.http1.upgraded.Upgradable`)

    def tunnel_end(self, make: Callable[[Any], Upgraded] = Upgraded) -> Upgraded:
        """The connection, for a tunnel. `make`: makes an end of it."""
        self.end = make(self)
        return self.end

    def hand_over(self) -> bytes:
        """All that comes is the tunnel's from now on. Returns what came before."""
        self.state = TUNNEL
        self.deadline = NEVER
        early, self.early = self.early, b""
        if self._stopped:
            self._stopped = False
            self.transport.resumeProducing()
        return early

    def writing_ended(self) -> None:
        """No more is sent to the peer."""

    def tunnel_over(self, had_its_time: bool) -> None:
        """Close, in a way that does not destroy what was written."""
        self.end = None
        if had_its_time or self.state == CLOSED:
            self.hang_up()
        else:
            self.part()

    # -- the end

    def part(self) -> None:
        """Send no more when all has left, and close when the peer has taken it."""
        untaken = untaken_bytes(self.transport)
        if self.input_ended and not untaken:
            self.hang_up()
            return
        self.state = LINGER
        now = self.deadlines.now()
        self._until = now + LINGER_SECONDS
        if untaken:
            self._rest = Leftover(self.write_seconds)
            self.deadline = self._rest.next_look(untaken, now)
        else:
            self.deadline = now + CLOSE_SECONDS
        self.deadlines.add(self)
        end_writing(self.transport)
        self.transport.resumeProducing()  # a relay may have stopped it

    def expired(self, now: float) -> None:
        """Its time in this state is over."""
        untaken = untaken_bytes(self.transport)
        if self.state != LINGER:
            self._look_whether_taken(untaken, now)
            return
        if self._rest is not None and untaken:
            self.deadline = self._rest.next_look(untaken, now)
            if self.deadline <= now:
                self.abort()
        elif self._rest is not None:
            self._rest = None
            if self.input_ended:
                self.hang_up()
            else:
                self.deadline = now + CLOSE_SECONDS
        else:
            self.hang_up()

    def _look_whether_taken(self, untaken: int, now: float) -> None:
        """It was full: the peer takes more, however slowly, or it is gone."""
        if untaken == self._untaken:
            self.abort()
        else:
            self._untaken = untaken
            self.deadline = now + self.write_seconds

    def hang_up(self) -> None:
        """Close in good order: nobody has anything to say any more."""
        if self.state == CLOSED:
            self.abort()
            return
        self.state = CLOSED
        self.deadline = self.deadlines.now() + CLOSE_SECONDS
        self.deadlines.add(self)
        self.transport.unregisterProducer()
        self.transport.loseConnection()

    def abort(self) -> None:
        """Cut it."""
        self.state = CLOSED
        self.deadline = NEVER
        cut(self.transport)
