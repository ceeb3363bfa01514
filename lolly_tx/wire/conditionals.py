"""Preconditions of requests: what is asked for only if it changed, or only if it did not (RFC 9110 section 13).

A selected representation is described by two validators: its entity tag, as a field value (`"x"` or
`W/"x"`; b"" = it has none), and when it was last modified (seconds since the epoch; None = not known).

Imports: wire. Used by: proxy.files, wire.cachefields.
"""

from __future__ import annotations

import re

import attrs

from lolly_tx.wire.dates import read_date
from lolly_tx.wire.fields import FieldBlock

_NAMED = re.compile(
    rb"(?i)\n(if-(?:none-match|match|modified-since|unmodified-since|range)|range)"
    rb":[\t ]*+([^\r]*+)\r"
)
# Commas may stand inside of tags (RFC 9110 section 8.8.3).
_TAG = re.compile(rb"(?:W/)?\"[!#-~\x80-\xff]*+\"")


@attrs.frozen
class Preconditions:
    """The fields of a request that make it depend on what is there, as received; None = not sent.

    Several lines of one name are one value, joined by ", ": what is no list is malformed then, and counts as such.
    """

    match: bytes | None = None
    none_match: bytes | None = None
    modified_since: bytes | None = None
    unmodified_since: bytes | None = None
    if_range: bytes | None = None
    range: bytes | None = None

    def status(
        self, method: bytes, etag: bytes, modified: float | None, wall: float
    ) -> int:
        """What they come to, in the order of RFC 9110 section 13.2.2: 304, 412, or 0 to go on.

        `wall`: now, seconds since the epoch.
        """
        reads = method in (b"GET", b"HEAD")
        if self.match is not None:
            if not _listed(self.match, etag, weak=False):
                return 412
        elif self.unmodified_since is not None and modified is not None:
            since = read_date(self.unmodified_since, wall)
            if since is not None and int(modified) > since:
                return 412
        if self.none_match is not None:
            if _listed(self.none_match, etag, weak=True):
                return 304 if reads else 412
        elif self.modified_since is not None and modified is not None and reads:
            since = read_date(self.modified_since, wall)
            if since is not None and int(modified) <= since:
                return 304
        return 0

    def wanted_range(
        self, method: bytes, etag: bytes, modified: float | None, wall: float
    ) -> bytes | None:
        """The Range value if it counts, else None: the whole is to be sent (RFC 9110 sections 13.1.5, 14.2).

        `wall`: when the validators were true, seconds since the epoch. A date is a strong validator
        only if the second that it names was over then (section 8.8.2.2).
        """
        if self.range is None or method != b"GET":
            return None
        if self.if_range is not None and not self._same(etag, modified, wall):
            return None
        return self.range

    def _same(self, etag: bytes, modified: float | None, wall: float) -> bool:
        value = self.if_range
        assert value is not None
        if value.startswith((b'"', b"W/")):
            return value == etag and not etag.startswith(b"W/")
        if modified is None or int(modified) + 1 > wall:
            return False
        return read_date(value, wall) == int(modified)


_FIELDS = {
    b"if-match": "match",
    b"if-none-match": "none_match",
    b"if-modified-since": "modified_since",
    b"if-unmodified-since": "unmodified_since",
    b"if-range": "if_range",
    b"range": "range",
}


def preconditions(block: FieldBlock) -> Preconditions | None:
    """Those of a request's fields; None, cheaply, for most requests: there are none."""
    low = block.raw.lower()
    if b"\nif-" not in low and b"\nrange:" not in low:
        return None
    found: dict[str, bytes] = {}
    for name, value in _NAMED.findall(block.raw):
        key = _FIELDS[name.lower()]
        value = value.rstrip(b"\t ")
        found[key] = b"%b, %b" % (found[key], value) if key in found else value
    return Preconditions(**found) if found else None


def _listed(value: bytes, etag: bytes, *, weak: bool) -> bool:
    """Whether a list of tags has `etag`; "*" has whatever exists. `weak`: how they are compared (section 8.8.3.2)."""
    if value == b"*":
        return True
    if not etag:
        return False
    if weak:
        opaque = etag.removeprefix(b"W/")
        return any(tag.removeprefix(b"W/") == opaque for tag in _TAG.findall(value))
    return not etag.startswith(b"W/") and etag in _TAG.findall(value)
