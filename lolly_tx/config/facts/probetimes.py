"""How long active checks take to see what happened, and how much they ask: the arithmetic of `consequences`.

The theory, for a target that dies or comes back at the worst moment:

- A probe starts an interval after the one before (up to `1 + jitter` times that, give or take half a tick of the
  checker), but not before the one before has ended, so the spacing is `max(that, timeout)` while probes hang. The
  interval goes by the state: steady or idle before the first failure, suspect between the first and the last, down
  until the first success. Traffic that went well right before the end can defer one probe.
- A target that dies right after answering is seen by the next probe; it is down after `fall` of them, and the last
  one may take `timeout` to fail. One that comes back right after a probe failed is up after `rise` good ones.
- With more targets than `concurrency`, probes wait for each other when all hang.
- Of several checks, as many have to fail as leave fewer than the quorum; the fastest of them decide.

Imports: config, domain. Used by: config.facts.checks, config.facts.consequences,
simulate.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from lolly_tx.config.checks import Check, Health, TargetAgent
from lolly_tx.config.pools import PoolSettings
from lolly_tx.domain.target import Target


def tick_seconds(health: Health) -> float:
    """How exact the checker is: one look per tick (see `service.checks.rounds`)."""
    return min(max(health.cadence.shortest / 20, 0.02), 1.0)


def checks_of(pool: PoolSettings) -> tuple[Health, ...]:
    """The active checks of a pool, in one of their two forms."""
    if pool.health is not None:
        return (pool.health,)
    return pool.checks


def voters_of(pool: PoolSettings) -> tuple[Health, ...]:
    """Those that decide over up and down."""
    checks = checks_of(pool)
    return tuple(one for one in checks if not (isinstance(one, Check) and one.advisory))


def needed_votes(pool: PoolSettings) -> int:
    """How many of the voters have to be up."""
    return min(pool.quorum or len(voters_of(pool)), len(voters_of(pool)))


def first_seconds(health: Health) -> float:
    """The longest time until a target that was up is probed again, as long as probes end."""
    cadence = health.cadence
    longest = max(cadence.idle, cadence.steady * (2 if health.defer else 1))
    return longest * (1 + health.jitter)


def suspect_seconds(health: Health) -> float:
    """The longest time from one probe to the next on the way from one state to the other."""
    return health.cadence.suspect * (1 + health.jitter)


def detection_seconds(health: Health, targets: int) -> float:
    """The longest time until a target that stops answering is down, by probes."""
    waiting = (math.ceil(targets / health.concurrency) - 1) * health.timeout
    later = (health.fall - 1) * max(suspect_seconds(health), health.timeout)
    return (
        first_seconds(health) + tick_seconds(health) + later + waiting + health.timeout
    )


def refusal_seconds(health: Health) -> float:
    """The same for a target that refuses connections, which fails a probe at once."""
    later = (health.fall - 1) * suspect_seconds(health)
    return first_seconds(health) + later + tick_seconds(health)


def recovery_seconds(health: Health) -> float:
    """The longest time until a target that answers again is up, its answers aside."""
    first = max(health.cadence.down * (1 + health.jitter), health.timeout)
    later = (health.rise - 1) * suspect_seconds(health)
    return first + later + tick_seconds(health)


def last_to_fail(pool: PoolSettings, times: Iterable[float]) -> float:
    """Of the times each voter takes to fail, the one that ends the quorum."""
    ordered = sorted(times)
    return ordered[len(ordered) - needed_votes(pool)]


def last_to_rise(pool: PoolSettings, times: Iterable[float]) -> float:
    """Of the times each voter takes to come up, the one that makes the quorum."""
    return sorted(times)[needed_votes(pool) - 1]


def each_rate(pool: PoolSettings) -> float:
    """Probes and questions per second to one target of a pool, all being well."""
    agents = 1 / pool.agent.interval if pool.agent is not None else 0.0
    return sum(1 / one.interval for one in checks_of(pool)) + agents


def probe_rate(pool: PoolSettings) -> float:
    """The same to all its targets."""
    return len(pool.targets) * each_rate(pool)


def worst_rate(pool: PoolSettings) -> float:
    """Probes and questions per second to one target when its state makes them most frequent."""
    agents = 1 / pool.agent.interval if pool.agent is not None else 0.0
    return sum(1 / one.cadence.shortest for one in checks_of(pool)) + agents


def agent_seconds(agent: TargetAgent) -> float:
    """The longest time until what an agent says takes effect."""
    tick = min(max(agent.interval / 20, 0.02), 1.0)
    return agent.interval + tick + agent.timeout


def shared_rate(pools: Iterable[PoolSettings]) -> float:
    """Probes and questions per second of all pools, those counted once that serve several."""
    total = 0.0
    seen: set[tuple[str, str, str]] = set()
    for pool in pools:
        for check in checks_of(pool):
            for target in pool.targets:
                probe = (check.alike, repr(pool.tls), _place(target))
                if probe not in seen:
                    seen.add(probe)
                    total += 1 / check.interval
        if pool.agent is not None:
            total += len(pool.targets) / pool.agent.interval
    return total


def _place(target: Target) -> str:
    return target.endpoint or f"{target.scheme}://{target.host}:{target.port}"
