"""References that lead to a host: taken apart so that two that mean the same compare as equal (RFC 3986 section 4.2).

Imports: domain.routing. Used by: config.middleware, proxy.middleware.

What is no plain one (user information, a port that is none, a host with odd characters) is not taken apart: whoever
compares finds that it is none of ours.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from lolly_tx.domain.routing.hosts import BadHost, host_name

_ABSOLUTE = re.compile(rb"(?i)(?:(https?):)?//([^/?#\\]+)((?:[/?#].*)?)", re.DOTALL)
# Behind a backslash, which ends a host for browsers only, "@other.example" may follow.
_PORT = re.compile(rb":([0-9]{0,5})\Z")
_PORTS = {b"http": 80, b"https": 443}
_REFRESH = re.compile(
    rb"(?i)([0-9.]+[\t ]*[;,][\t ]*url[\t ]*=[\t ]*)(['\"]?)([^'\"]*)(.*)", re.DOTALL
)


class Reference(NamedTuple):
    """`scheme`: lower case, b"" for none. `port`: that of the scheme where none is written. `rest`: what follows."""

    scheme: bytes
    host: str
    port: int
    rest: bytes


def reference_of(value: bytes, scheme: bytes = b"") -> Reference | None:
    """`value` taken apart; None: it leads to no other host, or is no plain one. `scheme`: where it has none."""
    match = _ABSOLUTE.fullmatch(value)
    if match is None:
        return None
    scheme = match[1].lower() if match[1] else scheme
    port = _PORT.search(match[2])
    try:
        host = host_name(match[2])
    except BadHost:
        return None
    number = int(port[1]) if port is not None and port[1] else _PORTS.get(scheme, 0)
    return Reference(scheme, host, number, match[3])


def refresh_parts(value: bytes) -> tuple[bytes, bytes, bytes] | None:
    """What stands before the URL in a Refresh value, the URL, and what stands after it; None: there is none."""
    match = _REFRESH.fullmatch(value)
    return None if match is None else (match[1] + match[2], match[3], match[4])


def with_cookie_attribute(cookie: bytes, name: bytes, value: bytes | None) -> bytes:
    """A Set-Cookie value with another value for the attribute `name` (lower case), or without it, if it has that."""
    parts = cookie.split(b";")
    out = parts[:1]
    for part in parts[1:]:
        if part.partition(b"=")[0].strip().lower() != name:
            out.append(part)
        elif value is not None:
            out.append(b" %b=%b" % (name.title(), value))
    return b";".join(out)


def cookie_attribute(cookie: bytes, name: bytes) -> bytes | None:
    """The last value of an attribute (lower case) of a Set-Cookie value, as browsers take it; None: there is none."""
    found = None
    for part in cookie.split(b";")[1:]:
        key, mark, value = part.partition(b"=")
        if mark and key.strip().lower() == name:
            found = value.strip()
    return found
