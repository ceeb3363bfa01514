"""Listening for streams: the acceptor of one.

Imports: net, net.sockets, net.streams. Used by: service.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from lolly_tx.net.deadlines import NEVER, Deadlines
from lolly_tx.net.sockets.acceptor import Acceptor, Census
from lolly_tx.net.sockets.proxied import Proxied
from lolly_tx.net.streams.door import StreamDoor, StreamSite


def closed_at_once(transport: Any, data: bytes) -> bytes:
    """What clients beyond the limits are told: nothing, for nobody knows what they speak."""
    return b""


def stream_acceptor(
    name: str,
    site: StreamSite,
    *,
    deadlines: Deadlines,
    census: Census,
    most: int = 0,
    proxied: Proxied | None = None,
) -> Acceptor:
    """The factory behind the stream `name`, served by `site`. `most`: connections, 0 = no limit of its own."""
    return Acceptor(
        name,
        partial(StreamDoor, site),
        alpn=[],
        overloaded=closed_at_once,
        idle_seconds=NEVER,
        deadlines=deadlines,
        census=census,
        most=most,
        proxied=proxied,
    )
