"""The HTTP/1.1 client side of one connection to a target: a door out.

    IDLE --send--> HEAD --final head--> COUNTED | CHUNKED | UNTIL_CLOSE --complete--> IDLE
                     |                                                   |
                     +-- 101 asked for --> TUNNEL                        +--> closed

One exchange at a time. A connection goes back to the idle ones of its `Upstream` only when
the response was complete, both sides mean to keep it, and no byte came that nobody asked
for.

What is read from the backend is `net.http1.receiving`'s part.

May import: wire, domain.errors, net. Used by: net.upstream (makes them), proxy.
"""

from __future__ import annotations

from socket import MSG_DONTWAIT, MSG_PEEK
from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import (
    IHalfCloseableProtocol,
    IProtocol,
    IPushProducer,
)
from twisted.python.failure import Failure
from zope.interface import implementer

from lolly_tx.domain.errors import (
    CLIENT_SECONDS,
    ConnectionReset,
    HungUpOnClient,
    ProxyError,
    ResponseTimedOut,
    StaleConnection,
    WriteTimedOut,
)
from lolly_tx.net.deadlines import NEVER, PERIOD
from lolly_tx.net.doors import ResponseSink
from lolly_tx.net.failures import translate
from lolly_tx.net.http1.receiving import (
    CHUNKED,
    COUNTED,
    HEAD,
    IDLE,
    OVER,
    TUNNEL,
    UNTIL_CLOSE,
    ReceivingClient,
)
from lolly_tx.net.sockets.parting import CLOSE_SECONDS, end_writing
from lolly_tx.net.sockets.standstill import Standstill
from lolly_tx.net.sockets.transports import pending_bytes, untaken_bytes
from lolly_tx.net.tunnel import Tunnel
from lolly_tx.wire.chunked import encode_chunk, last_chunk
from lolly_tx.wire.http1 import RequestHead, render_request

UNMEASURED = -2
"""How much that is will be looked at."""
AT_ONCE = -1
"""Nobody looks: what was sent in one piece is in the backend's kernel."""

GOODBYES = (b"HTTP/1.1 408 ", b"HTTP/1.0 408 ")
"""What some servers say when they close a connection that was idle for long."""


