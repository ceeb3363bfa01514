"""The client's door as it looks from behind a chain of middleware, which may change the answers that go out by it.

Imports: domain, net, proxy, proxy.chains, wire. Used by: proxy.caching,
proxy.chains.fielddoor, proxy.chains.passage.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from lolly_tx.domain.errors import ProxyError
from lolly_tx.domain.target import Target
from lolly_tx.net.doors import LENGTH, NO_BODY, DoorIn, RequestSink
from lolly_tx.proxy.answer import Answer, AnswerHead
from lolly_tx.proxy.chains.filters import BodyFilter, Filters, LinkFailed
from lolly_tx.proxy.chains.link import Link, Way
from lolly_tx.proxy.chains.slices import SLICE_BYTES, Slices
from lolly_tx.proxy.chains.throughdoor import ThroughDoor
from lolly_tx.proxy.identity import Identity
from lolly_tx.wire.message import RequestHead

DROPPED_BYTES: Final = 65536
"""Of an answer that was replaced, read so that its connection can be kept; a longer one is cut off."""

_LENGTH_LINE: Final = b"\nContent-Length: "


class OnItsWay(Protocol):
    """The request that an answer is for (`proxy.chains.passage.Passage`)."""

    asked: RequestHead
    chain: Way
    ends: Sequence[Callable[[], None]]
    head: RequestHead
    identified: Identity | None
    inner: InnerDoor | None
    started: bool

    @property
    def relays_requests(self) -> bool:
        """No middleware wants the bytes of the request's body."""

    def over(self) -> None:
        """Nothing more is to come."""

    def broke_off(self, failed: LinkFailed, ending: bool = False) -> None:
        """A hook has raised. `ending`: whoever serves the request has just ended."""


