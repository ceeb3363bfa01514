"""Who asks the admin endpoint: a page of another site, and under which name a client is remembered.

Imports: Twisted. Used by: service.admin.guard.

A browser tells in Sec-Fetch-Site and Origin which page made a request. A page of the endpoint itself is "same-origin";
"same-site" is another port or another name of the same machine, and as foreign as the rest.
"""

from __future__ import annotations

import socket
import struct
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from twisted.web.http_headers import Headers
    from twisted.web.server import Request


_OURS = (b"same-origin", b"none")
_PEER = struct.Struct("3i")  # ucred: process, user, group


def from_foreign_page(fields: Headers) -> bool:
    """Whether a page of another site made a request with these `fields`."""
    sites = fields.getRawHeaders(b"sec-fetch-site") or []
    if any(site.lower() not in _OURS for site in sites):
        return True
    ours = _place((fields.getRawHeaders(b"host") or [b""])[0])
    origins = fields.getRawHeaders(b"origin") or []
    return any(
        not origin.startswith((b"http://", b"https://"))
        or _place(origin.partition(b"://")[2]) != ours
        for origin in origins
    )


def _place(authority: bytes) -> bytes:
    """Host and port, the latter left out where browsers do; the scheme is a proxy's in front of us to change."""
    return authority.lower().removesuffix(b":80").removesuffix(b":443")


def client_name(request: Request) -> str:
    """The address of the client; of one at a UNIX socket the process, as the kernel tells it."""
    host: str = getattr(request.getClientAddress(), "host", "")
    if host:
        return host
    transport: Any = getattr(request.channel, "transport", None)
    try:
        seen = transport.socket.getsockopt(
            socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size
        )
        process, user, _ = _PEER.unpack(seen)
    except (AttributeError, OSError):
        return "unix:"
    return f"unix: user {user} process {process}"
