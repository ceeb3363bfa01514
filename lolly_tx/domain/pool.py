"""A pool: its nodes, which of them are available, and the lease of one of them.

May import: domain. Used by: proxy.forward (acquires), service (observes, drains, replaces, shows), net.endpoints.

`acquire` is the hot path. The available nodes are kept as a tuple that is rebuilt only after a change of a
fact, or when `now` passes the next timed change (the end of an ejection): `_due` is that moment, and minus
infinity says "at once". Full nodes stay in the tuple; whoever picks one takes the slow way to another, so that
being full costs nobody else anything.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal

from lolly_tx.domain.ejection import EjectionLimits, Ejections, Recorder
from lolly_tx.domain.errors import AllDown, AllFull, AllTried, ProxyError
from lolly_tx.domain.events import Event
from lolly_tx.domain.health import Health, Initial, Observation, Thresholds, observe
from lolly_tx.domain.interfaces import IAccrual, IBalancer, IEventSink
from lolly_tx.domain.lease import Lease
from lolly_tx.domain.node import UNLIMITED, Enabled, Node
from lolly_tx.domain.snapshot import describe
from lolly_tx.domain.target import Target

if TYPE_CHECKING:  # pragma: no cover
    from random import Random

__all__ = ["AllDownPolicy", "Lease", "Pool", "UnknownNode"]

AllDownPolicy = Literal["refuse", "least_bad"]

_AT_ONCE = float("-inf")
_NEVER = float("inf")

_REDRAWS = 8
"""Picks thrown away before the candidates are filtered: with half of them full, 0.4 % of the requests pay for that."""


class UnknownNode(LookupError):
    """The pool has no node of that id."""


class Pool(Recorder):
    """A named group of nodes with one balancing policy.

    `accrual`: makes the passive policy of one node; None turns passive tracking off.
    `all_down`: "refuse" raises AllDown, "least_bad" picks among the not disabled.
    `initial`: health before the first check. `ejections`: how far passive ejection may go.
    `failure_statuses`: statuses of answers that count as failures for the accrual.
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
        initial: Initial = "up",
        ejections: EjectionLimits | None = None,
        failure_statuses: Collection[int] = (),
    ) -> None:
        self.name = name
        self.nodes: dict[str, Node] = {}
        self.balancer = balancer
        self.thresholds = thresholds
        self.all_down = all_down
        self.initial = initial
        self.failure_statuses = frozenset(failure_statuses)
        self.ejections = Ejections(ejections or EjectionLimits(), self)
        self.panics = 0
        """Leases handed out although no node was available."""
        self.refusals = 0
        """Leases refused: all down, all full or all tried."""
        self._accrual = accrual
        self._events = events
        self._random = random
        self._pick: Callable[[Sequence[Node], bytes | None], Node] = balancer.pick
        self._ranked = getattr(balancer, "ranked", None)
        self._balancer_released = getattr(balancer, "released", None)
        self._full: set[Node] = set()
        self._primaries: tuple[Node, ...] = ()
        self._backups: tuple[Node, ...] = ()
        self._ready: tuple[Node, ...] = ()
        self._odd = True
        self._panicking = False
        self._due = _AT_ONCE
        for target in targets:
            self._join(target)

    def __repr__(self) -> str:
        return f"<Pool {self.name}: {len(self._ready)} of {len(self.nodes)} available>"

    # -- the hot path

    def acquire(
        self, now: float, key: bytes | None = None, tried: Collection[Node] = ()
    ) -> Lease:
        """Lease a node for one attempt.

        `key`: what the exchange is hashed by. `tried`: nodes this exchange has used up. Raises AllDown, AllFull or
        AllTried.
        """
        if now >= self._due:
            self._refresh(now)
        if tried or self._odd:
            return self._acquire_among(now, key, tried)
        node = self._pick(self._ready, key)
        taken = node.in_flight + 1
        if taken >= node.room:
            if taken == node.room:
                return self._grant(node, now)
            return self._acquire_among(now, key, tried)
        node.in_flight = taken
        node.stats.requests += 1
        return Lease(node, now)

    # -- the slow way to a node

    def _acquire_among(
        self, now: float, key: bytes | None, tried: Collection[Node]
    ) -> Lease:
        """Pick past full and tried nodes; primaries first, then backups."""
        for tier in (self._primaries, self._backups):
            node = self._choose(tier, key, tried)
            if node is not None:
                return self._grant(node, now, retry=bool(tried))
        everyone = self._primaries + self._backups
        if not everyone and self.all_down == "least_bad":
            node = self._least_bad(key, tried)
            if node is not None:
                self.panics += 1
                return self._grant(node, now, retry=bool(tried))
            everyone = self._enabled()
        self.refusals += 1
        if not everyone:
            raise AllDown(f"pool {self.name}: no target is available")
        if all(node in tried for node in everyone):
            raise AllTried(f"pool {self.name}: every available target was tried")
        raise AllFull(f"pool {self.name}: every available target is full")

    def _choose(
        self,
        candidates: tuple[Node, ...],
        key: bytes | None,
        tried: Collection[Node],
    ) -> Node | None:
        """The balancer's choice among those of `candidates` that have room and are not in `tried`."""
        if not candidates:
            return None
        full = self._full
        if len(full) >= len(candidates) and full.issuperset(candidates):
            return None
        if self._ranked is not None:
            for node in self._ranked(candidates, key):
                if node.in_flight < node.room and node not in tried:
                    return node  # type: ignore[no-any-return]  # getattr above
            return None
        for _ in range(min(_REDRAWS, 2 * len(candidates))):
            node = self._pick(candidates, key)
            if node.in_flight < node.room and node not in tried:
                return node
        rest = tuple(n for n in candidates if not n.full and n not in tried)
        return self._pick(rest, key) if rest else None

    def _enabled(self) -> tuple[Node, ...]:
        return tuple(n for n in self.nodes.values() if n.enabled == "up")

    def _least_bad(self, key: bytes | None, tried: Collection[Node]) -> Node | None:
        """The last resort: whoever the operator has not disabled, whatever checks and traffic say."""
        return self._choose(self._enabled(), key, tried)

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
        if node.in_flight >= node.room:
            self._full.add(node)
        return lease

    # -- verdicts of leases

    def lease_succeeded(self, lease: Lease, status: int, now: float) -> None:
        """A lease ended well and someone listens."""
        node = lease.node
        if status in self.failure_statuses:
            self._blame(lease, f"status {status}", now)
            return
        accrual = node.accrual
        if accrual is None:
            return
        if node.trial_lease is lease:
            self.ejections.lift(node, "trial: succeeded", now)
        elif node.ejection == "up":
            accrual.succeeded(now)
        elif node.ejection == "ejected" and lease.started >= node.ejected_at:
            if accrual.succeeded(now):
                self.ejections.lift(node, "passive: enough successes", now)
        self._tune(node)

    def lease_failed(self, lease: Lease, error: ProxyError, now: float) -> None:
        """A lease ended by the node's fault."""
        stats = lease.node.stats
        stats.failures += 1
        if error.kind == "connect":
            stats.connect_failures += 1
        elif error.kind == "timeout":
            stats.timeouts += 1
        elif error.kind == "reset":
            stats.resets += 1
        self._blame(lease, error.detail or type(error).__name__, now)

    def _blame(self, lease: Lease, what: str, now: float) -> None:
        node = lease.node
        accrual = node.accrual
        if accrual is None or self.nodes.get(node.id) is not node:
            return
        if node.trial_lease is lease:
            seconds = accrual.failed(now) or node.penalty
            self._eject(node, seconds, f"trial: failed: {what}", now)
        elif node.ejection == "up":
            asked = accrual.failed(now)
            if asked:
                self._eject(node, asked, f"passive: {accrual!r}, last: {what}", now)
        self._tune(node)

    def _eject(self, node: Node, seconds: float, cause: str, now: float) -> None:
        others = any(
            n is not node and n.available and n.ejection == "up"
            for n in self.nodes.values()
        )
        self.ejections.eject(
            node, seconds, cause, now, members=len(self.nodes), others=others
        )

    def lease_released(self, lease: Lease, now: float) -> None:
        """A lease is over and someone wanted to know."""
        node = lease.node
        if node.trial_lease is lease:
            node.trial_lease = None
        self._tune(node)
        if self._balancer_released is not None:
            self._balancer_released(node)

    def _tune(self, node: Node) -> None:
        """Bring the derived numbers and flags of `node` up to date after something happened to it."""
        room = node.target.max_conns or UNLIMITED
        if node.ejection == "trial":
            room = 0 if node.trial_lease is not None else node.in_flight + 1
        node.room = room
        if self.nodes.get(node.id) is node and node.in_flight >= room:
            self._full.add(node)
        else:
            self._full.discard(node)
        accrual = node.accrual
        node.listening = bool(self.failure_statuses) or (
            accrual is not None and (node.ejection != "up" or not accrual.clean)
        )
        node.attentive = room != UNLIMITED or self._balancer_released is not None

    # -- the three facts

    def observe(self, node_id: str, observation: Observation, now: float) -> None:
        """Take in the result of one active check. A node that left in the meantime is ignored."""
        node = self.nodes.get(node_id)
        if node is None:
            return
        self._settle(now)
        ok, cause = observation.ok, f"check: {observation.cause}"
        old = node.health
        node.health, flipped = observe(old, ok, self.thresholds, now)
        if flipped:
            self._flip(node, old, cause, now)
        elif node.ejection == "ejected" and node.accrual is not None and not node.soft:
            if not ok:
                node.accrual.failed(now)
            elif node.accrual.succeeded(now):
                self.ejections.lift(node, f"enough good checks, last: {cause}", now)
        self._tune(node)

    def mark(self, node_id: str, up: bool, cause: str, now: float) -> None:
        """Set the health of a node by hand, as if enough checks had said so. Raises UnknownNode."""
        node = self._node(node_id)
        self._settle(now)
        old = node.health
        node.health = Health(up=up, since=now, checked=old.checked)
        if old.up is not up:
            self._flip(node, old, cause, now)
        elif up and node.ejection != "up":
            self.ejections.lift(node, cause, now)
        self._tune(node)

    def _flip(self, node: Node, old: Health, cause: str, now: float) -> None:
        """Health flipped. A node that checks saw down and then up again starts with a clean passive record."""
        self.record(node, "health", old.word, node.health.word, cause, now)
        if not node.health.up:
            return
        if node.ejection != "up":
            self.ejections.lift(node, cause, now)
        elif node.accrual is not None:
            node.accrual.reset()

    def set_enabled(self, node_id: str, word: Enabled, cause: str, now: float) -> None:
        """The operator's word: "up", "drain" (no new exchanges) or "down". Raises UnknownNode."""
        if word not in ("up", "drain", "down"):
            raise ValueError(f"{word!r} is none of up, drain, down")
        node = self._node(node_id)
        self._settle(now)
        if node.enabled != word:
            old, node.enabled = node.enabled, word
            self.record(node, "enabled", old, word, cause, now)
        self._tune(node)

    def record(
        self, node: Node | None, fact: str, old: str, new: str, cause: str, now: float
    ) -> None:
        """One change: kept in the node's history, sent to the sink, and reason to look at the pool afresh."""
        event = Event(now, self.name, node.id if node else "", fact, old, new, cause)
        if node is not None:
            node.history.append(event)
            node.last_change = event
            self._tune(node)
        self._due = _AT_ONCE
        self._events.emit(event)

    def _node(self, node_id: str) -> Node:
        try:
            return self.nodes[node_id]
        except KeyError:
            known = ", ".join(self.nodes) or "none"
            raise UnknownNode(
                f"pool {self.name} has no target {node_id!r}; it has: {known}"
            ) from None

    # -- membership

    def replace(self, targets: Iterable[Target], now: float) -> None:
        """Change the membership; state is kept by target id, also when weight or limits change."""
        self._settle(now)
        wanted = {target.id: target for target in targets}
        for node in [n for n in self.nodes.values() if n.id not in wanted]:
            self._leave(node, now)
        old, self.nodes = self.nodes, {}
        for target in wanted.values():
            known = old.get(target.id)
            if known is None:
                node = self._join(target)
                self.record(node, "membership", "", "member", "joined", now)
                continue
            node = self.nodes[target.id] = known
            if node.target != target:
                self._change(node, target, now)
        self._due = _AT_ONCE

    def _join(self, target: Target) -> Node:
        if target.id in self.nodes:
            raise ValueError(f"pool {self.name} has two targets {target.id!r}")
        accrual = self._accrual() if self._accrual is not None else None
        health = Health.initial(self.initial, self.thresholds)
        node = self.nodes[target.id] = Node(target, self, health, accrual)
        self._tune(node)
        return node

    def _leave(self, node: Node, now: float) -> None:
        """`node` is no member any more; its leases end as they like."""
        self.ejections.forget(node)
        del self.nodes[node.id]
        self._full.discard(node)
        self.record(node, "membership", "member", "", "left", now)

    def _change(self, node: Node, target: Target, now: float) -> None:
        """The target of `node` got other settings; only what changed is touched."""
        old, node.target = node.target, target
        node.base_weight = node.weight = float(target.weight)
        names = ("address", "weight", "max_conns", "backup")
        changed = [n for n in names if getattr(old, n) != getattr(target, n)]
        if changed:
            before = " ".join(f"{n}={getattr(old, n)}" for n in changed)
            after = " ".join(f"{n}={getattr(target, n)}" for n in changed)
            self.record(node, "membership", before, after, "settings changed", now)
        if old.down is not target.down:
            word: Enabled = "down" if target.down else "up"
            self.set_enabled(node.id, word, "settings changed", now)
        self._tune(node)

    # -- what is available

    def _settle(self, now: float) -> None:
        if now >= self._due:
            self._refresh(now)

    def _refresh(self, now: float) -> None:
        """Carry out the timed changes up to `now` and rebuild the tuples of available nodes."""
        for node in self.nodes.values():
            if node.ejection == "ejected" and node.ejected_until <= now:
                self.ejections.expire(node)
        due = _NEVER
        primaries: list[Node] = []
        backups: list[Node] = []
        for node in self.nodes.values():
            if node.ejection == "ejected":
                due = min(due, node.ejected_until)
            if node.available:
                (backups if node.target.backup else primaries).append(node)
        # New tuples even for the same nodes: a weight may have changed, and balancers go by the identity.
        self._primaries, self._backups = tuple(primaries), tuple(backups)
        self._ready = self._primaries or self._backups
        self._odd = not self._ready
        panicking = self._odd and self.all_down == "least_bad" and bool(self.nodes)
        if panicking is not self._panicking:
            self._panicking = panicking
            words = ("off", "on") if panicking else ("on", "off")
            cause = "no target is available" if panicking else "a target is available"
            self.record(None, "panic", *words, cause, now)
        self._due = due

    def available(self, now: float) -> tuple[Node, ...]:
        """The nodes that take new exchanges now: primaries, or backups when there are none."""
        self._settle(now)
        return self._ready

    def snapshot(self, now: float) -> list[dict[str, Any]]:
        """Every node as a JSON-able dict; see `domain.snapshot`."""
        self._settle(now)
        return [describe(node, self.thresholds, now) for node in self.nodes.values()]
