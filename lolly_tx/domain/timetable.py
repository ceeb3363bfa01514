"""A timetable: what time alone changes in a pool, and when it does so next.

Imports: domain. Used by: domain.pool.

Ejections and trials end, slow start takes its steps, outliers are looked for. Nothing here has a timer: the pool
asks when somebody wants to choose.
"""

from __future__ import annotations

from lolly_tx.domain.ejection import Ejections
from lolly_tx.domain.lease_verdicts import Verdicts
from lolly_tx.domain.node import Node, Use
from lolly_tx.domain.roster import Roster
from lolly_tx.domain.slow_start import SlowStart

NEVER = float("inf")


class Timetable:
    """`slow_start`: the way back into service."""

    def __init__(
        self,
        roster: Roster,
        ejections: Ejections,
        verdicts: Verdicts,
        slow_start: SlowStart,
    ) -> None:
        self._roster = roster
        self._ejections = ejections
        self._verdicts = verdicts
        self.slow_start = slow_start

    def advance(self, now: float) -> float:
        """Carry out the timed changes up to `now`; when the next one is due."""
        self._verdicts.sweep(now)
        if self._ejections.limits.keep_last:
            self._keep_somebody(now)
        due = (
            self._roster.outliers.next_sweep
            if self._roster.outliers is not None
            else NEVER
        )
        for node in self._roster.nodes.values():
            if node.ejection == "ejected":
                if node.ejected_until <= now:
                    self._ejections.expire(node)
                else:
                    due = min(due, node.ejected_until)
            elif node.trial_lease is not None:
                due = min(due, self._watch_trial(node, node.trial_lease, now))
            step = self._ramp(node, now)
            if step is not None:
                due = min(due, step)
        return due

    def touch(self, node: Node, now: float) -> None:
        """Note how one node stands, before it changes again: who was seen to fail comes back slowly."""
        self._ramp(node, now)

    def _keep_somebody(self, now: float) -> None:
        """With nobody else left, those serve again that were ejected for anything but failed connects."""
        if any(n.available and n.ejection == "up" for n in self._roster.nodes.values()):
            return
        for node in self._roster.nodes.values():
            if node.ejection != "up" and node.kind != "connect":
                if node.willing and node.well and not node.absent:
                    self._ejections.lift(node, "no other target is available", now)

    def _watch_trial(self, node: Node, lease: Use, now: float) -> float:
        """Let a trial that goes on without a verdict no longer stand in the way; when that will be, else."""
        due = self._ejections.trial_due(lease, now)
        if due > now:
            return due
        node.end_trial()
        self._roster.tune(node)
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
        self._roster.tune(node)
        return None if step is None else now - age + step
