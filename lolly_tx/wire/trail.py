"""The forward proxies that a tunnel has come through, so that one it comes back to knows it.

    CONNECT   Via: 1.1 lolly-0123456789abcdef, 1.1 another       as of any request (RFC 9110 section 7.6.3)
    SOCKS5    05 n 00 80 81 82 ... 8F                            those that are called like us, in the greeting

SOCKS5 has no place for such a thing, but methods 80 to FE are private (RFC 1928 section 3), and who does not know one
passes over it. So a proxy of ours that is a client of another one offers, behind what it can really do, sixteen methods
for each proxy on the way: a hexadecimal digit of its name each, added to 80.

Imports: nothing of ours. Used by: net.forward, proxy.forwards, service.forwards,
wire.asking.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

MOST_HOPS: Final = 12
"""Proxies of ours that a tunnel may have come through; a greeting has room for no more than fifteen."""

MOST_BYTES: Final = 1024
"""Of Via that a tunnel may have."""

_DIGITS = 16
_FIRST = 0x80
_OURS = re.compile(rb"\blolly-([0-9a-f]{16})\b")


def name_of(digest: str) -> str:
    """What a proxy of ours is called there. `digest`: sixteen hexadecimal digits that no other one has."""
    return f"lolly-{digest}"


def told_by(via: Sequence[bytes]) -> bytes:
    """The whole trail that the values of Via tell; b"": none."""
    return b", ".join(via)


def is_too_long(trail: bytes) -> bool:
    """Nobody goes such a way but in circles."""
    return len(trail) > MOST_BYTES or len(_OURS.findall(trail)) > MOST_HOPS


def longer(trail: bytes, name: str) -> bytes:
    """It with one more proxy at its end."""
    mine = b"1.1 " + name.encode("ascii")
    return b"%b, %b" % (trail, mine) if trail else mine


def as_methods(trail: bytes) -> bytes:
    """What it is in a greeting, after the methods that are meant as such."""
    digits = b"".join(_OURS.findall(trail)[: MOST_HOPS + 1])
    return bytes(_FIRST + int(chr(digit), 16) for digit in digits)


def in_methods(methods: bytes) -> bytes:
    """The trail that a greeting tells; b"": none."""
    digits = "".join(
        f"{one - _FIRST:x}" for one in methods if _FIRST <= one < _FIRST + 16
    )
    trail = b""
    for at in range(0, len(digits) - _DIGITS + 1, _DIGITS):
        trail = longer(trail, name_of(digits[at : at + _DIGITS]))
    return trail
