"""What the head of an answer says of a file, and how long it may be kept.

Imports: net.files, wire. Used by: proxy.files.answer, proxy.files.end,
proxy.files.store.
"""

from __future__ import annotations

from collections.abc import Callable

from lolly_tx.net.files.finding import Form, Found
from lolly_tx.wire.dates import DateLine, http_date
from lolly_tx.wire.mediatypes import MediaTypes

VARY = b"Vary: Accept-Encoding\r\n"


class Representation:
    """A form of a file as clients get it: `form`, its validators, and the lines of its head but for dates.

    `kind`: its Content-Type, b"" = none. `fields`: of a 200. `brief`: of a 304, and of what is about the same but
    has another body (RFC 9110 section 15.4.5).
    """

    __slots__ = (
        "body",
        "brief",
        "coding",
        "etag",
        "fields",
        "kind",
        "modified",
        "size",
    )

    def __init__(
        self, form: Form, kind: bytes, varies: bool, policy: bytes, wall: float
    ) -> None:
        self.size = form.size
        self.body = form.body
        self.coding = form.coding
        self.kind = kind
        tag = b'"%x-%x%b"' % (
            form.changed,
            form.size,
            b"-" + form.coding.encode() if form.coding else b"",
        )
        self.etag = tag if form.settled else b"W/" + tag
        changed = form.changed / 1e9
        # A date in the future would be one that the client must not believe (section 8.8.2.1).
        self.modified = changed if changed <= wall else None
        brief = b"ETag: %b\r\n" % self.etag
        if self.modified is not None:
            brief += b"Last-Modified: %b\r\n" % http_date(self.modified)
        if varies:
            brief += VARY
        self.brief = b"\r\n" + brief + policy
        self.fields = self.head(self.size) + b"Accept-Ranges: bytes\r\n"

    def head(self, size: int, kind: bytes | None = None) -> bytes:
        """The lines of an answer with a body of that size. `kind`: None = its own type."""
        kind = self.kind if kind is None else kind
        lines = self.brief
        if kind:
            lines += b"Content-Type: %b\r\n" % kind
        if self.coding:
            lines += b"Content-Encoding: %b\r\n" % self.coding.encode()
        return lines + b"Content-Length: %d\r\n" % size


def representations(
    found: Found, types: MediaTypes, policy: bytes, wall: float
) -> tuple[Representation, ...]:
    """Those of a file, the first as it is. `policy`: lines on how long they may be kept."""
    kind = types.of(found.path)
    varies = len(found.forms) > 1
    return tuple(
        Representation(form, kind, varies, policy, wall) for form in found.forms
    )


OFF, EPOCH, MAX = "off", "epoch", "max"
_LONGEST_SECONDS = 315360000


class Expiry:
    """How long answers may be kept: seconds, "max" (ten years), "epoch" (always to be asked for again) or "off".

    `policy`: the Cache-Control line.
    """

    def __init__(self, expires: float | str, wall: Callable[[], float]) -> None:
        self.policy = b""
        self._fixed = b""
        self._line: DateLine | None = None
        if expires == MAX:
            self.policy = b"Cache-Control: max-age=%d\r\n" % _LONGEST_SECONDS
            self._fixed = b"Expires: Thu, 31 Dec 2037 23:55:55 GMT\r\n"
        elif expires == EPOCH:
            self.policy = b"Cache-Control: no-cache\r\n"
            self._fixed = b"Expires: Thu, 01 Jan 1970 00:00:01 GMT\r\n"
        elif not isinstance(expires, str):
            self.policy = b"Cache-Control: max-age=%d\r\n" % expires
            self._line = DateLine(wall, b"Expires", expires)

    def at(self, now: float) -> bytes:
        """The Expires line at `now` (seconds, monotonic), or b""."""
        return self._fixed if self._line is None else self._line.at(now)
