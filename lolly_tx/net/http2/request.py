"""One stream of a connection to a target: the door out of an exchange.

    taken --send--> open --END_STREAM from both--> closed
                      +--cancel, an error--> RST_STREAM
                      +--the target's END_STREAM first--> its exchange is over, RST_STREAM NO_ERROR

Imports: domain, net, net.http2, wire, wire.hpack, wire.http2. Used by:
net.http2.answers, net.http2.client, net.http2.client_streams.

It is long because the head, the body and the end of a stream change the same state.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol

from lolly_tx.domain.errors import (
    BadResponse,
    DownstreamError,
    ProxyError,
    ResponseTimedOut,
    WriteTimedOut,
)
from lolly_tx.net.deadlines import NEVER
from lolly_tx.net.doors import LENGTH, NO_BODY, STREAM, ResponseSink
from lolly_tx.net.http2.client_wait import ClientWait
from lolly_tx.net.http2.framed import Framed
from lolly_tx.net.http2.inflow import Inflow
from lolly_tx.net.http2.sending import Sender
from lolly_tx.net.http2.stream import NOTHING
from lolly_tx.net.upstreams import UpstreamLimits
from lolly_tx.wire.hpack.encoder import Encoder
from lolly_tx.wire.http2.priority import USUAL
from lolly_tx.wire.http2.requests import Malformed, request_lines
from lolly_tx.wire.http2.responses import check_length
from lolly_tx.wire.http2_errors import CANCEL, NO_ERROR, PROTOCOL_ERROR
from lolly_tx.wire.message import RequestHead, ResponseHead


class Line(Protocol):
    """What a stream asks of its connection. `heard`: frames so far."""

    sender: Sender
    encoder: Encoder
    scheme: bytes
    now: Callable[[], float]
    heard: int

    @property
    def limits(self) -> UpstreamLimits:
        """Of the target."""

    @property
    def streams(self) -> Table:
        """All of its streams."""

    def watch(self, due: float) -> None:
        """Something has to have happened then."""

    def soon(self, call: Callable[[], None]) -> None:
        """Do that in the next turn."""


class Table(Protocol):
    """The streams of a connection, as one of them sees them."""

    def begun(self, stream: ClientStream) -> None:
        """It sends its head now: number it."""

    def closed(self, stream: ClientStream) -> None:
        """It has ended on both sides, or was never begun."""

    def reset(self, stream: ClientStream, code: int) -> None:
        """End it at once."""


class ClientStream(Framed):
    """See the module (`net.doors.DoorOut`). `head`: of the answer. `ended`: the target has sent all of it."""

    # Defaults on the class, as of the streams of clients: most have no body, and differ in little.
    id = 0
    urgency = USUAL
    incremental = True
    window = 0
    queue: deque[bytes | memoryview] = NOTHING
    queued = 0
    ending: bytes | None = None
    over = False
    paused = False
    ended = False
    sent_all_of_it = True
    head: ResponseHead | None = None
    deadline = NEVER
    write_due = NEVER
    whole: ResponseHead | None = None
    first = False
    heard_before = -1
    _asked: RequestHead
    _no_body = False
    _interim = 0
    _stopped = False
    _owing = False
    _inflow: Inflow | None = None
    _wait: ClientWait | None = None

    def __init__(self, line: Line) -> None:
        self.line = line
        self.sink: ResponseSink | None = None

    # -- DoorOut: the request

    def patience(self) -> float:
        """How long the target may take no byte of a request."""
        return self.line.limits.write

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
        self._asked = head
        line = self.line
        if head.block.upgrade:
            self.sent_all_of_it = True
            line.soon(self._refuse_upgrade)
            return
        line.streams.begun(self)
        self.sent_all_of_it = complete
        line.sender.send_head(
            self,
            line.encoder.request(
                head.method,
                line.scheme,
                host or head.block.host,
                head.target,
                request_lines(head, lines),
                head.block.never,
            ),
            complete and not body,
        )
        if complete:
            self._await_response(now)
        if body:
            self.write(body)
            if complete:
                self.ending = b""
        if complete and not body:
            self.over = True

    def _refuse_upgrade(self) -> None:
        self.line.streams.closed(self)
        self._tell(DownstreamError("no upgrade: the pool's targets speak HTTP/2", 501))

    def write(self, data: bytes) -> None:
        """More of the request's body."""
        if self.over:
            return
        if self.queue is NOTHING:
            self.queue = deque()
        if not self.line.sender.add(self, data) and not self.paused:
            self.paused = True
            if self._wait is not None:
                self._wait.over()
            if self.sink is not None:
                self.sink.pause_request()

    def finish(self, trailers: bytes = b"") -> None:
        """The request is complete."""
        if self.over or self.sent_all_of_it and self.ending is not None:
            return
        line = self.line
        self.sent_all_of_it = True
        if self._wait is not None:
            self._wait.over()
        self.ending = b""
        if trailers:
            self.ending = line.encoder.fields(trailers, self._asked.block.never)
        line.sender.wait(self)
        if not self._stopped:
            self._await_response(line.now())

    def await_answer(self, now: float) -> None:
        """The target owes its word on whether it wants the body."""
        self._owing = True
        self._await_response(now)

    def await_request(self, now: float) -> None:
        """The client has to send first."""
        self._client_moves(now)
        if self._owing:
            self._owing = False
            self.deadline = NEVER

    def _client_moves(self, now: float) -> None:
        """It is the client that is waited for."""
        if self._wait is None:
            self._wait = ClientWait()
        self._wait.begins(now)

    def cancel(self) -> None:
        """Give the request up."""
        self.sink = None
        if not self.id:
            self.line.streams.closed(self)
        else:
            self.line.streams.reset(self, CANCEL)

    # -- DoorOut: the response

    def deliver_to(self, sink: ResponseSink) -> None:
        """To another one from now on."""
        self.sink = sink

    def answered(self, now: float) -> None:
        """The sink has taken a whole response."""
        self.sink = None
        self.whole = None

    def pause(self) -> None:
        """Widen its window no more; what is on its way is still delivered."""
        if not self._stopped:
            self._stopped = True
            self.deadline = NEVER
            self._client_moves(self.line.now())

    def resume(self) -> None:
        """Read on."""
        if self._stopped:
            self._stopped = False
            if self._wait is not None:
                self._wait.ends(self.line.now())
            if self.sent_all_of_it or self._owing:
                self._await_response(self.line.now())
            if self._inflow is not None and not self.ended:
                self._inflow.give_back(self._inflow.release())

    def _await_response(self, now: float) -> None:
        seconds = self.line.limits.read
        if seconds:
            self.deadline = now + seconds
            self.line.watch(self.deadline)

    # -- what the connection tells

    def take_head(self, head: ResponseHead, ended: bool, now: float) -> None:
        """A head has come. Raises `Malformed`."""
        if head.status < 200:
            if ended:
                raise Malformed("1xx that ends its stream")
            self._interim += 1
            if self._interim > self.line.limits.interim:
                raise Malformed("too many 1xx responses")
            if self.sent_all_of_it or self._owing:
                self._await_response(now)
            if self.sink is not None:
                self.sink.response_interim(head)
            return
        self.head = head
        self._owing = False
        self.deadline = NEVER
        if self.sent_all_of_it:
            self._await_response(now)
        status = head.status
        self._no_body = self._asked.is_head or status == 204 or status == 304
        if ended:
            self._deliver_head(head)
            self.take_end(b"", b"")
        elif (
            head.whole
            and self.sent_all_of_it
            and not self._no_body
            and not head.block.never
        ):
            self.whole = head  # its body may have come in the same read
        else:
            self._deliver_head(head)

    def _deliver_head(self, head: ResponseHead) -> None:
        self.whole = None
        sink = self.sink
        if sink is None:
            return
        block = head.block
        if self._no_body:
            framing = NO_BODY
        elif block.length is not None:
            framing = LENGTH
        else:
            framing = STREAM
        sink.response_head(head, framing)

    def take_data(self, data: bytes, size: int, ended: bool, now: float) -> None:
        """Body bytes; `size`: with their padding. Raises `Http2Error`, `Malformed`."""
        if self.head is None:
            raise Malformed("DATA before a head")
        inflow = self._inflow
        if inflow is None:
            inflow = self._inflow = Inflow(self.line.sender, self.id)
        inflow.came(data, size)
        if data and self._no_body:
            raise Malformed("body of a response that has none")
        if not self._no_body:
            check_length(self.head, inflow.received, ended)
        whole = self.whole
        if whole is not None:
            sink = self.sink
            if ended and sink is not None and sink.response_whole(whole, data, now):
                self.ended = True
                self._both_ended()
                return
            self._deliver_head(whole)
        if ended:
            self.take_end(b"", data)
            return
        if self.sent_all_of_it and not self._stopped:
            self._await_response(now)
        if data and self.sink is not None:
            self.sink.response_data(data)
        if self._stopped:
            inflow.held += size
        elif not self.ended:
            inflow.give_back(size)

    def read_is_over(self) -> None:
        """All that came in this read is delivered, and more is to come."""
        if self.whole is not None:
            self._deliver_head(self.whole)
        if self.sink is not None and self.head is not None:
            self.sink.response_waits()

    def take_end(self, trailers: bytes, last: bytes) -> None:
        """The response is complete. Raises `Malformed`."""
        assert self.head is not None
        if not self._no_body:
            inflow = self._inflow
            received = 0 if inflow is None else inflow.received
            check_length(self.head, received, True)
        if self.whole is not None:
            self._deliver_head(self.whole)
        self.ended = True
        self.deadline = NEVER
        sink, self.sink = self.sink, None
        self._both_ended()
        if sink is not None:
            sink.response_end(trailers, last)

    def _both_ended(self) -> None:
        """The target has sent all: nobody has more of the request for it, or wants to hear of it."""
        if self.over:
            self.line.streams.closed(self)
        else:
            self.line.streams.reset(self, NO_ERROR)

    def fail(self, error: ProxyError) -> None:
        """There will be no complete response, and the stream is closed."""
        wait = self._wait
        self._tell(error if wait is None else wait.excused(error, self.line.now()))

    def _tell(self, error: ProxyError) -> None:
        self.deadline = self.write_due = NEVER
        sink, self.sink = self.sink, None
        if sink is not None:
            sink.upstream_failed(error)

    def breaks(self, reason: str) -> None:
        """The target broke the rules on it."""
        self.line.streams.reset(self, PROTOCOL_ERROR)
        self._tell(BadResponse(reason))

    @property
    def due(self) -> float:
        """When to look at it."""
        return min(self.deadline, self.write_due)

    def expired(self, now: float) -> None:
        """The time for what it waits for is over."""
        limits = self.line.limits
        if self.write_due <= now:
            error: ProxyError = WriteTimedOut(f"took no byte for {limits.write:g} s")
        else:
            error = ResponseTimedOut(f"no byte for {limits.read:g} s")
        self.line.streams.reset(self, CANCEL)
        self._tell(error)

    # -- what the sender tells

    def sent_all(self) -> None:
        """The last frame has left."""
        if self.ended:
            self.line.streams.closed(self)

    def stalled(self, yes: bool) -> None:
        """Whether its body waits for a window."""
        if not yes:
            self.write_due = NEVER
        elif self.write_due == NEVER:
            self.write_due = self.line.now() + self.patience()
            self.line.watch(self.write_due)

    def relieved(self) -> None:
        """There is room for more of the body."""
        self.paused = False
        if not self.sent_all_of_it:
            self._client_moves(self.line.now())
        if self.sink is not None:
            self.sink.resume_request()
