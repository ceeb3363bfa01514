"""The forward proxies of a service: what each is made of, and what of it outlives a reload.

    Forward        of a name: the proxy, what was counted, what is known of addresses
      Prepared     what its settings make: the gate, the rules, the ways; put in place by a commit

Imports: config, domain, domain.balancers, net, net.forward, net.http1, net.sockets,
proxy, proxy.middleware, service, wire. Used by: service.build, service.change,
service.service, service.statistics.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from zope.interface import implementer

from lolly_tx.config.forward import Forward as Settings
from lolly_tx.config.model import Config
from lolly_tx.domain.addresses import ConnectLimits
from lolly_tx.domain.balancers.first import First
from lolly_tx.domain.destinations import Destinations, places_of
from lolly_tx.domain.events import Event
from lolly_tx.domain.health import Thresholds
from lolly_tx.domain.interfaces import IEventSink
from lolly_tx.domain.policy import Policy
from lolly_tx.domain.pool import Pool
from lolly_tx.domain.retry import RetryPolicy
from lolly_tx.domain.target import Target
from lolly_tx.net.deadlines import NEVER
from lolly_tx.net.forward.dialing import ruled_endpoint
from lolly_tx.net.forward.listening import forward_acceptor
from lolly_tx.net.forward.ourselves import Ourselves
from lolly_tx.net.forward.way_out import WayOut
from lolly_tx.net.http1.client import Http1Client
from lolly_tx.net.sockets.acceptor import Census
from lolly_tx.net.sockets.health_map import HealthMap
from lolly_tx.net.upstreams import Upstream, UpstreamLimits, Upstreams
from lolly_tx.proxy.counters import Counters
from lolly_tx.proxy.destined import Destined
from lolly_tx.proxy.forwarder import Forwarder
from lolly_tx.proxy.forwarding import ForwardProxy, place_name
from lolly_tx.proxy.gate import Gate
from lolly_tx.proxy.middleware.basic_auth import users_of
from lolly_tx.proxy.middleware.verifying import Threads, Verifier
from lolly_tx.proxy.own_answers import OwnAnswers
from lolly_tx.proxy.proxy import RouteEnd
from lolly_tx.proxy.route import ToPool
from lolly_tx.service.commons import Commons
from lolly_tx.service.listeners import (
    certificates_of,
    http1_settings,
    opened,
    proxied_of,
)
from lolly_tx.service.listening import Place
from lolly_tx.service.middlewares import CannotMake
from lolly_tx.service.pools import Circumstances
from lolly_tx.wire.forwardform import ForwardHead
from lolly_tx.wire.grammar import HeadLimits
from lolly_tx.wire.http1 import ResponseReader

_LOOKUPS = 64
"""Names looked up at once for one forward proxy; each holds a thread until the system gives up."""


@implementer(IEventSink)
class _Nobody:
    """Is told of the places that clients go to: they come and go, and their state is in the health map."""

    def emit(self, event: Event) -> None:
        """Take no note of it."""


_NOBODY = _Nobody()


class Direct:
    """The ways to where clients go, straight (`proxy.forwarding.Ways`). `forward`: whose clients they are."""

    def __init__(
        self,
        forward: Forward,
        settings: Settings,
        rules: Destinations,
        around: Circumstances,
    ) -> None:
        self._forward = forward
        self._settings = settings
        self._rules = rules
        self._around = around
        passive, timeout = settings.passive, settings.timeout
        self._limits = ConnectLimits(
            passive.max_fails, passive.fail_timeout, passive.min_rises
        )
        self._policy = Policy(
            retry=RetryPolicy(tries=1),
            try_timeout=timeout.attempt,
            total_timeout=timeout.total,
        )
        size, fields, interim = around.heads
        heads = HeadLimits(head_bytes=size, fields=fields, line_bytes=size)
        self._reader = ResponseReader(heads)
        self._upstream_limits = UpstreamLimits(
            read=timeout.read or NEVER, write=timeout.write, interim=interim
        )
        self._ends = Destined(self._make)

    def to(self, host: str, port: int, tunnel: bool, head: ForwardHead) -> RouteEnd:
        """See `Ways`."""
        return self._ends.of((host, port, tunnel))

    @property
    def in_flight(self) -> int:
        """Exchanges that are not over."""
        return self._ends.in_flight

    def _make(self, place: Any) -> ToPool:
        host, port, tunnel = place
        forward, commons = self._forward, self._forward.commons
        around, deadlines = commons.surroundings, commons.deadlines
        target = Target(
            id="target", address=f"{host}:{port}", host=host.strip("[]"), port=port
        )
        pool = Pool(
            place_name(self._settings.name),
            (target,),
            balancer=First(),
            accrual=None,
            thresholds=Thresholds(),
            now=around.now(),
            events=_NOBODY,
            random=around.random,
        )
        endpoint = ruled_endpoint(
            forward.health_map,
            self._limits,
            self._rules,
            host,
            port,
            self._settings.timeout.connect,
            forward.proxy.deny,
        )
        make: Any = WayOut if tunnel else partial(Http1Client, self._reader)

        def connect_to(target: Target) -> Upstream:
            return Upstream(
                endpoint,
                make,
                deadlines=deadlines,
                limits=self._upstream_limits,
                name=target.address,
            )

        return ToPool(
            Forwarder(
                pool,
                upstreams=Upstreams(connect_to),
                policy=self._policy,
                deadlines=deadlines,
                clock=around.reactor,
                wall=around.wall,
                random=around.random,
                via=forward.pseudonym,
                half_closed=self._around.half_closed,
                idle=self._settings.idle_timeout,
                traces=self._around.traces,
                identities=self._around.identities,
                on_end=self._around.on_end,
                endings=self._around.endings,
                counters=forward.counters,
            )
        )

    def close(self) -> None:
        """Close idle connections; what is going on goes on."""
        self._ends.close()


class Prepared:
    """What the settings of one make."""

    def __init__(
        self, gate: Gate, rules: Destinations, ways: Direct, realm: str
    ) -> None:
        self.gate = gate
        self.rules = rules
        self.ways = ways
        self.realm = realm

    def stop(self) -> None:
        """Others are in its place; what is going on goes on."""
        self.gate.stop()
        self.ways.close()


class Forward:
    """One of them, from its first settings to its last.

    `hop`: the name by which the proxy knows its own requests again. `ports()`: all that is listened on.
    """

    def __init__(
        self,
        settings: Settings,
        around: Circumstances,
        commons: Commons,
        hop: bytes,
        ports: Callable[[], Iterable[Any]],
    ) -> None:
        self.name = settings.name
        self.place_name = place_name(settings.name)
        self.commons = commons
        surroundings = commons.surroundings
        self.pseudonym = f"lolly-{hop.decode('ascii')[:16]}"
        self.counters = Counters()
        self.health_map = HealthMap(
            surroundings.reactor, now=surroundings.now, lookups=_LOOKUPS
        )
        self._own = Ourselves(ports)
        self._leaving: list[Direct] = []
        self._prepared: Prepared | None = None
        self.proxy = ForwardProxy(self.name, self.pseudonym, OwnAnswers())
        self.commit(self.prepare(settings, around))

    def prepare(self, settings: Settings, around: Circumstances) -> Prepared:
        """What `settings` make; nothing is in force yet. Raises `CannotMake`."""
        rules = Destinations(
            None
            if settings.any_port
            else frozenset(one for one in settings.ports if isinstance(one, int)),
            places_of(settings.allow_targets),
            places_of(settings.deny_targets),
            self._own.listens,
        )
        ways = Direct(self, settings, rules, around)
        return Prepared(self._gate(settings), rules, ways, settings.realm)

    def _gate(self, settings: Settings) -> Gate:
        if not settings.asks_for_passwords:
            return Gate(settings.allow, None)
        users: dict[str, str] = {}
        try:
            if settings.users_file:
                users.update(users_of(settings.users_file))
        except (OSError, ValueError) as error:
            raise CannotMake(f"forward {settings.name}: {error}") from error
        users.update(settings.users)
        around = self.commons.surroundings
        threads = Threads(around.reactor, f"passwords of forward {settings.name}")
        verifier = Verifier(users, threads.run, around.now)
        if self._prepared is not None and self._prepared.gate.verifier is not None:
            verifier.lockout = self._prepared.gate.verifier.lockout
        return Gate(settings.allow, verifier, threads)

    def commit(self, prepared: Prepared) -> None:
        """Go by other settings from the next request on."""
        before, self._prepared = self._prepared, prepared
        if before is not None:
            before.stop()
            self._leaving = [one for one in self._leaving if one.in_flight]
            self._leaving.append(before.ways)
        self.proxy.lead(prepared.gate, prepared.rules, prepared.ways, prepared.realm)

    def stop(self) -> None:
        """Nobody is served any more."""
        if self._prepared is not None:
            self._prepared.stop()

    @property
    def in_flight(self) -> int:
        """Exchanges and tunnels that are not over."""
        ways = [] if self._prepared is None else [self._prepared.ways]
        return sum(one.in_flight for one in (*ways, *self._leaving))


def forward_place(
    forward: Forward, config: Config, settings: Settings, census: Census
) -> Place:
    """Where `forward` is served by `settings`. Raises `BadEndpoint` and `TLSSettingsError`."""
    commons = forward.commons
    deadlines, around = commons.deadlines, commons.surroundings
    certificates = None
    if settings.tls is not None:
        certificates = certificates_of(
            settings.tls, config, deadlines, (), commons.staples
        )
    acceptor = forward_acceptor(
        forward.place_name,
        forward.proxy,
        protocols=settings.protocols,
        secure=settings.tls is not None,
        deadlines=deadlines,
        census=census,
        settings=http1_settings(config),
        most=config.limits.connections_per_listener,
        proxied=proxied_of(settings, config, deadlines),
    )
    return opened(
        forward.place_name,
        settings.endpoint,
        f"forward.{settings.name}.endpoint",
        acceptor,
        around.reactor,
        around.part.ports,
        certificates,
    )
