"""The proxy of one listener: from a request to its forwarder, and what is said instead.

Imports: domain, net, proxy, wire. Used by: proxy.challenges, proxy.health,
proxy.resource, proxy.secured, service.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Protocol

from lolly_tx.domain.errors import DownstreamError
from lolly_tx.domain.routes import RouteTable
from lolly_tx.net.doors import DoorIn
from lolly_tx.proxy.identity import Identities, Identity
from lolly_tx.proxy.introduction import Introduction
from lolly_tx.proxy.replies import reply
from lolly_tx.wire.errors import BadMessage
from lolly_tx.wire.message import RequestHead


class RouteEnd(Protocol):
    """What serves the requests of a route."""

    def open_exchange(
        self,
        door: DoorIn,
        head: RequestHead,
        body: bytes,
        trailers: bytes,
        complete: bool,
    ) -> object:
        """Begin. `body`: what came with the head; `complete`: that is all of it."""


# Looked at before they are forwarded.
_LOCAL_METHODS = frozenset((b"CONNECT", b"TRACE", b"TRACK", b"OPTIONS"))

_HOPS = re.compile(rb"[0-9]{1,9}")

OnRefusal = Callable[..., None]


class Proxy:
    """Routes requests by `table`.

    `on_refusal(door, head, status, size, why)`: told of each request that no route end has
    seen (for the access log), with its identity after these if it has one. `head` is the line it began
    with, as far as it was read,
    where it is none. A request of our own that comes back is refused.
    """

    def __init__(
        self,
        table: RouteTable[RouteEnd],
        introduction: Introduction,
        on_refusal: OnRefusal | None = None,
    ) -> None:
        self.table = table
        self.introduction = introduction
        self.introduce = introduction.lines
        self._on_refusal = on_refusal
        self._hop = introduction.hop
        self.refused_codes: dict[int, int] = {}
        """Requests that no route end has seen, by the status they got."""
        self.identities: Identities | None = None
        """Makes that of requests that no route end sees; None: they have none."""

    @property
    def refusals(self) -> int:
        """How many these are."""
        return sum(self.refused_codes.values())

    def _count(self, status: int) -> None:
        self.refused_codes[status] = self.refused_codes.get(status, 0) + 1

    def go_by(self, table: RouteTable[RouteEnd], on_refusal: OnRefusal | None) -> None:
        """Serve the next request, of clients that are connected as well, by another table."""
        self.table = table
        self._on_refusal = on_refusal

    def open_exchange(
        self,
        door: DoorIn,
        head: RequestHead,
        body: bytes,
        trailers: bytes,
        complete: bool,
    ) -> None:
        """Find who serves `head` and let it begin."""
        table = self.table
        try:
            end = table.only or table.find(head.block.host, head.target)
        except DownstreamError as error:
            self._refuse(door, head, 400, error.detail)
            return
        if end is None:
            self._refuse(door, head, 404, "no route")
            return
        if not head.plain or head.method in _LOCAL_METHODS:
            looked_at = self._look_at(door, head)
            if looked_at is None:
                return
            head = looked_at
        end.open_exchange(door, head, body, trailers, complete)

    def _look_at(self, door: DoorIn, head: RequestHead) -> RequestHead | None:
        """What is forwarded of an unusual request; None: it has been answered."""
        if self._hop and self._hop in head.block.hops:
            self._refuse(door, head, 508, "came back from a target")
            return None
        looked_at: RequestHead | None = head
        if head.method in _LOCAL_METHODS:
            looked_at = self._one_hop_less(door, head)
        if looked_at is not None and head.block.upgrade:
            looked_at = self._upgrade(door, looked_at)
        return looked_at

    def _one_hop_less(self, door: DoorIn, head: RequestHead) -> RequestHead | None:
        """What is forwarded of a method that may end here; None: it has been answered."""
        if head.method != b"OPTIONS":
            self._refuse(door, head, 405, "method not served", b"Allow: GET, HEAD\r\n")
            return None
        # RFC 9110 section 7.6.2.
        hops = head.block.get(b"max-forwards")
        if hops is None or _HOPS.fullmatch(hops) is None:
            return head
        if not int(hops):  # we are the final recipient
            self._refuse(door, head, 200, "", b"Allow: GET, HEAD, OPTIONS\r\n")
            return None
        return head.with_block(head.block.with_max_forwards(int(hops) - 1))

    def _upgrade(self, door: DoorIn, head: RequestHead) -> RequestHead | None:
        """What is forwarded of a wish to upgrade; None: it has been refused."""
        block = head.block
        protocols = block.upgrade.replace(b" ", b"").split(b",")
        if b"websocket" not in protocols or head.old:
            return head.with_block(block.without_upgrade())
        if block.chunked or block.length:
            self._refuse(door, head, 400, "upgrade with a body")
            return None
        if head.method != b"GET" or not door.can_tunnel:
            return head.with_block(block.without_upgrade())
        return head

    def refused(self, door: DoorIn, error: BadMessage, begun: bool) -> None:
        """A client sent what is no request."""
        size = reply(door, error.status, token="http_request_error")
        self._count(error.status)
        if self._on_refusal is not None and not begun:
            self._on_refusal(door, error.line, error.status, size, error.reason)

    def misdirected(self, door: DoorIn, head: RequestHead) -> None:
        """A request is for another site than the connection is (RFC 9110 section 15.5.20)."""
        self._refuse(door, head, 421, "not for the site of this connection")

    def _refuse(
        self,
        door: DoorIn,
        head: RequestHead,
        status: int,
        why: str,
        extra: bytes = b"",
    ) -> None:
        token = "proxy_loop_detected" if status == 508 else ""
        if status == 400:
            token = DownstreamError.token
            door.last()
        known: tuple[Identity, ...] = ()
        if self.identities is not None:
            known = (self.identities.of(head, door.peer),)
            extra += known[0].echo
        size = reply(
            door, status, token=token, extra=extra, is_head=head.method == b"HEAD"
        )
        self._count(status)
        if self._on_refusal is not None:
            self._on_refusal(door, head, status, size, why, *known)
