"""The forward proxies of a service: what each is made of, and what of it outlives a reload.

    Forward        of a name: the proxy, what was counted, what is known of addresses
      Prepared     what its settings make: the gate, the rules, the ways; put in place by a commit

Imports: config, domain.access, net.forward, net.sockets, proxy, proxy.forwards,
proxy.middleware, service, service.forwards, wire, Twisted. Used by: service,
service.changes, service.metrics.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from hashlib import blake2b
from typing import Any

from twisted.internet.defer import Deferred, succeed

from lolly_tx.config.forward import Forward as Settings
from lolly_tx.config.model import Config
from lolly_tx.config.parents import Parent
from lolly_tx.domain.access.destinations import Destinations, places_of
from lolly_tx.net.forward.association import Association, Relays
from lolly_tx.net.forward.listening import forward_acceptor
from lolly_tx.net.forward.ourselves import Ourselves
from lolly_tx.net.sockets.acceptor import Census
from lolly_tx.net.sockets.dialing import is_literal
from lolly_tx.net.sockets.health_map import HealthMap
from lolly_tx.proxy.counters import Counters
from lolly_tx.proxy.forwards.forwarding import ForwardProxy, place_name
from lolly_tx.proxy.forwards.gate import Gate
from lolly_tx.proxy.middleware.basic_auth import users_of
from lolly_tx.proxy.middleware.verifying import Threads, Verifier
from lolly_tx.proxy.own_answers import OwnAnswers
from lolly_tx.service.commons import Commons
from lolly_tx.service.forwards.parents import (
    Speech,
    ThroughProxies,
    login_of_parent,
    only,
)
from lolly_tx.service.forwards.ways import ByRule, Direct, Making, Way
from lolly_tx.service.listeners import (
    certificates_of,
    http1_settings,
    opened,
    proxied_of,
)
from lolly_tx.service.listening import Place
from lolly_tx.service.middlewares import CannotMake
from lolly_tx.service.pools import Circumstances, RunningPool
from lolly_tx.wire.trail import name_of

_LOOKUPS = 64
"""Names looked up at once for one forward proxy; each holds a thread until the system gives up."""


class Prepared:
    """What the settings of one make."""

    def __init__(
        self,
        gate: Gate,
        rules: Destinations,
        ways: ByRule,
        realm: str,
        relays: Relays | None,
    ) -> None:
        self.relays = relays
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

    `hop`: the name by which the proxy knows its own requests again. `ports()`: all that is listened on. `pools`: those
    that run, by name.
    """

    def __init__(
        self,
        settings: Settings,
        around: Circumstances,
        commons: Commons,
        hop: bytes,
        ports: Callable[[], Iterable[Any]],
        pools: Mapping[str, RunningPool],
    ) -> None:
        self._pools = pools
        self.name = settings.name
        self.place_name = place_name(settings.name)
        self.commons = commons
        surroundings = commons.surroundings
        # Its own: another one of this service may be its parent.
        mark = blake2b(self.name.encode(), key=hop[:64], digest_size=8)
        self.pseudonym = name_of(mark.hexdigest())
        self.counters = Counters()
        self.health_map = HealthMap(
            surroundings.reactor, now=surroundings.now, lookups=_LOOKUPS
        )
        self._own = Ourselves(ports)
        self._leaving: list[ByRule] = []
        self._associations: set[Association] = set()
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
        making = Making(self, settings, around)
        try:
            rest = [
                (places_of(parent.match), self._way(making, parent))
                for parent in settings.parents
            ]
        except (OSError, ValueError) as error:
            raise CannotMake(f"forward {settings.name}: {error}") from error
        ways = ByRule(rest, Direct(making, rules))
        relays = self._relays(settings, rules) if settings.udp else None
        return Prepared(self._gate(settings), rules, ways, settings.realm, relays)

    def _relays(self, settings: Settings, rules: Destinations) -> Relays:
        resolver = self.health_map.resolver

        def resolve(host: str) -> Deferred[Any]:
            plain = host.strip("[]")
            return succeed([plain]) if is_literal(plain) else resolver.resolve(plain)

        return Relays(
            self.commons.surroundings.reactor,
            resolve,
            rules,
            settings.associations,
            settings.idle_timeout,
            self.proxy.deny,
            self.proxy.note,
            self._associations,
        )

    def _way(self, making: Making, parent: Parent) -> Way | None:
        """That of one rule; None: straight."""
        if parent.direct:
            return None
        login = login_of_parent(parent)
        speech = Speech(parent.socks, login, self.pseudonym)
        if parent.pool:
            pools = self._pools
            return ThroughProxies(making, lambda: pools[parent.pool], speech)
        return ThroughProxies(making, only(making, parent.address), speech)

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
        self.proxy.lead(
            prepared.gate,
            prepared.rules,
            prepared.ways,
            prepared.realm,
            prepared.relays,
        )

    def stop(self) -> None:
        """Nobody is served any more."""
        if self._prepared is not None:
            self._prepared.stop()

    @property
    def in_flight(self) -> int:
        """Exchanges, tunnels and relays of datagrams that are not over."""
        ways = [] if self._prepared is None else [self._prepared.ways]
        tunnels = sum(one.in_flight for one in (*ways, *self._leaving))
        return tunnels + len(self._associations)


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
