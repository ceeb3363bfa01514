"""The HTTP/1.1 client side of one connection to a target: a door out.

    IDLE --send--> HEAD --final head--> BODY --complete--> IDLE
                     |                    |
                     |                    +--> closed
                     +-- 101 asked for --> TUNNEL

One exchange at a time. A connection goes back to the idle ones of its `Upstream` only when
the response was complete, both sides mean to keep it, and no byte came that nobody asked
for. A common response, which comes in one piece, never gets to BODY (`response_whole`).

One class in one long file: what is sent, what is read and whose turn it is change the same state, and a common exchange
goes through them without a call more. What few exchanges have is a part: `wire.bodies`, `net.http1.upgraded`,
`net.http1.losses`, `net.sockets.standstill`.

Imports: domain, net, net.http1, net.sockets, wire, Twisted. Used by: service,
service.forwards.
"""

from __future__ import annotations

from typing import Any, Final

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import (
    IHalfCloseableProtocol,
    IProtocol,
    IPushProducer,
)
from twisted.python.failure import Failure
from zope.interface import classImplements

from lolly_tx.domain.errors import (
    BadResponse,
    ConnectionReset,
    ProxyError,
    ResponseTimedOut,
    WriteTimedOut,
)
from lolly_tx.net.deadlines import NEVER, PERIOD
from lolly_tx.net.doors import CLOSE, LENGTH, NO_BODY, STREAM, ResponseSink
from lolly_tx.net.http1 import losses
from lolly_tx.net.http1.upgraded import Upgraded
from lolly_tx.net.sockets.at_once import RECEIVE_BYTES
from lolly_tx.net.sockets.parting import CLOSE_SECONDS, Leftover
from lolly_tx.net.sockets.standstill import Standstill
from lolly_tx.net.sockets.transports import (
    BULK_BYTES,
    is_quiet,
    pending_bytes,
    untaken_bytes,
)
from lolly_tx.net.upstreams import Connection, Upstream
from lolly_tx.wire.bodies import UNTIL_CLOSE, BodyReader, Counted
from lolly_tx.wire.chunked import ChunkDecoder, encode_chunk, last_chunk
from lolly_tx.wire.errors import BadMessage
from lolly_tx.wire.http1 import ResponseReader, render_request
from lolly_tx.wire.message import RequestHead, ResponseHead

FIRST_BYTES: Final = 8187
"""Twice that is read of a body whose head came alone, and of what follows twice as much each time: as long as nobody
was seen to take it, it may have to wait here."""

IDLE: Final = 0
HEAD: Final = 1
BODY: Final = 2
TUNNEL: Final = 3
OVER: Final = 4

UNMEASURED: Final = -2
"""How much that is will be looked at."""
AT_ONCE: Final = -1
"""Nobody looks: what was sent in one piece is in the backend's kernel."""

GOODBYES: Final = (b"HTTP/1.1 408 ", b"HTTP/1.0 408 ")
"""What some servers say when they close a connection that was idle for long."""


