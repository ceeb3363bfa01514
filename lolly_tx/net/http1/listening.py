"""Listening for HTTP/1.1: the acceptor of a listener whose clients speak it.

Imports: net, net.http1, net.sockets. Used by: net.forward, net.http2, proxy.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from lolly_tx.net.deadlines import Deadlines
from lolly_tx.net.http1.server import Http1Server
from lolly_tx.net.http1.shared import Http1Settings, Shared, Site
from lolly_tx.net.sockets.acceptor import Acceptor, Census
from lolly_tx.net.sockets.proxied import Proxied
from lolly_tx.net.sockets.tls_names import ALPN_HTTP1

OVERLOADED = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n"
    b"Retry-After: 1\r\nConnection: close\r\n\r\n"
)


def overloaded(transport: Any, data: bytes) -> bytes:
    """What clients beyond the limits are told, before they ask (`net.sockets.parting.Words`)."""
    return OVERLOADED


def http1_acceptor(
    name: str,
    site: Site,
    *,
    secure: bool,
    deadlines: Deadlines,
    census: Census,
    settings: Http1Settings,
    most: int = 0,
    proxied: Proxied | None = None,
) -> Acceptor:
    """The factory behind the listener `name`, which serves `site`.

    `secure`: it speaks TLS. `most`: connections of this listener, 0 = no limit. `proxied`: who begins with a PROXY
    header.
    """
    return Acceptor(
        name,
        partial(Http1Server, Shared(site, settings, secure)),
        alpn=[ALPN_HTTP1],
        overloaded=overloaded,
        idle_seconds=settings.timeouts.keepalive,
        deadlines=deadlines,
        census=census,
        most=most,
        proxied=proxied,
    )
