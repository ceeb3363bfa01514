"""What the checks of a pool imply: how soon they notice, how much they ask, what of them looks wrong.

The theory is told by `probetimes`.

Imports: config, config.facts, config.kinds. Used by: config.facts.consequences.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from lolly_tx.config.facts.balancing import judges_traffic
from lolly_tx.config.facts.probetimes import (
    checks_of,
    detection_seconds,
    each_rate,
    last_to_fail,
    last_to_rise,
    needed_votes,
    probe_rate,
    recovery_seconds,
    refusal_seconds,
    voters_of,
    worst_rate,
)
from lolly_tx.config.kinds.plain import duration_text
from lolly_tx.config.model import Check, Health, PoolSettings


def check_facts(pool: PoolSettings) -> Iterator[str]:
    """How soon a target is down and up again."""
    voters, targets = voters_of(pool), len(pool.targets)
    silent = last_to_fail(pool, [detection_seconds(one, targets) for one in voters])
    refused = last_to_fail(pool, [refusal_seconds(one) for one in voters])
    back = last_to_rise(pool, [recovery_seconds(one) for one in voters])
    yield (
        f"active checks: down at most {duration_text(silent)} after it stops answering,"
        f" {duration_text(refused)} after it refuses; up at most {duration_text(back)}"
        " after it answers again"
    )
    if pool.checks:
        yield (
            f"a target is up while {needed_votes(pool)} of {len(voters)} checks are;"
            f" {len(pool.checks) - len(voters)} more are advisory"
        )
    if any(one.observes for one in voters):
        yield "a request that fails by a target's fault has it probed within a second"


def load_fact(pool: PoolSettings) -> str:
    """How many probes there are."""
    each, worst = each_rate(pool), worst_rate(pool)
    caps = [one.concurrency for one in checks_of(pool)]
    if pool.agent is not None:
        caps.append(pool.agent.concurrency)
    most = sum(min(cap, len(pool.targets)) for cap in caps)
    more = f" (up to {worst:.3g}/s in trouble)" if worst > each else ""
    return (
        f"probe load: {each:.3g}/s per target{more}, {probe_rate(pool):.3g}/s in all, at"
        f" most {most} at once"
    )


def check_doubts(pool: PoolSettings) -> Iterator[str]:
    """What looks wrong in how targets are watched."""
    passive = pool.passive
    if not voters_of(pool) and not judges_traffic(pool):
        yield "neither active checks nor a passive record: a dead target keeps its share"
    for health in checks_of(pool):
        name = f"checks.{health.name}" if isinstance(health, Check) else "health"
        yield from _cadence_doubts(health, name, len(pool.targets))
    if pool.agent is not None and pool.agent.timeout >= pool.agent.interval:
        yield (
            f"agent.timeout ({duration_text(pool.agent.timeout)}) is not below"
            f" agent.interval ({duration_text(pool.agent.interval)}): agents that hang"
            " stretch the interval"
        )
    slowest = min(
        max(pool.timeout.connect, pool.timeout.read or math.inf),
        pool.timeout.attempt or math.inf,
    )
    if passive.max_fails > 1 and passive.fail_timeout <= slowest:
        yield (
            f"the passive record may never trip on a hanging target: a failure takes up to"
            f" {duration_text(slowest)} and is forgotten after passive.fail_timeout"
            f" ({duration_text(passive.fail_timeout)})"
        )


def _cadence_doubts(health: Health, name: str, targets: int) -> Iterator[str]:
    shortest = health.cadence.shortest
    if health.timeout >= shortest:
        which = "interval" if shortest == health.interval else "shortest interval"
        yield (
            f"{name}.timeout ({duration_text(health.timeout)}) is not below"
            f" {name}.{which} ({duration_text(shortest)}): hanging probes stretch the"
            " interval"
        )
    rounds = math.ceil(targets / health.concurrency)
    if rounds * health.timeout > health.interval and rounds > 1:
        yield (
            f"{name}.concurrency = {health.concurrency}: when all targets hang, a round"
            f" takes {duration_text(rounds * health.timeout)}, more than the interval"
        )
    if health.interval_suspect > health.interval:
        yield (
            f"{name}.interval_suspect ({duration_text(health.interval_suspect)}) is above"
            f" {name}.interval ({duration_text(health.interval)}): a target in doubt is"
            " probed less often than one that is well"
        )
    if health.interval_suspect and health.rise == health.fall == 1:
        yield (
            f"{name}.interval_suspect is used before the first verdict only: with rise = 1"
            " and fall = 1 one probe decides"
        )