class Http1Client(Connection):
    """One connection to a target (`DoorOut`, `net.upstreams.Connection`). `reader`: shared with others."""

    __slots__ = (
        "__weakref__",
        "_appetite",
        "_asked",
        "_body",
        "_client_from",
        "_end",
        "_held",
        "_interim",
        "_keep",
        "_owing",
        "_paused",
        "_pending",
        "_reader",
        "_relay",
        "_rest",
        "_sent_all",
        "_stalled_at",
        "_state",
        "born",
        "deadline",
        "factory",
        "served",
        "sink",
        "transport",
        "upstream",
    )

    _asked: RequestHead
    """The head of the current request, once there is one."""

    def __init__(self, reader: ResponseReader, upstream: Upstream) -> None:
        self.factory: Any = None
        self.transport: Any = None
        self.upstream = upstream
        self.deadline = NEVER
        self.sink: ResponseSink | None = None
        self.served = 0
        self.born = upstream.now()
        self._reader = reader
        self._state = IDLE
        self._pending = b""
        self._body: BodyReader | None = None
        self._appetite = RECEIVE_BYTES
        self._interim = 0
        self._sent_all = True
        self._owing = False
        self._client_from = NEVER
        self._held = 0.0
        self._keep = False
        self._paused = False
        self._stalled_at = -1
        self._end: Upgraded | None = None
        self._relay: Standstill | None = None
        self._rest: Leftover | None = None

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
        end, self._end = self._end, None
        if end is not None:
            end.lost(reason)
        exchange, self.sink = self.sink, None
        if exchange is None:
            upstream.forget(self)
        elif self._ends_with_it(state) and reason.check(ConnectionDone):
            # TLS has no half-close: its close_notify is the end of the body.
            exchange.response_end(b"")
        else:
            error = losses.lost(reason, *self._circumstances(state))
            exchange.upstream_failed(self._excused(error))

    def readConnectionLost(self) -> None:
        """The backend has sent its last byte."""
        state = self._state
        if self._ends_with_it(state):
            self._complete()
        elif state == TUNNEL:
            assert self._end is not None
            self._end.ended()
        elif state != OVER:
            self._abort()
            if state == IDLE:
                self.upstream.forget(self)
            else:
                error = losses.cut_short(*self._circumstances(state))
                self._fail(self._excused(error))
        else:
            self.transport.abortConnection()

    def writeConnectionLost(self) -> None:
        """Our own half-close is done."""

    def _ends_with_it(self, state: int) -> bool:
        """The end of the connection is that of the body."""
        return state == BODY and self._body is UNTIL_CLOSE

    def _circumstances(self, state: int) -> tuple[bool, bool]:
        """Whether an answer has begun, and whether the connection had served before."""
        begun = state != HEAD or bool(self._pending or self._interim)
        return begun, self.served > 1

    def _excused(self, error: ProxyError) -> ProxyError:
        """`error`, unless the backend had to wait for the client for too long."""
        waited = max(self._held, self.upstream.now() - self._client_from)
        return losses.excused(error, waited)

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
        if state == BODY:
            if self._sent_all:
                self.deadline = upstream.now() + upstream.limits.read
            self._read_body(data)
        elif state == TUNNEL:
            assert self._end is not None
            self._end.received(data)
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
        if self._state == TUNNEL:
            assert self._end is not None
            self._end.pause()
        elif self.sink is not None:
            self.sink.pause_request()

    def resumeProducing(self) -> None:
        """What we wrote has left."""
        if not self._sent_all:
            self._client_from = self.upstream.now()
        self._set_deadline()
        if self._state == TUNNEL:
            assert self._end is not None
            self._end.resume()
        elif self.sink is not None:
            self.sink.resume_request()

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
        if self._rest is not None:
            self._settle(self._rest, now)
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

    def _settle(self, rest: Leftover, now: float) -> None:
        """A tunnel is over: the backend has the time of any other to take what came through it."""
        untaken = untaken_bytes(self.transport)
        if untaken:
            self.deadline = rest.next_look(untaken, now)
        else:
            self.deadline = now + CLOSE_SECONDS
            self._rest = None
        if self.deadline <= now:
            self._abort()

    def stood_still(self, seconds: float, now: float) -> None:
        """The process did."""
        if self.sink is not None:
            self.sink.stood_still(seconds, now)

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
        elif not watch.by_source and self.sink is not None:
            self.sink.response_stalled()
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
        self.sink = sink
        self.served += 1
        self._state = HEAD
        self._asked = head
        self._interim = 0
        self._held = 0.0
        self._sent_all = complete
        self._stalled_at = AT_ONCE
        self.deadline = now + self.upstream.read_seconds if complete else NEVER
        if head.plain and not host:
            # What `render_request` makes of it.
            method, target, kept = head.method, head.target, head.block.kept
            self.transport.write(
                b"".join((method, b" ", target, b" HTTP/1.1", kept, lines, b"\r\n"))
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

    def patience(self) -> float:
        """As of what is written in a tunnel."""
        return self.write_seconds

    def request_sink(self) -> Any | None:
        """The transport, when body bytes may go to it directly."""
        return None if self._asked.block.chunked else self.transport

    def raw(self) -> Upgraded:
        """The connection itself, for a tunnel."""
        assert self._end is not None
        return self._end

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
        self.sink = None
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
        self._complete()

    # -- upgrades: what the end of the tunnel asks

    def hand_over(self) -> bytes:
        """All that comes is the tunnel's from now on. Returns what came before."""
        self.sink = None
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

    def writing_ended(self) -> None:
        """The client has sent its last byte."""

    def leave(self) -> None:
        """Its target is no more, and the time of what is on it over: a WebSocket is told so, all else is cut."""
        if self._end is not None and self._end.open:
            self._end.going_away()
        else:
            self.transport.abortConnection()

    def tunnel_over(self, had_its_time: bool) -> None:
        """Close once what is queued has left."""
        self._state = OVER
        self._rest = Leftover(self.upstream.limits.write)
        self.deadline = self.upstream.now() + CLOSE_SECONDS
        self.transport.unregisterProducer()
        self.transport.loseConnection()

    # -- responses

    def _read_head(self, data: bytes, seen: int = 0) -> None:
        """Read heads from `data`; `seen` bytes of it have been looked at before."""
        upstream, reader = self.upstream, self._reader
        clock = upstream.now
        now = clock()
        while True:
            try:
                head = reader.read(data, seen)
            except BadMessage as error:
                self._abort()
                self._fail(BadResponse(error.reason))
                return
            if head is None:
                self._pending = data
                if self._sent_all or self._owing:
                    self.deadline = now + upstream.limits.read
                return
            if len(data) == head.whole and self._sent_all and not self._asked.is_head:
                exchange = self.sink
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
            exchange = self.sink
            if exchange is None:
                return
            exchange.response_interim(head)
            if self.sink is not exchange:
                return
        self._pending = b""
        if self._sent_all:
            self.deadline = now + upstream.limits.read
        elif self._owing:
            self.await_request(now)
        self._begin_body(head, data)

    def _begin_body(self, head: ResponseHead, data: bytes) -> None:
        """Decide how the body ends (RFC 9112 section 6.3), and deliver what is here."""
        exchange = self.sink
        assert exchange is not None
        block = head.block
        end = head.end
        status = head.status
        self._keep = self._sent_all and bool(
            head.keep_alive if block.connection else not head.old
        )
        reader: BodyReader
        if self._asked.is_head or status == 204 or status == 304:
            reader, framing = Counted(0), NO_BODY
        elif block.length is not None:
            reader, framing = Counted(block.length), LENGTH
        elif block.chunked:
            reader, framing = ChunkDecoder(), STREAM
        else:
            reader, framing = UNTIL_CLOSE, CLOSE
            self._keep = False
        self._state = BODY
        self._body = reader
        exchange.response_head(head, framing)
        if self._state == OVER:  # the exchange has given it up
            return
        rest = data[end:] if end != len(data) else b""
        self._appetite = RECEIVE_BYTES if rest else FIRST_BYTES
        self._read_body(rest)

    def _read_body(self, data: bytes) -> None:
        """Deliver the part of the body that `data` brings."""
        reader = self._body
        assert reader is not None
        try:
            body = reader.feed(data)
        except BadMessage as error:
            self._abort()
            self._fail(BadResponse(error.reason))
            return
        if not reader.verbatim:
            self.transport.receive_bytes = reader.appetite
        if reader.done:
            # With its end the last of the body costs the client's side one write, not two.
            self._complete(reader.rest, reader.trailers, body)
            return
        if body and self.sink is not None:
            self.sink.response_data(body)
        self._wait_for_more()

    def _wait_for_more(self) -> None:
        """All that has come is delivered. The rest need not pass through here."""
        exchange = self.sink
        if exchange is None or self._state == OVER:
            return
        exchange.response_waits()
        reader = self._body
        if reader is None or not reader.verbatim or self.sink is not exchange:
            return
        relay = exchange.relay_response(self.transport, reader.left)
        if relay is not None:
            now = self.upstream.now()
            self._relay = watch = Standstill(relay, self.upstream.limits.read, now)
            self._paused = False
            self.deadline = watch.next_look(now)
        else:
            self._appetite = appetite = min(2 * self._appetite, BULK_BYTES)
            self.transport.receive_bytes = appetite

    def _complete(
        self, extra: bytes = b"", trailers: bytes = b"", last: bytes = b""
    ) -> None:
        """The response is complete with `last`: give the connection back, or close it."""
        self._body = None
        self.transport.receive_bytes = RECEIVE_BYTES
        exchange, self.sink = self.sink, None
        if extra:
            self.upstream.distrust()
        if self._keep and not extra and self._sent_all:
            if self._paused:  # by a client that has not read the end of it
                self._paused = False
                self.transport.resumeProducing()
            self._state = IDLE
            now = self.upstream.now()
            self.deadline = now + self.upstream.idle_seconds
            self.upstream.give_back(self, now)
        else:
            self._close()
        if exchange is not None:
            exchange.response_end(trailers, last)

    def deliver_to(self, sink: ResponseSink) -> None:
        """To another one from now on."""
        self.sink = sink

    def answered(self, now: float) -> None:
        """The exchange has taken a whole response: the connection is free."""
        self.sink = None
        self._pending = b""
        if self._paused:
            self._paused = False
            self.transport.resumeProducing()
        self._state = IDLE
        upstream = self.upstream
        self.deadline = now + upstream.idle_seconds
        upstream.give_back(self, now)

    def _switch(self, head: ResponseHead, data: bytes) -> None:
        exchange = self.sink
        if not self._asked.block.upgrade or exchange is None:
            self._abort()
            self._fail(BadResponse("101 that was not asked for"))
            return
        if head.block.upgrade != b"websocket":
            self._abort()
            self._fail(BadResponse("101 for another protocol"))
            return
        self._state = TUNNEL
        self._end = Upgraded(self)
        self._pending = data
        self.deadline = NEVER
        exchange.upgraded(head)

    def await_answer(self, now: float) -> None:
        """The target has been asked whether it wants the body, and owes that answer."""
        self._owing = True
        self.deadline = now + self.upstream.limits.read

    def await_request(self, now: float) -> None:
        """The client has to send before the target owes anything."""
        self._client_from = now
        if self._owing:
            self._owing = False
            self.deadline = NEVER

    # -- the end

    def _fail(self, error: ProxyError) -> None:
        exchange, self.sink = self.sink, None
        if exchange is not None:
            exchange.upstream_failed(error)

    def _abort(self) -> None:
        self._state = OVER
        self.deadline = NEVER
        self.transport.abortConnection()

    def _close(self) -> None:
        self._state = OVER
        # TLS waits for the other side's goodbye, which may never come.
        self.deadline = self.upstream.now() + CLOSE_SECONDS
        self.transport.unregisterProducer()
        self.transport.loseConnection()
        if pending_bytes(self.transport):
            # The rest of a request nobody reads any more must not hold the socket.
            self.transport.abortConnection()

    def hurry(self, until: float) -> None:
        """No longer than that."""
        if until < self.deadline:
            self.deadline = until

    def is_old(self, requests: int, lifetime: float, now: float) -> bool:
        """Whether it has had its share, or its time."""
        if requests and self.served >= requests:
            return True
        return lifetime > 0.0 and now - self.born >= lifetime

    def retire(self) -> None:
        """Close an idle connection."""
        self._close()

    def discard(self) -> None:
        """Close an idle connection at once: it leaves no port behind that waits (TIME-WAIT)."""
        self._abort()

    def is_quiet(self) -> bool:
        """Nothing has arrived on this idle connection, no end of file either."""
        return is_quiet(self.transport)

    def last_words(self) -> None:
        """Writing has failed: take the answer that may have come before that."""
        read = getattr(self.transport, "doRead", None)
        if read is not None:
            read()


classImplements(Http1Client, IProtocol, IHalfCloseableProtocol, IPushProducer)
