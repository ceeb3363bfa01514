"""Answers on their way to a client: a head that may still be changed, and one that is whole.

Imports: net, proxy, wire. Used by: proxy.caching, proxy.chains, proxy.errand,
proxy.middleware, proxy.streams.

Hop-by-hop fields are gone from heads that come this way, and whatever is written into them is valid or refused.
"""

from __future__ import annotations

from lolly_tx.net.doors import LENGTH, NO_BODY, STREAM, BodyStart, DoorIn
from lolly_tx.proxy.replies import page, reason_of
from lolly_tx.wire.fieldlines import (
    field_value,
    field_values,
    with_field,
    without_fields,
)
from lolly_tx.wire.message import RequestHead

_HOP_BY_HOP = frozenset(
    (b"connection", b"keep-alive", b"transfer-encoding", b"upgrade", b"content-length")
)


class AnswerHead:
    """The head of an answer. `fields`: CRLF, then lines that each end with CRLF. `framing`: as of `net.doors`."""

    __slots__ = ("fields", "framing", "reason", "status")

    def __init__(self, status: int, reason: bytes, fields: bytes, framing: int) -> None:
        self.status = status
        self.reason = reason
        self.fields = fields
        self.framing = framing

    def get(self, name: bytes) -> bytes | None:
        """The value of the first field called `name`, in any case; None: there is none."""
        return field_value(self.fields, name)

    def get_all(self, name: bytes) -> list[bytes]:
        """The values of all of them, in order."""
        return field_values(self.fields, name)

    def add(self, name: bytes, value: bytes) -> None:
        """One more field. Raises ValueError for what is no valid one, or is the connection's own."""
        if name.lower() in _HOP_BY_HOP:
            raise ValueError(f"not a field of an answer's own: {name!r}")
        self.fields = with_field(self.fields, name, value)

    def set(self, name: bytes, value: bytes) -> None:
        """One field of this name, in place of all there are. Raises as `add` does."""
        before = self.fields
        self.remove(name)
        try:
            self.add(name, value)
        except ValueError:
            self.fields = before
            raise

    def remove(self, *names: bytes) -> None:
        """No field of these names."""
        self.fields = without_fields(self.fields, names)

    def unmeasured(self) -> None:
        """Its body is to be of another length, which nobody knows yet."""
        if self.framing != NO_BODY:
            self.framing = STREAM
        self.fields = without_fields(self.fields, (b"content-length",))


class Answer:
    """A whole answer, which is a route's end as well: it answers every request.

    `fields`: as of `AnswerHead`, without Content-Length.
    """

    __slots__ = ("body", "fields", "reason", "status")

    def __init__(
        self,
        status: int,
        fields: bytes = b"\r\n",
        body: bytes = b"",
        reason: bytes = b"",
    ) -> None:
        self.status = status
        self.reason = reason or reason_of(status)
        self.fields = fields
        self.body = body

    def open_exchange(self, door: DoorIn, head: RequestHead, start: BodyStart) -> None:
        """See `proxy.proxy.RouteEnd`."""
        self.give(door, head.is_head)

    def give(self, door: DoorIn, is_head: bool) -> int:
        """Answer through `door`. Returns how many bytes of a body that were."""
        if self.status in (204, 304):
            door.answer(self.status, self.reason, self.fields, b"")
            return 0
        fields = self.fields + b"Content-Length: %d\r\n" % len(self.body)
        sent = b"" if is_head else self.body
        door.answer(self.status, self.reason, fields, sent)
        return len(sent)

    def head(self) -> AnswerHead:
        """Its head by itself."""
        return AnswerHead(self.status, self.reason, self.fields, LENGTH)


def short_page(status: int, fields: bytes = b"") -> Answer:
    """The page of ours for `status`. `fields`: valid lines beside those that say what it is."""
    kind, body = page(status)
    return Answer(status, kind + fields, body)
