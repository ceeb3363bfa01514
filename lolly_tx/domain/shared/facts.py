"""The facts of a node as one value: what one process decides, and those that serve for it follow.

    the process that probes: Pool --facts_of--> Facts --(a message)--> follow: every process that serves

Numbers that time alone moves on (slow start, the end of an ejection) are not sent: each process works them out from the
same moments, which are of the machine's one monotonic clock.

Imports: domain, domain.accruals, domain.checks. Used by: service.workers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
from zope.interface import implementer

from lolly_tx.domain.accruals.interfaces import IAccrual
from lolly_tx.domain.checks.health import Health
from lolly_tx.domain.checks.target_agent import AgentState
from lolly_tx.domain.events import Event
from lolly_tx.domain.node import Ejection, EjectionKind, Enabled, Node
from lolly_tx.domain.pool import Pool


@attrs.frozen
class Facts:
    """Of one node. `heard`: successes are news too. `changed`: when a fact changed last, None = never."""

    enabled: Enabled
    health: Health
    agent: AgentState
    lame: bool
    ejection: Ejection
    ejected_at: float
    ejected_until: float
    penalty: float
    kind: EjectionKind
    ramp: float | None
    heard: bool
    changed: float | None

    def as_dict(self) -> dict[str, Any]:
        """For a message. A thousand are told at once, and `attrs.asdict` takes four times as long."""
        said = {name: getattr(self, name) for name in _FIELDS}
        said["health"] = {name: getattr(self.health, name) for name in _OF_HEALTH}
        said["agent"] = {name: getattr(self.agent, name) for name in _OF_AGENT}
        return said

    @classmethod
    def from_dict(cls, said: Mapping[str, Any]) -> Facts:
        """What `as_dict` made."""
        nested = {
            "health": Health(**said["health"]),
            "agent": AgentState(**said["agent"]),
        }
        return cls(**{**said, **nested})


_FIELDS, _OF_HEALTH, _OF_AGENT = (
    tuple(attrs.fields_dict(cls)) for cls in (Facts, Health, AgentState)
)


def facts_of(node: Node, *, all_heard: bool = False) -> Facts:
    """The facts of `node` now. `all_heard`: somebody wants to hear of every success."""
    accrual, health = node.accrual, node.health
    return Facts(
        enabled=node.enabled,
        # Counts and times of checks change with each of them, and decide nothing elsewhere.
        health=Health(up=health.up, since=health.since),
        agent=node.agent,
        lame=node.lame,
        ejection=node.ejection,
        ejected_at=node.ejected_at,
        ejected_until=node.ejected_until,
        penalty=node.penalty,
        kind=node.kind,
        ramp=node.ramp,
        heard=all_heard or (accrual is not None and not accrual.clean),
        changed=node.last_change.at if node.last_change is not None else None,
    )


@implementer(IAccrual)
class Elsewhere:
    """The passive policy of a node that another process judges. `clean`: that one need not hear of successes."""

    def __init__(self) -> None:
        self.clean = True

    def __str__(self) -> str:
        return "counted by another process"

    def succeeded(self, now: float) -> bool:
        """It lifts nothing here."""
        return False

    def failed(self, now: float) -> float | None:
        """It asks for nothing here."""
        return None

    def reset(self) -> None:
        """There is nothing to forget."""


def follow(pool: Pool, node_id: str, facts: Facts, now: float) -> None:
    """Take over `facts`, and tell whoever has to know at once: who waits there, and who keeps its address.

    A node that left in the meantime is ignored.
    """
    pool.catch_up(node_id, now)  # what time has brought comes first
    node = pool.nodes.get(node_id)
    if node is None:
        return
    was_up, was = node.health.up, node.ejection
    node.enabled, node.health, node.lame = facts.enabled, facts.health, facts.lame
    node.follow_agent(facts.agent)
    node.ejected_at, node.ejected_until = facts.ejected_at, facts.ejected_until
    node.penalty, node.kind = facts.penalty, facts.kind
    if facts.ramp is not None:
        node.ramp = facts.ramp
    if facts.ejection != was:
        node.end_trial()
        node.ejection = facts.ejection
        pool.ejections.count += (facts.ejection != "up") - (was != "up")
    accrual: object = node.accrual
    if isinstance(accrual, Elsewhere):
        accrual.clean = not facts.heard
    if facts.changed is not None:
        node.last_change = Event(
            facts.changed, pool.name, node.id, "facts", "", "", "told"
        )
    pool.roster.tune(node)
    pool.changed()
    came_up = node.health.up and not was_up
    if came_up or (facts.ejection != was and facts.ejection in ("up", "trial")):
        for tell in pool.on_back:
            tell(node)
    if was_up and not node.health.up:
        for told in pool.on_down:
            told(node, now)
