"""A pool at work: its domain object, its connections and its checks, built from settings.

    BalancedEndpoint.connect_to(target)   the one place where the endpoint of a target is made, once
      +-- Upstream       the proxy's connections to it
      +-- connect()      those of programs (`lolly:pool=NAME`, a treq client)

Imports: config, domain, net, net.http1, net.library, net.sockets, proxy, service, wire.
Used by: service.build, service.service, simulate.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, cast

import attrs

from lolly_tx.config.model import Config, PoolSettings
from lolly_tx.domain.forwarded import TrustedPeers
from lolly_tx.domain.interfaces import IBalancer
from lolly_tx.domain.node import Node
from lolly_tx.domain.pool import Pool
from lolly_tx.domain.target import Target
from lolly_tx.net.http1.client import Http1Client
from lolly_tx.net.library.balanced import BalancedEndpoint
from lolly_tx.net.library.directory import PoolDirectory
from lolly_tx.net.sockets.endpoints import TargetEndpoint, TargetEndpoints
from lolly_tx.net.sockets.resolver import Lane
from lolly_tx.net.upstreams import AS_USED, Upstream, UpstreamLimits, Upstreams
from lolly_tx.proxy.forwarder import Forwarder
from lolly_tx.proxy.sticky import Bonds
from lolly_tx.proxy.trace import Traces
from lolly_tx.service.commons import Commons
from lolly_tx.service.policies import (
    accrual_of,
    adaptive_of,
    connect_limits_of,
    ejections_of,
    failure_statuses,
    key_of,
    make_balancer,
    outliers_of,
    policy_of,
    slow_start_of,
    sticky_cookie,
)
from lolly_tx.service.probing import Probing, first_state, probing
from lolly_tx.wire.grammar import HeadLimits
from lolly_tx.wire.http1 import ResponseReader


@attrs.frozen
class RunningPool:
    """The parts of a pool. `endpoint`: what `lolly:pool=NAME` connects through."""

    pool: Pool
    forwarder: Forwarder
    probing: Probing
    endpoint: BalancedEndpoint
    directory: PoolDirectory

    def start(self) -> None:
        """Begin to probe, and be found by name."""
        self.probing.start()
        self.directory.publish(self.endpoint)

    def stop(self) -> None:
        """Stop probing and close idle connections; nobody finds it any more."""
        self.directory.withdraw(self.endpoint)
        self.probing.stop()
        self.forwarder.close()


def run_pool(
    settings: PoolSettings,
    config: Config,
    commons: Commons,
    *,
    trusted: TrustedPeers,
    traces: Traces | None = None,
    on_end: Callable[[Any], None] | None = None,
) -> RunningPool:
    """Build what `settings`, one of the pools of `config`, say; nothing is started yet.

    `trusted`: the proxies in front of us. `traces`: where exchanges leave one; None: none does. `on_end`: told of each
    finished exchange.
    """
    around, timeout = commons.surroundings, settings.timeout
    pool = make_pool(settings, commons)
    balanced = BalancedEndpoint(
        pool,
        TargetEndpoints(
            around.reactor,
            tls=settings.tls,
            timeout=timeout.connect,
            dialer=commons.health_map.dialer(connect_limits_of(settings), Lane()),
        ),
        around.reactor,
        around.now,
        timeout=None,  # the endpoints have it
    )

    def ask_again(node: Node) -> None:
        endpoint = balanced.connect_to(node.target)
        if isinstance(endpoint, TargetEndpoint):
            endpoint.ask_again()

    pool.on_back.append(ask_again)
    upstreams = _upstreams(settings, config, commons, balanced)
    forwarder = Forwarder(
        pool,
        upstreams=upstreams,
        policy=policy_of(settings, commons.deadlines, trusted),
        deadlines=commons.deadlines,
        clock=around.reactor,
        wall=around.wall,
        random=around.random,
        host=settings.host,
        key=key_of(settings, trusted),
        sticky=sticky_cookie(settings, cast(Bonds, pool.balancer), around.wall),
        via=config.via,
        half_closed=config.timeouts.half_closed,
        traces=traces,
        on_end=on_end,
    )
    for node in pool.nodes.values():
        # An address that cannot be meant is an error now, not at the first request.
        upstreams.of(node)
    checks = probing(settings, pool, commons)
    return RunningPool(pool, forwarder, checks, balanced, commons.directory)


def _upstreams(
    settings: PoolSettings,
    config: Config,
    commons: Commons,
    balanced: BalancedEndpoint,
) -> Upstreams:
    """The connections by node; `balanced` says through which endpoint."""
    keep, timeout, heads = settings.connections, settings.timeout, config.limits
    reader = ResponseReader(
        HeadLimits(
            head_bytes=heads.response_head_size,
            fields=heads.response_fields,
            line_bytes=heads.response_head_size,
        )
    )
    make = partial(Http1Client, reader)
    limits = UpstreamLimits(
        idle=AS_USED if keep.idle == "auto" else keep.idle,
        idle_timeout=keep.idle_timeout,
        lifetime=keep.lifetime,
        requests=keep.requests,
        read=timeout.read,
        write=timeout.write,
        interim=heads.interim_responses,
    )

    def connect_to(target: Target) -> Upstream:
        return Upstream(
            balanced.connect_to(target),
            make,
            deadlines=commons.deadlines,
            limits=limits,
            name=f"{settings.name}/{target.id}",
        )

    return Upstreams(connect_to)


def make_pool(settings: PoolSettings, commons: Commons) -> Pool:
    """The domain object alone."""
    around = commons.surroundings
    thresholds, initial = first_state(settings)
    policies = commons.registry.accruals(settings.passive.policies, around)

    def balancer() -> IBalancer:
        return make_balancer(settings, commons.balancers, around.random)

    return Pool(
        settings.name,
        settings.targets,
        balancer=balancer(),
        another_balancer=balancer,
        accrual=accrual_of(settings, policies),
        thresholds=thresholds,
        now=around.now(),
        events=commons.events,
        random=around.random,
        all_down=settings.all_down,
        panic_draws=settings.panic_draws,
        initial=initial,
        ejections=ejections_of(settings),
        outliers=outliers_of(settings),
        slow_start=slow_start_of(settings),
        failure_statuses=failure_statuses(settings),
        max_conns=settings.max_conns,
        max_retries=settings.max_retries,
        adaptive=adaptive_of(settings),
    )
