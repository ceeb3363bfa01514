"""The ways by which clients of a forward proxy get to where they want to go (`proxy.forwards.forwarding.Ways`).

    ByRule      the first rule that is for the place
      Direct        straight: looked up here, and only to what passed the rules
      ThroughProxies  by another proxy, or a pool of them (`service.forwards.parents`)

Each place has an end as of a route, made when it is first asked for; what ends have in common is `Making`.

Imports: config, domain, domain.access, domain.balancers, domain.checks, domain.retries,
net, net.forward, net.http1, net.sockets, proxy, proxy.forwards, service, wire. Used by:
service.forwards.parents, service.forwards.places.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

from zope.interface import implementer

from lolly_tx.config.forward import Forward as Settings
from lolly_tx.domain.access.destinations import (
    Destinations,
    Places,
    literal,
    name_matches,
)
from lolly_tx.domain.addresses import ConnectLimits
from lolly_tx.domain.balancers.first import First
from lolly_tx.domain.checks.health import Thresholds
from lolly_tx.domain.events import Event
from lolly_tx.domain.interfaces import IEventSink
from lolly_tx.domain.pool import Pool
from lolly_tx.domain.retries.policy import Policy
from lolly_tx.domain.retries.retry import RetryPolicy
from lolly_tx.domain.target import Target
from lolly_tx.net.deadlines import NEVER
from lolly_tx.net.forward.dialing import ruled_endpoint
from lolly_tx.net.forward.way_out import WayOut
from lolly_tx.net.http1.client import Http1Client
from lolly_tx.net.sockets.health_map import HealthMap
from lolly_tx.net.upstreams import Upstream, UpstreamLimits, Upstreams
from lolly_tx.proxy.counters import Counters
from lolly_tx.proxy.forwarder import Forwarder
from lolly_tx.proxy.forwards.destined import Destined
from lolly_tx.proxy.forwards.forwarding import ForwardProxy, place_name
from lolly_tx.proxy.proxy import RouteEnd
from lolly_tx.proxy.route import ToPool
from lolly_tx.service.commons import Commons
from lolly_tx.service.pools import Circumstances
from lolly_tx.wire.forwardform import ForwardHead
from lolly_tx.wire.grammar import HeadLimits
from lolly_tx.wire.http1 import ResponseReader


class Way(Protocol):
    """One of them."""

    def to(self, host: str, port: int, tunnel: bool, head: ForwardHead) -> RouteEnd:
        """See `proxy.forwards.forwarding.Ways`."""

    @property
    def in_flight(self) -> int:
        """Exchanges that are not over."""

    def close(self) -> None:
        """Close idle connections; what is going on goes on."""


@implementer(IEventSink)
class _Nobody:
    """Is told of the places that clients go to: they come and go, and their state is in the health map."""

    def emit(self, event: Event) -> None:
        """Take no note of it."""


_NOBODY = _Nobody()


class Whose(Protocol):
    """A forward proxy (`service.forwards.places.Forward`): what of it ends need. `pseudonym`: ours in Via."""

    commons: Commons
    health_map: HealthMap
    counters: Counters
    pseudonym: str
    proxy: ForwardProxy


class Making:
    """Makes ends for the clients of `forward`, by its `settings`."""

    def __init__(
        self, forward: Whose, settings: Settings, around: Circumstances
    ) -> None:
        self.forward = forward
        self.settings = settings
        self._around = around
        passive, timeout = settings.passive, settings.timeout
        self.limits = ConnectLimits(
            passive.max_fails, passive.fail_timeout, passive.min_rises
        )
        self.policy = Policy(
            retry=RetryPolicy(tries=1),
            try_timeout=timeout.attempt,
            total_timeout=timeout.total,
        )
        size, fields, interim = around.heads
        self.heads = HeadLimits(head_bytes=size, fields=fields, line_bytes=size)
        self._upstream_limits = UpstreamLimits(
            read=timeout.read or NEVER, write=timeout.write, interim=interim
        )

    def pool(self, target: Target) -> Pool:
        """Of one target, of whom nothing is known but its address."""
        around = self.forward.commons.surroundings
        return Pool(
            place_name(self.settings.name),
            (target,),
            balancer=First(),
            accrual=None,
            thresholds=Thresholds(),
            now=around.now(),
            events=_NOBODY,
            random=around.random,
        )

    def upstream(self, endpoint: Any, make: Any, name: str) -> Upstream:
        """Connections by `endpoint`."""
        return Upstream(
            endpoint,
            make,
            deadlines=self.forward.commons.deadlines,
            limits=self._upstream_limits,
            name=name,
        )

    def end(
        self,
        pool: Pool,
        connect_to: Callable[[Target], Upstream],
        policy: Policy,
        beside: bool = False,
    ) -> ToPool:
        """What serves requests by `pool`. `beside`: as of `Forwarder`."""
        forward, around = self.forward, self._around
        surroundings = forward.commons.surroundings
        return ToPool(
            Forwarder(
                pool,
                upstreams=Upstreams(connect_to),
                policy=policy,
                deadlines=forward.commons.deadlines,
                clock=surroundings.reactor,
                wall=surroundings.wall,
                random=surroundings.random,
                via=forward.pseudonym,
                half_closed=around.half_closed,
                idle=self.settings.idle_timeout,
                traces=around.traces,
                identities=around.identities,
                on_end=around.on_end,
                endings=around.endings,
                counters=forward.counters,
                beside=beside,
            )
        )


class Direct:
    """Straight, as far as `rules` allow (`Way`)."""

    def __init__(self, making: Making, rules: Destinations) -> None:
        self._making = making
        self._rules = rules
        self._reader = ResponseReader(making.heads)
        self._ends = Destined(self._make)

    def to(self, host: str, port: int, tunnel: bool, head: ForwardHead) -> RouteEnd:
        """See `Way`."""
        return self._ends.of((host, port, tunnel))

    @property
    def in_flight(self) -> int:
        """Exchanges that are not over."""
        return self._ends.in_flight

    def close(self) -> None:
        """Close idle connections; what is going on goes on."""
        self._ends.close()

    def _make(self, place: Any) -> ToPool:
        host, port, tunnel = place
        making = self._making
        forward = making.forward
        target = Target(
            id="target", address=f"{host}:{port}", host=host.strip("[]"), port=port
        )
        endpoint = ruled_endpoint(
            forward.health_map,
            making.limits,
            self._rules,
            host,
            port,
            making.settings.timeout.connect,
            forward.proxy.deny,
        )
        make: Any = WayOut if tunnel else partial(Http1Client, self._reader)

        def connect_to(target: Target) -> Upstream:
            return making.upstream(endpoint, make, target.address)

        return making.end(making.pool(target), connect_to, making.policy)


class ByRule:
    """The first of `rules` that is for the place, or `direct`; that is also meant by a rule without a way."""

    def __init__(
        self, rules: Sequence[tuple[Places, Way | None]], direct: Direct
    ) -> None:
        self._rules = [(places, way or direct) for places, way in rules]
        self._direct = direct
        self._all: list[Way] = [direct, *(way for _, way in rules if way is not None)]

    def to(self, host: str, port: int, tunnel: bool, head: ForwardHead) -> RouteEnd:
        """See `Way`."""
        return self._of(host).to(host, port, tunnel, head)

    def _of(self, host: str) -> Way:
        for places, way in self._rules:
            if _is_for(places, host):
                return way
        return self._direct

    @property
    def in_flight(self) -> int:
        """Exchanges that are not over."""
        return sum(way.in_flight for way in self._all)

    def close(self) -> None:
        """Close idle connections; what is going on goes on."""
        for way in self._all:
            way.close()


def _is_for(places: Places, host: str) -> bool:
    if not places.networks and not places.names:
        return True
    address = literal(host)
    if address is None:
        return name_matches(host, places.names)
    return places.has(address)
