"""A pool's side of the exchanges: what they share, and the head they send.

May import: domain, wire, net, proxy. Used by: proxy.proxy, service.build (makes one per
pool).
"""

from __future__ import annotations

from email.utils import formatdate
from typing import TYPE_CHECKING, Callable

import attrs

from lolly_tx.domain.node import Node
from lolly_tx.domain.pool import Pool
from lolly_tx.domain.retry import KINDS, RetryPolicy
from lolly_tx.net.doors import DoorIn
from lolly_tx.net.upstream import Upstream
from lolly_tx.proxy.exchange import Exchange
from lolly_tx.wire.http1 import RequestHead

if TYPE_CHECKING:  # pragma: no cover
    from lolly_tx.domain.target import Target

Key = Callable[[Exchange], bytes | None]


def no_key(exchange: Exchange) -> None:
    """Balancers that hash nothing."""
    return None


@attrs.define
class Counters:
    """Of one pool, since the start. Plain numbers, read when somebody asks."""

    exchanges: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    failed: int = 0
    """Answered by ourselves, or cut short."""
    gone: int = 0
    """The client left before the end."""


class Forwarder:
    """Sends exchanges to the nodes of `pool`.

    `connect_to`: makes the connections of a target. `host`: "preserve", "target", or the
    literal Host to send. `key`: what an exchange is hashed by. `wall`: seconds since the
    epoch, for the Date of answers without one. `on_end`: told of each finished exchange.
    """

    def __init__(
        self,
        pool: Pool,
        *,
        connect_to: Callable[[Target], Upstream],
        retry: RetryPolicy,
        now: Callable[[], float],
        wall: Callable[[], float],
        host: str = "preserve",
        key: Key = no_key,
        on_end: Callable[[Exchange], None] | None = None,
    ) -> None:
        self.pool = pool
        self.retry = retry
        self.retry_statuses = frozenset(
            status
            for status in range(200, 600)
            if str(status) in retry.on or f"{status // 100}xx" in retry.on
        ).difference(KINDS)
        self.now = now
        self.key = key
        self.retries = 0
        self.counters = Counters()
        self._connect_to = connect_to
        self._upstreams: dict[Node, Upstream] = {}
        self._host = host
        self._wall = wall
        self._on_end = on_end
        self._date = b""
        self._date_until = 0.0
        self._open = 0

    def open_exchange(
        self,
        door: DoorIn,
        head: RequestHead,
        body: bytes,
        trailers: bytes,
        complete: bool,
    ) -> Exchange:
        """Begin an exchange. `body`: what came with the head; `complete`: all of it."""
        exchange = Exchange(self, door, head, body, trailers, complete)
        door.exchange = exchange
        self._open += 1
        exchange.begin()
        return exchange

    def upstream(self, node: Node) -> Upstream:
        """The connections to `node`."""
        upstream = self._upstreams.get(node)
        if upstream is None:
            upstream = self._upstreams[node] = self._connect_to(node.target)
        return upstream

    def render(self, exchange: Exchange) -> bytes:
        """The request head to send to the exchange's node."""
        head = exchange.head
        block = head.block
        policy = self._host
        if policy == "preserve" and block.host:
            lines = block.kept
        else:
            node = exchange.node
            assert node is not None
            if policy == "preserve" or policy == "target":
                host = node.target.authority
            else:
                host = policy
            lines = b"\r\nHost: %b%b" % (host.encode("ascii"), block.rest)
        data = b"%b %b HTTP/1.1%b%b" % (
            head.method,
            head.target,
            lines,
            exchange.door.forwarding(head),
        )
        if block.chunked:
            data += b"Transfer-Encoding: chunked\r\n"
        elif block.length is not None and not block.length_kept:
            data += b"Content-Length: %d\r\n" % block.length
        if block.expect and head.version:
            data += b"Expect: 100-continue\r\n"
        if block.upgrade:
            data += b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
        return data + b"\r\n"

    def date_line(self) -> bytes:
        """A Date field line for answers without one (RFC 9110 section 6.6.1)."""
        now = self.now()
        if now >= self._date_until:
            wall = self._wall()
            self._date = b"Date: %b\r\n" % formatdate(wall, usegmt=True).encode("ascii")
            self._date_until = now + 1.0 - wall % 1.0
        return self._date

    def record(self, exchange: Exchange) -> None:
        """An exchange is over."""
        self._open -= 1
        counters = self.counters
        counters.exchanges += 1
        counters.bytes_in += exchange.bytes_in
        counters.bytes_out += exchange.bytes_out
        error = exchange.error
        if error is not None:
            if error.source == "downstream":
                counters.gone += 1
            else:
                counters.failed += 1
        if self._on_end is not None:
            self._on_end(exchange)

    @property
    def in_flight(self) -> int:
        """Exchanges that are not over."""
        return self._open

    def forget_missing(self) -> None:
        """Close the connections of nodes that have left the pool."""
        staying = set(self.pool.nodes.values())
        for node in [n for n in self._upstreams if n not in staying]:
            self._upstreams.pop(node).close()

    def close(self) -> None:
        """Close idle connections, and keep none from now on."""
        for upstream in self._upstreams.values():
            upstream.close()
