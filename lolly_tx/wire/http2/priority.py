"""How urgent a stream is (RFC 9218).

Imports: nothing of ours. Used by: net.http2.
"""

from __future__ import annotations

import re
from functools import lru_cache

LEVELS = 8
USUAL = 3
"""The urgency of who says none; 0 is the most urgent."""

# A dictionary of structured fields (RFC 8941). What is not understood is ignored (section 4), with
# the member it is in.
_URGENCY = re.compile(rb"u=([0-7])(?:;.*)?", re.DOTALL)
_INCREMENTAL = re.compile(rb"i(?:=\?([01]))?(?:;.*)?", re.DOTALL)


@lru_cache(64)
def priority_of(value: bytes) -> tuple[int, bool]:
    """Urgency, 0 to 7, and whether it is of use in parts, from the value of a Priority field."""
    urgency, incremental = USUAL, False
    for member in value.split(b","):
        member = member.strip(b"\t ")
        said = _URGENCY.fullmatch(member)
        if said is not None:
            urgency = int(said[1])
            continue
        said = _INCREMENTAL.fullmatch(member)
        if said is not None:
            incremental = said[1] != b"0"
    return urgency, incremental
