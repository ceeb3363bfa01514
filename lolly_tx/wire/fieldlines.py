"""Fields of a message as they are written, asked for and changed by name: CRLF, then lines that each end with CRLF.

Imports: wire. Used by: proxy, proxy.caching, proxy.middleware.

For messages that somebody changes. Names are given in any case and compared without it.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable

from lolly_tx.wire.fields import render_fields
from lolly_tx.wire.hops import names_in, without

_VALUES = rb"(?i)\n%b:[\t ]*+([^\r\n]*+)\r"


def field_values(lines: bytes, name: bytes) -> list[bytes]:
    """The values of all fields called `name`, in order, without outer spaces."""
    if lines.lower().find(b"\n%b:" % name.lower()) < 0:
        return []
    found = re.findall(_VALUES % re.escape(name), lines)
    return [value.rstrip(b"\t ") for value in found]


def field_value(lines: bytes, name: bytes) -> bytes | None:
    """The value of the first of them, or None."""
    low = lines.lower()
    at = low.find(b"\n%b:" % name.lower())
    if at < 0:
        return None
    at += len(name) + 2
    return lines[at : lines.index(b"\r", at)].strip(b"\t ")


def without_fields(lines: bytes, names: Iterable[bytes]) -> bytes:
    """The same without fields of these names."""
    return without(lines, lines.lower(), [name.lower() for name in names])


def with_field(lines: bytes, name: bytes, value: bytes) -> bytes:
    """The same with one field more. Raises ValueError for what would not be one valid line."""
    return lines + render_fields([(name, value)])


def names_of(lines: bytes) -> frozenset[bytes]:
    """The names of all fields, in lower case."""
    return frozenset(names_in(lines.lower()))


def without_spellings(lines: bytes, names: Container[bytes]) -> bytes:
    """The same without fields of these names (lower case, "-"), also where "_" stands for "-".

    CGI and what follows it (WSGI) take both for one name.
    """
    low = lines.lower()
    cut = [name for name in names_in(low) if name.replace(b"_", b"-") in names]
    return without(lines, low, cut) if cut else lines
