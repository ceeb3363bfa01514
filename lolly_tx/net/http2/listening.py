"""Listening for HTTP/1.1 and HTTP/2 on one address.

Imports: net, net.http1, net.http2, net.sockets, wire, wire.http2. Used by: proxy.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from lolly_tx.net.deadlines import Deadlines
from lolly_tx.net.http1.listening import OVERLOADED, http1_acceptor
from lolly_tx.net.http1.shared import Http1Settings, Site
from lolly_tx.net.http2.choosing import Choosing
from lolly_tx.net.http2.shared import Http2Settings, Http2Shared
from lolly_tx.net.sockets.acceptor import Acceptor, Census
from lolly_tx.net.sockets.proxied import Proxied
from lolly_tx.net.sockets.tls_names import ALPN_HTTP1, ALPN_HTTP2
from lolly_tx.net.turn import Turn
from lolly_tx.wire.http2.frames import SETTINGS, frame, goaway
from lolly_tx.wire.http2_errors import ENHANCE_YOUR_CALM

OVERLOADED_HTTP2 = frame(SETTINGS, 0, 0) + goaway(
    0, ENHANCE_YOUR_CALM, b"too many connections"
)


def overloaded(transport: Any, data: bytes) -> bytes | None:
    """What clients beyond the limits are told, in what they speak (`net.sockets.parting.Words`)."""
    if not data:
        return None  # a handshake may have to be waited for, or the preface
    agreed = getattr(transport, "negotiatedProtocol", None) == ALPN_HTTP2
    return OVERLOADED_HTTP2 if agreed or data.startswith(b"PRI") else OVERLOADED


def http_acceptor(
    name: str,
    site: Site,
    *,
    secure: bool,
    deadlines: Deadlines,
    census: Census,
    settings: Http1Settings,
    most: int = 0,
    proxied: Proxied | None = None,
    http2: Http2Settings | None = None,
) -> Acceptor:
    """The factory behind the listener `name`, which serves `site`.

    `http2`: it speaks that as well: where it is `secure`, if ALPN agrees, else to clients that begin with its preface.
    The others: as of `http1_acceptor`.
    """
    if http2 is None:
        return http1_acceptor(
            name,
            site,
            secure=secure,
            deadlines=deadlines,
            census=census,
            settings=settings,
            most=most,
            proxied=proxied,
        )
    shared = Http2Shared(site, settings, secure, http2, Turn(deadlines.clock))
    return Acceptor(
        name,
        partial(Choosing, shared, not secure),
        alpn=[ALPN_HTTP2, ALPN_HTTP1],
        overloaded=overloaded,
        idle_seconds=settings.timeouts.keepalive,
        deadlines=deadlines,
        census=census,
        most=most,
        proxied=proxied,
    )
