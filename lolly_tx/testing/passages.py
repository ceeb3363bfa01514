r"""For tests of middleware: a client's door and a route's end in memory, with a chain between them.

    world = Passages(middleware)
    served = world.ask(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    served.end.answer(200, b"hello")       where the request came through
    served.door.status, served.door.body   what the client got

Imports: domain, net, net.sockets, proxy, proxy.chains, wire, Twisted. Used by: testing,
testing.middleware.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.task import Clock

from lolly_tx.domain.errors import DownstreamGone, ProxyError
from lolly_tx.net.doors import (
    LENGTH,
    NO_BODY,
    STREAM,
    BodyStart,
    DoorIn,
    Peer,
    RequestSink,
)
from lolly_tx.net.sockets.splice import Relay
from lolly_tx.proxy.asked import Along
from lolly_tx.proxy.chains.chain import Chain
from lolly_tx.proxy.chains.link import Link
from lolly_tx.wire.http1 import parse_request
from lolly_tx.wire.message import RequestHead

DATE = b"\r\nDate: Sat, 28 Nov 2026 10:00:00 GMT\r\n"


class MemoryDoor(DoorIn):
    """A client's door that keeps what is sent. `over`: the answer is complete, or was cut (`aborted`)."""

    can_tunnel = False
    write_seconds = 30.0

    def __init__(self, address: str = "192.0.2.1", secure: bool = False) -> None:
        self.peer = Peer(address, "web", secure, lambda peer, head: b"")
        self.exchange: RequestSink | None = None
        self.status = 0
        self.fields = b""
        self.framing = NO_BODY
        self.body = b""
        self.trailers = b""
        self.over = self.aborted = self.reading_paused = False
        self.interims: list[int] = []

    def start(self, status: int, reason: bytes, fields: bytes, framing: int) -> None:
        """Keep it."""
        assert not self.status, "a second answer"
        assert fields.startswith(b"\r\n") and fields.endswith(b"\r\n"), fields
        self.status, self.fields, self.framing = status, fields, framing

    def interim(self, status: int, reason: bytes, fields: bytes) -> None:
        """Keep it."""
        self.interims.append(status)

    def write(self, data: bytes) -> None:
        """Keep it."""
        assert self.status and not self.over, "a body without a head, or after its end"
        assert data, "nothing is written"
        self.body += data

    def finish(self, trailers: bytes = b"", last: bytes = b"") -> None:
        """That was all."""
        assert not self.over, "a second end"
        self.body += last
        self.trailers = trailers
        self.over = True
        self.exchange = None

    def abort(self, code: int = 0) -> None:
        """It is cut."""
        self.over = self.aborted = True
        self.exchange = None

    def pause_request(self) -> None:
        """Note it."""
        self.reading_paused = True

    def resume_request(self) -> None:
        """Note it."""
        self.reading_paused = False

    def field(self, name: bytes) -> list[bytes]:
        """The values of the answer's fields called `name` (lower case)."""
        lines = [line.partition(b":") for line in self.fields.split(b"\r\n")]
        return [value.strip() for key, _, value in lines if key.lower() == name]

    def gone(self) -> None:
        """The client goes away."""
        exchange, self.exchange = self.exchange, None
        self.over = True
        if exchange is not None:
            exchange.downstream_failed(DownstreamGone("client closed the connection"))


