"""A pool at work: its domain object, its connections and its checks, built from settings.

May import: domain, config, net, proxy. Used by: service.build.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import attrs

from lolly_tx.config.model import PoolSettings
from lolly_tx.domain.accrual import ConsecutiveFailures
from lolly_tx.domain.balancers import Balancers
from lolly_tx.domain.budget import RetryBudget
from lolly_tx.domain.forwarding import TrustedPeers, original_client
from lolly_tx.domain.interfaces import IEventSink
from lolly_tx.domain.pool import Pool
from lolly_tx.domain.retry import RetryPolicy
from lolly_tx.domain.target import Target
from lolly_tx.net.deadlines import Deadlines
from lolly_tx.net.endpoints import client_endpoint
from lolly_tx.net.upstream import Upstream, UpstreamLimits
from lolly_tx.proxy.exchange import Exchange
from lolly_tx.proxy.forward import Attempts, Forwarder, Key, no_key
from lolly_tx.service.probing import Probing, ProbingDeps, first_state, probing
from lolly_tx.wire.http1 import HeadLimits, ResponseReader


@attrs.frozen
class Deps:
    """What building needs from outside. `now`: monotonic, `wall`: epoch, seconds."""

    reactor: Any
    now: Callable[[], float]
    wall: Callable[[], float]
    random: Random
    events: IEventSink
    deadlines: Deadlines
    balancers: Balancers
    trusted: TrustedPeers
    response_limits: HeadLimits
    interim: int
    probing: ProbingDeps = attrs.field(
        default=attrs.Factory(
            lambda self: ProbingDeps(self.reactor, self.now, self.random),
            takes_self=True,
        )
    )


@attrs.frozen
class RunningPool:
    """The three parts of a pool."""

    pool: Pool
    forwarder: Forwarder
    probing: Probing

    def start(self) -> None:
        """Begin to probe."""
        self.probing.start()

    def stop(self) -> None:
        """Stop probing and close idle connections."""
        self.probing.stop()
        self.forwarder.close()


def run_pool(
    settings: PoolSettings, deps: Deps, on_end: Callable[[Exchange], None] | None
) -> RunningPool:
    """Build what `settings` say; nothing is started yet."""
    pool = make_pool(settings, deps)
    reader = ResponseReader(deps.response_limits)
    timeout, keep = settings.timeout, settings.connections
    limits = UpstreamLimits(
        idle=keep.idle,
        idle_timeout=keep.idle_timeout,
        lifetime=keep.lifetime,
        requests=keep.requests,
        read=timeout.read,
        write=timeout.write,
        interim=deps.interim,
    )

    def connect_to(target: Target) -> Upstream:
        endpoint = client_endpoint(
            deps.reactor, target, tls=settings.tls, timeout=timeout.connect
        )
        return Upstream(
            endpoint, deadlines=deps.deadlines, reader=reader, limits=limits
        )

    forwarder = Forwarder(
        pool,
        connect_to=connect_to,
        attempts=_attempts(settings),
        deadlines=deps.deadlines,
        clock=deps.reactor,
        wall=deps.wall,
        random=deps.random,
        host=settings.host,
        key=_key(settings, deps.trusted),
        on_end=on_end,
    )
    for node in pool.nodes.values():
        # An address that cannot be meant is an error now, not at the first request.
        forwarder.upstream(node)
    return RunningPool(pool, forwarder, probing(settings, pool, deps.probing))


def _attempts(settings: PoolSettings) -> Attempts:
    """How often and when an exchange tries."""
    retry = settings.retry
    return Attempts(
        retry=RetryPolicy(tries=retry.tries, on=retry.on), budget=RetryBudget()
    )


def make_pool(settings: PoolSettings, deps: Deps) -> Pool:
    """The domain object alone."""
    passive = settings.passive
    thresholds, initial = first_state(settings)

    def accrual() -> ConsecutiveFailures:
        return ConsecutiveFailures(
            max_fails=passive.max_fails,
            fail_timeout=passive.fail_timeout,
            min_rises=passive.min_rises,
        )

    return Pool(
        settings.name,
        settings.targets,
        balancer=deps.balancers.make(settings.balance, {}, deps.random),
        accrual=accrual if passive.max_fails else None,
        thresholds=thresholds,
        now=deps.now(),
        events=deps.events,
        random=deps.random,
        all_down=settings.all_down,
        initial=initial,
    )


def _key(settings: PoolSettings, trusted: TrustedPeers) -> Key:
    """What exchanges are hashed by."""
    if settings.balance != "ip_hash":
        return no_key

    def by_client(exchange: Exchange) -> bytes | None:
        client = exchange.door.client
        received = exchange.head.block.forwarded
        if received:
            client = original_client(client, received, trusted)
        return client.encode()

    return by_client
