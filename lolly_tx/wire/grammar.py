"""What heads are made of, as pieces of regular expressions, and how large they may be.

Imports: nothing of ours. Used by: net.checks, net.http1, net.http2, net.tunnels, proxy,
service, service.forwards, wire, wire.hpack, wire.http2.

All repeats are possessive, so that no pattern keeps backtracking state.
"""

from __future__ import annotations

import attrs

TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
"""Methods and field names (RFC 9110 section 5.6.2)."""

NAME_NO_UNDERSCORE = rb"[!#$%&'*+\-.^`|~0-9A-Za-z]++"
"""Field names of ordinary requests. Those with "_" go the slow way: beside their "-" twin
they confuse CGI-like backends, so they are dropped there."""

VALUE = rb"[\t -~\x80-\xff]*+"
"""Field values: no control byte but the tab."""

PATH_BYTE = rb"[!$&-;=@-\[\]^-~]"
QUERY_BYTE = rb"[!\"$-~\x80-\xff]"
TARGET = rb"/(?:%b++|%%(?!00)[0-9A-Fa-f]{2})*+(?:\?%b*+)?+" % (PATH_BYTE, QUERY_BYTE)
"""Request targets in origin-form. The path, by which routes go: visible ASCII without
" < > \\ # (never valid in a URI; RFC 3986 would also refuse [ ] ^ ` { | }), "%" only as
an escape, and not of NUL, where C programs end a text. The query is the backend's: what
clients write there passes byte for byte (`?q=100%`), but for blanks, control bytes and
the "#" of a fragment."""

REQUEST_NAMES = (
    b"host",
    b"connection",
    b"content-length",
    b"transfer-encoding",
    b"te",
    b"trailer",
    b"upgrade",
    b"expect",
    b"keep-alive",
    b"forwarded",
    b"x-forwarded-",
    b"x-real-ip",
    b"proxy",
    b"proxy-",
    b"http2-settings",
    b"lolly-hop",
)
"""Of fields of a request that are more to a proxy than lines to pass on; those that end in "-" are beginnings."""

RESPONSE_NAMES = (
    b"connection",
    b"content-length",
    b"transfer-encoding",
    b"te",
    b"trailer",
    b"upgrade",
    b"keep-alive",
    b"proxy-connection",
    b"proxy-authenticate",
    b"date",
)
"""The same of a response."""


def any_of(names: tuple[bytes, ...]) -> bytes:
    """A pattern of `names`, before a colon."""
    # By their first letters: where none of these stands, one look at each is enough.
    letters = dict.fromkeys([name[:1] for name in names])
    return b"|".join([b"%b(?:%b)" % (each, _after(each, names)) for each in letters])


def _after(letter: bytes, names: tuple[bytes, ...]) -> bytes:
    rest = [name[1:] for name in names if name.startswith(letter)]
    return b"|".join([r + b"[^:]++" if r.endswith(b"-") else r for r in rest])


MAX_LENGTH = 2**63 - 1
"""Largest Content-Length accepted: a signed 64-bit counter's."""


@attrs.frozen
class HeadLimits:
    """How large a head may be.

    `head_bytes` in all, `fields` field lines, `line_bytes` for the start line.
    """

    head_bytes: int = 32768
    fields: int = 200
    line_bytes: int = 8192


REQUEST_LIMITS = HeadLimits()
RESPONSE_LIMITS = HeadLimits(head_bytes=65536, fields=1000, line_bytes=65536)
