"""One request of an HTTP/2 connection: a door in.

    open --END_STREAM from the client--> half closed --our END_STREAM--> closed
      +--our END_STREAM--> answered --END_STREAM, or soon our RST_STREAM NO_ERROR--^    (section 8.1)

Long because it is one door, with the methods of its two sides; what a body or a window needs are parts of their own.

Imports: domain, net, net.http1, net.http2, net.sockets, wire, wire.hpack, wire.http2.
Used by: net.http2.heads, net.http2.request, net.http2.streams, net.http2.websocket.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from lolly_tx.domain.errors import DownstreamError, ProxyError
from lolly_tx.net.deadlines import NEVER
from lolly_tx.net.doors import (
    BODILESS,
    LENGTH,
    NO_BODY,
    BodyStart,
    DoorIn,
    Peer,
    RequestSink,
)
from lolly_tx.net.http1.request_body import Pace
from lolly_tx.net.http2.inflow import Inflow
from lolly_tx.net.http2.intake import Intake
from lolly_tx.net.http2.sending import Sender
from lolly_tx.net.http2.shared import Http2Shared
from lolly_tx.net.sockets.acceptor import Acceptor
from lolly_tx.wire.errors import BadMessage
from lolly_tx.wire.hpack.encoder import NONE, Encoder
from lolly_tx.wire.http2.priority import USUAL, priority_of
from lolly_tx.wire.http2_errors import (
    CANCEL,
    ENHANCE_YOUR_CALM,
    INTERNAL_ERROR,
    NO_ERROR,
    PROTOCOL_ERROR,
    Http2Error,
)
from lolly_tx.wire.message import RequestHead

EARLY_SECONDS: Final = 0.25
"""For the rest of a request that is answered already: mostly it is on its way, and then nobody needs a reset."""


class Connection:
    """What a stream asks of the connection it belongs to. A class, not a protocol: each request asks.

    `streams`: all of its streams. `deadline`: when it is looked at.
    """

    __slots__ = (
        "acceptor",
        "deadline",
        "encoder",
        "intake",
        "now",
        "peer",
        "sender",
        "shared",
        "streams",
    )

    peer: Peer
    acceptor: Acceptor
    shared: Http2Shared
    encoder: Encoder
    sender: Sender
    intake: Intake
    streams: Table
    deadline: float
    now: Callable[[], float]

    def watch(self, due: float) -> None:
        """Something has to have happened then."""
        raise NotImplementedError

    def set_deadline(self) -> None:
        """What is waited for has changed."""
        raise NotImplementedError


class Table:
    """The streams of a connection, as one of them sees them."""

    __slots__ = ()

    def finished(self, stream: Stream) -> None:
        """Its answer is complete."""
        raise NotImplementedError

    def reset(self, stream: Stream, code: int) -> None:
        """End it at once."""
        raise NotImplementedError

    def cancel(self, stream: Stream, code: int, why: str) -> None:
        """The same, for what its client does not do."""
        raise NotImplementedError


NOTHING: Final[deque[bytes | memoryview]] = deque(maxlen=0)
"""The queue of a stream that has none."""


class Stream(DoorIn):
    """See the module. `ended`: the client has sent all of the request. `started`: an answer has begun.

    `deadline`: when what this stream waits for has to have happened. `malformed`: it is answered by a reset only.
    """

    # Defaults on the class, and no slots: most streams are a request without a body that is answered at once, and
    # differ from them in little.
    deadline = NEVER
    write_due = NEVER
    ended = True
    started = False
    over = False
    paused = False
    malformed = False
    is_head = False
    ending: bytes | None = None
    queue: deque[bytes | memoryview] = NOTHING
    queued = 0
    urgency = USUAL
    incremental = True
    early = b""
    trailers = b""
    _never: frozenset[bytes] = NONE
    _block = b""
    _pace: Pace | None = None
    _inflow: Inflow | None = None
    _promised: int | None = None
    _stopped = False

    def __init__(
        self, connection: Connection, number: int, head: RequestHead | None
    ) -> None:
        self.connection = connection
        self.peer = connection.peer
        self.exchange: RequestSink | None = None
        self.id = number
        self.head = head
        self.window = connection.sender.peer.window

    def prioritize(self, value: bytes) -> None:
        """What the client says of its urgency (RFC 9218)."""
        self.urgency, self.incremental = priority_of(value)

    # -- the request

    def expect_body(self, length: int | None, waits: bool) -> None:
        """There is one, of `length` bytes if that is known. `waits`: for a 100, so the client is not on the clock."""
        connection = self.connection
        now = connection.now()
        self.ended = False
        self._promised = length
        self._inflow = Inflow(connection.sender, self.id)
        self._pace = Pace(connection.shared.timeouts, now)
        if not waits:
            self._await_body(0)
        limit = connection.shared.body_bytes
        if limit and (length or 0) > limit:
            raise BadMessage("request body too large", 413)

    def _await_body(self, more: int) -> None:
        pace = self._pace
        if pace is not None and not self.ended:
            self.deadline = due = pace.due(self.connection.now(), more)
            self.connection.watch(due)

    def body_data(self, data: bytes, size: int) -> None:
        """More of it, `size` bytes with padding. Raises `Http2Error` and `BadMessage` (413)."""
        inflow = self._inflow
        assert inflow is not None
        inflow.came(data, size)
        if self.malformed:
            return
        received = inflow.received
        if self._promised is not None and received > self._promised:
            raise Http2Error(PROTOCOL_ERROR, "more than Content-Length", self.id)
        if self.over:
            return
        limit = self.connection.shared.body_bytes
        if limit and received > limit:
            raise BadMessage("request body too large", 413)
        if self._stopped:
            inflow.held += size
            self.connection.intake.hold(size)
        else:
            self._await_body(len(data))
            inflow.give_back(size, self.exchange is not None)
        if data:
            self._deliver(data)

    def _deliver(self, data: bytes) -> None:
        if self.head is not None:
            self.early += data
        elif self.exchange is not None:
            self.exchange.request_data(data)

    def release(self) -> int:
        """Nothing of the body waits for a target any more; how much did."""
        inflow = self._inflow
        held = 0 if inflow is None else inflow.release()
        self.connection.intake.release(held)
        return held

    def body_end(self, trailers: bytes = b"") -> None:
        """The client has sent all. Raises `Http2Error`."""
        self.ended = True
        self.deadline = NEVER
        self.release()
        promised, inflow = self._promised, self._inflow
        if promised is not None and inflow is not None:
            if inflow.received != promised:
                raise Http2Error(PROTOCOL_ERROR, "less than Content-Length", self.id)
        self._deliver_end(trailers)

    def _deliver_end(self, trailers: bytes) -> None:
        if self.head is not None:
            self.trailers = trailers
        elif self.exchange is not None:
            self.exchange.request_end(trailers)

    def begin(self, head: RequestHead) -> None:
        """Let the exchange begin, with what has come in the same read."""
        self.head = None
        open_exchange = self.connection.shared.open_exchange
        if self._inflow is None:
            open_exchange(self, head, BODILESS)
        else:
            early, self.early = self.early, b""
            start = BodyStart(early, self.trailers, self.ended)
            open_exchange(self, head, start)

    def await_end(self) -> None:
        """It is answered, and its client has not sent all: what still comes keeps the rules, and is thrown away."""
        connection = self.connection
        self.deadline = due = connection.now() + EARLY_SECONDS
        connection.watch(due)

    def fail(self, error: ProxyError) -> None:
        """The client has given up, or broken the rules: nobody needs an answer any more."""
        self.head = None
        exchange, self.exchange = self.exchange, None
        if exchange is not None:
            exchange.downstream_failed(error)

    def refuse(self, error: BadMessage) -> None:
        """Answer a request that is not served, or not any more."""
        self.is_head = error.line.startswith(b"HEAD ")
        self.head = None
        self.release()
        exchange, self.exchange = self.exchange, None
        if exchange is not None:
            exchange.downstream_failed(DownstreamError(error.reason, error.status))
        if self.started:
            self.connection.streams.reset(self, CANCEL)
        else:
            self.connection.shared.refused(self, error, exchange is not None)

    def expired(self, now: float) -> None:
        """The time for what this stream waits for is over."""
        if self.write_due <= now:
            # Its client has widened no window.
            self.connection.streams.cancel(
                self, CANCEL, "client took no more of the response"
            )
        elif self.deadline <= now:
            self.deadline = NEVER
            if self.over:
                self.connection.streams.reset(self, NO_ERROR)
                return
            if self._stopped:
                return
            self.refuse(BadMessage("request body took too long", 408))

    @property
    def due(self) -> float:
        """When to look at it."""
        return min(self.deadline, self.write_due)

    # -- DoorIn: the request

    def pause_request(self) -> None:
        """Widen its window no more; what is on its way is still taken."""
        if not self._stopped and not self.ended:
            self._stopped = True
            self.deadline = NEVER
            if self._pace is not None:
                self._pace.pause(self.connection.now())

    def resume_request(self) -> None:
        """Widen it."""
        if self._stopped:
            self._stopped = False
            if self._pace is not None:
                self._pace.resume(self.connection.now())
            self._await_body(0)
            held = self.release()
            if self._inflow is not None and not self.ended:
                self._inflow.give_back(held, self.exchange is not None)

    # -- DoorIn: the response

    @property
    def write_seconds(self) -> float:
        """How long the client may take no byte of an answer."""
        return self.connection.shared.timeouts.write

    def last(self) -> None:
        """Nothing: where a request ends is never in doubt here."""

    def answer(self, status: int, reason: bytes, fields: bytes, body: bytes) -> None:
        """The whole response."""
        if self.malformed:
            self.exchange = None
            return
        if self.is_head:
            body = b""
        if body and not self.started:
            connection = self.connection
            block = connection.encoder.answer(status, fields)
            if connection.sender.send_whole(self.id, self.window, block, body):
                self.exchange = None
                self.started = self.over = True
                connection.streams.finished(self)
                return
        self.start(status, reason, fields, LENGTH if body else NO_BODY)
        self.finish(last=body)

    def start(self, status: int, reason: bytes, fields: bytes, framing: int) -> None:
        """Begin the response; the head leaves with the first body bytes, or at the end."""
        self.started = True
        self._block = self.connection.encoder.answer(status, fields, self._never)

    def keep_unindexed(self, names: frozenset[bytes]) -> None:
        """See `DoorIn`."""
        self._never = names

    def interim(self, status: int, reason: bytes, fields: bytes) -> None:
        """Pass on a 1xx response."""
        if self.started:
            return
        connection = self.connection
        block = connection.encoder.answer(status, fields)
        connection.sender.send_head(self, block, False)
        if status == 100 and self._pace is not None:
            self._pace.restart(connection.now())
            self._await_body(0)

    def _send_head(self, end: bool) -> None:
        block, self._block = self._block, b""
        self.connection.sender.send_head(self, block, end)

    def write(self, data: bytes | memoryview) -> None:
        """Body bytes, not empty."""
        if self._block:
            self._send_head(False)
        if self.queue is NOTHING:
            self.queue = deque()
        if not self.connection.sender.add(self, data) and not self.paused:
            self.paused = True
            self._pause()

    def _pause(self) -> None:
        if self.exchange is not None:
            self.exchange.pause_response()

    def flush(self) -> None:
        """Let the head leave."""
        if self._block:
            self._send_head(False)

    def finish(self, trailers: bytes = b"", last: bytes = b"") -> None:
        """The response is complete with `last`."""
        self.exchange = None
        if last:
            self.write(last)
        connection = self.connection
        block = b""
        if trailers:
            block = connection.encoder.fields(trailers, self._never)
        if self._block and not block:
            self._send_head(True)
            self.over = True
            connection.streams.finished(self)
            return
        if self._block:
            self._send_head(False)
        self.ending = block
        connection.sender.wait(self)

    def abort(self, code: int = 0) -> None:
        """The response cannot be completed: let the client see that, and a target's word that means something to it."""
        self.exchange = None
        told = code in (CANCEL, ENHANCE_YOUR_CALM)
        self.connection.streams.reset(self, code if told else INTERNAL_ERROR)

    # -- what the sender tells

    def sent_all(self) -> None:
        """The last frame has left."""
        self.connection.streams.finished(self)

    def stalled(self, yes: bool) -> None:
        """Whether its body waits for a window."""
        if not yes:
            self.write_due = NEVER
        elif self.write_due == NEVER:
            self.write_due = self.connection.now() + self.write_seconds
            self.connection.watch(self.write_due)

    def relieved(self) -> None:
        """There is room for more of the body."""
        self.paused = False
        if self.exchange is not None:
            self.exchange.resume_response()