class InnerDoor(ThroughDoor):
    """The client's door as it looks from behind the chain: `door`, whose answers middleware may change.

    `reached`: how many links an answer goes back through. `status`: what the client got. `sent`: body bytes.
    """

    __slots__ = (
        "_dropped",
        "_filters",
        "_passage",
        "_reached",
        "_relayed",
        "identity",
        "verdict",
    )

    exchange: RequestSink | None
    _filters: Filters | None

    def __init__(self, passage: OnItsWay, door: DoorIn, reached: int) -> None:
        self.peer = door.peer
        self.asked = door.asked
        if self.asked is None and passage.head is not passage.asked:
            self.asked = passage.asked
        self.identity = passage.identified or door.identity
        self.verdict = door.verdict
        self.exchange = self._filters = None
        self.status = self.sent = 0
        self._passage = passage
        self._out = door
        self._reached = reached
        self._relayed = False  # what the client gets of the body is not seen here
        self._dropped = -1  # bytes, of an answer that was replaced

    @property
    def target(self) -> str | None:
        """The id of the target that answers; None: none does, or did."""
        node = getattr(self.exchange, "node", None)
        return None if node is None else node.target.id

    @property
    def origin(self) -> Target | None:
        """The target that answers, or did; None: none does."""
        node = getattr(self.exchange, "node", None)
        return None if node is None else node.target

    @property
    def by_target(self) -> bool:
        """The answer comes from one."""
        exchange: Any = self.exchange
        status = getattr(exchange, "upstream_status", 0)
        return bool(status) and exchange.error is None

    def close(self) -> None:
        """Nothing more is to come."""
        self.exchange = None
        filters, self._filters = self._filters, None
        if filters is not None:
            filters.close()
        self._passage.over()

    # -- the answer

    def _pass_back(self, answer: AnswerHead) -> Answer | None:
        """Have the links look at an answer, the innermost first; what one of them answers in its place.

        Raises `LinkFailed`.
        """
        passage = self._passage
        replaced: Answer | None = None
        for link in passage.chain.back[self._reached]:
            try:
                if link.answers:
                    other = link.response(passage, answer)
                    if other is not None:
                        replaced = other
                        self.close_filters()
                        answer.status, answer.reason = other.status, other.reason
                        answer.fields, answer.framing = other.fields, LENGTH
                if link.filters_response and answer.framing != NO_BODY:
                    self._filter(link, answer)
            except Exception as error:
                raise LinkFailed(link.name, error) from error
        return replaced

    def close_filters(self) -> None:
        """None of those made so far sees a byte."""
        filters, self._filters = self._filters, None
        if filters is not None:
            filters.close()

    def _filter(self, link: Link, answer: AnswerHead) -> None:
        made: BodyFilter | None = link.response_body(self._passage, answer)
        if made is None:
            return
        if self._filters is None:
            self._filters = Filters()
        self._filters.add(link.name, made)
        if not made.keeps_length:
            answer.unmeasured()

    def start(self, status: int, reason: bytes, fields: bytes, framing: int) -> None:
        """Begin the response, as the chain lets it."""
        answer = AnswerHead(status, reason, fields, framing)
        try:
            replaced = self._pass_back(answer)
        except LinkFailed as failed:
            self._passage.broke_off(failed)
            return
        if replaced is not None:
            self._dropped = 0
            self._give(answer, replaced.body)
            return
        self._begun(answer.status)
        self._out.start(answer.status, answer.reason, answer.fields, answer.framing)

    def answer(self, status: int, reason: bytes, fields: bytes, body: bytes) -> None:
        """The whole response."""
        passage = self._passage
        chain, reached = passage.chain, self._reached
        ready = chain.ready[reached]
        if ready is not None:
            made = ready.known.get(fields)
            if made is None:
                try:
                    made = ready.of(fields)
                except LinkFailed as failed:
                    passage.broke_off(failed, True)
                    return
            fields = made
        elif chain.back[reached]:
            answer = AnswerHead(status, reason, fields, LENGTH)
            if status in (204, 304) or (not body and passage.head.is_head):
                answer.framing = NO_BODY
            try:
                replaced = self._pass_back(answer)
            except LinkFailed as failed:
                passage.broke_off(failed, True)
                return
            if (
                replaced is not None
                or self._filters is not None
                or answer.status != status
                or _LENGTH_LINE not in answer.fields
            ):
                self._give(answer, body if replaced is None else replaced.body)
                return
            reason, fields = answer.reason, answer.fields
        # As most are: at most the fields have changed, so who has given it knows what the client gets.
        if body and (passage.head.is_head or status in (204, 304)):
            body = b""
        self.status = status
        self.sent = len(body)
        passage.started = True
        self.exchange = passage.inner = None
        if passage.ends:
            passage.over()
        self._out.answer(status, reason, fields, body)

    def _give(self, answer: AnswerHead, body: bytes) -> None:
        """Answer in one piece; the filters have their way with `body`, with a long one in slices."""
        long = len(body) > SLICE_BYTES and answer.status not in (204, 304)
        if long and self._filters is not None and self._dropped < 0:
            if not self._passage.head.is_head:
                self._begun(answer.status)
                self._out.start(
                    answer.status, answer.reason, answer.fields, answer.framing
                )
                Slices(self, body, self.exchange).begin()
                return
        if self._filters is not None:
            filtered = self._filtered(body, "end")
            if filtered is None:
                return
            body = filtered
        fields = answer.fields
        if answer.status in (204, 304):
            body = b""
        elif answer.framing != NO_BODY and answer.get(b"content-length") is None:
            fields += b"Content-Length: %d\r\n" % len(body)
        if self._passage.head.is_head:
            body = b""
        self.sent = len(body)
        self._begun(answer.status)
        out = self._out
        if self._dropped < 0:
            self.close()
        out.answer(answer.status, answer.reason, fields, body)

    def still_sending(self, over: Callable[[ProxyError | None], None]) -> bool:
        """See `DoorIn`."""
        exchange = self.exchange
        if isinstance(exchange, Slices):
            exchange.over = over
            return True
        return self._out.still_sending(over)

    def _begun(self, status: int) -> None:
        self._passage.started = True
        self.status = status
        self._told()

    def _told(self) -> None:
        exchange = self.exchange
        if exchange is not None:
            exchange.response_changed(self.status, self.sent)

    def write(self, data: bytes) -> None:
        """Body bytes."""
        if self._dropped >= 0:
            self._drop(len(data))
            return
        if self._filters is not None:
            data = self._filtered(data) or b""
        if data:
            self.sent += len(data)
            self._out.write(data)

    def _filtered(self, data: bytes, last: str = "") -> bytes | None:
        """What goes on of `data` of the body; None: the answer is cut off."""
        filters = self._filters
        assert filters is not None
        try:
            data = filters.feed(data)
            if last == "end":
                data += filters.end()
            elif last:
                data += filters.flush()
        except LinkFailed as failed:
            self._passage.broke_off(failed, last == "end" and self._dropped < 0)
            return None
        return data

    def _drop(self, size: int) -> None:
        """The client has another answer: read a little more of this one, so that its connection can be kept."""
        self._dropped += size
        exchange = self.exchange
        if self._dropped > DROPPED_BYTES and exchange is not None:
            self._told()
            self.exchange = None
            exchange.response_unwanted()

    def flush(self) -> None:
        """Let what there is leave."""
        if self._dropped >= 0:
            return
        if self._filters is not None:
            data = self._filtered(b"", "flush")
            if data is None:
                return
            if data:
                self.sent += len(data)
                self._out.write(data)
        self._out.flush()

    def finish(self, trailers: bytes = b"", last: bytes = b"") -> None:
        """End the response."""
        if self._dropped >= 0:
            self._told()
            self.close()
            return
        if self._filters is not None:
            filtered = self._filtered(last, "end")
            if filtered is None:
                return
            last = filtered
        self.sent += len(last)
        if not self._relayed:
            self._told()
        self.close()
        self._out.finish(trailers, last)

    def abort(self, code: int = 0) -> None:
        """Let the client see that it is not complete."""
        self.close()
        if self._dropped < 0:
            self._out.abort(code)

    # -- relays and tunnels, where no middleware wants the bytes

    def response_sink(self) -> Any | None:
        """See `DoorIn`."""
        if self._filters is not None or self._dropped >= 0:
            return None
        sink = self._out.response_sink()
        self._relayed = sink is not None
        return sink

    def request_source(self) -> tuple[Any, int] | None:
        """See `DoorIn`."""
        return self._out.request_source() if self._passage.relays_requests else None

    def tunnel_closed(self) -> None:
        """See `DoorIn`."""
        self.close()


def outside(passage: OnItsWay, door: DoorIn, name: str) -> InnerDoor:
    """The door for an answer in the place of the link `name`: only those before it look at it."""
    names = [link.name for link in passage.chain.links]
    return InnerDoor(passage, door, names.index(name))
