"""From the settings of a pool to the policies of its domain object and its attempts.

Imports: config, domain, domain.access, domain.accruals, domain.balancers,
domain.retries, net, net.checks, proxy. Used by: service.changes, service.pools,
simulate.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any

from lolly_tx.config.model import PoolSettings
from lolly_tx.domain.access.forwarded import TrustedPeers
from lolly_tx.domain.accruals.consecutive import ConsecutiveFailures
from lolly_tx.domain.addresses import ConnectLimits
from lolly_tx.domain.admission import Admission
from lolly_tx.domain.balancers.by_name import Balancers
from lolly_tx.domain.concurrency import AdaptiveLimit
from lolly_tx.domain.ejection import EjectionLimits
from lolly_tx.domain.interfaces import IAccrual, IBalancer
from lolly_tx.domain.outlier import OutlierLimits
from lolly_tx.domain.percentile import Percentile
from lolly_tx.domain.queue import WaitingLine
from lolly_tx.domain.retries.attempts import Attempts
from lolly_tx.domain.retries.backoff import Backoff
from lolly_tx.domain.retries.budget import RetryBudget
from lolly_tx.domain.retries.policy import Hedging, Policy
from lolly_tx.domain.retries.retry import RetryPolicy
from lolly_tx.domain.slow_start import SlowStart
from lolly_tx.net.checks.expectation import accepted_statuses
from lolly_tx.net.deadlines import Deadlines
from lolly_tx.proxy.keys import (
    Key,
    by_client,
    by_cookie,
    by_header,
    by_priority_header,
    by_uri,
    no_key,
)
from lolly_tx.proxy.room import WaitingRoom
from lolly_tx.proxy.sticky import Bonds, StickyCookie


def make_balancer(
    settings: PoolSettings, balancers: Balancers, random: Random
) -> IBalancer:
    """A balancer with its settings; a new one at each call, for one tier each."""
    hashing: dict[str, Any] = {}
    if settings.consistent_hash is not None:
        hashing["method"] = settings.consistent_hash.method
        hashing["balance_factor"] = settings.consistent_hash.bounded_load
    asked: Mapping[str, Any]
    own: dict[str, dict[str, Any]] = {"consistent_hash": hashing}
    if settings.least_time is not None:
        own["least_time"] = {"metric": settings.least_time.metric}
    if settings.balance != "sticky" or settings.sticky is None:
        asked = own.get(settings.balance, settings.balance_settings)
        return balancers.make(settings.balance, asked, random)
    sticky = settings.sticky
    asked = {
        "keys": [key.encode() for key in sticky.key],
        "fallback": sticky.fallback,
        "fallback_settings": own.get(sticky.fallback, {}),
    }
    return balancers.make("sticky", asked, random)


def sticky_cookie(
    settings: PoolSettings, bonds: Bonds, wall: Callable[[], float]
) -> StickyCookie | None:
    """The cookie of a sticky pool. `bonds`: its balancer. `wall`: seconds since the epoch."""
    sticky = settings.sticky
    if sticky is None:
        return None
    return StickyCookie(
        bonds,
        sticky.cookie,
        sticky.attributes,
        expires=sticky.expires,
        wall=wall,
    )


def key_of(settings: PoolSettings, trusted: TrustedPeers) -> Key:
    """What the exchanges of a pool are hashed by."""
    balance = settings.balance
    if balance == "sticky" and settings.sticky is not None:
        balance = settings.sticky.fallback
    if balance == "ip_hash":
        return by_client(trusted)
    kind, _, name = settings.hash_key.partition(":")
    if kind == "ip":
        return by_client(trusted)
    if kind == "uri":
        return by_uri
    if kind == "header":
        return by_header(name)
    if kind == "cookie":
        return by_cookie(name)
    return no_key


def accrual_of(
    settings: PoolSettings, more: Sequence[Callable[[], IAccrual]] = ()
) -> Callable[[], IAccrual] | None:
    """Makes the passive policy of one node; None when everything is off. `more`: policies of plugins."""
    passive = settings.passive
    seconds, rises = passive.fail_timeout, passive.min_rises
    parts: list[Callable[[], IAccrual]] = []
    if passive.max_fails:
        parts.append(lambda: ConsecutiveFailures(passive.max_fails, seconds, rises))
    if passive.gateway_errors:
        from lolly_tx.domain.accruals.gateway import GatewayErrors

        parts.append(
            lambda: GatewayErrors(passive.gateway_errors, seconds, min_rises=rises)
        )
    if (rate := passive.rate) is not None:
        from lolly_tx.domain.accruals.rate import FailureRate

        parts.append(
            lambda: FailureRate(rate.share, rate.window, rate.at_least, seconds, rises)
        )
    if (slow := passive.latency) is not None:
        from lolly_tx.domain.accruals.rate import SlowAnswers

        parts.append(
            lambda: SlowAnswers(
                slow.over, slow.share, slow.window, slow.at_least, seconds, rises
            )
        )
    parts += more
    if len(parts) > 1:
        from lolly_tx.domain.accruals.several import AnyOf

        return lambda: AnyOf([make() for make in parts])
    return parts[0] if parts else None


def failure_statuses(settings: PoolSettings) -> frozenset[int]:
    """Statuses of answers that count as failures.

    Of those in `retry.on` the server errors do: they are asked to be treated as failures.
    Statuses below say something about one client or one page.
    """
    retried = {int(word) for word in settings.retry.on if word.isdigit()}
    listed = statuses_of(settings.passive.statuses)
    return frozenset({status for status in retried if status >= 500} | listed)


def statuses_of(ranges: tuple[str, ...]) -> frozenset[int]:
    """The statuses that a setting lists; none at all for an empty list."""
    return accepted_statuses(ranges) if ranges else frozenset()


def ejections_of(settings: PoolSettings) -> EjectionLimits:
    """How far ejections may go."""
    passive = settings.passive
    return EjectionLimits(
        max_seconds=passive.ejection_max,
        decay=passive.ejection_decay,
        max_share=passive.ejection_share,
        keep_last=passive.keep_last,
        shadow=passive.shadow,
    )


def connect_limits_of(settings: PoolSettings) -> ConnectLimits:
    """When the pool takes an address for down: as its targets, by their connects alone."""
    passive = settings.passive
    return ConnectLimits(passive.max_fails, passive.fail_timeout, passive.min_rises)


def outliers_of(settings: PoolSettings) -> OutlierLimits | None:
    """When a node stands out among its peers; None: they are not compared."""
    outlier = settings.outlier
    if outlier is None:
        return None
    return OutlierLimits(
        window=outlier.window,
        interval=outlier.interval,
        seconds=outlier.ejection,
        requests=outlier.requests,
        false_rate=outlier.false_rate,
        at_least_rate=outlier.at_least_rate,
        times=outlier.times,
        latency=outlier.latency,
        times_slower=outlier.times_slower,
        deviations=outlier.deviations,
        at_least_slower=outlier.at_least_slower,
        shadow=outlier.shadow,
    )


def slow_start_of(settings: PoolSettings) -> SlowStart:
    """The way back into service."""
    return SlowStart(
        settings.slow_start,
        settings.slow_start_floor,
        settings.slow_start_aggression,
    )


def adaptive_of(settings: PoolSettings) -> AdaptiveLimit | None:
    """The moving limit of exchanges at once."""
    adaptive = settings.adaptive
    if adaptive is None:
        return None
    return AdaptiveLimit(
        initial=adaptive.initial,
        floor=adaptive.floor,
        ceiling=adaptive.ceiling,
        buffer=adaptive.buffer,
        window=adaptive.window,
    )


def policy_of(
    settings: PoolSettings, deadlines: Deadlines, trusted: TrustedPeers
) -> Policy:
    """How many attempts a request may have, when, and where it waits."""
    retry, hedge = settings.retry, settings.hedge
    further = retry.tries > 1 or hedge is not None
    hedging = None
    if hedge is not None:
        hedging = Hedging(Percentile(hedge.percentile), hedge.least)
    return Policy(
        retry=RetryPolicy(tries=retry.tries, on=retry.on),
        budget=RetryBudget(retry.budget, retry.budget_floor) if further else None,
        backoff=Backoff(retry.backoff, retry.backoff_max),
        try_timeout=settings.timeout.attempt,
        total_timeout=settings.timeout.total,
        hedging=hedging,
        room=_room(settings, deadlines, trusted),
        soft_statuses=statuses_of(settings.passive.retry_after),
        admission=_admission(settings),
        abandon=settings.passive.abandon,
    )


def _admission(settings: PoolSettings) -> Admission | None:
    admission = settings.admission
    if admission is None:
        return None
    return Admission(
        window=admission.window,
        threshold=admission.threshold,
        aggression=admission.aggression,
        at_least=admission.at_least,
        most=admission.most,
    )


def _room(
    settings: PoolSettings, deadlines: Deadlines, trusted: TrustedPeers
) -> WaitingRoom | None:
    queue = settings.queue
    if queue is None:
        return None
    line: WaitingLine[Attempts] = WaitingLine(queue.size, queue.timeout)
    priority = by_priority_header(queue.priority_header, trusted)
    return WaitingRoom(line, deadlines, priority)
