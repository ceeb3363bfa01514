"""What of an answer that there is a request gets: all of it, a part, or only that it has not changed.

Imports: proxy, wire. Used by: proxy.caching.ends, proxy.caching.sending,
proxy.caching.shelf, proxy.caching.store.
"""

from __future__ import annotations

from random import Random

from lolly_tx.proxy.replies import reason_of
from lolly_tx.wire.cachefields import Asked
from lolly_tx.wire.fieldlines import field_value, without_fields
from lolly_tx.wire.ranges import (
    Multipart,
    Part,
    content_range,
    read_ranges,
    unsatisfied,
)

_OF_THE_BODY = (
    b"content-length",
    b"content-type",
    b"content-encoding",
    b"content-language",
    b"content-range",
    b"content-md5",
    b"content-disposition",
    b"accept-ranges",
)


class Choice:
    """An answer: `fields` are CRLF, then lines that each end with CRLF; its body is `parts` of the one there is.

    `frame`: what stands around several parts; None: there is one at most. `size`: bytes of the body.
    """

    __slots__ = ("fields", "frame", "parts", "reason", "size", "status")

    def __init__(
        self,
        status: int,
        reason: bytes,
        fields: bytes,
        parts: tuple[Part, ...],
        frame: Multipart | None = None,
    ) -> None:
        self.status = status
        self.reason = reason
        self.fields = fields
        self.parts = parts
        self.frame = frame
        self.size = sum(stop - start for start, stop in parts)
        if frame is not None:
            self.size = frame.length


def _bodiless(status: int, fields: bytes) -> Choice:
    return Choice(status, reason_of(status), fields, ())


def choose(
    asked: Asked,
    method: bytes,
    *,
    status: int,
    reason: bytes,
    fields: bytes,
    length: int,
    etag: bytes,
    modified: int | None,
    made: int | None,
    wall: float,
    several: Random | None,
) -> Choice:
    """The answer to a request with `asked` and `method`, of one with `status`, `reason` and `fields`.

    `length`: of its body. `made`: when the target made it, seconds since the epoch, which stands in for when it was
    `modified` (RFC 9111 section 4.3.2). `several`: chooses what stands between parts; None: there can only be one,
    and who asks for more gets the whole.
    """
    conditions = asked.conditions
    if conditions is not None and status == 200:
        changed = made if modified is None else modified
        other = conditions.status(method, etag, changed, wall)
        if other == 304:
            names = (*_OF_THE_BODY, b"last-modified") if etag else _OF_THE_BODY
            return _bodiless(304, without_fields(fields, names))
        if other:
            kept = without_fields(fields, (*_OF_THE_BODY, b"last-modified", b"etag"))
            return _bodiless(412, kept + b"Content-Length: 0\r\n")
        wanted = conditions.wanted_range(method, etag, modified, wall)
        if wanted is not None:
            most = 1 if several is None else 5
            parts = read_ranges(wanted, length, most)
            if parts == ():
                kept = without_fields(fields, _OF_THE_BODY)
                kept += b"Content-Range: %b\r\n" % unsatisfied(length)
                return _bodiless(416, kept + b"Content-Length: 0\r\n")
            if parts is not None:
                return _partial(fields, parts, length, several)
    return Choice(status, reason, fields, ((0, length),) if length else ())


def _partial(
    fields: bytes, parts: tuple[Part, ...], length: int, several: Random | None
) -> Choice:
    reason = reason_of(206)
    kept = without_fields(fields, (b"content-length",))
    if len(parts) == 1 or several is None:
        part = parts[0]
        kept += b"Content-Range: %b\r\nContent-Length: %d\r\n" % (
            content_range(part, length),
            part[1] - part[0],
        )
        return Choice(206, reason, kept, parts)
    kind = field_value(fields, b"content-type") or b""
    frame = Multipart(parts, length, kind, b"%032x" % several.getrandbits(128))
    kept = without_fields(kept, (b"content-type",))
    kept += b"Content-Type: %b\r\nContent-Length: %d\r\n" % (
        frame.content_type,
        frame.length,
    )
    return Choice(206, reason, kept, parts, frame)


def whole_body(choice: Choice, body: bytes) -> bytes:
    """The body of `choice`, of one that is in memory."""
    if choice.frame is None:
        if not choice.parts:
            return b""
        start, stop = choice.parts[0]
        return body if stop - start == len(body) else body[start:stop]
    pieces = []
    for head, (start, stop) in zip(choice.frame.heads, choice.parts, strict=True):
        pieces += [head, body[start:stop]]
    return b"".join([*pieces, choice.frame.tail])
