"""What is known of a node as plain values, for the code that takes over in an upgrade.

Times are on the monotonic clock, which is the machine's. What is not understood or not there is left as it is, so that
older and newer code understand each other.

Imports: domain, domain.checks. Used by: service.upgrades.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

import attrs

from lolly_tx.domain.checks.health import Health
from lolly_tx.domain.events import Event
from lolly_tx.domain.evidence import Sighting
from lolly_tx.domain.histogram import NONE, dense, sparse
from lolly_tx.domain.node import NODE_COUNTERS, Ejection, EjectionKind, Enabled, Node
from lolly_tx.domain.pool import Pool

_TIMES = ("ejected_at", "ejected_until", "penalty")
_COUNTS = ("streak", "unreached", "trials")
Facts = Mapping[str, Any]


def facts_of(node: Node) -> dict[str, Any]:
    """All of it, JSON-able."""
    return {
        "address": node.target.address,
        "enabled": node.enabled,
        "lame": node.lame,
        "health": attrs.asdict(node.health),
        "ejection": node.ejection,
        "kind": node.kind,
        **{name: getattr(node, name) for name in (*_TIMES, *_COUNTS)},
        "ramp": node.ramp,
        "served": node.served,
        "cost": node.cost if node.cost >= 0 else None,
        "counters": node.stats.as_dict(),
        "slower": sparse(node.stats.slower),
        "ejected": node.stats.ejected,
        "check_results": node.stats.checks,
        "history": [attrs.astuple(event) for event in node.history],
        "checks": [attrs.astuple(one) for one in node.evidence.checks],
        "failures": [attrs.astuple(one) for one in node.evidence.failures],
    }


def take_facts(pool: Pool, node_id: str, facts: Facts, checked_alike: bool) -> bool:
    """Let the node of `pool` be what `facts` say; whether it was taken: not when it is at another address.

    `checked_alike`: its checks are what they were, so that their verdict holds. For nodes that nobody was sent to yet.
    Raises ValueError, TypeError or LookupError for facts of another shape, with nothing taken.
    """
    node = pool.nodes.get(node_id)
    if node is None or facts["address"] != node.target.address:
        return False
    health = Health(
        up=bool(facts["health"]["up"]),
        against=int(facts["health"]["against"]),
        since=_time(facts["health"]["since"]),
        checked=_time(facts["health"]["checked"]),
    )
    enabled = _word(facts["enabled"], Enabled)
    ejection = _word(facts["ejection"], Ejection)
    kind = _word(facts["kind"], EjectionKind)
    numbers = {name: float(facts[name]) for name in _TIMES}
    numbers |= {name: int(facts[name]) for name in _COUNTS}
    history = [Event(*each) for each in facts["history"]]
    checks = [Sighting(*each) for each in facts["checks"]]
    failures = [Sighting(*each) for each in facts["failures"]]
    counters = {k: v + 0 for k, v in facts["counters"].items() if k in NODE_COUNTERS}
    slower = dense(facts.get("slower", {}), len(NONE))
    ejected, results = _counts(facts, "ejected"), _counts(facts, "check_results")
    ramp, cost = _time(facts["ramp"]), _time(facts["cost"])
    # From here on nothing can be wrong any more.
    node.enabled = enabled
    if checked_alike:
        node.health = health
        node.lame = bool(facts["lame"])
        node.evidence.checks.extend(checks)
    if node.ejection == "up" and ejection != "up" and node.accrual is not None:
        node.ejection = ejection
        pool.ejections.count += 1
    node.kind = kind
    for name, value in (*numbers.items(), ("ramp", ramp), ("served", facts["served"])):
        setattr(node, name, value)
    if cost is not None:
        node.cost = cost
    for name, value in counters.items():
        setattr(node.stats, name, value)
    node.stats.slower = slower
    node.stats.ejected, node.stats.checks = ejected, results
    node.history.extend(history)
    node.last_change = history[-1] if history else None
    node.evidence.failures.extend(failures)
    pool.roster.tune(node)
    pool.changed()
    return True


def _counts(facts: Facts, name: str) -> Any:
    """Numbers by word; older code says nothing of them."""
    return {str(word): int(number) for word, number in facts.get(name, {}).items()}


def _time(value: Any) -> float | None:
    return None if value is None else float(value)


def _word(value: Any, kind: Any) -> Any:
    if value not in get_args(kind):
        raise ValueError(f"{value!r} is none of {get_args(kind)}")
    return value
