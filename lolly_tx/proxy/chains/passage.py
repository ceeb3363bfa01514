"""The way of one request through a chain of middleware, and of its answer back.

    client's door --request_data--> Passage --> what serves it (an exchange)
    client's door <--------------- InnerDoor <-- the same

Made for each request of a route with `use`. While middleware thinks (a Deferred), what comes of the body is kept
(`proxy.chains.keptbody`). Where no middleware of the chain touches answers, bodies or the request,
whoever serves it gets the client's own door and the passage is out of the way.

Imports: domain, net, proxy, proxy.chains, wire, Twisted. Used by: proxy.caching,
proxy.chains.chain, proxy.chains.fielddoor, proxy.forwards, proxy.middleware.

It is long because each hook may answer, wait or fail, and each of these ends all the others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from lolly_tx.domain.errors import ProxyError
from lolly_tx.domain.target import Target
from lolly_tx.net.doors import BODILESS, BodyStart, DoorIn, RequestSink
from lolly_tx.proxy.answer import Answer, short_page
from lolly_tx.proxy.chains.filters import Filters, LinkFailed, Refused
from lolly_tx.proxy.chains.gathering import Gathering, told_to_go_on
from lolly_tx.proxy.chains.innerdoor import InnerDoor, outside
from lolly_tx.proxy.chains.keptbody import KeptBody
from lolly_tx.proxy.chains.knownrequest import KnownRequest
from lolly_tx.proxy.chains.link import Link, Way
from lolly_tx.proxy.proxy import RouteEnd
from lolly_tx.wire.message import RequestHead


class Passage(KnownRequest):
    """One request on its way. To its client's door it is the exchange (`net.doors.RequestSink`).

    `client`: the address of who sent it, as far as it can be believed. `started`: the client has the head of an answer.
    `inner`: whom the answer comes through, until it is complete. `ends`: what is called when all is over.
    """

    _log: ClassVar[Logger] = Logger()

    __slots__ = (
        "_at",
        "_filters",
        "_full",
        "_holds",
        "_kept",
        "_notes",
        "_thinking",
        "client",
        "ends",
        "inner",
        "started",
    )

    ends: Sequence[Callable[[], None]]
    _filters: Filters | None
    inner: InnerDoor | None
    _kept: KeptBody | None
    _notes: dict[Any, Any] | None
    _thinking: Deferred[Any] | None

    def __init__(
        self, chain: Way, door: DoorIn, head: RequestHead, start: BodyStart
    ) -> None:
        # In one go: one is made for each request.
        self.chain = chain
        self.door = door
        self.head = self.asked = head
        self.client = door.peer.address
        along = chain.along
        if along is not None and head.block.forwarded:
            self.client = along.client_of(door.peer, head)
        self.identified = self._known = None
        self._filters = self.inner = self._notes = self._thinking = None
        self._kept = None if start is BODILESS else KeptBody(start)
        self._at = 0
        self._full = self.started = False
        self._holds = 0
        self.ends = ()

    @property
    def notes(self) -> dict[Any, Any]:
        """What middlewares leave for themselves until the answer, by themselves."""
        notes = self._notes
        if notes is None:
            notes = self._notes = {}
        return notes

    @property
    def target(self) -> str | None:
        """The id of the target that answers; None: none does."""
        return None if self.inner is None else self.inner.target

    @property
    def rest(self) -> RouteEnd:
        """What serves requests after the middleware that asks: to have something done beside this request."""
        return self.chain.rests[self._at]

    def when_over(self, call: Callable[[], None]) -> None:
        """Have `call` called once, when the request with its answer, or the tunnel it became, is over."""
        self.ends = (*self.ends, call)

    def over(self) -> None:
        """It is. Repeated, it does nothing."""
        self.inner = None  # no cycle is left for the garbage collector
        if self.ends:
            ends, self.ends = self.ends, ()
            for call in ends:
                call()

    @property
    def origin(self) -> Target | None:
        """The target that answers; None: none does."""
        return None if self.inner is None else self.inner.origin

    @property
    def by_target(self) -> bool:
        """The answer that is there comes from a target; else it is one of ours."""
        return self.inner is not None and self.inner.by_target

    def whole_body(
        self, most: int, refusal: Answer
    ) -> Deferred[Answer | None] | Answer | None:
        """For `IMiddleware.request`: wait for the whole body; `refusal` answers one of more than `most` bytes."""
        kept = self._kept
        if kept is None:
            return None
        if kept.size > most:
            return refusal
        if kept.complete:
            return None
        if self.head.awaits_continue:
            self.head = told_to_go_on(self.door, self.head, kept.size)
        kept.gathering = gathering = Gathering(most, refusal)
        return gathering.done

    # -- the request's way in

    def go_on(self) -> None:
        """Ask the next middlewares, until one has to think or answers; then have it served."""
        chain = self.chain
        said: Any = None
        at = self._at
        for link in chain.links[at:]:
            self._at = at = at + 1
            try:
                if link.asks:
                    said = link.request(self)
                    if said is not None:
                        break
                if link.filters_request:
                    self._filter(link)
            except Exception:
                self.broke(link.name, Failure())
                return
        if said is None:
            self._serve(chain.end, at)
        else:
            self._go_by(link, said)

    def go_by(self, at: int, said: Any) -> None:
        """Go by what the gate of the link `at` has said; those before it have let the request pass."""
        self._at = at + 1
        self._go_by(self.chain.links[at], said)

    def _go_by(self, link: Link, said: Any) -> None:
        if isinstance(said, Deferred):
            self._think(said, link)
        else:
            self._serve_by(link, said)

    def _filter(self, link: Link) -> None:
        if self._kept is None or self._kept.empty:
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
            if link.filters_request:
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
        door, start, kept = self.door, BODILESS, self._kept
        if kept is not None:
            body = kept.taken()
            if self._filters is not None:
                filtered = self._filtered(body, kept.complete)
                if filtered is None:
                    return
                body = filtered
            if body or not kept.complete:
                start = BodyStart(body, kept.trailers, kept.complete)
        inner: DoorIn = door
        if (
            self.chain.wraps
            or self.ends
            or self.identified is not None
            or self._filters is not None
        ):
            inner = self.inner = InnerDoor(self, door, reached)
            door.exchange = self
        if isinstance(end, Answer):
            self._answer(end, inner)
        else:
            end.open_exchange(inner, self.head, start)
        if kept is not None:
            kept.read_on(door)

    def _answer(self, answer: Answer, inner: DoorIn) -> None:
        echo = self.echo
        if echo:
            fields = answer.fields + echo
            answer = Answer(answer.status, fields, answer.body, answer.reason)
        answer.give(inner, self.head.is_head)
        status, size = answer.status, len(answer.body)
        if isinstance(inner, InnerDoor):
            if inner.still_sending(
                lambda error: self.tell(inner.status, inner.sent, "")
            ):
                return
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
        sink, inner = self._sink, self.inner
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
        if self.inner is not None:
            self.inner.close()
        else:
            self.over()

    @property
    def _sink(self) -> RequestSink | None:
        return None if self.inner is None else self.inner.exchange

    # -- RequestSink: what the client's door tells

    def request_data(self, data: bytes) -> None:
        """Body bytes."""
        sink = self._sink
        if sink is None:
            if self._kept is not None:
                self._kept.add(data, self.door)
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
        kept, sink = self._kept, self._sink
        if kept is not None:
            kept.complete = True
        if sink is None:
            if kept is not None:
                kept.end(trailers)
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
        """Have the answer's body wait although the client would take it, until as many as did let it go on."""
        self._holds += 1 if holds else -1
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
