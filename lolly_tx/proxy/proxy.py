"""The proxy of one listener: from a request to its forwarder, and what is said instead.

Imports: domain, domain.routing, net, proxy, wire. Used by: proxy, proxy.caching,
proxy.chains, proxy.forwards, proxy.middleware, service, service.changes,
service.forwards, service.metrics.
"""

from __future__ import annotations

import re
from typing import Final, Protocol

from lolly_tx.domain.errors import DownstreamError
from lolly_tx.domain.native import mypyc_attr
from lolly_tx.domain.routing.routes import RouteTable
from lolly_tx.net.doors import BodyStart, DoorIn
from lolly_tx.proxy.introduction import Introduction
from lolly_tx.proxy.own_answers import OnRefusal, OwnAnswers
from lolly_tx.proxy.replies import reply
from lolly_tx.wire.errors import BadMessage
from lolly_tx.wire.message import RequestHead


class RouteEnd(Protocol):
    """What serves the requests of a route."""

    def open_exchange(
        self, door: DoorIn, head: RequestHead, start: BodyStart
    ) -> object:
        """Begin. `start`: what came of the body with the head."""


# Looked at before they are forwarded.
_LOCAL_METHODS: Final = frozenset((b"CONNECT", b"TRACE", b"TRACK", b"OPTIONS"))

_HOPS: Final = re.compile(rb"[0-9]{1,9}")


@mypyc_attr(allow_interpreted_subclasses=True)
class Proxy:
    """Routes requests by `table`.

    `own`: who keeps the book of what is answered here. A request of our own that comes back is refused.
    """

    def __init__(
        self,
        table: RouteTable[RouteEnd],
        introduction: Introduction,
        on_refusal: OnRefusal | None = None,
        own: OwnAnswers | None = None,
    ) -> None:
        self.table = table
        self.introduction = introduction
        self.introduce = introduction.lines
        self.own = own or OwnAnswers()
        self.own.on_refusal = on_refusal
        self._hop = introduction.hop

    @property
    def refused_codes(self) -> dict[int, int]:
        """Requests that no target has seen, by the status they got."""
        return self.own.codes

    @property
    def refusals(self) -> int:
        """How many these are."""
        return sum(self.own.codes.values())

    def go_by(self, table: RouteTable[RouteEnd], on_refusal: OnRefusal | None) -> None:
        """Serve the next request, of clients that are connected as well, by another table."""
        self.table = table
        self.own.on_refusal = on_refusal

    def open_exchange(self, door: DoorIn, head: RequestHead, start: BodyStart) -> None:
        """Find who serves `head` and let it begin."""
        table = self.table
        try:
            end = table.only or table.find(
                head.block.host, head.target, head, door.peer
            )
        except DownstreamError as error:
            self._refuse(door, head, 400, error.detail)
            return
        if end is None:
            self._lost(door, head)
            return
        if not head.plain or head.method in _LOCAL_METHODS:
            looked_at = self._look_at(door, head)
            if looked_at is None:
                return
            head = looked_at
        end.open_exchange(door, head, start)

    def _lost(self, door: DoorIn, head: RequestHead) -> None:
        """No route is for a request, or not with its method (RFC 9110 section 15.5.6)."""
        block = head.block
        methods = self.table.allowed(block.host, head.target, head, door.peer)
        if methods:
            allow = b"Allow: %b\r\n" % ", ".join(methods).encode("ascii")
            self._refuse(door, head, 405, "no route for the method", allow)
        else:
            self._refuse(door, head, 404, "no route")

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
        if begun:
            self.own.count(error.status)
        else:
            self.own.given(door, error.line, error.status, size, error.reason)

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
        identity = self.own.identity_of(head, door.peer)
        if identity is not None:
            extra += identity.echo
        size = reply(
            door, status, token=token, extra=extra, is_head=head.method == b"HEAD"
        )
        self.own.given(door, head, status, size, why, identity, error=token)
