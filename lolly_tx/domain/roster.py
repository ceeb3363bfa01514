"""A roster: the nodes of a pool with the three facts about each, and every way these facts change.

May import: domain. Used by: domain.pool, which is a roster that also chooses.

What comes in: checks (`observe`), the operator's words (`set_enabled`, `mark`), how leases ended, membership
(`replace`), and time. What goes out: one event for each change. After any of it the choice has to be made
afresh, which `_due` says.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable

from lolly_tx.domain.agent import AgentReport, follow
from lolly_tx.domain.ejection import EjectionLimits, Ejections, Recorder
from lolly_tx.domain.errors import ProxyError
from lolly_tx.domain.events import Event
from lolly_tx.domain.evidence import Sighting
from lolly_tx.domain.health import Health, Initial, Observation, Thresholds, observe
from lolly_tx.domain.interfaces import IAccrual, IBalancer, IEventSink
from lolly_tx.domain.lease import Lease
from lolly_tx.domain.node import OWN_RECORD, UNLIMITED, EjectionKind, Enabled, Node
from lolly_tx.domain.outcomes import Outcome
from lolly_tx.domain.outlier import OutlierDetector, OutlierLimits
from lolly_tx.domain.slow_start import SlowStart
from lolly_tx.domain.target import Target
from lolly_tx.domain.tier import BACKUP, Tier

AT_ONCE = float("-inf")
NEVER = float("inf")

DEPARTED = 64
"""Targets that left, whose history is kept in case they come back."""

UNREACHED = 3
"""Failed connects in a row that eject even the last target, under policies without `max_fails`."""

OUTLIER_TRIALS = 10
"""Good trials in a row that bring an outlier back. One says nothing about a node that fails
every other request; ten in a row come from it once in a thousand times."""


class UnknownNode(LookupError):
    """The pool has no node of that id."""


class Roster(Recorder):
    """The nodes of a pool and the facts about them."""

    def __init__(
        self,
        name: str,
        *,
        balancer: IBalancer,
        another_balancer: Callable[[], IBalancer] | None,
        accrual: Callable[[], IAccrual] | None,
        thresholds: Thresholds,
        now: float,
        events: IEventSink,
        initial: Initial,
        ejections: EjectionLimits | None,
        outliers: OutlierLimits | None,
        slow_start: SlowStart | None,
        failure_statuses: Collection[int],
    ) -> None:
        self.name = name
        self.nodes: dict[str, Node] = {}
        self.balancer = balancer
        self.thresholds = thresholds
        self.initial = initial
        self.failure_statuses = frozenset(failure_statuses)
        self.ejections = Ejections(ejections or EjectionLimits(), self)
        self.outliers = OutlierDetector(outliers, now) if outliers else None
        self.slow_start = slow_start or SlowStart()
        self.suspect: Callable[[Node, float], None] | None = None
        """Called when a failure is held against a node: a reason to check it at once."""
        self.on_down: list[Callable[[Node, float], None]] = []
        """Called when the health of a node becomes "down": who waits there may wait in vain."""
        self.on_unreachable: list[Callable[[Node, float], None]] = []
        """Called when a node is ejected because there were no connections: a reason to ask it by one of our own."""
        self.on_back: list[Callable[[Node], None]] = []
        """Called when a node has come back, or is to be tried."""
        self.on_room: list[Callable[[float], None]] = []
        """Called when a lease ends where there was a limit: somebody may be waiting for room."""
        self._another_balancer = another_balancer
        self._accrual = accrual
        self._events = events
        self._departed: dict[str, deque[Event]] = {}
        self._full: set[Node] = set()
        self._tiers: dict[int, Tier] = {}
        self._due = AT_ONCE
        self._hears_all = bool(self.failure_statuses) or self.outliers is not None
        self._counts_leases = False

    # -- how leases ended

    def lease_answered(self, lease: Lease, now: float) -> None:
        """The head of an answer has come and someone listens: latency and trials are judged by it."""
        node, status = lease.node, lease.status
        if self.nodes.get(node.id) is not node:
            return
        node.unreached = 0
        outcome = Outcome(
            status not in self.failure_statuses, None, status, lease.seconds
        )
        finished = node.tier.finished
        if finished is not None and lease.asked <= now:
            finished(node, outcome.seconds, not outcome.server_error, now)
        if lease.on_trial:
            self._judge_trial(lease, outcome, now)
            self._tune(node)
        if not outcome.ok:
            lease.succeeded(now, status)

    def lease_succeeded(self, lease: Lease, now: float) -> None:
        """A lease ended with an answer and someone listens."""
        status = lease.status
        ok = status not in self.failure_statuses
        self._ended(lease, Outcome(ok, None, status, lease.seconds), now)

    def lease_failed(self, lease: Lease, error: ProxyError, now: float) -> None:
        """A lease ended by the node's fault."""
        node = lease.node
        stats = node.stats
        stats.failures += 1
        if error.kind == "connect":
            stats.connect_failures += 1
        elif error.kind == "timeout":
            stats.timeouts += 1
        elif error.kind == "reset":
            stats.resets += 1
        # After the head it is the client who may have taken its time.
        seconds = lease.seconds if lease.status else max(0.0, now - lease.asked)
        if node.tier.tell is not None and self.nodes.get(node.id) is node:
            node.tier.tell(node, seconds, False, now)
        self._ended(lease, Outcome(False, error, 0, seconds), now)

    def _ended(self, lease: Lease, outcome: Outcome, now: float) -> None:
        node = lease.node
        if self.nodes.get(node.id) is not node:
            return
        if outcome.unreachable:
            node.unreached += 1
        elif not lease.status:
            node.unreached = 0
        if self.outliers is not None and node.ejection == "up":
            self.outliers.record(
                node.id, outcome.server_error, outcome.seconds, lease.asked <= now
            )
        # An answer is judged by its head; what breaks off after it is judged once more.
        if lease.on_trial and not (lease.status and outcome.ok):
            self._judge_trial(lease, outcome, now)
        elif node.accrual is not None:
            self._count(lease, node.accrual, outcome, now)
        if not outcome.ok:
            seen = Sighting(now, False, outcome.what, outcome.seconds)
            node.evidence.failures.append(seen)
            if self.suspect is not None:
                self.suspect(node, now)
        self._tune(node)

    def _judge_trial(self, lease: Lease, outcome: Outcome, now: float) -> None:
        node = lease.node
        if node.trial_lease is lease:
            node.trial_lease = None
        # A node that came out for its server errors does not come back by one more of them.
        bad = node.kind == "outlier" and outcome.server_error
        if outcome.ok and not bad:
            node.trials += 1
            needed = OUTLIER_TRIALS if node.kind == "outlier" else 1
            if node.trials >= needed:
                self.ejections.lift(node, "trial: succeeded", now)
            return
        asked = node.accrual.failed(now) if node.accrual is not None else None
        seconds = node.penalty if bad or not asked else asked
        cause = f"trial: failed: {outcome.what}"
        if not self._eject(node, seconds, cause, now, _kind_of(outcome)):
            self.ejections.lift(node, f"{cause}, but the last target stays", now)

    def _count(
        self, lease: Lease, accrual: IAccrual, outcome: Outcome, now: float
    ) -> None:
        if not outcome.ok and lease.started < lease.node.ejected_until:
            return  # begun before it came back, it says how things were
        if node_is_up := lease.node.ejection == "up":
            heard = getattr(accrual, "heard", None)
            if heard is not None:
                asked = heard(outcome, now)
            elif outcome.ok:
                accrual.succeeded(now)
                asked = None
            else:
                asked = accrual.failed(now)
            if asked:
                cause = f"passive: {accrual}, last: {outcome.what}"
                kind = self._kind_of(lease.node, accrual, outcome)
                if not self._eject(lease.node, asked, cause, now, kind):
                    # It stays, so its record begins anew: else one more would do.
                    accrual.reset()
        if node_is_up or not outcome.ok or lease.node.ejection != "ejected":
            return
        # Only exchanges of the last resort, begun after the ejection, say something about now.
        if lease.started >= lease.node.ejected_at and accrual.succeeded(now):
            self.ejections.lift(lease.node, "passive: enough successes", now)

    def lease_released(self, lease: Lease, now: float) -> None:
        """A lease is over and someone wanted to know."""
        node = lease.node
        if node.trial_lease is lease:
            node.trial_lease = None
        self._tune(node)
        if node.tier.released is not None:
            node.tier.released(node)
        for tell in self.on_room:
            tell(now)

    def _kind_of(self, node: Node, accrual: IAccrual, outcome: Outcome) -> EjectionKind:
        """As what a failure ejects; the last node needs as many failed connects in a row as it takes failures."""
        enough = getattr(accrual, "max_fails", 0) or UNREACHED
        if node.unreached < enough and not self._others(node):
            return "passive"
        return _kind_of(outcome)

    # -- ejections

    def _eject(
        self,
        node: Node,
        seconds: float,
        cause: str,
        now: float,
        kind: EjectionKind = "passive",
    ) -> bool:
        out = self.ejections.eject(
            node,
            seconds,
            cause,
            now,
            members=len(self.nodes),
            others=self._others(node),
            kind=kind,
        )
        if out and node.unreachable:
            for tell in self.on_unreachable:
                tell(node, now)
        return out

    def _others(self, node: Node) -> bool:
        return any(
            n is not node and n.available and n.ejection == "up"
            for n in self.nodes.values()
        )

    def sweep(self, now: float) -> None:
        """Look for outliers, if it is time; acquiring does this by itself."""
        detector = self.outliers
        if detector is None or now < detector.next_sweep:
            return
        for outlier in detector.sweep(now):
            node = self.nodes[outlier.node_id]
            if detector.limits.shadow:
                self.ejections.report(node, outlier.cause, now)
                detector.forget(node.id)
                continue
            seconds = detector.limits.seconds
            if node.ejection == "up":
                self._eject(node, seconds, outlier.cause, now, "outlier")

    # -- the three facts

    def go_by(self, thresholds: Thresholds, initial: Initial) -> None:
        """Count checks by `thresholds` from now on; targets nobody has checked yet begin as `initial`."""
        if (thresholds, initial) == (self.thresholds, self.initial):
            return
        self.thresholds, self.initial = thresholds, initial
        for node in self.nodes.values():
            if node.health.checked is None and node.health.since is None:
                node.health = Health.initial(initial, thresholds)
                self._tune(node)
        self._due = AT_ONCE

    def observe(self, node_id: str, observation: Observation, now: float) -> None:
        """Take in the result of one active check. A node that left in the meantime is ignored."""
        node = self.nodes.get(node_id)
        if node is None:
            return
        self._settle(now)
        old = node.health
        ok, cause = observation.ok, f"check: {observation.cause}"
        node.evidence.checks.append(
            Sighting(now, ok, observation.cause, observation.latency)
        )
        ok = ok or (observation.drain and old.up)
        node.health, flipped = observe(old, ok, self.thresholds, now)
        self._hear_drain(node, observation, cause, now)
        if flipped:
            self._flip(node, old, cause, now)
        elif node.ejection == "ejected" and node.kind in OWN_RECORD:
            # Checks speak for the node's own record only: an outlier may well answer them.
            self._count_check(node, ok, cause, now)
        self._tune(node)

    def reached(self, node_id: str, observation: Observation, now: float) -> None:
        """Take in a connect of our own to a node that is ejected because there were none."""
        node = self.nodes.get(node_id)
        if node is None:
            return
        self._settle(now)
        if not node.unreachable:
            return
        node.stats.rechecks += 1
        ok, cause = observation.ok, f"recheck: {observation.cause}"
        node.evidence.checks.append(Sighting(now, ok, cause, observation.latency))
        self._count_check(node, ok, cause, now)
        if not ok:
            self.ejections.renew(node, now)
        self._tune(node)

    def _hear_drain(
        self, node: Node, observation: Observation, cause: str, now: float
    ) -> None:
        """A check may ask for no new clients; only a good one without that takes it back."""
        lame = observation.drain and node.health.up
        if lame is node.lame or not (lame or observation.ok):
            return
        node.lame = lame
        words = ("off", "on") if lame else ("on", "off")
        self.record(node, "drain", *words, cause, now)

    def hear_agent(self, node_id: str, report: AgentReport, now: float) -> None:
        """Take in what a target says of itself. A node that left in the meantime is ignored."""
        node = self.nodes.get(node_id)
        if node is None:
            return
        self._settle(now)
        old = node.agent
        node.follow_agent(follow(old, report))
        if node.agent != old:
            why = f" ({report.reason})" if report.reason else ""
            cause = f"agent: {report.words}{why}"
            self.record(node, "agent", old.text, node.agent.text, cause, now)

    def _count_check(self, node: Node, ok: bool, cause: str, now: float) -> None:
        if node.accrual is None:
            return
        if not ok:
            node.accrual.failed(now)
        elif node.accrual.succeeded(now):
            self.ejections.lift(node, f"enough good checks, last: {cause}", now)

    def mark(self, node_id: str, up: bool, cause: str, now: float) -> None:
        """Set the health of a node by hand, as if enough checks had said so. Raises UnknownNode."""
        node = self.node(node_id)
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
            for tell in self.on_down:
                tell(node, now)
        elif node.ejection != "up":
            self.ejections.lift(node, cause, now)
        elif node.accrual is not None:
            node.accrual.reset()

    def set_enabled(self, node_id: str, word: Enabled, cause: str, now: float) -> None:
        """The operator's word: "up", "drain" (no new exchanges) or "down". Raises UnknownNode."""
        if word not in ("up", "drain", "down"):
            raise ValueError(f"{word!r} is none of up, drain, down")
        node = self.node(node_id)
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
            if new in ("up", "trial"):
                for tell in self.on_back:
                    tell(node)
            if self.outliers is not None and fact not in ("shadow", "check"):
                self.outliers.forget(node.id)
            self._tune(node)
        self._due = AT_ONCE
        self._events.emit(event)

    def node(self, node_id: str) -> Node:
        """The node of that id. Raises UnknownNode with the ids there are."""
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
                node.served = False
                self.record(node, "membership", "", "member", "joined", now)
                continue
            node = self.nodes[target.id] = known
            if node.target != target:
                self._change(node, target, now)
        self._due = AT_ONCE

    def _join(self, target: Target) -> Node:
        if target.id in self.nodes:
            raise ValueError(f"pool {self.name} has two targets {target.id!r}")
        accrual = self._accrual() if self._accrual is not None else None
        health = Health.initial(self.initial, self.thresholds)
        node = self.nodes[target.id] = Node(target, self, health, accrual)
        node.history.extend(self._departed.pop(target.id, ()))
        self._tune(node)
        return node

    def _leave(self, node: Node, now: float) -> None:
        """`node` is no member any more; its leases end as they like."""
        self.ejections.forget(node)
        del self.nodes[node.id]
        self._full.discard(node)
        self.record(node, "membership", "member", "", "left", now)
        self._departed[node.id] = node.history
        if len(self._departed) > DEPARTED:
            del self._departed[next(iter(self._departed))]

    def _change(self, node: Node, target: Target, now: float) -> None:
        """The target of `node` got other settings; only what changed is touched."""
        old, node.target = node.target, target
        node.weight = float(target.weight)
        node.follow_agent(node.agent)
        node.tier = self.tier_for(target)
        names = ("address", "weight", "max_conns", "backup", "priority")
        changed = [n for n in names if getattr(old, n) != getattr(target, n)]
        if changed:
            before = " ".join(f"{n}={getattr(old, n)}" for n in changed)
            after = " ".join(f"{n}={getattr(target, n)}" for n in changed)
            self.record(node, "membership", before, after, "settings changed", now)
        if old.down is not target.down:
            word: Enabled = "down" if target.down else "up"
            self.set_enabled(node.id, word, "settings changed", now)
        self._tune(node)

    def tier_for(self, target: Target) -> Tier:
        """The tier of `target`, made when it is the first of its kind."""
        rank = BACKUP if target.backup else target.priority
        tier = self._tiers.get(rank)
        if tier is None:
            balancer = self.balancer
            if self._tiers and self._another_balancer is not None:
                balancer = self._another_balancer()
            tier = self._tiers[rank] = Tier(rank, balancer)
        return tier

    # -- what follows from the facts and the time

    def _settle(self, now: float) -> None:
        """Carry out what time has brought, before anything else happens."""
        raise NotImplementedError

    def _advance(self, now: float) -> float:
        """Carry out the timed changes up to `now`; when the next one is due."""
        self.sweep(now)
        if self.ejections.limits.keep_last:
            self._keep_somebody(now)
        due = self.outliers.next_sweep if self.outliers is not None else NEVER
        for node in self.nodes.values():
            if node.ejection == "ejected":
                if node.ejected_until <= now:
                    self.ejections.expire(node)
                else:
                    due = min(due, node.ejected_until)
            elif node.trial_lease is not None:
                due = min(due, self._watch_trial(node, node.trial_lease, now))
            step = self._ramp(node, now)
            if step is not None:
                due = min(due, step)
        return due

    def _keep_somebody(self, now: float) -> None:
        """With nobody else left, those serve again that were ejected for anything but failed connects."""
        if any(n.available and n.ejection == "up" for n in self.nodes.values()):
            return
        for node in self.nodes.values():
            if node.ejection != "up" and node.kind != "connect":
                if node.willing and node.well:
                    self.ejections.lift(node, "no other target is available", now)

    def _watch_trial(self, node: Node, lease: Lease, now: float) -> float:
        """Let a trial that goes on without a verdict no longer stand in the way; when that will be, else."""
        due = self.ejections.trial_due(lease, now)
        if due > now:
            return due
        node.trial_lease = None
        self._tune(node)
        return NEVER

    def _ramp(self, node: Node, now: float) -> float | None:
        """Slow start of one node; when it takes its next step, if it is on its way."""
        serves = node.available and node.ejection == "up"
        if serves and node.served is False and self.slow_start.window:
            # From the change that brought it back, which may be some time before anybody looks.
            node.ramp = node.last_change.at if node.last_change else now
        elif not serves:
            node.ramp = None
        # Nobody was seen to fail before a node's first time in service, so that has no ramp.
        if serves or node.served is not None or not node.willing:
            node.served = serves
        if node.ramp is None:
            node.weight = node.base_weight
            return None
        age = max(0.0, now - node.ramp)
        node.weight = node.base_weight * self.slow_start.factor(age)
        step = self.slow_start.next_step(age)
        if step is None:
            node.ramp = None
        self._tune(node)
        return None if step is None else now - age + step

    def _tune(self, node: Node) -> None:
        """Bring the derived numbers and flags of `node` up to date after something happened to it."""
        room = node.max_conns or UNLIMITED
        if node.ramp is not None and room != UNLIMITED:
            room = max(1, int(room * node.weight / node.base_weight))
        if node.ejection == "trial":
            room = 0 if node.trial_lease is not None else node.in_flight + 1
        node.room = room
        if self.nodes.get(node.id) is node and node.in_flight >= room:
            self._full.add(node)
        else:
            self._full.discard(node)
        accrual = node.accrual
        tier = node.tier
        node.listening = (
            self._hears_all
            or node.ejection != "up"
            or tier.tell is not None
            or (accrual is not None and not accrual.clean)
        )
        node.attentive = (
            self._counts_leases or room != UNLIMITED or tier.released is not None
        )


def _kind_of(outcome: Outcome) -> EjectionKind:
    """As what a failure ejects."""
    return "connect" if outcome.unreachable else "passive"
