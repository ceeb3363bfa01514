"""The HTTP/1.1 server side of one client connection: the fast door in.

    IDLE --bytes--> HEAD --complete--> BODY --complete--> ANSWER --finished--> IDLE
      |               |  (no body) ------------------------^                    |
      |               |                                                         |
      +-- keep-alive  +-- bad or slow: our answer, then LINGER or closed <------+ (close)
          time is over

One request at a time: bytes of the next ones wait until the answer is complete, so that
answers keep their order. A refused request ends the connection.

One class in one long file: reading, answering and the end of a connection change the same state, and a common exchange
goes through them without a call more. What few exchanges have is a part: `net.http1.request_body`,
`net.http1.upgraded`; what the connections of a listener have in common is `net.http1.shared`.

Imports: domain, net, net.http1, net.sockets, wire, Twisted. Used by: net.forward,
net.http1.listening, net.http2.
"""

from __future__ import annotations

from typing import Any, Final

from twisted.internet.interfaces import (
    IHalfCloseableProtocol,
    IProtocol,
    IPushProducer,
)
from twisted.python.failure import Failure
from zope.interface import classImplements

from lolly_tx.domain.errors import DownstreamError, DownstreamGone, Shutdown
from lolly_tx.domain.native import mypyc_attr
from lolly_tx.net.deadlines import NEVER, PERIOD
from lolly_tx.net.doors import (
    BODILESS,
    CLOSE,
    LENGTH,
    STREAM,
    BodyStart,
    DoorIn,
    Peer,
    RequestSink,
)
from lolly_tx.net.http1.request_body import GOING, TOO_SLOW, RequestBody
from lolly_tx.net.http1.shared import Shared
from lolly_tx.net.http1.upgraded import Upgraded
from lolly_tx.net.sockets.acceptor import Acceptor
from lolly_tx.net.sockets.parting import (
    CLOSE_SECONDS,
    LINGER_IDLE_SECONDS,
    LINGER_SECONDS,
    Leftover,
    end_writing,
)
from lolly_tx.net.sockets.splice import Relay
from lolly_tx.net.sockets.transports import (
    has_hung_up,
    is_secure,
    pending_bytes,
    untaken_bytes,
)
from lolly_tx.wire.chunked import encode_chunk, last_chunk
from lolly_tx.wire.errors import BadMessage
from lolly_tx.wire.http1 import STATUS_LINES, render_response
from lolly_tx.wire.memory import REMEMBERED_BYTES
from lolly_tx.wire.message import RequestHead
from lolly_tx.wire.refusals import start_line

IDLE: Final = 0
HEAD: Final = 1
BODY: Final = 2
ANSWER: Final = 3
LINGER: Final = 4
TUNNEL: Final = 5
CLOSED: Final = 6

