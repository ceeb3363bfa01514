"""One stream of a tunnel, as a transport: whatever speaks over a TCP connection speaks over it.

    opening --200--> open --END_STREAM either way--> half closed --both--> closed
       +--refused, RST_STREAM, the session ends---------------------------^

What comes is given on as it comes, and its sender may send as much more once it is: a protocol that has paused it
holds up its own stream and no other (RFC 9113 section 5.2).

Imports: net.http2, wire, wire.http2, Twisted. Used by: net.tunnels.connection,
net.tunnels.door, net.tunnels.siblings, net.tunnels.streams.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any, Protocol

import attrs
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IAddress,
    IConsumer,
    IHalfCloseableProtocol,
    IPushProducer,
    ITransport,
)
from twisted.python.failure import Failure
from zope.interface import implementer

from lolly_tx.net.http2.sending import Sender
from lolly_tx.wire.http2.flow import Allowance
from lolly_tx.wire.http2_errors import CANCEL, NO_ERROR


@implementer(IAddress)
@attrs.frozen
class TunnelAddress:
    """Where the other end of a stream is: a service of a connector."""

    connector: str
    service: str
    host: str = ""


class Carrier(Protocol):
    """The session that a stream is on."""

    sender: Sender

    def credit(self, stream: TunnelStream, size: int) -> None:
        """The peer of `stream` may send `size` bytes more; 0: nothing."""

    def now(self) -> float:
        """Seconds, monotonic."""

    def may_grow(self, stream: TunnelStream, seconds: float) -> bool:
        """Whether its window, which has come in so many, holds up its sender, and there is memory for twice as much.

        That is taken then.
        """

    def reset(self, stream: TunnelStream, code: int) -> None:
        """Tell the peer that `stream` is over."""

    def over(self, stream: TunnelStream, reason: Failure) -> None:
        """It is closed."""

    def soon(self, stream: TunnelStream) -> None:
        """Have `stream.settle` called in the next turn."""


@implementer(ITransport, IConsumer, IPushProducer)
class TunnelStream:
    """See the module. `address`: of who is at the other end. `window`: what may be sent. `first`: what may come."""

    disconnecting = False
    urgency = 3
    incremental = True

    def __init__(
        self,
        carrier: Carrier,
        number: int,
        address: TunnelAddress,
        window: int,
        first: int,
    ) -> None:
        self.id = number
        self.address = address
        self.window = window
        self.ending: bytes | None = None
        self.over = False
        self.paused = False
        self.queue: deque[bytes | memoryview] = deque()
        self.queued = 0
        self.protocol: Any = None
        self.input_ended = False
        self.connected = True
        self.allowance = Allowance(first)
        self.received = self.sent = 0
        self._measured, self._since = 0, carrier.now()
        self._carrier = carrier
        self._sender = carrier.sender
        self._producer: Any = None
        self._streaming = True
        self._reading = True
        self._held: deque[bytes] = deque()
        self._owed = 0
        self._told_end = False
        self._closing = self._closes_when_read = False
        self._writing_over = False
        self._reason: Failure | None = None

    # -- what its session tells

    def attach(self, protocol: Any) -> None:
        """Somebody is there for it: it gets what has come."""
        self.protocol = protocol
        protocol.makeConnection(self)
        self._deliver()

    def came(self, data: bytes, size: int) -> None:
        """`data`, which is `size` bytes of flow control. Raises `Http2Error` for more than was allowed."""
        self.allowance.take(size, self.id)
        self.received += len(data)
        padding = size - len(data)
        if self._closing or self._reason is not None:
            self._take(size)  # nobody wants it, and the peer need not wait to hear so
        elif data:
            self._owed += padding
            self._held.append(data)
            self._deliver()
        else:
            self._take(padding)

    def ended(self) -> None:
        """The peer has sent its last byte."""
        self.input_ended = True
        self._deliver()

    def was_reset(self, code: int) -> None:
        """The peer has ended it. NO_ERROR behind its last byte: it wants no more, and all is well."""
        self._sender.drop(self)
        self.over = self._writing_over = True
        if code == NO_ERROR and self.input_ended:
            self._closes_when_read = True
            self._deliver()
        else:
            self.lose(Failure(ConnectionLost("reset by the other end of the tunnel")))

    def lose(self, reason: Failure) -> None:
        """It is over, now."""
        if not self.connected:
            return
        self.connected = False
        self._held.clear()
        self._sender.drop(self)
        self._carrier.over(self, reason)
        producer, self._producer = self._producer, None
        if self.protocol is not None:
            if producer is not None:
                producer.stopProducing()
            self.protocol.connectionLost(reason)

    def settle(self) -> None:
        """An abort takes effect, in a turn of its own as with any transport."""
        if self._reason is not None:
            self.lose(self._reason)

    # -- what comes, given on

    def _deliver(self) -> None:
        if self.protocol is None:
            if self._closes_when_read:
                self.lose(Failure(ConnectionDone()))
            return
        held = self._held
        while held and self._reading and self.connected and not self._closing:
            data = held.popleft()
            self._owed += len(data)
            self.protocol.dataReceived(data)
            if self._reading:
                owed, self._owed = self._owed, 0
                self._take(owed)
        if held or not self.input_ended or not self.connected:
            return
        if self._closes_when_read:
            self.lose(Failure(ConnectionDone()))
        elif self._closing:
            self._done()
        elif self._reading and not self._told_end:
            self._told_end = True
            half: Any = IHalfCloseableProtocol(self.protocol, None)
            if half is not None:
                half.readConnectionLost()
                self._done()
            else:
                self.loseConnection()

    def _take(self, size: int) -> None:
        """`size` bytes were taken on."""
        allowance = self.allowance
        if self.received - self._measured >= allowance.size:
            now = self._carrier.now()
            if self._carrier.may_grow(self, now - self._since):
                allowance.grow(allowance.size * 2)
            self._measured, self._since = self.received, now
        more = allowance.due(size)
        if more and not self.input_ended:
            self._carrier.credit(self, more)

    def _done(self) -> None:
        if self.over and self.input_ended and self.connected:
            self.lose(Failure(ConnectionDone()))

    # -- net.http2.sending.Outlet

    def sent_all(self) -> None:
        """Its last frame is with the session's transport."""
        if not self.connected:
            return
        if self._closing and not self.input_ended:
            # All was said, and what still comes is nobody's: as a socket that is closed.
            self._carrier.reset(self, NO_ERROR)
            self.lose(Failure(ConnectionDone()))
        elif self._told_end or self._closing:
            self._done()
        else:
            half: Any = IHalfCloseableProtocol(self.protocol, None)
            if half is not None:
                half.writeConnectionLost()

    def stalled(self, yes: bool) -> None:
        """Nothing: who writes is told by `pauseProducing`."""

    def relieved(self) -> None:
        """There is room for more."""
        self.paused = False
        if self._producer is not None:
            self._producer.resumeProducing()

    # -- ITransport

    def write(self, data: bytes) -> None:
        """Send `data`, as soon as the windows allow."""
        if not self.connected or self._writing_over or self.ending is not None:
            return
        if self.over or self._reason is not None or not data:
            return
        self.sent += len(data)
        room = self._sender.add(self, data)
        producer = self._producer
        if producer is not None and not self.paused:
            if not self._streaming:
                self.paused = True  # it is asked for its next piece when this has left
            elif not room:
                self.paused = True
                producer.pauseProducing()

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """The same of several."""
        self.write(b"".join(data))

    def loseWriteConnection(self) -> None:
        """Send no more when what is queued has left; reading goes on."""
        if self.connected and not self._writing_over:
            self._writing_over = True
            self.ending = b""
            self._sender.wait(self)

    def loseConnection(self) -> None:
        """Close when what is queued has left, and the producer has no more."""
        if self._closing or not self.connected:
            return
        self._closing = self.disconnecting = True
        self._held.clear()
        if self._producer is not None:
            return  # its last word is waited for
        if self.over:
            self._close_at_once()
        else:
            self.loseWriteConnection()

    def _close_at_once(self) -> None:
        """Its last byte has left already."""
        if not self.input_ended:
            self._carrier.reset(self, NO_ERROR)
        self._reason = Failure(ConnectionDone())
        self._carrier.soon(self)

    def abortConnection(self) -> None:
        """Cut it: the other end gets a reset."""
        if self._reason is None and self.connected:
            self._sender.drop(self)
            self._carrier.reset(self, CANCEL)
            self._reason = Failure(ConnectionAborted())
            self._carrier.soon(self)

    def getPeer(self) -> TunnelAddress:
        """The service, or who asks for it."""
        return self.address

    def getHost(self) -> TunnelAddress:
        """There is no address on this side."""
        return self.address

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Nothing: frames never wait for more."""

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """Nothing: the session has a heartbeat."""

    def pending_bytes(self) -> int:
        """What waits for a window."""
        return self.queued

    # -- IConsumer

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """`producer` is told when to stop and when to go on."""
        if self._producer is not None:
            raise RuntimeError("there is a producer already")
        if not self.connected or self._reason is not None:
            producer.stopProducing()
            return
        self._producer, self._streaming = producer, streaming
        if not streaming:
            producer.resumeProducing()

    def unregisterProducer(self) -> None:
        """It has no more."""
        self._producer = None
        self.paused = False
        if self._closing and self.connected and self._reason is None:
            if self.over:
                self._close_at_once()
            else:
                self.loseWriteConnection()

    # -- IPushProducer

    def pauseProducing(self) -> None:
        """Give on nothing for now; the peer may send as much as its window, and no more."""
        self._reading = False

    def resumeProducing(self) -> None:
        """Go on."""
        if self._reading or not self.connected:
            return
        self._reading = True
        owed, self._owed = self._owed, 0
        if owed:
            self._take(owed)
        self._deliver()

    def stopProducing(self) -> None:
        """Close it."""
        self.loseConnection()
