"""Verdicts: what the ends of leases mean for their nodes.

Imports: domain, domain.accruals. Used by: domain.pool, domain.timetable.

Each end is told to the node's accrual and its balancer, is a trial's verdict, and may eject. Whoever stands out
among its peers is ejected here too.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from lolly_tx.domain.accruals.interfaces import IAccrual
from lolly_tx.domain.ejection import Ejections
from lolly_tx.domain.errors import ProxyError
from lolly_tx.domain.evidence import Sighting
from lolly_tx.domain.node import EjectionKind, Node, Use
from lolly_tx.domain.outcomes import Outcome
from lolly_tx.domain.roster import Roster

UNREACHED = 3
"""Failed connects in a row that eject even the last target, under policies without `max_fails`."""

OUTLIER_TRIALS = 10
"""Good trials in a row that bring an outlier back. One says nothing about a node that fails
every other request; ten in a row come from it once in a thousand times."""


class Verdicts:
    """`failure_statuses`: of answers that count as failures for the accrual."""

    def __init__(
        self, roster: Roster, ejections: Ejections, failure_statuses: Collection[int]
    ) -> None:
        self.suspect: Callable[[Node, float], None] | None = None
        self.on_unreachable: list[Callable[[Node, float], None]] = []
        self.on_failure: Callable[[Node, Outcome, float], None] | None = None
        """Who wants to know of each failure that is held against a node, to tell others; None: nobody."""
        self.elsewhere: Callable[[Use, Outcome, float, bool], None] | None = None
        """Who judges in place of this: another process hears of the leases of several. The last: only the head came."""
        self._roster = roster
        self._ejections = ejections
        self.failure_statuses = frozenset(failure_statuses)

    def answered(self, lease: Use, now: float) -> None:
        """The head of an answer has come and someone listens: latency and trials are judged by it."""
        node, status = lease.node, lease.status
        if self._roster.nodes.get(node.id) is not node:
            return
        node.unreached = 0
        outcome = Outcome(
            status not in self.failure_statuses, None, status, lease.seconds
        )
        finished = node.tier.finished
        if finished is not None and lease.asked <= now:
            finished(node, outcome.seconds, not outcome.server_error, now)
        if lease.on_trial:
            if self.elsewhere is not None:
                self.elsewhere(lease, outcome, now, True)
            else:
                self._judge_trial(lease, outcome, now)
                self._roster.tune(node)
        if not outcome.ok:
            lease.succeeded(now, status)

    def succeeded(self, lease: Use, now: float) -> None:
        """A lease ended with an answer and someone listens."""
        status = lease.status
        ok = status not in self.failure_statuses
        self.ended(lease, Outcome(ok, None, status, lease.seconds), now)

    def failed(self, lease: Use, error: ProxyError, now: float) -> None:
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
        if node.tier.tell is not None and self._roster.nodes.get(node.id) is node:
            node.tier.tell(node, seconds, False, now)
        self.ended(lease, Outcome(False, error, 0, seconds), now)

    def ended(self, lease: Use, outcome: Outcome, now: float) -> None:
        """What `outcome` of `lease` means for its node; also of a lease that another process had."""
        node = lease.node
        if self._roster.nodes.get(node.id) is not node:
            return
        if self.elsewhere is not None:
            self.elsewhere(lease, outcome, now, False)
            return
        if outcome.error is not None and self._roster.witness is not None:
            self._roster.witness.failed(node, outcome.error, now)
        if outcome.unreachable:
            node.unreached += 1
        elif not lease.status:
            node.unreached = 0
        if self._roster.outliers is not None and node.ejection == "up":
            self._roster.outliers.record(
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
            if self.on_failure is not None:
                self.on_failure(node, outcome, now)
        self._roster.tune(node)

    def _judge_trial(self, lease: Use, outcome: Outcome, now: float) -> None:
        node = lease.node
        if node.trial_lease is lease:
            node.end_trial()
        # A node that came out for its server errors does not come back by one more of them.
        bad = node.kind == "outlier" and outcome.server_error
        if outcome.ok and not bad:
            node.trials += 1
            needed = OUTLIER_TRIALS if node.kind == "outlier" else 1
            if node.trials >= needed:
                self._ejections.lift(node, "trial: succeeded", now)
            return
        asked = node.accrual.failed(now) if node.accrual is not None else None
        seconds = node.penalty if bad or not asked else asked
        cause = f"trial: failed: {outcome.what}"
        if not self._eject(node, seconds, cause, now, _kind_of(outcome)):
            self._ejections.lift(node, f"{cause}, but the last target stays", now)

    def _count(
        self, lease: Use, accrual: IAccrual, outcome: Outcome, now: float
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
            self._ejections.lift(lease.node, "passive: enough successes", now)

    def released(self, lease: Use) -> None:
        """A lease is over and someone wanted to know."""
        node = lease.node
        if node.trial_lease is lease:
            node.end_trial()
        self._roster.tune(node)
        if node.tier.released is not None:
            node.tier.released(node)

    def _kind_of(self, node: Node, accrual: IAccrual, outcome: Outcome) -> EjectionKind:
        """As what a failure ejects; the last node needs as many failed connects in a row as it takes failures."""
        enough = getattr(accrual, "max_fails", 0) or UNREACHED
        if node.unreached < enough and not self._roster.has_others(node):
            return "passive"
        return _kind_of(outcome)

    def _eject(
        self,
        node: Node,
        seconds: float,
        cause: str,
        now: float,
        kind: EjectionKind = "passive",
    ) -> bool:
        out = self._ejections.eject(
            node,
            seconds,
            cause,
            now,
            members=len(self._roster.nodes),
            others=self._roster.has_others(node),
            kind=kind,
        )
        if out and node.unreachable:
            for tell in self.on_unreachable:
                tell(node, now)
        return out

    def sweep(self, now: float) -> None:
        """Look for outliers, if it is time."""
        detector = self._roster.outliers
        if detector is None or now < detector.next_sweep:
            return
        for outlier in detector.sweep(now):
            node = self._roster.nodes[outlier.node_id]
            if detector.limits.shadow:
                self._ejections.report(node, outlier.cause, now)
                detector.forget(node.id)
                continue
            seconds = detector.limits.seconds
            if node.ejection == "up":
                self._eject(node, seconds, outlier.cause, now, "outlier")


def _kind_of(outcome: Outcome) -> EjectionKind:
    """As what a failure ejects."""
    return "connect" if outcome.unreachable else "passive"
