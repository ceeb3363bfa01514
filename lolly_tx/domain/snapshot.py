"""What a person or a program may know of a node, as JSON-able values.

Imports: domain, domain.checks. Used by: domain.account, domain.pool, service.admin.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from lolly_tx.domain.checks.health import Thresholds
from lolly_tx.domain.events import Event
from lolly_tx.domain.node import UNLIMITED, Node
from lolly_tx.domain.tier import BACKUP, Tier
from lolly_tx.domain.wayback import UNPLANNED, Planned, ways_back


def describe(
    node: Node, thresholds: Thresholds, now: float, planned: Planned = UNPLANNED
) -> dict[str, Any]:
    """`node` at `now`: the three facts with their evidence, the load, the counters, when it comes back.

    `back`: what has to go, all of it, until it takes new exchanges again; empty when it does.
    """
    target = node.target
    return {
        "id": node.id,
        "address": target.address,
        "backup": target.backup,
        "priority": target.priority,
        "weight": target.weight,
        "effective_weight": round(node.weight, 4),
        "slow_start": node.ramp is not None,
        "max_conns": node.max_conns,
        "available": node.available,
        "why_not": node.why_not(),
        "enabled": node.enabled,
        "agent": {"state": node.agent.text, "word": node.agent.word},
        "draining_by_check": node.lame,
        "health": {
            "state": node.health.word,
            "against": node.health.against,
            "flips_after": node.health.missing(thresholds),
            "checked_seconds_ago": _age(node.health.checked, now),
            "changed_seconds_ago": _age(node.health.since, now),
        },
        "ejection": {
            "state": node.ejection,
            "kind": node.kind if node.ejection != "up" else "",
            "trial_in_flight": node.trial,
            "in_a_row": node.streak,
            "refused": None if node.spared is None else node.spared.cause,
            "evidence": str(node.accrual) if node.accrual is not None else "",
        },
        "in_flight": node.in_flight,
        "room": None if node.capacity == UNLIMITED else node.capacity,
        "last_change": event_dict(node.last_change, now),
        "back": [
            ", or ".join(ways) for ways in ways_back(node, thresholds, now, planned)
        ],
        "counters": node.stats.as_dict(),
    }


def explain(
    order: Sequence[Tier],
    nodes: Iterable[Node],
    key: bytes | None,
    bound: Node | None,
) -> list[dict[str, Any]]:
    """Where an exchange would go: each node with its place in the order of preference, or what excludes it.

    `order`: the tiers as they are asked. `preference`: 1 is the first choice for `key`; None where the balancer
    decides by turns, chance or load, or the node is excluded.
    """
    places: dict[Node, int] = {}
    loads: dict[Node, int] = {}
    for tier in order:
        loads.update((node, tier.load) for node in tier.nodes)
        if tier.ranked is not None and key is not None and tier.nodes:
            for node in tier.ranked(tier.nodes, key):
                places[node] = len(places) + 1
    rows = []
    for node in nodes:
        excluded = "" if node is bound else node.why_not()
        rows.append(
            {
                "id": node.id,
                "excluded": excluded,
                "tier": "backup" if node.tier.rank == BACKUP else node.tier.rank,
                "tier_load_percent": loads.get(node, 0),
                "bound": node is bound,
                "preference": None if excluded else places.get(node),
                "in_flight": node.in_flight,
                "weight": round(node.weight, 4),
            }
        )
    return rows


def event_dict(event: Event | None, now: float) -> dict[str, Any] | None:
    """An event with its age instead of a clock reading nobody outside the process can place."""
    if event is None:
        return None
    return {
        "seconds_ago": _age(event.at, now),
        "fact": event.fact,
        "old": event.old,
        "new": event.new,
        "cause": event.cause,
    }


def _age(then: float | None, now: float) -> float | None:
    return None if then is None else round(max(0.0, now - then), 3)
