"""Reports: what checks, agents and the operator's hand say of a node, and what follows for its facts.

Imports: domain, domain.checks. Used by: domain.pool.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from lolly_tx.domain.checks.health import (
    Health,
    Initial,
    Observation,
    Thresholds,
    observe,
)
from lolly_tx.domain.checks.target_agent import AgentReport, follow
from lolly_tx.domain.ejection import Ejections
from lolly_tx.domain.evidence import Sighting
from lolly_tx.domain.node import OWN_RECORD, Node
from lolly_tx.domain.roster import Roster

_CHECK: Final = "check: "
"""What the causes of changes by checks begin with."""


class Reports:
    """Takes reports in, once what time has brought is carried out."""

    def __init__(self, roster: Roster, ejections: Ejections) -> None:
        self.on_down: list[Callable[[Node, float], None]] = []
        self._roster = roster
        self._ejections = ejections

    def go_by(self, thresholds: Thresholds, initial: Initial) -> None:
        """Count checks by `thresholds` from now on; targets nobody has checked yet begin as `initial`."""
        roster = self._roster
        if (thresholds, initial) == (roster.thresholds, roster.initial):
            return
        roster.thresholds, roster.initial = thresholds, initial
        for node in self._roster.nodes.values():
            if node.health.checked is None and node.health.since is None:
                node.health = Health.initial(initial, thresholds)
                self._roster.tune(node)

    def begin_anew(self, cause: str, now: float) -> None:
        """What checks ask has changed: what they have found says nothing any more."""
        roster = self._roster
        for node in roster.nodes.values():
            old = node.health
            node.health = Health.initial(roster.initial, roster.thresholds)
            node.lame = False
            if old.word != node.health.word:
                words = (old.word, node.health.word)
                roster.record(node, "health", *words, cause, now)
            roster.tune(node)

    def observe(self, node_id: str, observation: Observation, now: float) -> None:
        """Take in the result of one active check. A node that left in the meantime is ignored."""
        node = self._roster.nodes.get(node_id)
        if node is None:
            return
        old = node.health
        ok, cause = observation.ok, f"{_CHECK}{observation.cause}"
        node.evidence.checks.append(
            Sighting(now, ok, observation.cause, observation.latency)
        )
        ok = ok or (observation.drain and old.up)
        node.health, flipped = observe(old, ok, self._roster.thresholds, now)
        self._hear_drain(node, observation, cause, now)
        if flipped:
            self._flip(node, old, cause, now)
        elif node.ejection == "ejected" and node.kind in OWN_RECORD:
            # Checks speak for the node's own record only: an outlier may well answer them.
            self._count_check(node, ok, cause, now)
        self._roster.tune(node)

    def reached(self, node_id: str, observation: Observation, now: float) -> None:
        """Take in a connect of our own to a node that is ejected because there were none."""
        node = self._roster.nodes.get(node_id)
        if node is None:
            return
        if not node.unreachable:
            return
        node.stats.rechecks += 1
        self.witnessed(node, observation, now)
        ok, cause = observation.ok, f"recheck: {observation.cause}"
        node.evidence.checks.append(Sighting(now, ok, cause, observation.latency))
        self._count_check(node, ok, cause, now)
        if not ok:
            self._ejections.renew(node, now)
        self._roster.tune(node)

    def witnessed(self, node: Node, observation: Observation, now: float) -> None:
        """A check, or a connect of our own, says something of the way to `node` as well."""
        witness, error = self._roster.witness, observation.error
        if witness is None:
            return
        if error is not None:
            witness.failed(node, error, now)
        elif observation.ok or observation.status is not None:
            witness.heard(node, now)

    def overlook(self, node: Node, observation: Observation, now: float) -> None:
        """A check went wrong, and that is not held against `node`."""
        seen = Sighting(now, False, observation.cause, observation.latency)
        node.evidence.checks.append(seen)
        why = self._roster.held(now)
        node.spared = Sighting(now, False, f"{why}; check: {observation.cause}")

    def restore(self, since: float, cause: str, now: float) -> None:
        """What was seen from `since` on says nothing of the targets: they are as they were before."""
        for node in self._roster.nodes.values():
            out = node.ejection != "up" and node.ejected_at >= since
            down = self._fell(node, since)
            if down:
                checked = node.health.checked
                node.health = Health(up=True, since=now, checked=checked)
                self._roster.record(node, "health", "down", "up", cause, now)
            if out:
                self._ejections.lift(node, cause, now)
            if out or down:
                # It did not come back: it was never away, and so takes its share at once.
                node.served, node.ramp, node.unreached = True, None, 0
                self._roster.tune(node)

    @staticmethod
    def _fell(node: Node, since: float) -> bool:
        """Checks took it down since then."""
        if node.health.up:
            return False
        last = next((e for e in reversed(node.history) if e.fact == "health"), None)
        return last is not None and last.at >= since and last.cause.startswith(_CHECK)

    def _hear_drain(
        self, node: Node, observation: Observation, cause: str, now: float
    ) -> None:
        """A check may ask for no new clients; only a good one without that takes it back."""
        lame = observation.drain and node.health.up
        if lame is node.lame or not (lame or observation.ok):
            return
        node.lame = lame
        words = ("off", "on") if lame else ("on", "off")
        self._roster.record(node, "drain", *words, cause, now)

    def hear_agent(self, node_id: str, report: AgentReport, now: float) -> None:
        """Take in what a target says of itself. A node that left in the meantime is ignored."""
        node = self._roster.nodes.get(node_id)
        if node is None:
            return
        old = node.agent
        node.follow_agent(follow(old, report))
        if node.agent != old:
            why = f" ({report.reason})" if report.reason else ""
            cause = f"agent: {report.words}{why}"
            self._roster.record(node, "agent", old.text, node.agent.text, cause, now)

    def _count_check(self, node: Node, ok: bool, cause: str, now: float) -> None:
        if node.accrual is None:
            return
        if not ok:
            node.accrual.failed(now)
        elif node.accrual.succeeded(now):
            self._ejections.lift(node, f"enough good checks, last: {cause}", now)

    def mark(self, node_id: str, up: bool, cause: str, now: float) -> None:
        """Set the health of a node by hand, as if enough checks had said so. Raises UnknownNode."""
        node = self._roster.node(node_id)
        old = node.health
        node.health = Health(up=up, since=now, checked=old.checked)
        if old.up is not up:
            self._flip(node, old, cause, now)
        elif up and node.ejection != "up":
            self._ejections.lift(node, cause, now)
        self._roster.tune(node)

    def _flip(self, node: Node, old: Health, cause: str, now: float) -> None:
        """Health flipped. A node that checks saw down and then up again starts with a clean passive record."""
        self._roster.record(node, "health", old.word, node.health.word, cause, now)
        if not node.health.up:
            for tell in self.on_down:
                tell(node, now)
        elif node.ejection != "up":
            self._ejections.lift(node, cause, now)
        elif node.accrual is not None:
            node.accrual.reset()
