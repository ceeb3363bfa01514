"""The choice: which nodes of a pool take exchanges, by tiers and their loads, and who takes the next one.

Imports: domain, domain.balancers. Used by: domain.pool.

The available nodes are rebuilt only after a change. Full nodes stay among them; whoever picks one is led past it
here, so that being full costs nobody else anything. `odd` says that not all takes the plain way: tiers that
share the load, panic, sticky clients.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import TYPE_CHECKING, Final, Literal

from lolly_tx.domain.balancers.least_conn import LeastConn
from lolly_tx.domain.errors import AllAbsent, AllDown, AllFull, AllTried
from lolly_tx.domain.interfaces import IBalancer
from lolly_tx.domain.node import Node
from lolly_tx.domain.panic import panic_odds
from lolly_tx.domain.priority import tier_health, tier_loads
from lolly_tx.domain.roster import Roster
from lolly_tx.domain.tier import BACKUP, Tier, by_load

if TYPE_CHECKING:  # pragma: no cover
    from random import Random

AllDownPolicy = Literal["refuse", "least_bad"]

_REDRAWS: Final = 8
"""Picks thrown away before the candidates are filtered: with half of them full, 0.4 % of the requests pay for that."""

_NEGLIGIBLE: Final = 1e-5
"""Odds of panic that are not worth a random number per request."""


class Choice:
    """Who takes an exchange; see `domain.pool.Pool` for `all_down` and `panic_draws`."""

    def __init__(
        self,
        roster: Roster,
        balancer: IBalancer,
        random: Random,
        all_down: AllDownPolicy,
        panic_draws: int,
    ) -> None:
        self.all_down = all_down
        self.panic_draws = panic_draws
        self.panic_odds = 0.0
        """The odds that the next pick ignores availability."""
        self.panics = 0
        """Nodes chosen without asking for availability."""
        self.order: list[Tier] = []
        """The tiers as they are asked."""
        self.ready: tuple[Node, ...] = ()
        """The nodes that take new exchanges now, the best tier first; backups only when there are no others."""
        self.odd = True
        self._roster = roster
        self._random = random
        self._bound: Callable[[bytes, Collection[str]], str | None] | None
        self.choose_by(balancer)
        self._last_resort: IBalancer = LeastConn()
        self._panicking = False

    def go_by(self, other: Choice) -> None:
        """Do as `other` does when few are available."""
        self.all_down, self.panic_draws = other.all_down, other.panic_draws
        if self.all_down != "least_bad":
            self.panic_odds = 0.0
            self._panicking = False

    def choose_by(self, balancer: IBalancer) -> None:
        """`balancer` is the one of the first tier, and knows whom clients are bound to."""
        self.pick = balancer.pick
        self._bound = getattr(balancer, "bound", None)

    # -- one choice

    def among(
        self,
        key: bytes | None,
        tried: Collection[Node],
        bond: bytes | None,
        avoid: Collection[Node],
    ) -> Node | None:
        """A node past full and tried ones; by load among the tiers, then the others in order, backups last."""
        node = self.bound_node(bond, tried)
        if node is None and self.panic_odds > _NEGLIGIBLE:
            if self._random.random() < self.panic_odds:
                node = self._choose(self._last_resort, self._enabled(), key, tried)
                self.panics += node is not None
        if node is None:
            tiers = by_load(self.order, key, self._random)
            if avoid:
                node = self._choose_in(tiers, key, (*tried, *avoid))
            if node is None:
                node = self._choose_in(tiers, key, tried)
        return node

    def reserve(
        self,
        node: Node | None,
        key: bytes | None,
        tried: Collection[Node],
        bond: bytes | None,
        avoid: Collection[Node],
    ) -> Node | None:
        """`node`, or another one, that has room in all processes together."""
        while node is not None and node.holding is not None:
            trial = node.ejection == "trial"
            if node.holding.reserve(node.capacity, trial):
                break
            tried = (*tried, node)
            node = self.among(key, tried, bond, avoid)
        return node

    def bound_node(self, bond: bytes | None, tried: Collection[Node]) -> Node | None:
        """The node a client is bound to; draining does not break the bond, everything else does."""
        if not bond or self._bound is None:
            return None
        nodes = self._roster.nodes
        node_id = self._bound(bond, nodes)
        node = nodes.get(node_id) if node_id is not None else None
        if node is None or node in tried or node.closed or node.absent:
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
        full = self._roster.full
        if len(full) >= len(candidates) and full.issuperset(candidates):
            return None
        if tier is not None and tier.ranked is not None:
            for node in tier.ranked(candidates, key):
                if node.in_flight < node.capacity and node not in tried:
                    return node
            return None
        for _ in range(min(_REDRAWS, 2 * len(candidates))):
            node = balancer.pick(candidates, key)
            if node.in_flight < node.capacity and node not in tried:
                return node
        rest = tuple(n for n in candidates if not n.full and n not in tried)
        return balancer.pick(rest, key) if rest else None

    def refusal(
        self, name: str, tried: Collection[Node]
    ) -> AllDown | AllFull | AllTried:
        """Why nobody takes an exchange of the pool `name`."""
        everyone = [node for tier in self.order for node in tier.nodes]
        if not everyone and self.all_down == "least_bad":
            everyone = list(self._enabled())
        if not everyone:
            for node in self._roster.nodes.values():
                if node.willing and node.absent:
                    return AllAbsent(f"pool {name}: {node.absent}")
            return AllDown(f"pool {name}: no target is available")
        if all(node in tried for node in everyone):
            return AllTried(f"pool {name}: every available target was tried")
        return AllFull(f"pool {name}: every available target is full")

    def _enabled(self) -> tuple[Node, ...]:
        nodes = self._roster.nodes.values()
        return tuple(n for n in nodes if n.willing and not n.absent)

    # -- what is available

    def rebuild(self, now: float) -> None:
        """Go by the facts as they are now."""
        tiers = self._roster.tiers
        members: dict[int, list[Node]] = {rank: [] for rank in tiers}
        for tier in tiers.values():
            tier.enabled = 0
        for node in self._roster.nodes.values():
            rank = node.tier.rank
            tiers[rank].enabled += node.willing
            if node.available:
                members[rank].append(node)
        for rank, tier in tiers.items():
            tier.update(members[rank])
        self.order = sorted(tiers.values(), key=lambda tier: tier.rank)
        self._share_load()
        self._panic(now)
        first = self.order[0] if self.order else None
        whole = first is not None and first.load == 100
        panics = self.panic_odds > _NEGLIGIBLE
        self.odd = not whole or panics or self._bound is not None
        if first is not None:
            self.pick = first.balancer.pick

    def _share_load(self) -> None:
        """Which tier takes how much; backups all of it when nobody else is there."""
        primaries = [tier for tier in self.order if tier.rank != BACKUP]
        loads = tier_loads([tier_health(len(t.nodes), t.enabled) for t in primaries])
        for tier, load in zip(primaries, loads, strict=True):
            tier.load = load
        for tier in self.order[len(primaries) :]:
            tier.load = 0 if any(loads) or not tier.nodes else 100
        self.order.sort(key=lambda tier: (tier.load == 0, tier.rank))
        self.ready = tuple(
            node for tier in self.order if tier.load for node in tier.nodes
        )

    def _panic(self, now: float) -> None:
        """How often availability is to be ignored, and the event when that begins or ends."""
        if self.all_down != "least_bad":
            return
        enabled = len(self._enabled())
        there = sum(len(tier.nodes) for tier in self.order)
        healths = sum(tier_health(len(t.nodes), t.enabled) for t in self.order)
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
            self._roster.record(None, "panic", *words, cause, now)
