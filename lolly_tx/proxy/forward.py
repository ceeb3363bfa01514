"""A pool's side of the exchanges: what they share, and the head they send.

May import: domain, wire, net, proxy. Used by: proxy.proxy, service.pools (makes one per
pool).
"""

from __future__ import annotations

from collections.abc import Callable
from email.utils import formatdate, parsedate_to_datetime
from operator import attrgetter
from random import Random

import attrs
from twisted.internet.interfaces import IReactorTime

from lolly_tx.domain.admission import Admission
from lolly_tx.domain.backoff import Backoff
from lolly_tx.domain.budget import RetryBudget
from lolly_tx.domain.errors import HungUpOnClient
from lolly_tx.domain.lease import Lease
from lolly_tx.domain.node import Node
from lolly_tx.domain.pool import Pool
from lolly_tx.domain.respite import Respites
from lolly_tx.domain.retry import RetryPolicy
from lolly_tx.domain.target import Target
from lolly_tx.net.deadlines import Deadlines
from lolly_tx.net.doors import DoorIn
from lolly_tx.net.upstream import Upstream
from lolly_tx.proxy.delivery import Delivery
from lolly_tx.proxy.exchange import Exchange
from lolly_tx.proxy.hedge import Hedging
from lolly_tx.proxy.keys import Key, no_key
from lolly_tx.proxy.room import WaitingRoom
from lolly_tx.proxy.sticky import StickyCookie
from lolly_tx.wire.fields import hop_line
from lolly_tx.wire.http1 import RequestHead, ResponseHead


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


@attrs.frozen
class Attempts:
    """How many attempts an exchange may make, and when.

    `budget`: shared with hedges; None = no limit but `retry`. `backoff`: before the second
    and later retries. `try_timeout`, `total_timeout`: seconds until the response begins,
    for one attempt and for all with their waits; 0 = no limit. `soft_statuses`: statuses
    whose Retry-After keeps requests
    for that path from the node for that time. `abandon`: what
    waits at a node that checks take down goes to another one.
    """

    retry: RetryPolicy = RetryPolicy()
    budget: RetryBudget | None = None
    backoff: Backoff = Backoff(base=0.0)
    try_timeout: float = 0.0
    total_timeout: float = 0.0
    hedging: Hedging | None = None
    room: WaitingRoom | None = None
    soft_statuses: frozenset[int] = frozenset()
    admission: Admission | None = None
    abandon: bool = True


ABANDONED_AT_ONCE = 64
"""Exchanges that leave a node in one turn of the event loop, some 10 ms; others follow."""


