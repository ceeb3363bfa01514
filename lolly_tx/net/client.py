"""The HTTP/1.1 client side of one connection to a target: a door out.

    IDLE --send--> HEAD --final head--> LENGTH | CHUNKED | CLOSE --complete--> IDLE
                     |                                            |
                     +-- 101 asked for --> TUNNEL                 +--> closed

One exchange at a time. A connection goes back to the idle ones of its `Upstream` only when
the response was complete, both sides mean to keep it, and no byte came that nobody asked
for.

Longer than most modules, because the states above belong to one connection: what is sent,
read, relayed and timed all decides whether it may be used again.

May import: wire, domain.errors, net. Used by: net.upstream (makes them), proxy.
"""

from __future__ import annotations

from socket import MSG_DONTWAIT, MSG_PEEK
from typing import TYPE_CHECKING, Any

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import (
    IHalfCloseableProtocol,
    IProtocol,
    IPushProducer,
)
from twisted.python.failure import Failure
from zope.interface import implementer

from lolly_tx.domain.errors import (
    BadResponse,
    ConnectionReset,
    ProxyError,
    ResponseTimedOut,
    StaleConnection,
    WriteTimedOut,
)
from lolly_tx.net.deadlines import NEVER
from lolly_tx.net.doors import CLOSE, LENGTH, NO_BODY, STREAM, ResponseSink
from lolly_tx.net.failures import translate
from lolly_tx.net.splice import SINK, Relay
from lolly_tx.net.transports import pending_bytes
from lolly_tx.net.tunnel import Tunnel
from lolly_tx.wire.chunked import ChunkDecoder
from lolly_tx.wire.errors import BadMessage
from lolly_tx.wire.http1 import RequestHead, ResponseHead

if TYPE_CHECKING:  # pragma: no cover
    from lolly_tx.net.upstream import Upstream

_IDLE, _HEAD, _LENGTH, _CHUNKED, _CLOSE, _TUNNEL, _OVER = range(7)

CLOSE_SECONDS = 2.0
"""How long an orderly close may take."""


