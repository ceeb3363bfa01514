"""What the settings of ejecting, retrying, waiting and limits imply, and what looks wrong.

The theory: over any ten seconds, attempts <= requests x (1 + budget) + 10 x budget_floor,
retries and hedges together, and one request makes at most `tries` attempts (and one hedge),
never two at one target. Each comparison of outlier detection is one test of each target, so
healthy targets are ejected at most false_rate x targets x comparisons times.

Imports: config, config.kinds, domain, domain.checks, domain.retries. Used by:
config.facts.checks, config.facts.consequences, simulate.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from lolly_tx.config.kinds.plain import duration_text
from lolly_tx.config.model import Config, PoolSettings
from lolly_tx.config.passive import Passive
from lolly_tx.domain.checks.recheck import RecheckDelays
from lolly_tx.domain.retries.backoff import Backoff
from lolly_tx.domain.target import Target

_DAY = 86400.0


def usable_targets(pool: PoolSettings) -> list[Target]:
    """Those that are not down until the operator says otherwise."""
    return [target for target in pool.targets if not target.down]


def amplification(pool: PoolSettings) -> int:
    """The most attempts one request can make."""
    tries = pool.retry.tries if pool.retry.on else 1
    return max(1, min(tries + (pool.hedge is not None), len(usable_targets(pool))))


def attempt_seconds(pool: PoolSettings) -> float:
    """The longest an attempt can take until its answer begins or it fails."""
    longest = pool.timeout.connect + (pool.timeout.read or math.inf)
    return min(longest, pool.timeout.attempt or longest)


def answer_seconds(pool: PoolSettings) -> float:
    """The longest until the client has the first byte of an answer, or an error."""
    attempts = amplification(pool) if "timeout" in pool.retry.on else 1
    pause = Backoff(pool.retry.backoff, pool.retry.backoff_max)
    longest = attempts * attempt_seconds(pool)
    longest += sum(pause.bound(retry) for retry in range(1, attempts - 1))
    if pool.queue is not None:
        longest += pool.queue.timeout
    return min(longest, pool.timeout.total or longest)


def judges_traffic(pool: PoolSettings) -> bool:
    """Whether anything that real traffic shows can take a target out."""
    passive = pool.passive
    policies = (passive.gateway_errors, passive.rate, passive.latency, pool.outlier)
    return bool(passive.max_fails or passive.policies or any(policies))


def recheck_seconds(pool: PoolSettings) -> float:
    """The longest until connects of our own bring a target back that takes connections again."""
    passive = pool.passive
    return RecheckDelays(passive.recheck).longest(passive.min_rises)


def false_ejections(pool: PoolSettings) -> float:
    """Healthy targets ejected as outliers, a day, at most."""
    if pool.outlier is None:
        return 0.0
    sweeps = _DAY / pool.outlier.interval
    return pool.outlier.false_rate * len(usable_targets(pool)) * sweeps


def room(pool: PoolSettings) -> int:
    """Exchanges the pool can have at once; 0: no limit."""
    targets = usable_targets(pool)
    limits = [target.max_conns for target in targets]
    whole = pool.adaptive.ceiling if pool.adaptive is not None else pool.max_conns
    if not limits or not all(limits):
        return whole
    return min(sum(limits), whole or sum(limits))


def balancing_facts(pool: PoolSettings) -> Iterator[str]:
    """What is worth knowing."""
    yield from _ejection_facts(pool)
    yield _retries(pool)
    hedge, queue = pool.hedge, pool.queue
    if hedge is not None:
        yield (
            f"hedges: what takes longer than {100 * hedge.percentile:g} % of the exchanges,"
            f" and {duration_text(hedge.least)}, is sent to a second target as well"
        )
    if room(pool):
        yield f"limit: at most {room(pool)} exchanges at once"
    if queue is not None:
        yield (
            f"queue: {queue.size} more wait up to {duration_text(queue.timeout)} when all"
            " targets are full"
        )
    admission = pool.admission
    if admission is not None:
        yield (
            f"admission: up to {100 * admission.most:g} % of the requests are refused while"
            f" less than {100 * admission.threshold:g} % of those in"
            f" {duration_text(admission.window)} succeed"
        )
    if pool.slow_start:
        yield f"slow start: the full share {duration_text(pool.slow_start)} after recovery"


def _ejection_facts(pool: PoolSettings) -> Iterator[str]:
    passive = pool.passive
    seconds = duration_text(passive.fail_timeout)
    if passive.max_fails:
        longest = duration_text(attempt_seconds(pool))
        yield (
            f"passive record: down after {passive.max_fails} failed in a row (each takes at"
            f" most {longest} without a byte), for {seconds}, then one trial{_growth(pool)}"
        )
    if passive.share:
        yield (
            f"shared by store {passive.share}: {passive.max_fails} failures in all instances together,"
            f" or half as many as there are instances where that is more, take a target out where"
            f" at least one of them was seen, at most half of the pool;"
            f" while the store is away each instance counts for itself"
        )
    if judges_traffic(pool) and passive.recheck and not (pool.health or pool.checks):
        back = recheck_seconds(pool)
        yield (
            f"a target that takes no connections is asked every"
            f" {duration_text(passive.recheck)}, and is back {duration_text(back)} after"
            " it takes them again"
        )
    if passive.gateway_errors:
        yield f"or after {passive.gateway_errors} failures or 502, 503, 504 in a row"
    for share, what in ((passive.rate, "failed"), (passive.latency, "were slow")):
        if share is not None:
            yield (
                f"or when {100 * share.share:g} % of at least {share.at_least} exchanges in"
                f" {duration_text(share.window)} {what}"
            )
    if pool.outlier is not None:
        yield (
            f"outliers: compared every {duration_text(pool.outlier.interval)}; healthy"
            f" targets are ejected at most {false_ejections(pool):.2g} times a day"
        )


def _growth(pool: PoolSettings) -> str:
    passive = pool.passive
    out = ""
    if passive.ejection_max > passive.fail_timeout:
        longest = duration_text(passive.ejection_max)
        out = f"; up to {longest} for one that fails its trials while others serve"
    if passive.keep_last:
        out += "; the last one only when it cannot be connected to"
    return out


def _retries(pool: PoolSettings) -> str:
    most = amplification(pool)
    start = (
        "the first byte of an answer, or an error, within"
        f" {duration_text(answer_seconds(pool))}"
    )
    if most == 1:
        return f"retries: none; {start}"
    retry = pool.retry
    return (
        f"retries: at most {most} attempts per request; over ten seconds at most"
        f" {1 + retry.budget:g} attempts per request and {retry.budget_floor:g}/s besides;"
        f" {start}"
    )


def balancing_doubts(pool: PoolSettings, config: Config) -> Iterator[str]:
    """What is legal and perhaps not meant."""
    yield from _attempt_doubts(pool)
    yield from _limit_doubts(pool, config)
    passive = pool.passive
    if passive.ejection_max != Passive().ejection_max:
        if 0 < passive.ejection_max < passive.fail_timeout:
            yield (
                f"passive.ejection_max ({duration_text(passive.ejection_max)}) is below"
                f" fail_timeout ({duration_text(passive.fail_timeout)}): no growth"
            )
    if passive.share:
        yield from _sharing_doubts(pool)
    alone = len(usable_targets(pool)) < 2
    if alone and pool.outlier is not None:
        yield "outlier has nobody to compare with: there is one usable target"
    if alone and pool.hedge is not None:
        yield "hedge has nowhere to go: there is one usable target"
    if pool.all_down != "least_bad" and pool.panic_draws != 4:
        yield 'panic_draws has no meaning without all_down = "least_bad"'
    ramp = (pool.slow_start_floor, pool.slow_start_aggression)
    if not pool.slow_start and ramp != (0.1, 1.0):
        yield "slow_start_floor and slow_start_aggression have no meaning without slow_start"


def _sharing_doubts(pool: PoolSettings) -> Iterator[str]:
    if pool.passive.max_fails == 1:
        yield "passive.share changes nothing: max_fails = 1 takes a target out by one's own word"
    here = [target.id for target in pool.targets if _on_this_machine(target)]
    if here:
        yield (
            f"passive.share: {here[0]} is on this machine, so instances on other machines mean"
            " another target by that name"
        )
    if len(usable_targets(pool)) == 1 and pool.discover is None:
        yield "passive.share changes nothing: the last target is never taken out by others' word"


def _on_this_machine(target: Target) -> bool:
    host = target.host
    return target.endpoint.startswith("unix:") or (
        host in ("localhost", "::1") or host.startswith("127.")
    )


def _attempt_doubts(pool: PoolSettings) -> Iterator[str]:
    retry, timeout = pool.retry, pool.timeout
    if not retry.budget and not retry.budget_floor and retry.tries > 1:
        yield "retry.budget and budget_floor are 0: nothing is ever tried again"
    if 0 < timeout.total <= timeout.attempt:
        yield (
            f"timeout.try ({duration_text(timeout.attempt)}) never ends an attempt:"
            f" timeout.total is {duration_text(timeout.total)}"
        )
    if timeout.attempt and "timeout" not in retry.on:
        yield "timeout.try leads to no other attempt: retry.on has no timeout"


def _limit_doubts(pool: PoolSettings, config: Config) -> Iterator[str]:
    queue, most = pool.queue, config.limits.connections
    limited = pool.max_conns or pool.adaptive is not None
    if queue is not None:
        if not limited and not any(t.max_conns for t in pool.targets):
            yield "queue is only used during trials: neither pool nor targets have max_conns"
        if queue.priority_header and not config.trusted_proxies:
            yield "queue.priority_header is never believed: there are no trusted_proxies"
        if 0 < pool.timeout.total <= queue.timeout:
            yield (
                f"queue.timeout ({duration_text(queue.timeout)}) is never reached:"
                f" timeout.total is {duration_text(pool.timeout.total)}"
            )
    each = [target.max_conns for target in usable_targets(pool)]
    if pool.max_conns and each and all(each) and sum(each) < pool.max_conns:
        yield (
            f"max_conns = {pool.max_conns} can never be reached: the targets take"
            f" {sum(each)} in all"
        )
    elif most and pool.max_conns > most:
        yield (
            f"max_conns = {pool.max_conns} can never be reached: limits.connections is"
            f" {most}"
        )
