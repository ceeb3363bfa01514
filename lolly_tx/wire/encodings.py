"""Accept-Encoding: which coding of a body a client gets (RFC 9110 section 12.5.3).

Imports: wire. Used by: proxy.files, proxy.middleware.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from lolly_tx.wire.grammar import TOKEN

IDENTITY = ""
"""No coding at all."""

REMEMBERED = 256
REMEMBERED_BYTES = 256
"""Of one value; browsers send a few dozen different ones, none of them long."""

_ELEMENT = re.compile(
    rb"(?i)(%b)(?:[\t ]*+;[\t ]*+q=(?:(1(?:\.0{0,3})?)|0(?:\.([0-9]{0,3}))?))?" % TOKEN
)
_ALIASES = {b"x-gzip": b"gzip"}


def qualities(value: bytes) -> dict[bytes, int]:
    """The weight of each coding that a value names, 0 to 1000; a malformed element counts for nothing.

    A coding that is named twice has the lower weight: it may be forbidden there.
    """
    found: dict[bytes, int] = {}
    for element in value.split(b","):
        match = _ELEMENT.fullmatch(element.strip(b"\t "))
        if match is None:
            continue
        coding = match[1].lower()
        coding = _ALIASES.get(coding, coding)
        weight = 1000
        if match[3] is not None:
            weight = int(match[3].ljust(3, b"0"))
        elif match[2] is None and b";" in element:
            weight = 0  # "q=0"
        found[coding] = min(weight, found.get(coding, 1000))
    return found


class Negotiation:
    """Chooses among `offered`, names of codings, the preferred first.

    What was chosen for a value is remembered, at most `REMEMBERED` of them.
    """

    __slots__ = ("_known", "_offered")

    def __init__(self, offered: Sequence[str]) -> None:
        self._offered = [(name, name.encode("ascii")) for name in offered]
        self._known: dict[bytes, str] = {}

    def choose(self, value: bytes | None) -> str:
        """The coding for a request whose Accept-Encoding is `value`, None = it has none; or `IDENTITY`.

        The highest weight wins, the order of those offered between equals. A body as it is will do even
        where it is forbidden: there is no other (RFC 9110 section 12.5.3 allows that).
        """
        if not value:
            return IDENTITY
        known = self._known.get(value)
        if known is None:
            known = self._choice(qualities(value))
            if len(value) <= REMEMBERED_BYTES:
                if len(self._known) >= REMEMBERED:
                    self._known.clear()
                self._known[value] = known
        return known

    def _choice(self, weights: dict[bytes, int]) -> str:
        other = weights.get(b"*", 0)
        # Not named, it is what is left when nothing else will do.
        best, most = IDENTITY, weights.get(b"identity", other)
        for name, coding in self._offered:
            weight = weights.get(coding, other)
            if weight > most or (weight and weight == most and best == IDENTITY):
                best, most = name, weight
        return best
