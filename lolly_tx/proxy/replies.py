"""Our own answers, and which status an error becomes.

A small plain body without any of the client's bytes, and Proxy-Status (RFC 9209) so that
a program can tell our 502, 503 and 504 from a backend's.

Imports: domain, net. Used by: proxy, proxy.caching, proxy.files, proxy.forwards,
proxy.middleware, proxy.streams, service.admin, simulate.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from lolly_tx.domain.errors import (
    DownstreamError,
    NoTarget,
    OutOfResources,
    ProxyError,
    Shutdown,
    TargetDown,
    UpstreamError,
)
from lolly_tx.net.doors import DoorIn

PROXY_NAME = b"lolly_tx"

LOOP = "proxy_loop_detected"
"""The token of a way that leads back (RFC 9209 section 2.3.11)."""

_SAYS: Mapping[int, bytes] = {
    421: b"This connection is not for that host.",
    502: b"The backend did not give a valid answer.",
    503: b"No backend is available for this request now.",
    504: b"The backend did not answer in time.",
    508: b"This request has come through here before: its backend leads back here.",
}


def status_of(error: ProxyError) -> int:
    """The HTTP status that tells a client about `error`."""
    if isinstance(error, (NoTarget, TargetDown)):
        return 503
    if isinstance(error, UpstreamError):
        if error.token == LOOP:
            return 508
        return 504 if error.kind == "timeout" else 502
    if isinstance(error, DownstreamError):
        return error.status
    if isinstance(error, (OutOfResources, Shutdown)):
        return 503
    return 500


def reason_of(status: int) -> bytes:
    """The usual reason phrase."""
    try:
        return HTTPStatus(status).phrase.encode("ascii")
    except ValueError:
        return b"Error"


def page(status: int) -> tuple[bytes, bytes]:
    """The page that says `status`: fields that tell what it is, as CRLF and lines, and the body."""
    body = b"%d %b\n" % (status, reason_of(status))
    if status in _SAYS:
        body += _SAYS[status] + b"\n"
    return b"\r\nContent-Type: text/plain; charset=utf-8\r\n", body


def fields_of(error: ProxyError) -> bytes:
    """What more the client of `error` is told, as field lines."""
    return b"Retry-After: %d\r\n" % error.again if error.again else b""


def reply(
    door: DoorIn,
    status: int,
    *,
    token: str = "",
    extra: bytes = b"",
    is_head: bool = False,
) -> int:
    """Answer through `door` with a page of our own. Returns the size of the body.

    `token`: error token of RFC 9209 section 2.3, "" for none. `extra`: valid field lines.
    """
    fields, body = page(status)
    fields += b"Content-Length: %d\r\n" % len(body)
    if token:
        fields += b"Proxy-Status: %b; error=%b\r\n" % (PROXY_NAME, token.encode())
    sent = b"" if is_head else body
    door.answer(status, reason_of(status), fields + extra, sent)
    return len(sent)
