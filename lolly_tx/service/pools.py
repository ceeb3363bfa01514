"""A pool at work: its domain object, its connections and its checks, built from settings.

May import: domain, config, net, proxy. Used by: service.build.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from random import Random
from typing import Any, cast

import attrs

from lolly_tx.config.model import PoolSettings
from lolly_tx.domain.balancers import Balancers
from lolly_tx.domain.forwarding import TrustedPeers
from lolly_tx.domain.interfaces import IAccrual, IBalancer, IEventSink
from lolly_tx.domain.node import Node
from lolly_tx.domain.pool import Pool
from lolly_tx.domain.target import Target
from lolly_tx.net.deadlines import Deadlines
from lolly_tx.net.http1.client import Http1Client
from lolly_tx.net.library.balanced import BalancedEndpoint
from lolly_tx.net.library.directory import PoolDirectory
from lolly_tx.net.sockets.endpoints import (
    TargetEndpoint,
    TargetEndpoints,
    client_endpoint,
)
from lolly_tx.net.sockets.resolver import Lane
from lolly_tx.net.upstreams import AS_USED, Upstream, UpstreamLimits, Upstreams
from lolly_tx.proxy.exchange import Exchange
from lolly_tx.proxy.forwarding import Forwarder
from lolly_tx.proxy.sticky import Bonds
from lolly_tx.proxy.trace import Traces
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
from lolly_tx.service.probing import Probing, ProbingDeps, first_state, probing
from lolly_tx.wire.http1 import HeadLimits, ResponseReader


@attrs.frozen
class Deps:
    """What building needs from outside. `now`: monotonic, `wall`: epoch, seconds. `traces`: None = no exchange.

    `policies`: makes the accruals of plugins that a pool names.
    """

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
    via: str = ""
    half_closed: float = 60.0
    traces: Traces | None = None
    policies: Callable[[Mapping[str, Any]], Sequence[Callable[[], IAccrual]]] = (
        lambda named: ()
    )
    directory: PoolDirectory = attrs.field(factory=PoolDirectory)
    probing: ProbingDeps = attrs.field(
        default=attrs.Factory(
            lambda self: ProbingDeps(self.reactor, self.now, self.random),
            takes_self=True,
        )
    )


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
    settings: PoolSettings, deps: Deps, on_end: Callable[[Exchange], None] | None
) -> RunningPool:
    """Build what `settings` say; nothing is started yet."""
    pool = make_pool(settings, deps)
    make = partial(Http1Client, ResponseReader(deps.response_limits))
    timeout, keep = settings.timeout, settings.connections
    dialer = deps.probing.health_map.dialer(connect_limits_of(settings), Lane())
    limits = UpstreamLimits(
        idle=AS_USED if keep.idle == "auto" else keep.idle,
        idle_timeout=keep.idle_timeout,
        lifetime=keep.lifetime,
        requests=keep.requests,
        read=timeout.read,
        write=timeout.write,
        interim=deps.interim,
    )

    def connect_to(target: Target) -> Upstream:
        endpoint = client_endpoint(
            deps.reactor,
            target,
            tls=settings.tls,
            timeout=timeout.connect,
            dialer=dialer,
        )
        return Upstream(
            endpoint,
            make,
            deadlines=deps.deadlines,
            limits=limits,
            name=f"{pool.name}/{target.id}",
        )

    upstreams = Upstreams(connect_to)

    def ask_again(node: Node) -> None:
        endpoint = upstreams.of(node).endpoint
        if isinstance(endpoint, TargetEndpoint):
            endpoint.ask_again()

    pool.on_back.append(ask_again)
    forwarder = Forwarder(
        pool,
        upstreams=upstreams,
        policy=policy_of(settings, deps.deadlines, deps.trusted),
        deadlines=deps.deadlines,
        clock=deps.reactor,
        wall=deps.wall,
        random=deps.random,
        host=settings.host,
        key=key_of(settings, deps.trusted),
        sticky=sticky_cookie(settings, cast(Bonds, pool.balancer), deps.wall),
        via=deps.via,
        half_closed=deps.half_closed,
        traces=deps.traces,
        on_end=on_end,
    )
    for node in pool.nodes.values():
        # An address that cannot be meant is an error now, not at the first request.
        upstreams.of(node)
    endpoint = BalancedEndpoint(
        pool,
        TargetEndpoints(
            deps.reactor,
            tls=settings.tls,
            timeout=None,
            patience=timeout.connect,
            dialer=dialer,
        ),
        deps.reactor,
        deps.now,
        timeout=timeout.connect,
    )
    return RunningPool(
        pool,
        forwarder,
        probing(settings, pool, deps.probing),
        endpoint,
        deps.directory,
    )


def make_pool(settings: PoolSettings, deps: Deps) -> Pool:
    """The domain object alone."""
    thresholds, initial = first_state(settings)

    def balancer() -> IBalancer:
        return make_balancer(settings, deps.balancers, deps.random)

    return Pool(
        settings.name,
        settings.targets,
        balancer=balancer(),
        another_balancer=balancer,
        accrual=accrual_of(settings, deps.policies(settings.passive.policies)),
        thresholds=thresholds,
        now=deps.now(),
        events=deps.events,
        random=deps.random,
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
