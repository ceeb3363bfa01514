"""Cache-Control and fields like it, read strictly (RFC 9111 section 5.2, RFC 9213).

    max-age=60, private="X-A, X-B", foo      several lines of the field are one list
    directive   directive           directive

What is malformed is never taken for permission: its words are there, so that they forbid what they forbid, but
with the value b"", which grants nothing. What stands in quotes is no directive.

Imports: wire. Used by: wire.cachefields.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from lolly_tx.wire.grammar import TOKEN

LONGEST = 2**31
"""Seconds: what is more is this (RFC 9111 section 1.2.2)."""

_QUOTED = rb'"(?:[^"\\]|\\.)*+"'
_MEMBER = re.compile(
    rb"(%b)(?:=(?:(%b)|(%b)))?+[\t ]*+(?:,|\Z)" % (TOKEN, TOKEN, _QUOTED)
)
# Up to the next comma outside of quotes; a quote that does not end goes to the end.
_UNREAD = rb'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)'
_SKIPPED = re.compile(rb'(?:%b|[^",])*+(?:,|\Z)' % _UNREAD)
_NO_WORD = re.compile(_UNREAD)
_WORD = re.compile(TOKEN)
_BLANKS = re.compile(rb"[\t ,]*+")
_DIGITS = re.compile(rb"[0-9]++")
_DIGITS_READ = 10

Directives = dict[bytes, bytes | None]
"""By lower-case name: the value; None = it has none; b"" = it is malformed, or given twice with different values."""

NO_DIRECTIVES: Directives = {}


def read_directives(values: Iterable[bytes]) -> Directives:
    """The directives in the `values` of all lines of the field."""
    found: Directives = {}
    for text in values:
        at = 0
        while True:
            blanks = _BLANKS.match(text, at)
            at = blanks.end() if blanks else at
            if at >= len(text):
                break
            member = _MEMBER.match(text, at)
            if member is not None:
                name, token, quoted = member.groups()
                value = token if quoted is None else quoted[1:-1]
                _put(found, name.lower(), value)
            else:
                member = _SKIPPED.match(text, at)
                assert member is not None  # it also matches nothing
                for word in _WORD.findall(_NO_WORD.sub(b" ", member[0])):
                    _put(found, word.lower(), b"")
            at = max(member.end(), at + 1)
    return found


def _put(found: Directives, name: bytes, value: bytes | None) -> None:
    found[name] = value if found.get(name, value) == value else b""


def delta_seconds(value: bytes | None) -> int | None:
    """Seconds as a directive or a field says them (RFC 9111 section 1.2.2); None: it does not."""
    if value is None or not _DIGITS.fullmatch(value):
        return None
    if len(value) > _DIGITS_READ:
        value = value.lstrip(b"0") or b"0"
    return min(int(value), LONGEST) if len(value) <= _DIGITS_READ else LONGEST