@implementer(IProtocol, IHalfCloseableProtocol, IPushProducer)
class Http1Client(ReceivingClient):
    """One connection to a target (a door out)."""

    __slots__ = ()

    # -- IProtocol

    def makeConnection(self, transport: Any) -> None:
        """The connection is up."""
        self.transport = transport
        transport.registerProducer(self, True)
        self.upstream.deadlines.add(self)
        self.upstream.open += 1

    def connectionMade(self) -> None:
        """Nothing: makeConnection has done it."""

    def connectionLost(self, reason: Failure) -> None:
        """The connection is over, whoever ended it."""
        state = self._state
        self._state = OVER
        self.deadline = NEVER
        upstream = self.upstream
        upstream.deadlines.discard(self)
        upstream.open -= 1
        tunnel, self._tunnel = self._tunnel, None
        if tunnel is not None:
            tunnel.lost(self, reason)
        exchange, self.exchange = self.exchange, None
        if exchange is None:
            upstream.forget(self)
        elif state == UNTIL_CLOSE and reason.check(ConnectionDone):
            # TLS has no half-close: its close_notify is the end of the body.
            exchange.response_end(b"")
        else:
            exchange.upstream_failed(self._excused(self._why_lost(reason, state)))

    def readConnectionLost(self) -> None:
        """The backend has sent its last byte."""
        state = self._state
        if state == UNTIL_CLOSE:
            self._keep = False
            self._complete(b"")
        elif state == TUNNEL:
            if self._tunnel is not None:
                self._tunnel.ended(self)
        elif state != OVER:
            self._abort()
            if state == IDLE:
                self.upstream.forget(self)
            else:
                self._fail(self._excused(self._cut_short(state)))
        else:
            self.transport.abortConnection()

    def writeConnectionLost(self) -> None:
        """Our own half-close is done."""

    def _excused(self, error: ProxyError) -> ProxyError:
        """`error`, or that the backend would not wait for the client any longer."""
        waited = max(self._held, self.upstream.now() - self._client_from)
        if waited < CLIENT_SECONDS or not isinstance(error, ConnectionReset):
            return error
        return HungUpOnClient(error.detail)

    def _cut_short(self, state: int) -> ProxyError:
        if state != HEAD or self._pending or self._interim:
            return ConnectionReset("connection closed within the response")
        if self.served > 1:
            return StaleConnection("reused connection closed before the response")
        return ConnectionReset("connection closed before the response")

    def _why_lost(self, reason: Failure, state: int) -> ProxyError:
        error = self._cut_short(state)
        if isinstance(error, StaleConnection):
            return error
        error = translate(reason, connecting=False)
        if not error.blames:
            # Nobody of ours cancelled (the exchange would be gone): the peer did it.
            return ConnectionReset(error.detail)
        return error

    def dataReceived(self, data: bytes) -> None:
        """Bytes from the backend."""
        state = self._state
        if state == HEAD:
            if self._pending:
                self._read_head(self._pending + data, len(self._pending))
            else:
                self._read_head(data)
            return
        upstream = self.upstream
        if state == COUNTED:
            if self._sent_all:
                self.deadline = upstream.now() + upstream.limits.read
            self._read_length(data)
        elif state == CHUNKED:
            if self._sent_all:
                self.deadline = upstream.now() + upstream.limits.read
            self._read_chunks(data)
        elif state == UNTIL_CLOSE:
            if self._sent_all:
                self.deadline = upstream.now() + upstream.limits.read
            if self.exchange is not None:
                self.exchange.response_data(data)
        elif state == TUNNEL:
            if self._tunnel is not None:
                self._tunnel.received(self, data)
            else:
                self._pending += data
        elif state == IDLE:
            # Nobody asked. Whatever it is, it must not become somebody's response.
            upstream.forget(self)
            self._abort()
            if not data.startswith(GOODBYES):
                upstream.distrust()

    # -- IPushProducer: the transport's word on whether the backend takes our bytes

    def pauseProducing(self) -> None:
        """The backend reads slower than we write."""
        self._client_from = NEVER
        self._stalled_at = UNMEASURED
        # Most pauses are over within a period, and cost no look at the kernel's queue.
        soon = PERIOD if pending_bytes(self.transport) else self.upstream.limits.write
        self.deadline = self.upstream.now() + soon
        if self._tunnel is not None:
            self._tunnel.pause(self)
        elif self.exchange is not None:
            self.exchange.pause_request()

    def resumeProducing(self) -> None:
        """What we wrote has left."""
        if not self._sent_all:
            self._client_from = self.upstream.now()
        self._set_deadline()
        if self._tunnel is not None:
            self._tunnel.resume(self)
        elif self.exchange is not None:
            self.exchange.resume_request()

    def stopProducing(self) -> None:
        """The transport is going; connectionLost follows."""

    # -- deadlines

    def _set_deadline(self) -> None:
        """After a change of who is waited for."""
        owes = self._sent_all or self._owing
        if self._paused or self._state == TUNNEL or not owes:
            # A slow client's body, or a slow reader: not the backend's fault.
            self.deadline = NEVER
            return
        seconds = self.upstream.limits.read
        if self._state == HEAD:
            # The kernel may have taken most of the body, and the backend little of it.
            self._stalled_at = UNMEASURED
            seconds = min(seconds, PERIOD)
        self.deadline = self.upstream.now() + seconds

    def expired(self, now: float) -> None:
        """The time allowed in this state is over."""
        upstream = self.upstream
        if self._relay is not None:
            self._watch_relay(self._relay, now)
            return
        waiting = pending_bytes(self.transport)
        if self._takes_more(waiting, now):
            return
        if self._state == IDLE:
            upstream.forget(self)
            self._close()
        elif waiting:
            self._abort()
            self._fail(WriteTimedOut(f"took no byte for {upstream.limits.write:g} s"))
        elif self._state == TUNNEL:
            self.deadline = NEVER  # what it was slow to take has left
        else:
            self._abort()
            self._fail(ResponseTimedOut(f"no byte for {upstream.limits.read:g} s"))

    def stood_still(self, seconds: float, now: float) -> None:
        """The process did."""
        if self.exchange is not None:
            self.exchange.stood_still(seconds, now)

    def _takes_more(self, waiting: int, now: float) -> bool:
        """Whether the backend takes more of the request, however slowly, or may yet do so.

        `waiting`: bytes of it that are still here; others are in the kernel's queue.
        """
        before = self._stalled_at
        if not waiting and (before == AT_ONCE or self._state != HEAD):
            return False
        untaken = self._stalled_at = untaken_bytes(self.transport)
        limits = self.upstream.limits
        if not waiting and before == UNMEASURED:
            self.deadline = now + max(0.0, limits.read - PERIOD)
            return True
        self.deadline = now + (limits.write if untaken else limits.read)
        return untaken != before

    def _watch_relay(self, watch: Standstill, now: float) -> None:
        """Find out whether the body that a relay takes to the client is moving."""
        if watch.left(now) > 0:
            self.deadline = watch.next_look(now)
        elif not watch.by_source and self.exchange is not None:
            self.exchange.response_stalled()
        elif not self._sent_all:
            # It answers while it is still being asked: the client has to move.
            watch.restart(now)
            self.deadline = watch.next_look(now)
        else:
            watch.relay.cancel()
            self._abort()
            self._fail(ResponseTimedOut(f"no byte for {self.upstream.limits.read:g} s"))

    # -- what the exchange calls

    def send(
        self,
        sink: ResponseSink,
        head: RequestHead,
        host: bytes,
        lines: bytes,
        body: bytes,
        complete: bool,
        now: float,
    ) -> None:
        """Send a request (`net.doors.DoorOut`)."""
        self.exchange = sink
        self.served += 1
        self._state = HEAD
        self._asked = head
        self._interim = 0
        self._held = 0.0
        self._sent_all = complete
        self._stalled_at = AT_ONCE
        self.deadline = now + self.upstream.limits.read if complete else NEVER
        if head.plain and not host:
            self.transport.write(
                b"%b %b HTTP/1.1%b%b\r\n"
                % (head.method, head.target, head.block.kept, lines)
            )
            return
        data = render_request(head, host, lines)
        if head.block.chunked:
            if body:
                data += encode_chunk(body)
            if complete:
                data += last_chunk(b"")
        else:
            data += body
        self.transport.write(data)

    def write(self, data: bytes) -> None:
        """More of the request's body."""
        self.transport.write(encode_chunk(data) if self._asked.block.chunked else data)

    def request_sink(self) -> Any | None:
        """The transport, when body bytes may go to it directly."""
        return None if self._asked.block.chunked else self.transport

    def raw(self) -> Http1Client:
        """The connection itself, for a tunnel."""
        return self

    def finish(self, trailers: bytes = b"") -> None:
        """The request is complete."""
        self._sent_all = True
        self._client_from = NEVER
        if self._owing:
            self._owing = False
            self.deadline = NEVER
        if self._relay is not None:
            self._relay.restart(self.upstream.now())
        if self._asked.block.chunked:
            self.transport.write(last_chunk(trailers))
        if self.deadline == NEVER and self._state not in (IDLE, OVER):
            self._set_deadline()

    def pause(self) -> None:
        """Read no more of the response for now."""
        if not self._paused and self._state != OVER:
            self._paused = True
            self._client_from = self.upstream.now()
            self.deadline = NEVER
            self.transport.pauseProducing()

    def resume(self) -> None:
        """Read on."""
        if self._paused:
            self._paused = False
            self._held += self.upstream.now() - self._client_from
            self._client_from = NEVER
            if self._state != OVER:
                self._set_deadline()
                self.transport.resumeProducing()

    def cancel(self) -> None:
        """Give the exchange up; nothing more is delivered to it."""
        self.exchange = None
        self._abort()

    def relay_failed(self, reset: bool) -> None:
        """The relay has ended early. After a `reset` connectionLost follows."""
        watch, self._relay = self._relay, None
        if watch is not None:
            self._held += watch.sink_seconds
        if not reset:
            self._abort()
            error = ConnectionReset("connection closed within the response")
            self._fail(self._excused(error))

    def response_relayed(self) -> None:
        """The relay has moved the rest of the body."""
        self._relay = None
        self._left = 0
        if self._state == UNTIL_CLOSE:
            self._keep = False
        self._complete(b"")

    def open_tunnel(self, tunnel: Tunnel) -> bytes:
        """From now on this connection is one end of `tunnel`. Bytes already read."""
        self._tunnel = tunnel
        self.exchange = None
        self.deadline = NEVER
        early, self._pending = self._pending, b""
        return early

    @property
    def input_ended(self) -> bool:
        """The backend has sent its last byte: never so while a tunnel opens."""
        return False

    @property
    def leaving(self) -> bool:
        """Never: it is the client who is told to go elsewhere."""
        return False

    @property
    def write_seconds(self) -> float:
        """As for requests."""
        return self.upstream.limits.write

    def end_tunnel_writing(self) -> None:
        """The client has sent its last byte."""
        end_writing(self.transport)

    def close_tunnel(self) -> None:
        """The tunnel is over."""
        self._tunnel = None
        self._state = OVER
        limits = self.upstream.limits
        unsent = pending_bytes(self.transport)
        self.deadline = self.upstream.now() + (
            limits.write if unsent else CLOSE_SECONDS
        )
        self.transport.unregisterProducer()
        self.transport.loseConnection()

    # -- the end

    def is_quiet(self) -> bool:
        """Nothing has arrived on this idle connection, no end of file either."""
        # Twisted's TLS is a protocol with the plain transport below it. Of TLS bytes that
        # wait there most are a goodbye.
        plain = getattr(self.transport, "transport", self.transport)
        try:
            plain.getHandle().recv(1, MSG_PEEK | MSG_DONTWAIT)
        except BlockingIOError:
            return True
        except (OSError, AttributeError):
            pass
        return False

    def last_words(self) -> None:
        """Writing has failed: take the answer that may have come before that."""
        read = getattr(self.transport, "doRead", None)
        if read is not None:
            read()