@implementer(IProtocol, IHalfCloseableProtocol, IPushProducer)
class Http1Client:
    """One connection to a target (a door out)."""

    __slots__ = (
        "__weakref__",
        "_asked",
        "_decoder",
        "_interim",
        "_keep",
        "_left",
        "_paused",
        "_pending",
        "_relay",
        "_sent_all",
        "_stalled_at",
        "_state",
        "_tunnel",
        "born",
        "deadline",
        "exchange",
        "factory",
        "served",
        "transport",
        "upstream",
    )

    _asked: RequestHead
    """The head of the current request, once there is one."""

    def __init__(self, upstream: Upstream) -> None:
        self.factory: Any = None
        self.transport: Any = None
        self.upstream = upstream
        self.deadline = NEVER
        self.exchange: ResponseSink | None = None
        self.served = 0
        self.born = upstream.now()
        self._state = _IDLE
        self._pending = b""
        self._left = 0
        self._decoder: ChunkDecoder | None = None
        self._interim = 0
        self._sent_all = True
        self._keep = False
        self._paused = False
        self._stalled_at = -1
        self._tunnel: Tunnel | None = None
        self._relay: Relay | None = None

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
        self._state = _OVER
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
        elif state == _CLOSE and reason.check(ConnectionDone):
            # TLS has no half-close: its close_notify is the end of the body.
            exchange.response_end(b"")
        else:
            exchange.upstream_failed(self._why_lost(reason, state))

    def readConnectionLost(self) -> None:
        """The backend has sent its last byte."""
        state = self._state
        if state == _CLOSE:
            self._keep = False
            self._complete(b"")
        elif state == _TUNNEL:
            if self._tunnel is not None:
                self._tunnel.ended(self)
        elif state != _OVER:
            self._abort()
            if state == _IDLE:
                self.upstream.forget(self)
            else:
                self._fail(self._cut_short(state))
        else:
            self.transport.abortConnection()

    def writeConnectionLost(self) -> None:
        """Our own half-close is done."""

    def _cut_short(self, state: int) -> ProxyError:
        if state != _HEAD or self._pending or self._interim:
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
        if state == _HEAD:
            if self._pending:
                self._read_head(self._pending + data, len(self._pending))
            else:
                self._read_head(data)
            return
        upstream = self.upstream
        if state == _LENGTH:
            self.deadline = upstream.now() + upstream.limits.read
            self._read_length(data)
        elif state == _CHUNKED:
            self.deadline = upstream.now() + upstream.limits.read
            self._read_chunks(data)
        elif state == _CLOSE:
            self.deadline = upstream.now() + upstream.limits.read
            if self.exchange is not None:
                self.exchange.response_data(data)
        elif state == _TUNNEL:
            if self._tunnel is not None:
                self._tunnel.received(self, data)
            else:
                self._pending += data
        elif state == _IDLE:
            # Nobody asked. Whatever it is, it must not become somebody's response.
            upstream.forget(self)
            self._abort()

    # -- IPushProducer: the transport's word on whether the backend takes our bytes

    def pauseProducing(self) -> None:
        """The backend reads slower than we write."""
        self._stalled_at = pending_bytes(self.transport)
        self.deadline = self.upstream.now() + self.upstream.limits.write
        if self._tunnel is not None:
            self._tunnel.pause(self)
        elif self.exchange is not None:
            self.exchange.pause_request()

    def resumeProducing(self) -> None:
        """What we wrote has left."""
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
        if self._paused or self._state == _TUNNEL or not self._sent_all:
            # A slow client's body, or a slow reader: not the backend's fault.
            self.deadline = NEVER
        else:
            self.deadline = self.upstream.now() + self.upstream.limits.read

    def expired(self, now: float) -> None:
        """The time allowed in this state is over."""
        upstream = self.upstream
        if self._relay is not None:
            self._watch_relay(self._relay, now)
            return
        waiting = pending_bytes(self.transport)
        if waiting and waiting != self._stalled_at:
            self._stalled_at = waiting
            self.deadline = now + upstream.limits.write
            return
        if self._state == _IDLE:
            upstream.forget(self)
            self._close()
        elif waiting:
            self._abort()
            self._fail(WriteTimedOut(f"took no byte for {upstream.limits.write:g} s"))
        else:
            self._abort()
            self._fail(ResponseTimedOut(f"no byte for {upstream.limits.read:g} s"))

    def _watch_relay(self, relay: Relay, now: float) -> None:
        """Find out whether the body that a relay takes to the client is moving."""
        if relay.moved != self._stalled_at:
            self._stalled_at = relay.moved
            self.deadline = now + self.upstream.limits.read
        elif relay.waiting_for == SINK and self.exchange is not None:
            self.exchange.response_stalled()
        else:
            relay.cancel()
            self._abort()
            self._fail(ResponseTimedOut(f"no byte for {self.upstream.limits.read:g} s"))

    # -- what the exchange calls

    def send(
        self,
        exchange: ResponseSink,
        head: RequestHead,
        data: bytes,
        complete: bool,
        now: float,
    ) -> None:
        """Send a request: `data` is `head`, rendered, and what there is of its body.

        `complete`: that is all of it.
        """
        self.exchange = exchange
        self.served += 1
        self._state = _HEAD
        self._asked = head
        self._interim = 0
        self._sent_all = complete
        self.deadline = now + self.upstream.limits.read if complete else NEVER
        self.transport.write(data)

    def write(self, data: bytes) -> None:
        """More of the request's body, framed."""
        self.transport.write(data)

    def finish(self, data: bytes = b"") -> None:
        """The request is complete."""
        self._sent_all = True
        if data:
            self.transport.write(data)
        if self.deadline == NEVER and self._state not in (_IDLE, _OVER):
            self._set_deadline()

    def pause(self) -> None:
        """Read no more of the response for now."""
        if not self._paused and self._state != _OVER:
            self._paused = True
            self.deadline = NEVER
            self.transport.pauseProducing()

    def resume(self) -> None:
        """Read on."""
        if self._paused:
            self._paused = False
            if self._state != _OVER:
                self._set_deadline()
                self.transport.resumeProducing()

    def cancel(self) -> None:
        """Give the exchange up; nothing more is delivered to it."""
        self.exchange = None
        self._abort()

    def relay_failed(self, reset: bool) -> None:
        """The relay has ended early. After a `reset` connectionLost follows."""
        self._relay = None
        if not reset:
            self._abort()
            self._fail(ConnectionReset("connection closed within the response"))

    def response_relayed(self) -> None:
        """The relay has moved the rest of the body."""
        self._relay = None
        self._stalled_at = -1
        self._left = 0
        if self._state == _CLOSE:
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

    # -- responses

    def _read_head(self, data: bytes, seen: int = 0) -> None:
        """Read heads from `data`; `seen` bytes of it have been looked at before."""
        upstream = self.upstream
        clock = upstream.now
        now = clock()
        while True:
            try:
                head = upstream.reader.read(data, seen)
            except BadMessage as error:
                self._abort()
                self._fail(BadResponse(error.reason))
                return
            if head is None:
                self._pending = data
                self.deadline = now + upstream.limits.read
                return
            if len(data) == head.whole and self._sent_all and not self._asked.is_head:
                exchange = self.exchange
                body = data[head.end :]
                if exchange is not None and exchange.response_whole(head, body, now):
                    return
            if head.status >= 200:
                break
            data = data[head.end :]
            seen = 0
            if head.status == 101:
                self._switch(head, data)
                return
            self._interim += 1
            if self._interim > upstream.limits.interim:
                self._abort()
                self._fail(BadResponse("too many 1xx responses"))
                return
            self._pending = b""
            exchange = self.exchange
            if exchange is None:
                return
            exchange.response_interim(head)
            if self.exchange is not exchange:
                return
        self._pending = b""
        self.deadline = now + upstream.limits.read
        self._begin_body(head, data)

    def _begin_body(self, head: ResponseHead, data: bytes) -> None:
        """Decide how the body ends (RFC 9112 section 6.3), and deliver what is here."""
        exchange = self.exchange
        assert exchange is not None
        block = head.block
        end = head.end
        status = head.status
        self._keep = self._sent_all and bool(
            head.keep_alive if block.connection else head.version
        )
        if self._asked.is_head or status == 204 or status == 304:
            self._state = _LENGTH
            self._left = 0
            exchange.response_head(head, NO_BODY)
        elif block.length is not None:
            self._state = _LENGTH
            self._left = block.length
            exchange.response_head(head, LENGTH)
        elif block.chunked:
            self._state = _CHUNKED
            self._decoder = ChunkDecoder()
            exchange.response_head(head, STREAM)
        else:
            self._state = _CLOSE
            self._keep = False
            exchange.response_head(head, CLOSE)
        if self._state == _OVER:
            return  # the exchange gave it up
        rest = data[end:] if end != len(data) else b""
        if self._state == _LENGTH:
            self._read_length(rest)
        elif self._state == _CHUNKED:
            self._read_chunks(rest)
        else:
            if rest and self.exchange is not None:
                self.exchange.response_data(rest)
            self._wait_for_more()

    def _read_length(self, data: bytes) -> None:
        left = self._left - len(data)
        if left > 0:
            self._left = left
            if data and self.exchange is not None:
                self.exchange.response_data(data)
            self._wait_for_more()
            return
        extra = b""
        if left < 0:
            data, extra = data[: self._left], data[self._left :]
        self._left = 0
        if data and self.exchange is not None:
            self.exchange.response_data(data)
        self._complete(extra)

    def _read_chunks(self, data: bytes) -> None:
        decoder = self._decoder
        assert decoder is not None
        try:
            body = decoder.feed(data)
        except BadMessage as error:
            self._abort()
            self._fail(BadResponse(error.reason))
            return
        if body and self.exchange is not None:
            self.exchange.response_data(body)
        if decoder.done:
            self._decoder = None
            self._complete(decoder.rest, decoder.trailers)
        else:
            self._wait_for_more()

    def _wait_for_more(self) -> None:
        """All that has come is delivered. The rest need not pass through here."""
        exchange = self.exchange
        if exchange is None or self._state == _OVER:
            return
        exchange.response_waits()
        if self._state == _CHUNKED or self.exchange is not exchange:
            return
        left = self._left if self._state == _LENGTH else None
        relay = exchange.relay_response(self.transport, left)
        if relay is not None:
            self._relay = relay
            self._paused = False
            self._stalled_at = relay.moved
            self.deadline = self.upstream.now() + self.upstream.limits.read

    def _complete(self, extra: bytes, trailers: bytes = b"") -> None:
        """The response is complete: give the connection back, or close it."""
        if self._state == _OVER:
            return
        exchange, self.exchange = self.exchange, None
        if self._keep and not extra and self._sent_all:
            if self._paused:  # by a client that has not read the end of it
                self._paused = False
                self.transport.resumeProducing()
            self._state = _IDLE
            self.upstream.give_back(self, self.upstream.now())
        else:
            self._close()
        if exchange is not None:
            exchange.response_end(trailers)

    def answered(self, now: float) -> None:
        """The exchange has taken a whole response: the connection is free."""
        self.exchange = None
        self._pending = b""
        if self._paused:
            self._paused = False
            self.transport.resumeProducing()
        self._state = _IDLE
        self.upstream.give_back(self, now)

    def _switch(self, head: ResponseHead, data: bytes) -> None:
        exchange = self.exchange
        if not self._asked.block.upgrade or exchange is None:
            self._abort()
            self._fail(BadResponse("101 that was not asked for"))
            return
        if head.block.upgrade != b"websocket":
            self._abort()
            self._fail(BadResponse("101 for another protocol"))
            return
        self._state = _TUNNEL
        self._pending = data
        self.deadline = NEVER
        exchange.upgraded(head)

    # -- the end

    def _fail(self, error: ProxyError) -> None:
        exchange, self.exchange = self.exchange, None
        if exchange is not None:
            exchange.upstream_failed(error)

    def _abort(self) -> None:
        self._state = _OVER
        self.deadline = NEVER
        self.transport.abortConnection()

    def _close(self) -> None:
        self._state = _OVER
        # TLS waits for the other side's goodbye, which may never come.
        self.deadline = self.upstream.now() + CLOSE_SECONDS
        self.transport.unregisterProducer()
        self.transport.loseConnection()
        if pending_bytes(self.transport):
            # The rest of a request nobody reads any more must not hold the socket.
            self.transport.abortConnection()

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

    def retire(self) -> None:
        """Close an idle connection."""
        self._close()

    def last_words(self) -> None:
        """Writing has failed: take the answer that may have come before that."""
        read = getattr(self.transport, "doRead", None)
        if read is not None:
            read()
