"""Listening for the clients of a forward proxy.

Imports: net, net.forward, net.http1, net.sockets, wire. Used by: service.
"""

from __future__ import annotations

from functools import partial

from lolly_tx.net.deadlines import Deadlines
from lolly_tx.net.forward.server import ForwardServer
from lolly_tx.net.http1.listening import overloaded
from lolly_tx.net.http1.shared import Http1Settings, Shared, Site
from lolly_tx.net.sockets.acceptor import Acceptor, Census
from lolly_tx.net.sockets.proxied import Proxied
from lolly_tx.net.sockets.tls_contexts import ALPN_HTTP1
from lolly_tx.wire.forwardform import ForwardReader


def forward_acceptor(
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
    """The factory behind the forward proxy `name`, served by `site`. The others: as of `http1_acceptor`."""
    shared = Shared(site, settings, secure, ForwardReader(settings.limits))
    return Acceptor(
        name,
        partial(ForwardServer, shared),
        alpn=[ALPN_HTTP1],
        overloaded=overloaded,
        idle_seconds=settings.timeouts.keepalive,
        deadlines=deadlines,
        census=census,
        most=most,
        proxied=proxied,
    )
