"""The dashboard's files: one page, its style and its script, none of which says anything of this proxy.

What they show comes from `/api/live`. The page may load nothing from anywhere else and run no script but its own, so
that a name with markup in it, or a target's text, can do nothing.

Imports: Twisted. Used by: service.admin.endpoint, service.admin.reads,
service.admin.table.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from twisted.web.server import Request

POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:;"
    b" base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

PAGE = "index.html"

_TYPES = {
    PAGE: b"text/html; charset=utf-8",
    "dashboard.css": b"text/css; charset=utf-8",
    "dashboard.js": b"text/javascript; charset=utf-8",
}

FILES = tuple(name for name in _TYPES if name != PAGE)
"""What the page loads, by name."""


def type_of(name: str) -> str:
    """The type of a file, without parameters."""
    return _TYPES[name].partition(b";")[0].decode("ascii")


@cache
def content(name: str) -> bytes:
    """A file of the dashboard."""
    return (files("lolly_tx.service") / "dashboard" / name).read_bytes()


def fields(name: str) -> Mapping[bytes, bytes]:
    """What is said of it."""
    return {
        b"content-type": _TYPES[name],
        b"content-security-policy": POLICY,
        b"referrer-policy": b"no-referrer",
        b"cross-origin-opener-policy": b"same-origin",
        b"cross-origin-resource-policy": b"same-origin",
        b"x-frame-options": b"DENY",
        b"vary": b"Accept",
    }


def is_asked_for(request: Request) -> bool:
    """By a browser: it asks for HTML, by name."""
    accepted = request.requestHeaders.getRawHeaders(b"accept") or ()
    return any(
        one.partition(b";")[0].strip().lower() == b"text/html"
        for each in accepted
        for one in each.split(b",")
    )
