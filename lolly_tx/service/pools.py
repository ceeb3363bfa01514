"""A pool at work: its domain object, its connections and its checks, built from settings.

    BalancedEndpoint.connect_to(target)   the one place where the endpoint of a target is made, once
      +-- Upstream       the proxy's connections to it
      +-- connect()      those of programs (`lolly:pool=NAME`, a treq client)

Imports: config, domain, domain.access, domain.retries, net, net.http1, net.http2,
net.library, net.sockets, proxy, service, wire. Used by: service.build, service.changes,
service.forwards, service.metrics, service.past, service.service, service.stores,
simulate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, cast

import attrs

from lolly_tx.config.model import Config, PoolSettings
from lolly_tx.domain.access.forwarded import TrustedPeers
from lolly_tx.domain.interfaces import IBalancer
from lolly_tx.domain.node import Node
from lolly_tx.domain.pool import Pool
from lolly_tx.domain.retries.policy import Policy
from lolly_tx.domain.target import Target
from lolly_tx.net.client_lines import line_of
from lolly_tx.net.deadlines import NEVER
from lolly_tx.net.doors import Peer
from lolly_tx.net.http1.client import Http1Client
from lolly_tx.net.library.balanced import BalancedEndpoint
from lolly_tx.net.library.directory import PoolDirectory
from lolly_tx.net.multiplexed import Multiplexed
from lolly_tx.net.per_client import PerClient
from lolly_tx.net.sockets.endpoints import TargetEndpoint, TargetEndpoints
from lolly_tx.net.sockets.resolver import Lane
from lolly_tx.net.sockets.tls_names import ALPN_HTTP2
from lolly_tx.net.turn import Turn
from lolly_tx.net.upstreams import AS_USED, Upstream, UpstreamLimits, Upstreams
from lolly_tx.proxy.counters import Counters
from lolly_tx.proxy.endings import Endings
from lolly_tx.proxy.forwarder import Forwarder
from lolly_tx.proxy.identity import Identities
from lolly_tx.proxy.route import ToPool
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

TARGETS_AT_ONCE = 100
"""Endpoints made in one turn of the event loop, some 2 ms."""


@attrs.frozen
class Circumstances:
    """What of the rest of a configuration the exchanges of a pool go by.

    `trusted`: the proxies in front of us. `traces`: where exchanges leave one; None: none does. `on_end`: told of each
    finished exchange. `identities`: makes that of each exchange; None: they have none. `endings`: where they are put
    when they are over; None: nobody writes them down.
    """

    trusted: TrustedPeers
    via: str = ""
    half_closed: float = 60.0
    heads: tuple[int, int, int] = (64 << 10, 1000, 16)
    """Of answers: bytes, fields, interim ones."""
    traces: Traces | None = attrs.field(default=None, eq=id)
    on_end: Callable[[Any], None] | None = None
    identities: Identities | None = attrs.field(default=None, eq=id)
    endings: Endings | None = attrs.field(default=None, eq=id)

    @classmethod
    def of(
        cls,
        config: Config,
        trusted: TrustedPeers,
        traces: Traces | None = None,
        on_end: Callable[[Any], None] | None = None,
        identities: Identities | None = None,
        endings: Endings | None = None,
    ) -> Circumstances:
        """Those that `config` makes."""
        heads = config.limits
        return cls(
            trusted,
            config.via,
            config.timeouts.half_closed,
            (
                heads.response_head_size,
                heads.response_fields,
                heads.interim_responses,
            ),
            traces,
            on_end,
            identities,
            endings,
        )


@attrs.frozen
class RunningPool:
    """The parts of a pool. `endpoint`: what `lolly:pool=NAME` connects through. `end`: what routes lead to.

    `ask_again`: called when a node is back. `earlier`: who served exchanges by other settings, and may still do.
    """

    settings: PoolSettings
    circumstances: Circumstances
    pool: Pool
    forwarder: Forwarder
    probing: Probing
    endpoint: BalancedEndpoint
    directory: PoolDirectory
    end: ToPool
    ask_again: Callable[[Node], None]
    earlier: tuple[Forwarder, ...] = ()

    @property
    def in_flight(self) -> int:
        """Exchanges that are not over."""
        return sum(each.in_flight for each in (self.forwarder, *self.earlier))

    def targets_tried(self) -> Iterator[None]:
        """Make the endpoints of all targets, a part at each step. Raises `BadEndpoint`.

        An address that cannot be meant is an error now, not at the first request.
        """
        for number, node in enumerate(self.pool.nodes.values(), 1):
            self.forwarder.upstreams.of(node)
            if not number % TARGETS_AT_ONCE:
                yield

    def start(self) -> None:
        """Be found by name, and begin to probe."""
        self.publish()
        self.probing.start()

    def publish(self) -> None:
        """Be found by name."""
        self.directory.publish(self.endpoint)

    def stop(self) -> None:
        """Stop probing and close idle connections; nobody finds it any more."""
        self.directory.withdraw(self.endpoint)
        self.probing.stop()
        self.forwarder.close()


def run_pool(
    settings: PoolSettings, commons: Commons, circumstances: Circumstances
) -> RunningPool:
    """Build what `settings` say; nothing is started yet, and no endpoint made: see `targets_tried`."""
    pool = make_pool(settings, commons)
    balanced = balanced_endpoint(settings, commons, pool)
    ask_again = asking(balanced)
    pool.on_back.append(ask_again)
    upstreams = Upstreams(connecting(settings, commons, circumstances, balanced))
    policy = policy_of(settings, commons.deadlines, circumstances.trusted)
    forwarder = make_forwarder(
        settings, commons, circumstances, pool, upstreams, policy
    )
    return RunningPool(
        settings,
        circumstances,
        pool,
        forwarder,
        probing(settings, pool, commons),
        balanced,
        commons.directory,
        ToPool(forwarder),
        ask_again,
    )


def balanced_endpoint(
    settings: PoolSettings, commons: Commons, pool: Pool
) -> BalancedEndpoint:
    """What connects to the targets of `pool`."""
    around, timeout = commons.surroundings, settings.timeout
    return BalancedEndpoint(
        pool,
        TargetEndpoints(
            around.reactor,
            tls=settings.tls,
            send_proxy=settings.send_proxy,
            alpn=(ALPN_HTTP2,) if settings.protocol == "h2" else (),
            timeout=timeout.connect,
            dialer=commons.health_map.dialer(connect_limits_of(settings), Lane()),
        ),
        around.reactor,
        around.now,
        timeout=None,  # the endpoints have it
    )


def asking(balanced: BalancedEndpoint) -> Callable[[Node], None]:
    """What is done when a node is back: its addresses are asked again."""

    def ask_again(node: Node) -> None:
        endpoint = balanced.connect_to(node.target)
        if isinstance(endpoint, TargetEndpoint):
            endpoint.ask_again()

    return ask_again


def make_forwarder(
    settings: PoolSettings,
    commons: Commons,
    circumstances: Circumstances,
    pool: Pool,
    upstreams: Upstreams,
    policy: Policy,
    counters: Counters | None = None,
) -> Forwarder:
    """What sends exchanges to the nodes of `pool`."""
    around = commons.surroundings
    return Forwarder(
        pool,
        upstreams=upstreams,
        policy=policy,
        deadlines=commons.deadlines,
        clock=around.reactor,
        wall=around.wall,
        random=around.random,
        host=settings.host,
        key=key_of(settings, circumstances.trusted),
        sticky=sticky_cookie(settings, cast(Bonds, pool.balancer), around.wall),
        via=circumstances.via,
        half_closed=circumstances.half_closed,
        traces=circumstances.traces,
        identities=circumstances.identities,
        on_end=circumstances.on_end,
        endings=circumstances.endings,
        counters=counters,
    )


def upstream_limits(
    settings: PoolSettings, circumstances: Circumstances
) -> UpstreamLimits:
    """Of the connections to one target."""
    keep, timeout = settings.connections, settings.timeout
    return UpstreamLimits(
        idle=AS_USED if keep.idle == "auto" else keep.idle,
        idle_timeout=keep.idle_timeout,
        lifetime=keep.lifetime,
        requests=keep.requests,
        read=timeout.read or NEVER,
        write=timeout.write,
        interim=circumstances.heads[2],
        ping=keep.ping,
    )


def connection_maker(
    settings: PoolSettings, commons: Commons, circumstances: Circumstances
) -> Callable[[Any], Any]:
    """Makes the protocol of one connection."""
    size, fields, _ = circumstances.heads
    heads = HeadLimits(head_bytes=size, fields=fields, line_bytes=size)
    if settings.protocol == "http1":
        return partial(Http1Client, ResponseReader(heads))
    secure = settings.protocol == "h2"
    turn = Turn(commons.deadlines.clock)
    from lolly_tx.net.http2.client import Http2Client
    from lolly_tx.net.http2.client_shared import ClientShared

    return partial(Http2Client, ClientShared.of(secure, heads, turn))


def connecting(
    settings: PoolSettings,
    commons: Commons,
    circumstances: Circumstances,
    balanced: BalancedEndpoint,
) -> Callable[[Target], Upstream]:
    """Makes the connections to one target; `balanced` says through which endpoint."""
    make = connection_maker(settings, commons, circumstances)
    limits = upstream_limits(settings, circumstances)

    def connect_to(target: Target) -> Upstream:
        kind: Callable[..., Upstream] = Upstream
        if settings.protocol != "http1":
            kind = Multiplexed
        endpoint = balanced.connect_to(target)
        if settings.send_proxy:
            assert isinstance(endpoint, TargetEndpoint)
            kind = partial(PerClient, introduce=_introducing(endpoint))
        return kind(
            endpoint,
            make,
            deadlines=commons.deadlines,
            limits=limits,
            name=f"{settings.name}/{target.id}",
        )

    return connect_to


def _introducing(endpoint: TargetEndpoint) -> Callable[[Peer], TargetEndpoint]:
    return lambda peer: endpoint.told_of(line_of(peer))


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
        accrual=around.part.accrual or accrual_of(settings, policies),
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
        absence=commons.absence,
    )
