"""A pool's side of the exchanges: what they share.

Imports: domain, domain.retries, net, proxy, wire, Twisted. Used by: proxy.attempting,
proxy.exchange, proxy.route, proxy.streams, service, service.changes, service.forwards,
service.metrics, simulate.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from operator import attrgetter
from random import Random
from typing import Any, Final, Protocol

from twisted.internet.interfaces import IReactorTime

from lolly_tx.domain.errors import HungUpOnClient, ProxyError
from lolly_tx.domain.histogram import BOUNDS, QUICK
from lolly_tx.domain.lease import Lease
from lolly_tx.domain.node import Node
from lolly_tx.domain.pool import Pool
from lolly_tx.domain.respite import Respites
from lolly_tx.domain.retries.attempts import NEVER, Attempts, Choosing
from lolly_tx.domain.retries.policy import Policy
from lolly_tx.net.deadlines import Deadlines
from lolly_tx.net.upstreams import Upstreams
from lolly_tx.proxy.counters import Counters
from lolly_tx.proxy.endings import Endings
from lolly_tx.proxy.identity import Identities
from lolly_tx.proxy.keys import Caller, Key, no_key
from lolly_tx.proxy.response_fields import ResponseFields
from lolly_tx.proxy.sticky import StickyCookie
from lolly_tx.proxy.trace import Trace, Traced, Traces
from lolly_tx.wire.dates import retry_after
from lolly_tx.wire.message import RequestHead, ResponseHead

ABANDONED_AT_ONCE: Final = 64
"""Exchanges that leave a node in one turn of the event loop, some 10 ms; others follow."""


class Request(Protocol):
    """What a choice goes by: of a real exchange, or of a simulated one."""

    tried: tuple[Node, ...]
    head: RequestHead
    trace: Trace | None

    @property
    def peer(self) -> Caller:
        """Who sent it."""


class Finished(Traced, Protocol):
    """An exchange that is over. `node`: who had its last attempt."""

    attempts: int
    node: Node | None
    trace: Trace | None


class Forwarder(Choosing):
    """Sends exchanges to the nodes of `pool`.

    `upstreams`: the connections by node. `host`: "preserve", "target", or the literal Host
    to send. `key`: what an exchange is hashed by. `wall`: seconds since the epoch, for the
    Date of answers without one. `via`: our name in Via of answers, "" = no such field.
    `half_closed`, `idle`: seconds a tunnel may be silent of which one side has ended, or neither. `traces`: where
    some exchanges leave one; None = none does. `identities`: makes that
    of each exchange; None = they have none. `on_end`: told at once of each finished exchange. `endings`: where they
    are put to be told of later; None = nowhere. `counters`: those of who served the pool by other settings before.
    `beside`: another one with the same policy hears of the pool's room and of nodes that go down, for both.
    """

    def __init__(
        self,
        pool: Pool,
        *,
        upstreams: Upstreams,
        policy: Policy,
        deadlines: Deadlines,
        clock: IReactorTime,
        wall: Callable[[], float],
        random: Random,
        host: str = "preserve",
        key: Key = no_key,
        sticky: StickyCookie | None = None,
        via: str = "",
        half_closed: float = 60.0,
        idle: float = NEVER,
        traces: Traces | None = None,
        identities: Identities | None = None,
        on_end: Callable[[Any], None] | None = None,
        endings: Endings | None = None,
        counters: Counters | None = None,
        beside: bool = False,
    ) -> None:
        self.pool = pool
        self.policy = policy
        self.easy_statuses = policy.easy_statuses
        self.upstreams = upstreams
        self.sticky = sticky
        self.traces = traces
        self.identities = identities
        self.respites = Respites() if policy.soft_statuses else None
        looks = (sticky, traces, self.respites)
        self.keyless = key is no_key and all(each is None for each in looks)
        """Nothing about an exchange matters for who gets it, and nobody takes notes."""
        self.half_closed = half_closed
        self.idle = idle
        self.deadlines = deadlines
        self.now = deadlines.now
        self.clock = clock
        self.fields = ResponseFields(
            now=deadlines.now,
            wall=wall,
            via=via,
            sticky=sticky,
            ids=pool.nodes,
            echo=b"" if identities is None else identities.echo_field,
        )
        self.marking = self.fields.marking
        self.counters = counters or Counters()
        self.in_flight = 0
        """Exchanges that are not over."""
        self._admission = policy.admission
        self._random = random
        self._key = None if key is no_key else key
        self._host = b"" if host in ("preserve", "target") else host.encode("ascii")
        self._to_target = host == "target"
        self.keeps_host = host == "preserve"
        """A client's Host, if there is one, is the one to send."""
        self._wall = wall
        self._on_end = on_end
        self._endings = endings
        tells = (self._admission, traces, on_end)
        self._attentive = any(each is not None for each in tells)
        self._served = self.counters.served

        self._admits = policy.room is not None and not beside
        self._abandons = policy.abandon and not beside
        if policy.room is not None and self._admits:
            pool.on_room.append(policy.room.admit)
        if self._abandons:
            pool.on_down.append(self._node_down)

    @property
    def retries(self) -> int:
        """Attempts after the first."""
        return self.counters.retries

    def retried(self) -> None:
        """One more."""
        self.counters.retries += 1

    @property
    def hedges(self) -> int:
        """Attempts beside the first."""
        return self.counters.hedges

    def hedged(self) -> None:
        """One more."""
        self.counters.hedges += 1

    def close(self) -> None:
        """Close idle connections, and keep none from now on."""
        self.upstreams.close()
        self.retire()

    def retire(self) -> None:
        """No exchange begins here any more. Those that wait for room look for it themselves, ten times a second."""
        if self.policy.room is not None and self._admits:
            self.pool.on_room.remove(self.policy.room.admit)
        if self._abandons:
            self.pool.on_down.remove(self._node_down)

    def acquire(self, request: Request, now: float) -> Lease:
        """A lease for the next attempt of `request`. Raises `NoTarget`."""
        key = self.key_of(request.head, request.peer)
        pool, sticky, tried = self.pool, self.sticky, request.tried
        bond = None if sticky is None else sticky.read(request.head, pool.nodes)
        avoid = self.resting(request.head.target, now) if self.respites else ()
        if request.trace is not None:
            return request.trace.acquire(pool, now, key, tried, bond, avoid)
        return pool.acquire(now, key, tried, bond, avoid)

    def resting(self, target: bytes, now: float) -> tuple[Node, ...]:
        """The nodes that asked to be left alone with the path of `target`."""
        respites = self.respites
        return () if respites is None else respites.resting(_path_of(target), now)

    def grant_respite(
        self, node: Node, target: bytes, seconds: float, now: float
    ) -> None:
        """`node` answered `target` with the wish to be left alone with it for so long."""
        if self.respites is not None and seconds > 0:
            self.respites.grant(node, _path_of(target), seconds, now)

    @property
    def hashes(self) -> bool:
        """Exchanges have keys."""
        return self._key is not None

    def key_of(self, head: RequestHead, peer: Caller) -> bytes | None:
        """What a request with `head` from `peer` is hashed by."""
        return None if self._key is None else self._key(head, peer)

    def admits(self, now: float) -> bool:
        """Whether an exchange may go on, where a part of them is refused."""
        admission = self.policy.admission
        return admission is None or admission.admit(now, self._random)

    def pause_before(self, attempts: int) -> float:
        """Seconds to wait before another attempt after so many."""
        backoff = self.policy.backoff
        if attempts < 2 or not backoff.base:
            return 0.0
        return backoff.delay(attempts - 1, self._random)

    def retry_after(self, head: ResponseHead) -> float:
        """The seconds for which an answer asks its node to be left alone; 0.0: none."""
        value = head.block.get(b"retry-after")
        return 0.0 if value is None else retry_after(value, self._wall())

    def host_for(self, head: RequestHead, node: Node) -> bytes:
        """The Host to send to `node`; b"": the client's, as it is."""
        if self._to_target or not (self._host or head.block.host):
            return node.target.authority.encode("ascii")
        return self._host

    def _node_down(self, node: Node, now: float) -> None:
        """Checks took `node` down: what waits there for an answer may have it elsewhere."""
        # Connections are watched anyway, so that no list has to be kept for this.
        # A site's own connections are not, so look at both ends.
        ends = [
            getattr(each, end, None)
            for each in self.deadlines
            for end in ("exchange", "sink")
        ]
        waiting = {e for e in ends if isinstance(e, Attempts) and e.waits_at(node)}
        self._abandon(node, sorted(waiting, key=attrgetter("started")))

    def _abandon(self, node: Node, waiting: list[Attempts]) -> None:
        now = self.now()
        for exchange in waiting[:ABANDONED_AT_ONCE]:
            exchange.abandon(node, now)
        rest = waiting[ABANDONED_AT_ONCE:]
        if rest:
            self.clock.callLater(0, self._abandon, node, rest)

    def record(
        self,
        exchange: Finished,
        error: ProxyError | None,
        listener: str,
        status: int,
        bytes_in: int,
        bytes_out: int,
        seconds: float,
        now: float,
    ) -> None:
        """An exchange is over since `now`. `seconds`: what counts of the time it took.

        What each exchange has is told, not asked of it: to a compiled caller that is a few registers.
        """
        self.in_flight -= 1
        try:
            served = self._served[listener]
        except KeyError:
            served = self.counters.begin(listener)
        codes = served.codes
        try:
            codes[status] += 1
        except KeyError:
            codes[status] = 1
        if bytes_in:
            served.bytes_in += bytes_in
        served.bytes_out += bytes_out
        node = exchange.node
        if node is not None:
            stats = node.stats
            if bytes_in:
                stats.bytes_in += bytes_in
            stats.bytes_out += bytes_out
        served.seconds += seconds
        if seconds > QUICK:
            served.slower[bisect_left(BOUNDS, seconds)] += 1
        if self._attentive or error is not None:
            self._note(exchange, error)
        endings = self._endings
        if endings is not None:
            ended = endings.ended
            ended.append((exchange, now))
            if len(ended) >= endings.most:
                endings.tell()

    def _note(self, exchange: Finished, error: ProxyError | None) -> None:
        """It has failed, or somebody wants to hear of every one."""
        counters = self.counters
        if error is not None:
            if error.source == "downstream":
                counters.gone += 1
            else:
                counters.failed += 1
        admission = self._admission
        if admission is not None and exchange.attempts:
            # What the client did, and who was refused, says nothing about the targets.
            # A target that would wait for a client no longer has not failed either.
            theirs = isinstance(error, HungUpOnClient)
            if error is None or not (theirs or error.source == "downstream"):
                ok = error is None and exchange.status < 500
                admission.finished(ok, self.now())
        if self.traces is not None and exchange.trace is not None:
            self.traces.add(exchange, exchange.trace, self.pool.name, self.now())
        if self._on_end is not None:
            self._on_end(exchange)


def _path_of(target: bytes) -> bytes:
    """A request target without its query."""
    return target.partition(b"?")[0]
