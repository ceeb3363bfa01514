"""A pool: which of its nodes are available, and the lease of one of them.

May import: domain. Used by: proxy.forwarding (acquires), service (observes, drains, replaces, shows),
net.library.balanced.

`acquire` is the hot path. The available nodes are kept as a tuple that is rebuilt only after a change of a
fact, or when `now` passes the next timed change (the end of an ejection, a step of slow start, a sweep for
outliers): `_due` is that moment. Full nodes stay in the tuple; whoever picks one takes the slow way to another,
so that being full costs nobody else anything. Whatever is not plain (tiers that share the load, panic, sticky
clients, caps) takes the slow way too: `_odd`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import TYPE_CHECKING, Any, Literal

from lolly_tx.domain.balancers.least_conn import LeastConn
from lolly_tx.domain.concurrency import AdaptiveLimit
from lolly_tx.domain.ejection import UPLOAD_TRIAL_SECONDS, EjectionLimits
from lolly_tx.domain.errors import AllDown, AllFull, AllTried
from lolly_tx.domain.foresight import Foresight, foresee
from lolly_tx.domain.health import Initial, Thresholds
from lolly_tx.domain.interfaces import IAccrual, IBalancer, IEventSink
from lolly_tx.domain.lease import Lease
from lolly_tx.domain.node import Node
from lolly_tx.domain.outlier import OutlierLimits
from lolly_tx.domain.panic import DRAWS, panic_odds
from lolly_tx.domain.priority import tier_health, tier_loads
from lolly_tx.domain.roster import Roster, UnknownNode
from lolly_tx.domain.slow_start import SlowStart
from lolly_tx.domain.snapshot import describe, explain
from lolly_tx.domain.target import Target
from lolly_tx.domain.tier import BACKUP, Tier, by_load, by_load_of_key

if TYPE_CHECKING:  # pragma: no cover
    from random import Random

__all__ = ["AllDownPolicy", "Lease", "Pool", "UnknownNode"]

AllDownPolicy = Literal["refuse", "least_bad"]

_REDRAWS = 8
"""Picks thrown away before the candidates are filtered: with half of them full, 0.4 % of the requests pay for that."""

_NEGLIGIBLE = 1e-5
"""Odds of panic that are not worth a random number per request."""


class Pool(Roster):
    """A named group of nodes with one balancing policy.

    `accrual`: makes the passive policy of one node; None turns passive tracking off. `all_down`: "refuse"
    raises AllDown; "least_bad" picks among the not disabled, and begins to do so now and then as the available
    become few (smooth panic, `panic_draws`; 0: only when there are none). `another_balancer`: makes one more of
    the same, for each further tier; without it all tiers share `balancer`. `initial`: health before the first
    check. `ejections`: how far passive ejection may go. `outliers`: compare nodes with their peers.
    `slow_start`: the way back into service. `failure_statuses`: statuses of answers that count as failures for
    the accrual. `max_conns`: leases of the whole pool at once. `max_retries`: those of them that are further
    attempts. 0: no limit. `adaptive`: a moving limit in place of `max_conns`, of the leases whose node owes an answer.
    """

    def __init__(
        self,
        name: str,
        targets: Iterable[Target],
        *,
        balancer: IBalancer,
        accrual: Callable[[], IAccrual] | None,
        thresholds: Thresholds,
        now: float,
        events: IEventSink,
        random: Random,
        all_down: AllDownPolicy = "refuse",
        panic_draws: int = DRAWS,
        another_balancer: Callable[[], IBalancer] | None = None,
        initial: Initial = "up",
        ejections: EjectionLimits | None = None,
        outliers: OutlierLimits | None = None,
        slow_start: SlowStart | None = None,
        failure_statuses: Collection[int] = (),
        max_conns: int = 0,
        max_retries: int = 0,
        adaptive: AdaptiveLimit | None = None,
    ) -> None:
        super().__init__(
            name,
            balancer=balancer,
            another_balancer=another_balancer,
            accrual=accrual,
            thresholds=thresholds,
            now=now,
            events=events,
            initial=initial,
            ejections=ejections,
            outliers=outliers,
            slow_start=slow_start,
            failure_statuses=failure_statuses,
        )
        self.all_down = all_down
        self.panic_draws = panic_draws
        self.panic_odds = 0.0
        """The odds that the next pick ignores availability."""
        self.max_conns = max_conns
        self.max_retries = max_retries
        self.adaptive = adaptive
        self.panics = 0
        """Leases handed out without asking for availability."""
        self.refusals = 0
        """Leases refused: all down, all full or all tried."""
        self.capped = 0
        """Leases refused by the caps of the pool; part of the refusals."""
        self._random = random
        self._bound: Callable[[bytes, Collection[str]], str | None] | None = getattr(
            balancer, "bound", None
        )
        self._hears_all = self._hears_all or adaptive is not None
        self._counts_leases = bool(max_conns or max_retries or adaptive is not None)
        self._leases: set[Lease] = set()
        self._retries: set[Lease] = set()
        self._last_resort: IBalancer = LeastConn()
        self._panicking = False
        self._ready: tuple[Node, ...] = ()
        self._order: list[Tier] = []
        self._odd = True
        for target in targets:
            self._join(target)
        self._pick = self.balancer.pick

    def __repr__(self) -> str:
        return f"<Pool {self.name}: {len(self._ready)} of {len(self.nodes)} available>"

    # -- the hot path

    def acquire(
        self,
        now: float,
        key: bytes | None = None,
        tried: Collection[Node] = (),
        bond: bytes | None = None,
        avoid: Collection[Node] = (),
    ) -> Lease:
        """Lease a node for one attempt.

        `key`: what the exchange is hashed by. `tried`: nodes this exchange has used up. `bond`: what the client
        brought back from a sticky pool. `avoid`: nodes to pass over while others have room. Raises AllDown,
        AllFull or AllTried.
        """
        if now >= self._due:
            self._settle(now)
        if tried or avoid or self._odd:
            return self._acquire_among(now, key, tried, bond, avoid)
        pick = self._pick
        node = pick(self._ready, key)
        taken = node.in_flight + 1
        if taken >= node.room:
            if taken == node.room:
                return self._grant(node, now)
            return self._acquire_among(now, key, tried, bond)
        node.in_flight = taken
        node.stats.requests += 1
        return Lease(node, now)

    # -- the slow way to a node

    def _acquire_among(
        self,
        now: float,
        key: bytes | None,
        tried: Collection[Node],
        bond: bytes | None,
        avoid: Collection[Node] = (),
    ) -> Lease:
        """Pick past full and tried nodes; by load among the tiers, then the others in order, backups last."""
        self._check_caps(now, bool(tried))
        node = self._bound_node(bond, tried) if bond and self._bound else None
        if node is None and self.panic_odds > _NEGLIGIBLE:
            if self._random.random() < self.panic_odds:
                node = self._choose(self._last_resort, self._enabled(), key, tried)
                self.panics += node is not None
        if node is None:
            tiers = by_load(self._order, key, self._random)
            if avoid:
                node = self._choose_in(tiers, key, (*tried, *avoid))
            if node is None:
                node = self._choose_in(tiers, key, tried)
            if node is None:
                raise self._refusal(tried)
        return self._grant(node, now, retry=bool(tried))

    def _check_caps(self, now: float, retry: bool) -> None:
        limit = self.adaptive.limit if self.adaptive is not None else self.max_conns
        if limit and len(self._leases) >= limit and self._running(now) >= limit:
            self.refusals += 1
            self.capped += 1
            raise AllFull(f"pool {self.name}: {limit} exchanges are running")
        if retry and self.max_retries and len(self._retries) >= self.max_retries:
            self.refusals += 1
            self.capped += 1
            raise AllFull(f"pool {self.name}: {self.max_retries} retries are running")

    def _running(self, now: float) -> int:
        """How many leases count for the cap; slow clients are no reason to have an adaptive one refuse others."""
        if self.adaptive is None:
            return len(self._leases)
        return sum(lease.asked <= now for lease in self._leases)

    def _bound_node(self, bond: bytes, tried: Collection[Node]) -> Node | None:
        """The node a client is bound to; draining does not break the bond, everything else does."""
        node_id = self._bound(bond, self.nodes) if self._bound is not None else None
        node = self.nodes.get(node_id) if node_id is not None else None
        if node is None or node in tried or node.closed:
            return None
        if not node.well or node.ejection == "ejected" or node.full:
            return None
        return node

    def _choose_in(
        self, tiers: Iterable[Tier], key: bytes | None, tried: Collection[Node]
    ) -> Node | None:
        """The choice of the first of `tiers` that has one."""
        for tier in tiers:
            node = self._choose(tier.balancer, tier.nodes, key, tried, tier)
            if node is not None:
                return node
        return None

    def _choose(
        self,
        balancer: IBalancer,
        candidates: tuple[Node, ...],
        key: bytes | None,
        tried: Collection[Node],
        tier: Tier | None = None,
    ) -> Node | None:
        """The choice of `balancer` among those of `candidates` that have room and are not in `tried`."""
        if not candidates:
            return None
        full = self._full
        if len(full) >= len(candidates) and full.issuperset(candidates):
            return None
        if tier is not None and tier.ranked is not None:
            for node in tier.ranked(candidates, key):
                if node.in_flight < node.room and node not in tried:
                    return node
            return None
        for _ in range(min(_REDRAWS, 2 * len(candidates))):
            node = balancer.pick(candidates, key)
            if node.in_flight < node.room and node not in tried:
                return node
        rest = tuple(n for n in candidates if not n.full and n not in tried)
        return balancer.pick(rest, key) if rest else None

    def _refusal(self, tried: Collection[Node]) -> AllDown | AllFull | AllTried:
        self.refusals += 1
        everyone = [node for tier in self._order for node in tier.nodes]
        if not everyone and self.all_down == "least_bad":
            everyone = list(self._enabled())
        if not everyone:
            return AllDown(f"pool {self.name}: no target is available")
        if all(node in tried for node in everyone):
            return AllTried(f"pool {self.name}: every available target was tried")
        return AllFull(f"pool {self.name}: every available target is full")

    def _enabled(self) -> tuple[Node, ...]:
        return tuple(n for n in self.nodes.values() if n.willing)

    def _grant(self, node: Node, now: float, retry: bool = False) -> Lease:
        lease = Lease(node, now)
        node.in_flight += 1
        stats = node.stats
        stats.requests += 1
        if retry:
            stats.retries += 1
        if node.ejection == "trial":
            node.trial_lease = lease
            node.room = 0
            self._due = min(self._due, now + UPLOAD_TRIAL_SECONDS)
        if node.in_flight >= node.room:
            self._full.add(node)
        if self._counts_leases:
            self._leases.add(lease)
            if retry:
                self._retries.add(lease)
        return lease

    def lease_answered(self, lease: Lease, now: float) -> None:
        """The head of an answer has come and someone listens."""
        adaptive = self.adaptive
        if adaptive is not None:
            if lease.asked <= now:
                adaptive.sample(lease.seconds, len(self._leases), now)
            self._leases.discard(lease)
        super().lease_answered(lease, now)
        if adaptive is not None:
            for tell in self.on_room:
                tell(now)

    def lease_released(self, lease: Lease, now: float) -> None:
        """A lease is over and someone wanted to know."""
        self._leases.discard(lease)
        self._retries.discard(lease)
        super().lease_released(lease, now)

    # -- what is available

    def _settle(self, now: float) -> None:
        if now >= self._due:
            self._refresh(now)

    def _refresh(self, now: float) -> None:
        """Carry out the timed changes up to `now` and rebuild the tiers."""
        due = self._advance(now)
        members: dict[Tier, list[Node]] = {t: [] for t in self._tiers.values()}
        for tier in members:
            tier.enabled = 0
        for node in self.nodes.values():
            tier = node.tier
            tier.enabled += node.willing
            if node.available:
                members[tier].append(node)
        for tier, nodes in members.items():
            tier.update(nodes)
        self._order = sorted(members, key=lambda tier: tier.rank)
        self._share_load()
        self._panic(now)
        first = self._order[0] if self._order else None
        plain = first is not None and first.load == 100 and not self._counts_leases
        self._odd = not plain or self._bound is not None
        if self.panic_odds > _NEGLIGIBLE:
            self._odd = True
        if first is not None:
            self._pick = first.balancer.pick
        self._due = due

    def _share_load(self) -> None:
        """Which tier takes how much; backups all of it when nobody else is there."""
        primaries = [tier for tier in self._order if tier.rank != BACKUP]
        loads = tier_loads([tier_health(len(t.nodes), t.enabled) for t in primaries])
        for tier, load in zip(primaries, loads, strict=True):
            tier.load = load
        for tier in self._order[len(primaries) :]:
            tier.load = 0 if any(loads) or not tier.nodes else 100
        self._order.sort(key=lambda tier: (tier.load == 0, tier.rank))
        self._ready = tuple(
            node for tier in self._order if tier.load for node in tier.nodes
        )

    def _panic(self, now: float) -> None:
        """How often availability is to be ignored, and the event when that begins or ends."""
        if self.all_down != "least_bad":
            return
        enabled = sum(tier.enabled for tier in self._order)
        there = sum(len(tier.nodes) for tier in self._order)
        healths = sum(tier_health(len(t.nodes), t.enabled) for t in self._order)
        self.panic_odds = 0.0
        if enabled and (healths < 100 or not there):
            draws = self.panic_draws
            if draws or not there:
                self.panic_odds = panic_odds(enabled - there, enabled, draws or 1)
        panicking = 2 * there <= enabled and self.panic_odds > _NEGLIGIBLE
        if panicking is not self._panicking:
            self._panicking = panicking
            words = ("off", "on") if panicking else ("on", "off")
            cause = f"{there} of {enabled} enabled targets are available"
            self.record(None, "panic", *words, cause, now)

    def available(self, now: float) -> tuple[Node, ...]:
        """The nodes that take new exchanges now, the best tier first; backups only when there are no others."""
        self._settle(now)
        return self._ready

    @property
    def in_flight(self) -> int:
        """Leases not yet released."""
        return sum(node.in_flight for node in self.nodes.values())

    def snapshot(self, now: float) -> list[dict[str, Any]]:
        """Every node as a JSON-able dict; see `domain.snapshot`."""
        self._settle(now)
        return [describe(node, self.thresholds, now) for node in self.nodes.values()]

    def explain(
        self, now: float, key: bytes | None = None, bond: bytes | None = None
    ) -> list[dict[str, Any]]:
        """Every node with the reason why an exchange of that key would or would not go there; takes no turn away."""
        self._settle(now)
        node = self._bound_node(bond, ()) if bond and self._bound else None
        order = by_load_of_key(self._order, key)
        return explain(order, self.nodes.values(), key, node)

    def foresee(
        self, now: float, key: bytes | None = None, bond: bytes | None = None
    ) -> Foresight:
        """Whom an exchange of that key would get now; takes no turn away."""
        self._settle(now)
        node = self._bound_node(bond, ()) if bond and self._bound else None
        order = by_load_of_key(self._order, key)
        return foresee(order, key, node, self.panic_odds)
