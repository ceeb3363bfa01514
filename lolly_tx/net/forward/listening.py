"""Listening for the clients of a forward proxy.

Imports: net, net.forward, net.http1, net.sockets, wire. Used by: service.forwards.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial
from typing import Any, Protocol

from lolly_tx.net.deadlines import Deadlines
from lolly_tx.net.forward.first_byte import FirstByte
from lolly_tx.net.forward.server import ForwardServer
from lolly_tx.net.forward.socks import SocksSite
from lolly_tx.net.http1.listening import overloaded
from lolly_tx.net.http1.shared import Http1Settings, Shared, Site
from lolly_tx.net.sockets.acceptor import Acceptor, Census
from lolly_tx.net.sockets.proxied import Proxied
from lolly_tx.net.sockets.tls_names import ALPN_HTTP1
from lolly_tx.wire.forwardform import ForwardReader
from lolly_tx.wire.socks5 import NONE_OF_THEM, VERSION, method

HTTP, SOCKS5 = "http", "socks5"


class ForwardSite(Site, SocksSite, Protocol):
    """What serves both."""


def too_many(transport: Any, data: bytes) -> bytes | None:
    """What clients beyond the limits are told, in what they speak (`net.sockets.parting.Words`)."""
    if not data:
        return None
    if data[0] == VERSION:
        return method(NONE_OF_THEM)
    return overloaded(transport, data)


def forward_acceptor(
    name: str,
    site: ForwardSite,
    *,
    protocols: Collection[str],
    secure: bool,
    deadlines: Deadlines,
    census: Census,
    settings: Http1Settings,
    most: int = 0,
    proxied: Proxied | None = None,
) -> Acceptor:
    """The factory behind the forward proxy `name`, served by `site`.

    `protocols`: "http", "socks5". The others: as of `http1_acceptor`.
    """
    shared = Shared(site, settings, secure, ForwardReader(settings.limits))
    make: Callable[..., Any] = partial(ForwardServer, shared)
    if SOCKS5 in protocols:
        make = partial(FirstByte, site, shared, HTTP in protocols)
    return Acceptor(
        name,
        make,
        alpn=[ALPN_HTTP1],
        overloaded=too_many,
        idle_seconds=settings.timeouts.keepalive,
        deadlines=deadlines,
        census=census,
        most=most,
        proxied=proxied,
    )
