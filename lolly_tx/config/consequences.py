"""What a configuration implies, computed: times, loads, bounds, and what looks wrong.

The theory, for a target that dies or comes back at the worst moment:

- A probe starts every `interval` (up to `interval * (1 + jitter)` after the one before,
  give or take half a tick of the checker), but not before the one before has ended, so
  the spacing is `max(that, timeout)` while probes hang. A target that dies right after
  answering is seen by the next probe; it is down after `fall` of them, and the last one
  may take `timeout` to fail.
- One that comes back right after a probe failed is up after `rise` good ones.
- With more targets than `concurrency`, probes wait for each other when all hang.
- Passive: `max_fails` failed attempts in a row, each as long as its timeouts allow.
- One request makes at most `tries` attempts, never two at one target.

May import: model, kinds, addresses. Used by: cli (`lolly check`), tests.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import attrs

from lolly_tx.config.addresses import endpoint_parts
from lolly_tx.config.kinds import duration_text
from lolly_tx.config.model import Config, Health, PoolSettings
from lolly_tx.domain.target import Target


@attrs.frozen
class Consequence:
    """One line. `about`: "pool api", "listener web" or "". `warning`: look again."""

    about: str
    text: str
    warning: bool = False

    def __str__(self) -> str:
        mark = "warning: " if self.warning else ""
        return f"{mark}{self.about}: {self.text}" if self.about else mark + self.text


def consequences(config: Config) -> tuple[Consequence, ...]:
    """Everything worth knowing about `config`, pool by pool, then as a whole."""
    found: list[Consequence] = []
    for pool in config.pools.values():
        about = f"pool {pool.name}"
        found += [Consequence(about, text) for text in _facts(pool)]
        found += [Consequence(about, text, True) for text in _doubts(pool, config)]
    found += _whole(config)
    return tuple(found)


def tick_seconds(health: Health) -> float:
    """How exact the checker is: one look per tick (see `service.checker`)."""
    return min(max(health.interval / 20, 0.02), 1.0)


def spacing_seconds(health: Health) -> float:
    """The longest time from the start of one probe to the next."""
    return max(health.interval * (1 + health.jitter), health.timeout)


def detection_seconds(health: Health, targets: int) -> float:
    """The longest time until a target that stops answering is down, by probes."""
    waiting = (math.ceil(targets / health.concurrency) - 1) * health.timeout
    first = health.interval * (1 + health.jitter) + tick_seconds(health)
    return (
        first + (health.fall - 1) * spacing_seconds(health) + waiting + health.timeout
    )


def refusal_seconds(health: Health) -> float:
    """The same for a target that refuses connections, which fails a probe at once."""
    return health.fall * health.interval * (1 + health.jitter) + tick_seconds(health)


def recovery_seconds(health: Health) -> float:
    """The longest time until a target that answers again is up, its answers aside."""
    later = (health.rise - 1) * health.interval * (1 + health.jitter)
    return spacing_seconds(health) + later + tick_seconds(health)


def probe_rate(pool: PoolSettings) -> float:
    """Probes per second to all targets of a pool."""
    return len(pool.targets) / pool.health.interval if pool.health else 0.0


def amplification(pool: PoolSettings) -> int:
    """The most attempts one request can make."""
    return max(1, min(pool.retry.tries if pool.retry.on else 1, len(_usable(pool))))


def _usable(pool: PoolSettings) -> list[Target]:
    return [target for target in pool.targets if not target.down]


def _facts(pool: PoolSettings) -> Iterator[str]:
    health, passive = pool.health, pool.passive
    if health is not None:
        yield (
            f"active checks: down at most {duration_text(detection_seconds(health, len(pool.targets)))}"
            f" after it stops answering, {duration_text(refusal_seconds(health))} after it"
            f" refuses; up at most {duration_text(recovery_seconds(health))} after it answers"
            " again"
        )
        each = 1 / health.interval
        yield (
            f"probe load: {each:.3g}/s per target, {probe_rate(pool):.3g}/s in all, at most"
            f" {min(health.concurrency, len(pool.targets))} at once"
        )
    if passive.max_fails:
        longest = duration_text(pool.timeout.connect + pool.timeout.read)
        yield (
            f"passive record: down after {passive.max_fails} failed in a row (each takes at"
            f" most {longest} without a byte), for {duration_text(passive.fail_timeout)}, then"
            " one trial"
        )
    yield _retries(pool)
    if pool.slow_start:
        yield f"slow start: the full share {duration_text(pool.slow_start)} after recovery"


def _retries(pool: PoolSettings) -> str:
    most = amplification(pool)
    waits = most if "timeout" in pool.retry.on else 1
    longest = duration_text(waits * (pool.timeout.connect + pool.timeout.read))
    start = f"the first byte of an answer, or an error, within {longest}"
    if most == 1:
        return f"retries: none; {start}"
    return (
        f"retries: at most {most} attempts per request, so at most {most} times the"
        f" requests reach the targets; {start}"
    )


def _doubts(pool: PoolSettings, config: Config) -> Iterator[str]:
    yield from _target_doubts(pool, config)
    yield from _check_doubts(pool)
    yield from _time_doubts(pool, config)
    if not any(route.pool == pool.name for route in config.routes):
        yield "no route leads to it"


def _target_doubts(pool: PoolSettings, config: Config) -> Iterator[str]:
    usable = _usable(pool)
    if not usable:
        yield "every target has down = true: all requests get 503"
    elif all(target.backup for target in usable):
        yield "every usable target is a backup, so none is held in reserve"
    elif len(usable) == 1:
        yield "one usable target: when it fails there is nobody to fail over to"
    hosts = {host_of(target) for target in pool.targets}
    if len(pool.targets) > 1 and len(hosts) == 1 and "" not in hosts:
        yield f"all targets are on one host ({hosts.pop()}): they fail together"
    if pool.retry.on and pool.retry.tries > len(usable) > 1:
        yield (
            f"retry.tries = {pool.retry.tries} is never reached with {len(usable)} usable"
            " targets: none is tried twice"
        )
    most = config.limits.connections
    for target in pool.targets:
        if most and target.max_conns > most:
            yield (
                f"max_conns = {target.max_conns} of {target.id} can never be reached:"
                f" limits.connections is {most}"
            )
    if not pool.tls.verify and any(target.scheme == "https" for target in usable):
        yield "certificates of https targets are not verified"


def _check_doubts(pool: PoolSettings) -> Iterator[str]:
    health, passive = pool.health, pool.passive
    if health is None and not passive.max_fails:
        yield "neither active checks nor a passive record: a dead target keeps its share"
    if health is not None:
        if health.timeout >= health.interval:
            yield (
                f"health.timeout ({duration_text(health.timeout)}) is not below"
                f" health.interval ({duration_text(health.interval)}): hanging probes"
                " stretch the interval"
            )
        rounds = math.ceil(len(pool.targets) / health.concurrency)
        if rounds * health.timeout > health.interval and rounds > 1:
            yield (
                f"health.concurrency = {health.concurrency}: when all targets hang, a round"
                f" takes {duration_text(rounds * health.timeout)}, more than the interval"
            )
    slowest = max(pool.timeout.connect, pool.timeout.read)
    if passive.max_fails > 1 and passive.fail_timeout <= slowest:
        yield (
            f"the passive record may never trip on a hanging target: a failure takes up to"
            f" {duration_text(slowest)} and is forgotten after passive.fail_timeout"
            f" ({duration_text(passive.fail_timeout)})"
        )


def _time_doubts(pool: PoolSettings, config: Config) -> Iterator[str]:
    kept = pool.connections
    if kept.idle and kept.lifetime and kept.lifetime < kept.idle_timeout:
        yield (
            f"connections.idle_timeout ({duration_text(kept.idle_timeout)}) is never reached:"
            f" lifetime is {duration_text(kept.lifetime)}"
        )
    if config.timeouts.shutdown < pool.timeout.read:
        yield (
            f"timeouts.shutdown ({duration_text(config.timeouts.shutdown)}) is below"
            f" timeout.read ({duration_text(pool.timeout.read)}): a stop may cut answers"
            " that are only slow"
        )


def host_of(target: Target) -> str:
    """The host a target is on, "" when an endpoint string does not tell."""
    if target.host:
        return target.host
    plain, named = endpoint_parts(target.endpoint)
    if plain[0].lower() == "unix":
        return "this one"
    if plain[0].lower() in ("tcp", "ssl", "tls"):
        return named.get("host") or (plain[1] if len(plain) > 1 else "")
    return ""


def _whole(config: Config) -> Iterator[Consequence]:
    rates = [probe_rate(pool) for pool in config.pools.values()]
    if sum(rates):
        yield Consequence("", f"probe load of all pools: {sum(rates):.3g}/s")
    for name in config.listeners:
        if not any(name in (route.listeners or (name,)) for route in config.routes):
            text = "no route holds for it: every request gets 404"
            yield Consequence(f"listener {name}", text, True)
    limits = config.limits
    for key in ("connections_per_listener", "connections_per_client"):
        value = getattr(limits, key)
        if limits.connections and value >= limits.connections:
            text = (
                f"{key} = {value} can never trip: connections is {limits.connections}"
            )
            yield Consequence("limits", text, True)
    for network in config.trusted_proxies:
        if network.prefixlen == 0:
            text = f"{network} believes everybody's X-Forwarded-For"
            yield Consequence("trusted_proxies", text, True)
