"""A roster: the nodes of a pool, who joins and leaves, and the one place where a change of a fact is noted.

Imports: domain, domain.accruals, domain.checks. Used by: domain, service.

A change leaves an event for whoever listens, and is reason to make the choice afresh, which the owner is told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from lolly_tx.domain.accruals.interfaces import IAccrual
from lolly_tx.domain.checks.health import Health, Initial, Thresholds
from lolly_tx.domain.events import Event
from lolly_tx.domain.holding import Holding
from lolly_tx.domain.interfaces import IBalancer, IEventSink
from lolly_tx.domain.local_fault import Witness
from lolly_tx.domain.node import UNLIMITED, Enabled, Node, Owner
from lolly_tx.domain.outlier import OutlierDetector
from lolly_tx.domain.target import Target
from lolly_tx.domain.tier import BACKUP, Tier

DEPARTED = 64
"""Targets that left and are still known, with their history and counters."""

_CHANGED = "settings changed"


class UnknownNode(LookupError):
    """The pool has no node of that id."""


def _alone(node: Node) -> Holding | None:
    """There is one process."""
    return None


def never_absent(target: Target) -> str:
    """Whoever is connected to is there to be tried."""
    return ""


class Roster:
    """The nodes of the pool `owner`, by target id; the dictionary stays the same object.

    `hears_all`: somebody wants to hear of every end of a lease. `counts_leases`: of every release. `absence`: why there
    is nobody to connect to for a target now, "" where there is.
    """

    def __init__(
        self,
        owner: Owner,
        *,
        balancer: IBalancer,
        another_balancer: Callable[[], IBalancer] | None,
        accrual: Callable[[], IAccrual] | None,
        thresholds: Thresholds,
        initial: Initial,
        events: IEventSink,
        outliers: OutlierDetector | None,
        hears_all: bool,
        counts_leases: bool,
        absence: Callable[[Target], str] = never_absent,
    ) -> None:
        self.nodes: dict[str, Node] = {}
        self.tiers: dict[int, Tier] = {}
        """By rank."""
        self.full: set[Node] = set()
        self.thresholds = thresholds
        self.initial = initial
        self.outliers = outliers
        self.on_back: list[Callable[[Node], None]] = []
        self.hold: Callable[[Node], Holding | None] = _alone
        """What each node has of the leases in all processes of the proxy."""
        self.witness: Witness | None = None
        """Who wants to know what happens at nodes, and may say that nothing of it is their fault."""
        self._owner = owner
        self._balancer = balancer
        self._another_balancer = another_balancer
        self._accrual = accrual
        self._events = events
        self.departed: dict[str, Node] = {}
        """The latest that left, in case they come back, and for who asks what became of them."""
        self._hears_all = hears_all
        self._counts_leases = counts_leases
        self._absence = absence

    def node(self, node_id: str) -> Node:
        """The node of that id. Raises UnknownNode with the ids there are."""
        try:
            return self.nodes[node_id]
        except KeyError:
            known = ", ".join(self.nodes) or "none"
            raise UnknownNode(
                f"pool {self._owner.name} has no target {node_id!r}; it has: {known}"
            ) from None

    def has_others(self, node: Node) -> bool:
        """Somebody else is available, and not on trial."""
        return any(
            n is not node and n.available and n.ejection == "up"
            for n in self.nodes.values()
        )

    @property
    def counts_together(self) -> bool:
        """Leases of some node are counted over several processes."""
        return self.hold is not _alone and any(
            node.holding is not None and node.holding.counted
            for node in self.nodes.values()
        )

    def held(self, now: float) -> str:
        """Why nobody is to be ejected or taken down now; "" when there is no reason."""
        return self.witness.holds(self._owner.name, now) if self.witness else ""

    # -- changes

    def record(
        self, node: Node | None, fact: str, old: str, new: str, cause: str, now: float
    ) -> None:
        """One change: kept in the node's history, sent to the sink, and reason to make the choice afresh."""
        event = Event(
            now, self._owner.name, node.id if node else "", fact, old, new, cause
        )
        if node is not None:
            node.history.append(event)
            node.last_change = event
            if new in ("up", "trial"):
                for tell in self.on_back:
                    tell(node)
            if self.outliers is not None and fact not in ("shadow", "check"):
                self.outliers.forget(node.id)
            self.tune(node)
        self._owner.changed()
        self._events.emit(event)

    def set_enabled(self, node: Node, word: Enabled, cause: str, now: float) -> None:
        """The operator's word. Raises ValueError when it is none."""
        if word not in ("up", "drain", "down"):
            raise ValueError(f"{word!r} is none of up, drain, down")
        if node.enabled != word:
            old, node.enabled = node.enabled, word
            self.record(node, "enabled", old, word, cause, now)
        self.tune(node)

    def absences(self, whose: Callable[[Target], bool]) -> list[tuple[Node, str]]:
        """The nodes that are absent for another reason than is known, or no more, each with the reason."""
        nodes = [node for node in self.nodes.values() if whose(node.target)]
        asked = [(node, self._absence(node.target)) for node in nodes]
        return [(node, why) for node, why in asked if why != node.absent]

    def set_absent(self, node: Node, why: str, now: float) -> None:
        """There is nobody to connect to, or "": there is."""
        before, node.absent = node.absent, why
        if not why:
            cause = "its connector is connected"
            self.record(node, "tunnel", "down", "up", cause, now)
        elif not before:
            self.record(node, "tunnel", "up", "down", why, now)

    def tune(self, node: Node) -> None:
        """Bring the derived numbers and flags of `node` up to date after something happened to it."""
        capacity = node.max_conns or UNLIMITED
        if node.ramp is not None and capacity != UNLIMITED:
            capacity = max(1, int(capacity * node.weight / node.base_weight))
        if node.ejection == "trial":
            capacity = 0 if node.trial_lease is not None else node.in_flight + 1
        node.capacity = capacity
        if self.nodes.get(node.id) is node and node.in_flight >= capacity:
            self.full.add(node)
        else:
            self.full.discard(node)
        accrual = node.accrual
        tier = node.tier
        node.listening = (
            self._hears_all
            or node.ejection != "up"
            or tier.tell is not None
            or (accrual is not None and not accrual.clean)
        )
        node.attentive = (
            self._counts_leases or capacity != UNLIMITED or tier.released is not None
        )
        if node.id in self.departed:
            node.attentive = True  # the end of its last lease is told
        if node.holding is not None:
            node.holding.count(bool(node.max_conns), node.in_flight)
            node.attentive = node.attentive or node.holding.counted

    def go_by(
        self, other: Roster, another_balance: bool, another_accrual: bool
    ) -> None:
        """Have the policies of `other`: those that are told to be others begin anew."""
        if another_balance:
            self._balancer = other._balancer
            self._another_balancer = other._another_balancer
            self.tiers.clear()
        if another_accrual:
            self._accrual = other._accrual
        heard = (self._hears_all, self._counts_leases)
        self._hears_all, self._counts_leases = other._hears_all, other._counts_leases
        if not another_balance and not another_accrual:
            if heard == (self._hears_all, self._counts_leases):
                return
        for node in self.nodes.values():
            if another_balance:
                node.tier = self._tier_of(node.target)
            if another_accrual:
                node.accrual = self._accrual() if self._accrual is not None else None
            self.tune(node)

    # -- membership

    def replace(
        self,
        targets: Iterable[Target],
        now: float,
        leave: Callable[[Node], None],
        by: str = "",
    ) -> None:
        """Change the membership; state is kept by target id. `leave` is told who goes before it is gone.

        `by`: who does it, for the events; "" for the configuration.
        """
        wanted = {target.id: target for target in targets}
        for node in [n for n in self.nodes.values() if n.id not in wanted]:
            leave(node)
            self._leave(node, now, by)
        old = dict(self.nodes)
        self.nodes.clear()
        for target in wanted.values():
            known = old.get(target.id)
            if known is None:
                node = self._make(target)
                node.served = False
                self.record(node, "membership", "", "member", by or "joined", now)
                continue
            if known.target.place != target.place:
                leave(known)
                self._move(known, target, now, by)
                continue
            node = self.nodes[target.id] = known
            if node.target != target:
                self._change(node, target, now, by)
        self._owner.changed()

    def join(self, target: Target) -> Node:
        """A new node, with history and counters of the last one of that id. Raises ValueError when there is one."""
        if target.id in self.nodes:
            raise ValueError(f"pool {self._owner.name} has two targets {target.id!r}")
        node = self._make(target)
        self.tune(node)
        return node

    def _make(self, target: Target) -> Node:
        """A node of `target` in its place; it is to be tuned."""
        accrual = self._accrual() if self._accrual is not None else None
        health = Health.initial(self.initial, self.thresholds)
        tier = self._tier_of(target)
        node = Node(target, self._owner, health, accrual, tier)
        self.nodes[target.id] = node
        node.holding = self.hold(node)
        node.absent = self._absence(target)
        before = self.departed.pop(target.id, None)
        if before is not None:
            node.stats = before.stats
            node.history.extend(before.history)
        return node

    def _leave(self, node: Node, now: float, by: str) -> None:
        """`node` is no member any more; its leases end as they like."""
        del self.nodes[node.id]
        self.full.discard(node)
        self.departed[node.id] = node
        new = "leaving" if node.in_flight else ""
        self.record(node, "membership", "member", new, by or "left", now)
        if len(self.departed) > DEPARTED:
            del self.departed[next(iter(self.departed))]

    def see_off(self, node: Node, now: float) -> None:
        """The last lease of `node` is over: if it has left, it is gone for good."""
        if self.departed.get(node.id) is node:
            cause = "its last exchange is over"
            self.record(node, "membership", "leaving", "", cause, now)

    def _move(self, old: Node, target: Target, now: float, by: str) -> None:
        """The target of `old` is at another address, of which nothing is known.

        The leases of the old one end as they like, and say nothing of the new one. What the operator said is about
        the id, and so are the counters.
        """
        self.full.discard(old)
        node = self._make(target)
        node.history.extend(old.history)
        node.stats = old.stats
        node.served = False
        if old.target.down is target.down:
            node.enabled = old.enabled
        before = f"address={old.target.address}"
        after = f"address={target.address}"
        self.record(node, "membership", before, after, by or _CHANGED, now)

    def _change(self, node: Node, target: Target, now: float, by: str) -> None:
        """The target of `node` got other settings; only what changed is touched."""
        old, node.target = node.target, target
        node.weight = float(target.weight)
        node.follow_agent(node.agent)
        node.tier = self._tier_of(target)
        names = ("address", "weight", "max_conns", "backup", "priority")
        changed = [n for n in names if getattr(old, n) != getattr(target, n)]
        if changed:
            before = " ".join(f"{n}={getattr(old, n)}" for n in changed)
            after = " ".join(f"{n}={getattr(target, n)}" for n in changed)
            self.record(node, "membership", before, after, by or _CHANGED, now)
        if old.down is not target.down:
            word: Enabled = "down" if target.down else "up"
            self.set_enabled(node, word, by or _CHANGED, now)
        self.tune(node)

    def _tier_of(self, target: Target) -> Tier:
        """The tier of `target`, made when it is the first of its kind."""
        rank = BACKUP if target.backup else target.priority
        tier = self.tiers.get(rank)
        if tier is None:
            balancer = self._balancer
            if self.tiers and self._another_balancer is not None:
                balancer = self._another_balancer()
            tier = self.tiers[rank] = Tier(rank, balancer)
        return tier