PIPELINE_BYTES: Final = 65536
"""Bytes of later requests kept while one is answered; then we stop reading."""
LOOK_SECONDS: Final = 2.0
"""While the client is not read (the backend takes no more of a body, too many requests wait,
or it has sent its last byte), the reactor does not tell when it is gone. So often we look."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Http1Server(DoorIn):
    """One client connection. `shared`: what it has in common with its listener's others."""

    __slots__ = (
        "__weakref__",
        "_body",
        "_chunking",
        "_end",
        "_full",
        "_gap",
        "_keep",
        "_no_more",
        "_out",
        "_parsing",
        "_pending",
        "_reading_stopped",
        "_rest",
        "_stalled_at",
        "_started",
        "_state",
        "_until",
        "_old",
        "acceptor",
        "deadline",
        "factory",
        "requests",
        "shared",
        "transport",
    )

    def __init__(self, shared: Shared, acceptor: Acceptor, client: str) -> None:
        self.factory: Any = None
        self.transport: Any = None
        self.acceptor = acceptor
        self.peer = Peer(client, acceptor.name, shared.secure, shared.introduce)
        self.deadline = NEVER
        self.exchange: RequestSink | None = None
        self.requests = 0
        self.shared = shared
        self._state = IDLE
        self._pending = b""
        self._body: RequestBody | None = None
        self._until = 0.0
        self._gap = LINGER_IDLE_SECONDS
        self._rest: Leftover | None = None
        self._keep = False
        self._old = False
        self._started = False
        self._chunking = False
        self._out = b""
        self._no_more = False
        self._reading_stopped = False
        self._parsing = False
        self._full = False
        self._stalled_at = -1
        self._end: Upgraded | None = None

    # -- IProtocol

    def makeConnection(self, transport: Any) -> None:
        """A client has connected."""
        self.transport = self.peer.transport = transport
        transport.registerProducer(self, True)
        acceptor = self.acceptor
        # An endpoint string may do TLS without its name saying so.
        self.peer.secure = self.shared.secure or is_secure(transport)
        first = self.shared.timeouts.head
        if acceptor.draining:
            first = min(first, acceptor.idle_seconds)
        self.deadline = acceptor.now() + first
        acceptor.connected(self)

    def connectionMade(self) -> None:
        """Nothing: makeConnection has done it."""

    def connectionLost(self, reason: Failure) -> None:
        """The connection is over, whoever ended it."""
        self._state = CLOSED
        self._body = None
        self.deadline = NEVER
        self.acceptor.lost(self)
        self.peer.gone()
        end, self._end = self._end, None
        if end is not None:
            end.lost(reason)
        exchange, self.exchange = self.exchange, None
        if exchange is not None:
            exchange.downstream_failed(DownstreamGone("client closed the connection"))

    def dataReceived(self, data: bytes) -> None:
        """Bytes from the client."""
        state = self._state
        if state == IDLE:
            head = None
            if len(data) <= REMEMBERED_BYTES:
                head = self.shared.reader.known_again(data)
            if head is None:
                self._read_heads(data)
            else:
                self._begin(head, b"")
        elif state == HEAD:
            self._read_heads(self._pending + data, len(self._pending))
        elif state == BODY:
            self._read_body(data)
        elif state == ANSWER:
            self._pending += data
            if len(self._pending) > PIPELINE_BYTES:
                self._stop_reading()
                self._watch_client()
        elif state == TUNNEL:
            assert self._end is not None
            self._end.received(data)
        elif state == LINGER:
            self._gap = LINGER_IDLE_SECONDS
            if self._rest is None:
                self._linger(self.acceptor.now())

    def readConnectionLost(self) -> None:
        """The client has sent its last byte; it may still read."""
        self._no_more = True
        state = self._state
        if state == ANSWER:
            # A client such as `nc` shuts its side down after its requests.
            if not self._pending:
                self._keep = False
            self._watch_client()
        elif state == BODY:
            exchange, self.exchange = self.exchange, None
            self._abort()
            if exchange is not None:
                exchange.downstream_failed(DownstreamGone("request body cut short"))
        elif state == TUNNEL:
            assert self._end is not None
            self._end.ended()
        else:
            self._close()

    def writeConnectionLost(self) -> None:
        """Our own half-close is done."""

    # -- IPushProducer: the transport's word on whether the client takes our bytes

    def pauseProducing(self) -> None:
        """The client reads slower than we write."""
        self._full = True
        self._stalled_at = -1
        # Most pauses are over by then, and cost no look at the kernel's queue.
        self.deadline = self.acceptor.now() + PERIOD
        if self._state == TUNNEL:
            assert self._end is not None
            self._end.pause()
        elif self.exchange is not None:
            self.exchange.pause_response()

    def resumeProducing(self) -> None:
        """What we wrote has left."""
        self._full = False
        self._stalled_at = -1
        if self._state == BODY:
            self._await_body()
        elif self._state in (ANSWER, TUNNEL):
            self.deadline = NEVER
            self._watch_client()
        if self._state == TUNNEL:
            assert self._end is not None
            self._end.resume()
        elif self.exchange is not None:
            self.exchange.resume_response()
        elif self._state == ANSWER:
            self.finish()  # which had to wait for this

    def stopProducing(self) -> None:
        """The transport is going; connectionLost follows."""

    # -- deadlines

    def _waiting(self) -> int:
        """How many bytes wait for the client here; 1 for a transport that cannot tell."""
        return pending_bytes(self.transport) or int(self._full)

    def expired(self, now: float) -> None:
        """The time allowed in this state is over."""
        state = self._state
        body = self._body
        if body is not None and body.relay is not None:
            self._watch_relay(body, now)
            return
        unread = self._reading_stopped or self._no_more
        if unread and state in (BODY, ANSWER) and has_hung_up(self.transport):
            self._abort()
            return
        if state in (LINGER, CLOSED) or (state == IDLE and self.requests):
            self._settle(now)
            return
        waiting = self._waiting()
        untaken = untaken_bytes(self.transport) if waiting else 0
        if waiting and untaken != self._stalled_at:
            # Slow, but it does take bytes. A stall is no progress for the whole time.
            self._stalled_at = untaken
            self.deadline = now + self.shared.timeouts.write
        elif waiting:
            self._abort()
        elif state == IDLE:
            self._close()
        elif state == HEAD:
            error = BadMessage("request head took too long", 408)
            error.line = start_line(self._pending)
            self._refuse(error)
        elif state == BODY and self._reading_stopped:
            self.deadline = now + LOOK_SECONDS
        elif state == BODY:
            self._refuse(BadMessage("request body took too long", 408))
        elif state == ANSWER and self._patience() != NEVER:
            self._let_go()
        else:
            self.deadline = NEVER
            self._watch_client()

    def _settle(self, now: float) -> None:
        """All is said: see that the client has it. Only then the time for what follows begins."""
        untaken = self._untaken()
        if untaken:
            self._wait_for_taking(untaken, now)
            if self.deadline <= now:
                self._abort()
            return
        rest, self._rest = self._rest, None
        state = self._state
        if state == IDLE:
            if rest is None:
                self._close()
            else:
                self.deadline = now + self.acceptor.idle_seconds
        elif state == LINGER:
            if rest is None:
                self._hang_up()
            else:
                self._until = now + LINGER_SECONDS
                self._linger(now)
        elif rest is None:
            self._abort()
        else:
            self.deadline = now + CLOSE_SECONDS

    def _untaken(self) -> int:
        """Bytes that the client has not taken; 1 for a transport that cannot tell."""
        return untaken_bytes(self.transport) or int(self._full)

    def _wait_for_taking(self, untaken: int, now: float) -> None:
        """Look again in a while whether the client takes what it has been told."""
        if self._rest is None:
            self._rest = Leftover(self.shared.timeouts.write)
        self.deadline = self._rest.next_look(untaken, now)

    def _patience(self) -> float:
        """Seconds until a client that says nothing more, and has no answer, counts as gone."""
        awaits = self._no_more and not self._started and self.exchange is not None
        return self.shared.timeouts.gone if awaits else NEVER

    def _watch_client(self) -> None:
        """Look after a client that is not read while it is answered."""
        if self._state == ANSWER and (self._reading_stopped or self._no_more):
            patience = self._patience()
            soon = LOOK_SECONDS if patience == NEVER else patience
            self.deadline = self.acceptor.now() + soon

    def _let_go(self) -> None:
        """Nobody is there any more for an answer that has not begun."""
        exchange, self.exchange = self.exchange, None
        self._hang_up()
        if exchange is not None:
            error = DownstreamGone("client closed its side and there was no answer yet")
            exchange.downstream_failed(error)

    def _watch_relay(self, body: RequestBody, now: float) -> None:
        """Find out whether the body that a relay takes upstream is moving."""
        watch = body.relay
        assert watch is not None
        if not watch.by_source and has_hung_up(self.transport):
            self._abort()
            return
        found = body.look(now)
        if found == GOING:
            self.deadline = watch.next_look(now)
        elif found == TOO_SLOW:
            self._refuse(BadMessage("request body took too long", 408))
        elif self.exchange is not None:
            self.exchange.request_stalled()
        else:
            self._abort()

    # -- requests

    def _read_heads(self, data: bytes, seen: int = 0) -> None:
        """Take complete requests from `data` while none is being answered.

        `seen` bytes at its start have been looked at before.
        """
        shared = self.shared
        self._parsing = True
        self._pending = b""
        while data:
            try:
                head = shared.reader.read(data, seen)
            except BadMessage as error:
                error.line = start_line(data)
                self._refuse(error)
                break
            if head is None:
                if self._no_more:
                    self._close()
                    break
                self._pending = data
                if self._state == IDLE:
                    self._state = HEAD
                    self.deadline = self.acceptor.now() + shared.timeouts.head
                break
            self._begin(head, data[head.end :] if head.end != len(data) else b"")
            if self._state != IDLE:
                break
            # Answered on the spot. Go on with what came behind it.
            data = self._pending
            self._pending = b""
            seen = 0
        self._parsing = False
        if self._no_more:
            self._watch_client()

    def _begin(self, head: RequestHead, rest: bytes) -> None:
        """Start the exchange for `head`; `rest` follows it."""
        shared = self.shared
        self.requests += 1
        self._rest = None
        self._old = head.old
        self._started = self._chunking = False
        block = head.block
        plain = head.plain
        self._keep = (
            (plain or head.keep_alive)
            and not self.acceptor.draining
            and self.requests != shared.requests
        )
        if plain or (not block.chunked and not block.length):
            self._state = ANSWER
            self.deadline = NEVER
            self._pending = rest
            open_exchange = shared.open_exchange
            open_exchange(self, head, BODILESS)
            return
        self._state = BODY
        now = self.acceptor.now()
        self._body = body = RequestBody(block, shared, now)
        self.deadline = body.due(now)
        try:
            data = body.feed(rest)
        except BadMessage as error:
            error.line = head.start_line
            self._refuse(error)
            return
        if head.awaits_continue and not data:
            # It is the backend who has to say something first, within its own limit.
            self.deadline = NEVER
        reader = body.reader
        if reader.done:
            self._body_is_complete(reader.rest)
        elif self._no_more:
            self._abort()
            return
        open_exchange = shared.open_exchange
        open_exchange(self, head, BodyStart(data, reader.trailers, reader.done))

    def _read_body(self, data: bytes) -> None:
        """Deliver the part of the body that `data` brings."""
        exchange, body = self.exchange, self._body
        assert body is not None
        self.deadline = body.due(self.acceptor.now(), len(data))
        try:
            data = body.feed(data)
        except BadMessage as error:
            self._refuse(error)
            return
        reader = body.reader
        if not reader.verbatim:
            self.transport.receive_bytes = reader.appetite
        if reader.done:
            self._body_is_complete(reader.rest)
        if exchange is None:
            return
        if data:
            exchange.request_data(data)
        if reader.done and self.exchange is exchange:
            exchange.request_end(reader.trailers)

    def _body_is_complete(self, rest: bytes) -> None:
        """`rest` follows it."""
        self._body = None
        self._state = ANSWER
        self.deadline = NEVER
        self._pending = rest

    def _await_body(self) -> None:
        """It is the client who has to go on with the body."""
        if self._body is not None:
            self.deadline = self._body.due(self.acceptor.now())

    def _refuse(self, error: BadMessage) -> None:
        """End a request that breaks the rules, with an answer if none has begun."""
        exchange, self.exchange = self.exchange, None
        if exchange is not None:
            exchange.downstream_failed(DownstreamError(error.reason, error.status))
        if self._started and self._state >= BODY:
            self._abort()
            return
        unfinished = self._state == BODY
        self._keep = False
        self._chunking = False
        self._state = BODY if unfinished else ANSWER
        self._pending = b"?"  # whatever follows is not looked at, only swallowed
        self.shared.refused(self, error, exchange is not None)

    # -- DoorIn: the request

    def pause_request(self) -> None:
        """Read no more of the body."""
        if self._body is not None:
            now = self.acceptor.now()
            self._body.pause(now)
            self.deadline = now + LOOK_SECONDS
            self._stop_reading()

    def resume_request(self) -> None:
        """Read on."""
        if self._reading_stopped and self._body is not None:
            self._reading_stopped = False
            self._body.resume(self.acceptor.now())
            self._await_body()
            self.transport.resumeProducing()

    def request_source(self) -> tuple[Any, int] | None:
        """The transport and the body bytes it still brings, when they need no decoding."""
        body = self._body
        if body is None or body.reader.left is None or self._no_more:
            return None
        return self.transport, body.reader.left

    def request_relaying(self, relay: Relay) -> None:
        """A relay moves the rest of the body from now on."""
        assert self._body is not None
        self._reading_stopped = False
        self.deadline = self._body.watch(relay, self.acceptor.now())

    def request_relayed(self) -> None:
        """The relay has moved all of it."""
        self._body_is_complete(b"")

    # -- DoorIn: the response

    @property
    def can_tunnel(self) -> bool:
        """Every connection can be one, once its request says so."""
        return True

    @property
    def write_seconds(self) -> float:
        """How long the client may take no byte of an answer."""
        return self.shared.timeouts.write

    def last(self) -> None:
        """No further request is read after this answer."""
        self._keep = False

    def start(self, status: int, reason: bytes, fields: bytes, framing: int) -> None:
        """Begin the response; it leaves with the first body bytes, or at the end."""
        self._started = True
        keep = self._keep and self._state == ANSWER
        if framing >= STREAM:
            if self._old or framing == CLOSE:
                keep = False
            else:
                self._chunking = True
                fields += b"Transfer-Encoding: chunked\r\n"
        self._keep = keep
        if not keep:
            fields += b"Connection: close\r\n"
        elif self._old:
            fields += b"Connection: keep-alive\r\n"
        self._out = render_response(status, reason, fields)

    def answer(self, status: int, reason: bytes, fields: bytes, body: bytes) -> None:
        """The whole response, whose end the fields tell."""
        if not self._keep or self._old or self._state != ANSWER:
            self.start(status, reason, fields, LENGTH)
            if body:
                self.write(body)
            self.finish()
            return
        self.transport.write(
            b"".join((STATUS_LINES[status], reason, fields, b"\r\n", body))
        )
        if self._full or self._no_more or self._reading_stopped or self._pending:
            self._answered()
            return
        self.exchange = None
        self._state = IDLE
        acceptor = self.acceptor
        now = acceptor.now
        self.deadline = now() + acceptor.idle_seconds

    def interim(self, status: int, reason: bytes, fields: bytes) -> None:
        """Pass on a 1xx response, unless the client is too old to know them."""
        if not self._old and not self._started:
            self.transport.write(render_response(status, reason, fields))
        if status == 100 and self._body is not None:
            # After it, it is the client who has to move.
            self._body.restart(self.acceptor.now())
            self._await_body()

    def write(self, data: bytes) -> None:
        """Body bytes, not empty."""
        if self._chunking:
            data = encode_chunk(data)
        if self._out:
            data = self._out + data
            self._out = b""
        self.transport.write(data)

    def flush(self) -> None:
        """Send the head now: the body may be long in coming."""
        if self._out:
            self.transport.write(self._out)
            self._out = b""

    def finish(self, trailers: bytes = b"", last: bytes = b"") -> None:
        """The response is complete with `last`."""
        out = self._out
        if self._chunking:
            if last:
                out += encode_chunk(last)
            out += last_chunk(trailers)
        else:
            out += last
        if out:
            self.transport.write(out)
            self._out = b""
        self._answered()

    def _answered(self) -> None:
        """All of the response is written: close, or go on with the next request."""
        self.exchange = None
        if not self._keep or (self._no_more and not self._pending):
            self._close()
            return
        if self._full:
            # The next request waits until the client has taken this answer, or who
            # reads nothing could make us keep any number of them: resumeProducing.
            self._chunking = False
            return
        self._state = IDLE
        acceptor = self.acceptor
        now = acceptor.now
        self.deadline = now() + acceptor.idle_seconds
        if self._reading_stopped:
            self._reading_stopped = False
            self.transport.resumeProducing()
        if self._pending and not self._parsing:
            self._read_heads(self._pending)

    def abort(self, code: int = 0) -> None:
        """The response cannot be completed: let the client see that."""
        self.exchange = None
        self._abort()

    # -- DoorIn: relays and tunnels

    def response_sink(self) -> Any | None:
        """The transport, when response bytes may go to it directly."""
        if self._chunking or self._state == TUNNEL:
            return None
        self.flush()
        return self.transport

    def tunnel_end(self) -> Upgraded:
        """The connection itself, for a tunnel."""
        self.flush()
        self._end = Upgraded(self)
        return self._end

    # -- upgrades: what the end of the tunnel asks

    def hand_over(self) -> bytes:
        """All that comes is the tunnel's from now on. Returns what came before."""
        self._state = TUNNEL
        self.exchange = None
        self.deadline = NEVER
        early, self._pending = self._pending, b""
        if self._reading_stopped:
            self._reading_stopped = False
            self.transport.resumeProducing()
        return early

    @property
    def input_ended(self) -> bool:
        """The client has sent its last byte."""
        return self._no_more

    @property
    def leaving(self) -> bool:
        """The proxy stops."""
        return self.acceptor.draining and not self.acceptor.patient

    def writing_ended(self) -> None:
        """The backend has sent its last byte."""
        self._full = False  # nobody tells any more; the transport knows what is queued

    def tunnel_over(self, had_its_time: bool) -> None:
        """Close, in a way that does not destroy what was written."""
        if had_its_time:
            self._hang_up()
        else:
            self._close()

    # -- the end

    def _stop_reading(self) -> None:
        if not self._reading_stopped:
            self._reading_stopped = True
            self.transport.pauseProducing()

    def _close(self) -> None:
        """Close after what was written has left, in a way that does not destroy it."""
        self._body = None
        unread = bool(self._pending) or self._state in (BODY, TUNNEL)
        self._pending = b""
        untaken = 0 if self._no_more else untaken_bytes(self.transport)
        if self._no_more or not (unread or untaken):
            self._hang_up()
            return
        self._state = LINGER
        now = self.acceptor.now()
        # What a client sends that has not taken its answer must not destroy it, either.
        self._gap = LINGER_IDLE_SECONDS if unread else CLOSE_SECONDS
        self._until = now + LINGER_SECONDS
        self._rest = None
        if untaken:
            self._wait_for_taking(untaken, now)
        else:
            self._linger(now)
        end_writing(self.transport)
        self._full = False  # nobody tells any more; the transport knows what is queued
        self._reading_stopped = False
        self.transport.resumeProducing()  # a relay may have stopped it, too

    def _linger(self, now: float) -> None:
        """All is said, and the client sends on: it may, for a while."""
        self.deadline = min(now + self._gap, self._until)

    def _hang_up(self) -> None:
        """Close in good order: nobody has anything to say any more."""
        self._state = CLOSED
        self._rest = None
        self.deadline = self.acceptor.now() + CLOSE_SECONDS
        self.transport.unregisterProducer()
        self.transport.loseConnection()

    def _abort(self) -> None:
        self._state = CLOSED
        self._body = None
        self.deadline = NEVER
        self.transport.abortConnection()

    # -- what the acceptor asks

    @property
    def address(self) -> str:
        """The client's."""
        return self.peer.address

    @property
    def idle(self) -> bool:
        """Has been answered, and nothing of a next request has come that counts."""
        if self._rest is not None:
            return False  # it has not taken its answer
        return self._state == LINGER or (self._state == IDLE and self.requests > 0)

    def shed(self) -> bool:
        """Close an idle connection at once, to make room; False: it has not taken its answer."""
        untaken = self._untaken()
        if untaken:
            self._wait_for_taking(untaken, self.acceptor.now())
        else:
            self._hang_up()
        return not untaken

    def shut(self) -> None:
        """The proxy stops now: exchanges that are going on are cut."""
        if self._state == TUNNEL:
            assert self._end is not None
            self._end.shut()
            return
        if self._state in (IDLE, LINGER, CLOSED) and not pending_bytes(self.transport):
            # What is in the kernel's queue it goes on sending, without us.
            self._hang_up()
            return
        exchange, self.exchange = self.exchange, None
        self._abort()
        if exchange is not None:
            exchange.downstream_failed(Shutdown("the proxy stopped"))

    def drain(self, until: float) -> None:
        """The proxy is stopping: the next head says so. With no request, close then."""
        if self._state == IDLE:
            self.deadline = min(self.deadline, until)
        elif self.exchange is not None and not self._started:
            self._keep = False
        elif self._state == TUNNEL and not self.acceptor.patient:
            assert self._end is not None
            self._end.going_away()


classImplements(Http1Server, IProtocol, IHalfCloseableProtocol, IPushProducer)