class MemoryEnd:
    """A route's end that keeps the one request it gets, and answers when it is told. `gone`: its client is."""

    def __init__(self) -> None:
        self.door: DoorIn | None = None
        self.head: RequestHead | None = None
        self.body = b""
        self.complete = self.paused = False
        self.gone: ProxyError | None = None
        self.unwanted = False
        self.status = self.size = 0
        self.error = None
        self.upstream_status = 0

    def open_exchange(self, door: DoorIn, head: RequestHead, start: BodyStart) -> None:
        """See `proxy.proxy.RouteEnd`."""
        assert self.door is None, "one request only"
        self.door, self.head = door, head
        self.body, self.complete = start.data, start.complete
        door.exchange = self

    # -- what a test has it do

    def answer(self, status: int, body: bytes, fields: bytes = DATE) -> None:
        """Answer in one piece."""
        assert self.door is not None and self.head is not None
        self.upstream_status = status
        if status not in (204, 304):
            fields += b"Content-Length: %d\r\n" % len(body)
        self.door.answer(
            status, b"R", fields, b"" if self.head.is_head or status == 304 else body
        )

    def start(
        self, status: int, length: int | None = None, fields: bytes = DATE
    ) -> None:
        """Begin an answer of `length` bytes, or of nobody knows how many."""
        assert self.door is not None and self.head is not None
        self.upstream_status = status
        framing = STREAM if length is None else LENGTH
        if length is not None:
            fields += b"Content-Length: %d\r\n" % length
        self.door.start(status, b"R", fields, NO_BODY if self.head.is_head else framing)

    def write(self, data: bytes) -> None:
        """A part of it, which leaves by itself."""
        if self.door is not None and self.wanted:
            self.door.write(data)
            self.door.flush()

    def finish(self) -> None:
        """The end of it."""
        if self.door is not None and self.wanted:
            self.door.finish()

    @property
    def wanted(self) -> bool:
        """Somebody still wants what it answers."""
        return self.gone is None and not self.unwanted

    # -- RequestSink

    def request_data(self, data: bytes) -> None:
        """Keep it."""
        assert not self.complete and data
        self.body += data

    def request_end(self, trailers: bytes) -> None:
        """That was all."""
        self.complete = True

    def downstream_failed(self, error: ProxyError) -> None:
        """The client is gone."""
        assert self.wanted, "told twice"
        self.gone = error

    def request_stalled(self) -> None:
        """Nothing stalls here."""

    def response_changed(self, status: int, size: int) -> None:
        """What the client got."""
        self.status, self.size = status, size

    def response_unwanted(self) -> None:
        """Nobody wants the rest."""
        assert self.wanted, "told twice"
        self.unwanted = True

    def pause_response(self) -> None:
        """Note it."""
        self.paused = True

    def resume_response(self) -> None:
        """Note it."""
        self.paused = False

    def relay_response(self, source: Any, left: int | None) -> Relay | None:
        """There is nothing to relay."""
        return None


class Served:
    """One request on its way: `door`, the client's; `end`, where it comes to."""

    def __init__(self, door: MemoryDoor, end: MemoryEnd) -> None:
        self.door = door
        self.end = end

    @property
    def passed(self) -> bool:
        """It has come through."""
        return self.end.door is not None

    def send(self, data: bytes, last: bool = False) -> None:
        """More of the request's body."""
        if self.door.exchange is not None and data:
            self.door.exchange.request_data(data)
        if self.door.exchange is not None and last:
            self.door.exchange.request_end(b"")


class Passages:
    """Requests through middleware, the outermost first.

    `told`: status, size and reason of those that the end has not answered. `clock`: time, which only the test moves.
    """

    def __init__(self, *middleware: Any, clock: Clock | None = None) -> None:
        self.clock = clock or Clock()
        self.middleware = middleware
        self.told: list[tuple[int, int, str]] = []

    def ask(
        self,
        request: bytes,
        *,
        door: MemoryDoor | None = None,
        complete: bool = True,
    ) -> Served:
        """Send a request: its head and what follows it. `complete`: that is all of its body."""
        head = parse_request(request)
        assert head is not None, "that is no whole head"
        served = Served(door or MemoryDoor(), MemoryEnd())
        along = Along(
            "* /",
            client_of=lambda peer, head: peer.address,
            wall=self.clock.seconds,
            pool="app",
        )
        Chain(self._links(), served.end, self._note, along).open_exchange(
            served.door, head, BodyStart(request[head.end :], complete=complete)
        )
        return served

    def _links(self) -> Sequence[Link]:
        return [Link(f"m{n}", one) for n, one in enumerate(self.middleware)]

    def _note(
        self, door: DoorIn, head: RequestHead, status: int, size: int, why: str, *_: Any
    ) -> None:
        self.told.append((status, size, why))
