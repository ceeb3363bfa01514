"""The route of a request whose path has changed on the way through what all routes of a listener have in common.

Imports: domain.routing, net, proxy, wire. Used by: proxy.asked, service.
"""

from __future__ import annotations

from typing import Any

from lolly_tx.domain.routing.routes import RouteTable
from lolly_tx.net.doors import Peer
from lolly_tx.proxy.proxy import RouteEnd
from lolly_tx.wire.message import RequestHead


class Again:
    """See the module. Of one listener; `table`: its routes, as soon as they are made."""

    __slots__ = ("table",)

    def __init__(self) -> None:
        self.table: RouteTable[RouteEnd] | None = None

    def end_for(self, head: RequestHead, peer: Peer, passed: int) -> RouteEnd | None:
        """What serves it, behind the first `passed` links; None: nobody. Raises `BadPath`."""
        assert self.table is not None
        end: Any = self.table.find(head.block.host, head.target, head, peer)
        # Those links are the same in the chains of all routes of the listener.
        rests: list[RouteEnd] | None = getattr(end, "rests", None)
        found: RouteEnd | None = end if rests is None else rests[passed]
        return found
