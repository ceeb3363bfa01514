"""The way of one request through a chain of middleware, and of its answer back.

    client's door --request_data--> Passage --> what serves it (an exchange)
    client's door <--------------- InnerDoor <-- the same

Made for each request of a route with `use`. While middleware thinks (a Deferred), what comes of the body is kept, and
beyond `HELD_BYTES` nothing more is read. Where no middleware of the chain touches answers, bodies or the request,
whoever serves it gets the client's own door and the passage is out of the way.

Imports: domain, net, proxy, wire, Twisted. Used by: proxy.caching, proxy.chain,
proxy.forwarding, proxy.middleware.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from lolly_tx.domain.errors import ProxyError
from lolly_tx.domain.target import Target
from lolly_tx.net.doors import BODILESS, BodyStart, DoorIn, RequestSink
from lolly_tx.proxy.answer import Answer, short_page
from lolly_tx.proxy.filters import Filters, LinkFailed, Refused
from lolly_tx.proxy.gathering import Gathering, told_to_go_on
from lolly_tx.proxy.innerdoor import InnerDoor, outside
from lolly_tx.proxy.knownrequest import KnownRequest
from lolly_tx.proxy.link import Link, Way
from lolly_tx.proxy.proxy import RouteEnd
from lolly_tx.wire.message import RequestHead

HELD_BYTES = 65536
"""Of a request body, kept while middleware thinks."""


class Passage(KnownRequest):
    """One request on its way. To its client's door it is the exchange (`net.doors.RequestSink`).

    `captures`: what the route's pattern has named. `notes`: what middlewares leave for themselves until the answer, by
    themselves.
    """

    _log: ClassVar[Logger] = Logger()

    __slots__ = (
        "_at",
        "_body",
        "_complete",
        "_ends",
        "_filters",
        "_full",
        "_gathering",
        "_holds",
        "_inner",
        "_paused",
        "_size",
        "_thinking",
        "_trailers",
        "captures",
        "notes",
        "started",
    )

    def __init__(
        self, chain: Way, door: DoorIn, head: RequestHead, start: BodyStart
    ) -> None:
        super().__init__(chain, door, head)
        self.captures: dict[bytes, bytes] = {}
        self.notes: dict[Any, Any] = {}
        self.started = False  # the client has the head of an answer
        self._at = 0
        self._body = [start.data] if start.data else []
        self._size = len(start.data)
        self._trailers = start.trailers
        self._complete = start.complete
        self._paused = False
        self._ends: list[Callable[[], None]] = []
        self._holds = self._full = False
        self._gathering: Gathering | None = None
        self._thinking: Deferred[Any] | None = None
        self._filters: Filters | None = None
        self._inner: InnerDoor | None = None

    @property
    def target(self) -> str | None:
        """The id of the target that answers; None: none does."""
        return None if self._inner is None else self._inner.target

    @property
    def rest(self) -> RouteEnd:
        """What serves requests after the middleware that asks: to have something done beside this request."""
        return self.chain.rests[self._at]

    def when_over(self, call: Callable[[], None]) -> None:
        """Have `call` called once, when the request with its answer, or the tunnel it became, is over."""
        self._ends.append(call)

    def over(self) -> None:
        """It is. Repeated, it does nothing."""
        ends, self._ends = self._ends, []
        for call in ends:
            call()

    @property
    def origin(self) -> Target | None:
        """The target that answers; None: none does."""
        return None if self._inner is None else self._inner.origin

    @property
    def by_target(self) -> bool:
        """The answer that is there comes from a target; else it is one of ours."""
        return self._inner is not None and self._inner.by_target

    def whole_body(
        self, most: int, refusal: Answer
    ) -> Deferred[Answer | None] | Answer | None:
        """For `IMiddleware.request`: wait for the whole body; `refusal` answers one of more than `most` bytes."""
        if self._size > most:
            return refusal
        if self._complete:
            return None
        if self.head.awaits_continue:
            self.head = told_to_go_on(self.door, self.head, self._size)
        self._gathering = gathering = Gathering(most, refusal)
        return gathering.done

    # -- the request's way in

    def go_on(self) -> None:
        """Ask the next middlewares, until one has to think or answers; then have it served."""
        links = self.chain.links
        while self._at < len(links):
            link = links[self._at]
            self._at += 1
            try:
                said = link.request(self) if link.asks else None
                if said is None:
                    self._filter(link)
            except Exception:
                self.broke(link.name, Failure())
                return
            if isinstance(said, Deferred):
                self._think(said, link)
                return
            if said is not None:
                self._serve_by(link, said)
                return
        self._serve(self.chain.end, self._at)

    def _filter(self, link: Link) -> None:
        bodiless = self._complete and not self._body
        if bodiless or not link.filters_request:
            return
        made = link.request_body(self)
        if made is not None:
            if self._filters is None:
                self._filters = Filters()
            self._filters.add(link.name, made)

    def _think(self, said: Deferred[Any], link: Link) -> None:
        self._thinking = said
        self.door.exchange = self
        said.addCallbacks(
            self._cb_thought, self._eb_thought, (link,), errbackArgs=(link,)
        )

    def _cb_thought(self, said: RouteEnd | None, link: Link) -> None:
        if self._thinking is None:
            return  # the client has gone
        self._thinking = None
        if said is not None:
            self._serve_by(link, said)
            return
        try:
            self._filter(link)
        except Exception:
            self.broke(link.name, Failure())
        else:
            self.go_on()

    def _eb_thought(self, reason: Failure, link: Link) -> None:
        if self._thinking is not None:
            self._thinking = None
            self.broke(link.name, reason)

    def _serve_by(self, link: Link, end: RouteEnd) -> None:
        """Have `end` answer, which `link` has put in place of what comes after it."""
        try:
            self._serve(end, self._at - 1)
        except Exception:
            self.broke(link.name, Failure())

    def _serve(self, end: RouteEnd, reached: int) -> None:
        """Have `end` answer; `reached`: how many links the answer goes back through."""
        door = self.door
        body, self._body = b"".join(self._body), []
        if self._filters is not None:
            filtered = self._filtered(body, self._complete)
            if filtered is None:
                return
            body = filtered
        inner: DoorIn = door
        wanted = self._filters is not None or self._ends or self.identified is not None
        if self.chain.wraps or wanted:
            inner = self._inner = InnerDoor(self, door, reached)
            door.exchange = self
        if isinstance(end, Answer):
            self._answer(end, inner)
        else:
            start = BODILESS
            if body or not self._complete:
                start = BodyStart(body, self._trailers, self._complete)
            end.open_exchange(inner, self.head, start)
        if self._paused:
            self._paused = False
            door.resume_request()

    def _answer(self, answer: Answer, inner: DoorIn) -> None:
        echo = self.echo
        if echo:
            fields = answer.fields + echo
            answer = Answer(answer.status, fields, answer.body, answer.reason)
        answer.give(inner, self.head.is_head)
        status, size = answer.status, len(answer.body)
        if isinstance(inner, InnerDoor):
            status, size = inner.status, inner.sent
        self.tell(status, size, "")

    def _filtered(self, data: bytes, last: bool) -> bytes | None:
        """What goes on of `data` of the body; None: the request is over."""
        filters = self._filters
        assert filters is not None
        try:
            data = filters.feed(data)
            return data + filters.end() if last else data
        except Refused as error:
            self._refuse(error)
        except LinkFailed as failed:
            self.broke_off(failed)
        return None

    def broke_off(self, failed: LinkFailed, ending: bool = False) -> None:
        """As `broke`, of what a hook has raised."""
        self.broke(failed.name, Failure(failed.cause), ending)

    def broke(self, name: str, reason: Failure, ending: bool = False) -> None:
        """The middleware `name` has failed: the client gets a 500, or sees that its answer is cut.

        `ending`: whoever serves the request has just ended, and needs not be told.
        """
        self._log.failure("Middleware {name} failed", reason, name=name)
        sink, inner = self._sink, self._inner
        self._close()
        if self.started:
            self.door.abort()
        else:
            outer = outside(self, self.door, name)
            short_page(500, self.echo).give(outer, self.head.is_head)
            status, size = outer.status, outer.sent  # 0: an outer link failed, too
            if sink is not None:
                sink.response_changed(status or 500, size)
            if inner is not None:
                inner.status, inner.sent = status or inner.status, size or inner.sent
            elif status:
                self.tell(status, size, f"middleware {name} failed")
        if sink is not None and not ending:
            sink.response_unwanted()

    def _close(self) -> None:
        """Nothing more comes either way."""
        if self._filters is not None:
            self._filters.close()
            self._filters = None
        if self._inner is not None:
            self._inner.close()
        else:
            self.over()

    @property
    def _sink(self) -> RequestSink | None:
        return None if self._inner is None else self._inner.exchange

    # -- RequestSink: what the client's door tells

    def request_data(self, data: bytes) -> None:
        """Body bytes."""
        sink = self._sink
        if sink is None:
            self._body.append(data)
            self._size += len(data)
            most, gathering = HELD_BYTES, self._gathering
            if gathering is not None:
                most = max(most, gathering.most)
                gathering.grown(self._size)
            if self._size > most and not self._paused:
                self._paused = True
                self.door.pause_request()
            return
        if self._filters is not None:
            filtered = self._filtered(data, False)
            if filtered is None:
                return
            data = filtered
        if data:
            sink.request_data(data)

    def request_end(self, trailers: bytes) -> None:
        """The body is complete."""
        self._complete = True
        sink = self._sink
        if sink is None:
            self._trailers = trailers
            if self._gathering is not None:
                self._gathering.complete()
            return
        if self._filters is not None:
            last = self._filtered(b"", True)
            if last is None:
                return
            if last:
                sink.request_data(last)
        sink.request_end(trailers)

    def _refuse(self, error: Refused) -> None:
        """What came of the body is too much, or not wanted: end it."""
        sink, door, answer = self._sink, self.door, error.answer
        self._close()
        if self.started:
            door.abort()
        else:
            inner = outside(self, door, error.name)
            answer.give(inner, self.head.is_head)
            if sink is not None:  # an outer link that has failed answers 500
                sink.response_changed(inner.status or 500, inner.sent)
            elif inner.status:
                self.tell(inner.status, inner.sent, error.why)
        if sink is not None:
            sink.response_unwanted()

    def request_stalled(self) -> None:
        """A relay of the body waits for who serves it."""
        sink = self._sink
        if sink is not None:
            sink.request_stalled()

    def downstream_failed(self, error: ProxyError) -> None:
        """The client is gone, or broke the rules."""
        thinking, self._thinking = self._thinking, None
        sink = self._sink
        self._close()
        if thinking is not None:
            thinking.cancel()
            self.tell(499, 0, "client went away")
        if sink is not None:
            sink.downstream_failed(error)

    def response_changed(self, status: int, size: int) -> None:
        """See `RequestSink`."""
        sink = self._sink
        if sink is not None:
            sink.response_changed(status, size)

    def response_unwanted(self) -> None:
        """Nobody wants the rest of the answer."""
        sink = self._sink
        self._close()
        if sink is not None:
            sink.response_unwanted()

    def pause_response(self) -> None:
        """The client takes no more for now."""
        self._full = True
        self._flow()

    def resume_response(self) -> None:
        """The client takes more."""
        self._full = False
        self._flow()

    def hold(self, holds: bool) -> None:
        """Have the answer's body wait although the client would take it, or let it go on."""
        self._holds = holds
        self._flow()

    def _flow(self) -> None:
        sink = self._sink
        if sink is None:
            return
        if self._full or self._holds:
            sink.pause_response()
        else:
            sink.resume_response()

    @property
    def relays_requests(self) -> bool:
        """No middleware wants the bytes of the request's body."""
        return self._filters is None
