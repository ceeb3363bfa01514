"""Parts of a representation that are asked for, and the answer that has several of them (RFC 9110 section 14).

Imports: nothing of ours. Used by: proxy.caching, proxy.files.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

Part = tuple[int, int]
"""The first byte and the one after the last, from 0."""

MOST_PARTS = 5
"""In one answer; who asks for more gets the whole: it is cheaper, and more are asked for by attackers only."""

_UNIT = re.compile(rb"(?i)bytes=")
_SPEC = re.compile(rb"0*+([0-9]*+)-0*+([0-9]*+)")
_DIGITS = 19
# Between two parts a multipart body says about this much; a smaller gap is sent rather than left out.
_GAP = 80
_SPECS = 100


def read_ranges(
    value: bytes, size: int, most: int = MOST_PARTS
) -> tuple[Part, ...] | None:
    """The parts that a Range value asks for of `size` bytes, in its order.

    None: the field is to be ignored, and the whole sent: it is malformed, of another unit, asks for more than
    `most` parts, or there is nothing to take parts of. (): none of them can be had (416). Parts that
    overlap, or nearly touch, are one.
    """
    unit = _UNIT.match(value)
    if unit is None or not size:
        return None
    specs = [part.strip(b"\t ") for part in value[unit.end() :].split(b",", _SPECS + 1)]
    specs = [part for part in specs if part]
    if not specs or len(specs) > _SPECS:
        return None
    parts: list[Part] = []
    for spec in specs:
        bounds = _SPEC.fullmatch(spec)
        if bounds is None or spec == b"-":
            return None
        if spec.startswith(b"-"):
            length = min(_number(bounds[2]), size)
            if length:
                parts.append((size - length, size))
            continue
        first = _number(bounds[1])
        last = size - 1
        if not spec.endswith(b"-"):
            last = _number(bounds[2])
            if last < first:
                return None
        if first < size:
            parts.append((first, min(last + 1, size)))
    parts = _joined(parts)
    return tuple(parts) if len(parts) <= most else None


def _number(digits: bytes) -> int:
    """Of any number of digits; what no file reaches is one number."""
    return int(digits or b"0") if len(digits) <= _DIGITS else 10**_DIGITS


def _joined(parts: list[Part]) -> list[Part]:
    """Those that overlap or nearly touch as one, where the first of them stood."""
    merged: list[list[int]] = []
    for start, stop, place in sorted((a, b, at) for at, (a, b) in enumerate(parts)):
        if merged and start <= merged[-1][1] + _GAP:
            last = merged[-1]
            last[1] = max(last[1], stop)
            last[2] = min(last[2], place)
        else:
            merged.append([start, stop, place])
    merged.sort(key=lambda part: part[2])
    return [(start, stop) for start, stop, _ in merged]


def content_range(part: Part, size: int) -> bytes:
    """The Content-Range value of a part (RFC 9110 section 14.4)."""
    return b"bytes %d-%d/%d" % (part[0], part[1] - 1, size)


def unsatisfied(size: int) -> bytes:
    """The Content-Range value of a 416."""
    return b"bytes */%d" % size


class Multipart:
    """The frame of a multipart/byteranges body (RFC 9110 section 14.6): what stands before each part and at the end.

    `boundary`: one that the parts do not contain, so chosen at random. `content_type`: of the whole, b"" = not known.
    """

    __slots__ = ("boundary", "heads", "length", "tail")

    def __init__(
        self, parts: Sequence[Part], size: int, content_type: bytes, boundary: bytes
    ) -> None:
        kind = b"Content-Type: %b\r\n" % content_type if content_type else b""
        self.boundary = boundary
        self.heads = [
            b"\r\n--%b\r\n%bContent-Range: %b\r\n\r\n"
            % (boundary, kind, content_range(part, size))
            for part in parts
        ]
        self.tail = b"\r\n--%b--\r\n" % boundary
        self.length = (
            sum(stop - start for start, stop in parts)
            + sum(map(len, self.heads))
            + len(self.tail)
        )

    @property
    def content_type(self) -> bytes:
        """The Content-Type of the answer."""
        return b"multipart/byteranges; boundary=%b" % self.boundary