class Forwarder:
    """Sends exchanges to the nodes of `pool`.

    `connect_to`: makes the connections of a target. `host`: "preserve", "target", or the
    literal Host to send. `key`: what an exchange is hashed by. `wall`: seconds since the
    epoch, for the Date of answers without one. `via`: our name in Via, "" = no such field.
    `half_closed`: seconds a tunnel may be silent of which one side has ended.
    `hop`: what we know our own requests by, b"" = nothing is said.
    `on_end`: told of each finished exchange.
    """

    def __init__(
        self,
        pool: Pool,
        *,
        connect_to: Callable[[Target], Upstream],
        attempts: Attempts,
        deadlines: Deadlines,
        clock: IReactorTime,
        wall: Callable[[], float],
        random: Random,
        host: str = "preserve",
        key: Key = no_key,
        sticky: StickyCookie | None = None,
        via: str = "",
        half_closed: float = 60.0,
        hop: bytes = b"",
        on_end: Callable[[Exchange], None] | None = None,
    ) -> None:
        self.pool = pool
        self.retry = retry = attempts.retry
        self.retry_statuses = frozenset(
            status
            for status in range(200, 600)
            if str(status) in retry.on or f"{status // 100}xx" in retry.on
        )
        self.budget = attempts.budget
        self.try_timeout = attempts.try_timeout
        self.total_timeout = attempts.total_timeout
        self.timed = bool(attempts.try_timeout or attempts.total_timeout)
        self.hedging = attempts.hedging
        self.room = attempts.room
        self.soft_statuses = attempts.soft_statuses
        self.notable_statuses = self.retry_statuses | self.soft_statuses
        self.admission = admission = attempts.admission
        self.plain = not (self.timed or self.hedging or self.room or admission)
        """No exchange has to be timed, hedged, refused by chance or to wait."""
        self.easy_statuses = frozenset(
            set(range(200, 500)) - self.notable_statuses if self.plain else ()
        )
        """Of first answers that are passed on without a thought."""
        self.sticky = sticky
        self.respites = Respites() if self.soft_statuses else None
        self.keyless = key is no_key and sticky is None and self.respites is None
        """Nothing about an exchange matters for who gets it."""
        # By the minor version in which a message was received (RFC 9110 section 7.6.3).
        self.via = [b"Via: 1.%d %b\r\n" % (n, via.encode("ascii")) for n in (0, 1)]
        if not via:
            self.via = []
        self.half_closed = half_closed
        self.marking = bool(via or sticky)
        """Lines of ours are added to answers."""
        self._last_lines = (hop_line(hop) if hop else b"") + b"\r\n"
        self._end_of_head = (self.via[1] if via else b"") + self._last_lines
        self.deadlines = deadlines
        self.now = deadlines.now
        self.clock = clock
        self.retries = 0
        self.counters = Counters()
        self._backoff = attempts.backoff
        self._random = random
        self._key = None if key is no_key else key
        self._connect_to = connect_to
        self.upstreams: dict[Node, Upstream] = {}
        """The connections there are, by node."""
        self._host = host
        self._wall = wall
        self._on_end = on_end
        self._date = b""
        self._date_until = 0.0
        self.in_flight = 0
        """Exchanges that are not over."""
        if self.room is not None:
            pool.on_room = self.room.admit
        if attempts.abandon:
            pool.on_down = self._node_down

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
        exchange.begin()
        return exchange

    def acquire(self, exchange: Exchange, now: float) -> Lease:
        """A lease for the next attempt of `exchange`. Raises `NoTarget`."""
        key = None if self._key is None else self._key(exchange)
        head, nodes = exchange.head, self.pool.nodes
        bond = self.sticky.read(head, nodes) if self.sticky is not None else None
        avoid = self.resting(head.target, now) if self.respites else ()
        return self.pool.acquire(now, key, exchange.tried, bond, avoid)

    def resting(self, target: bytes, now: float) -> tuple[Node, ...]:
        """The nodes that asked to be left alone with the path of `target`."""
        respites = self.respites
        return () if respites is None else respites.resting(_path_of(target), now)

    def key_of(self, exchange: Exchange) -> bytes | None:
        """What `exchange` is hashed by."""
        return None if self._key is None else self._key(exchange)

    def upstream(self, node: Node) -> Upstream:
        """The connections to `node`."""
        upstream = self.upstreams.get(node)
        if upstream is None:
            upstream = self.upstreams[node] = self._connect_to(node.target)
        return upstream

    def admits(self, now: float) -> bool:
        """Whether an exchange may go on, where a part of them is refused."""
        return self.admission is None or self.admission.admit(now, self._random)

    def pause_before(self, attempts: int) -> float:
        """Seconds to wait before another attempt after so many."""
        if attempts < 2 or not self._backoff.base:
            return 0.0
        return self._backoff.delay(attempts - 1, self._random)

    def grant_respite(self, node: Node, target: bytes, head: ResponseHead) -> None:
        """A node answered `target` with the wish to be left alone with it for a while."""
        value = head.block.get(b"retry-after")
        if value is not None and self.respites is not None:
            seconds = self._retry_after(value)
            self.respites.grant(node, _path_of(target), seconds, self.now())

    def _retry_after(self, value: bytes) -> float:
        """The seconds of a Retry-After, a number or a date (RFC 9110 section 10.2.3)."""
        if value.isdigit():
            return float(value[:9])
        try:
            return (
                parsedate_to_datetime(value.decode("ascii")).timestamp() - self._wall()
            )
        except (ValueError, OverflowError):
            return 0.0

    def _node_down(self, node: Node, now: float) -> None:
        """Checks took `node` down: what waits there for an answer may have it elsewhere."""
        # Connections are watched anyway, so that no list has to be kept for this.
        doors = (getattr(each, "exchange", None) for each in self.deadlines)
        waiting = {e for e in doors if isinstance(e, Exchange) and e.waits_at(node)}
        self._abandon(node, sorted(waiting, key=attrgetter("started")))

    def _abandon(self, node: Node, waiting: list[Exchange]) -> None:
        now = self.now()
        for exchange in waiting[:ABANDONED_AT_ONCE]:
            exchange.abandon(node, now)
        rest = waiting[ABANDONED_AT_ONCE:]
        if rest:
            self.clock.callLater(0, self._abandon, node, rest)

    def render(self, exchange: Delivery, node: Node) -> bytes:
        """The request head to send to `node`."""
        head = exchange.head
        block = head.block
        policy = self._host
        if head.plain and policy == "preserve":
            return b"%b %b HTTP/1.1%b%b%b" % (
                head.method,
                head.target,
                block.kept,
                exchange.door.forwarding(head),
                self._end_of_head,
            )
        if policy == "preserve" and block.host:
            lines = block.kept
        else:
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
        if head.awaits_continue:
            data += b"Expect: 100-continue\r\n"
        if self.via:
            data += self.via[head.version]
        if block.upgrade:
            data += b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
        elif block.wants_trailers and head.version:
            # Trailers of the answer are passed on (RFC 9110 section 6.5.1).
            data += b"Connection: TE\r\nTE: trailers\r\n"
        return data + self._last_lines

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
        self.in_flight -= 1
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
        if self.admission is not None and exchange.attempts:
            # What the client did, and who was refused, says nothing about the targets.
            # A target that would wait for a client no longer has not failed either.
            theirs = isinstance(error, HungUpOnClient)
            if error is None or not (theirs or error.source == "downstream"):
                ok = error is None and exchange.status < 500
                self.admission.finished(ok, self.now())
        if self._on_end is not None:
            self._on_end(exchange)

    def forget_missing(self) -> None:
        """Close the connections of nodes that have left the pool."""
        staying = set(self.pool.nodes.values())
        for node in [n for n in self.upstreams if n not in staying]:
            self.upstreams.pop(node).close()

    def close(self) -> None:
        """Close idle connections, and keep none from now on."""
        for upstream in self.upstreams.values():
            upstream.close()


def _path_of(target: bytes) -> bytes:
    """A request target without its query."""
    return target.partition(b"?")[0]
