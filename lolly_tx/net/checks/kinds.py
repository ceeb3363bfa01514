"""The types of active checks by name; built-in ones and those of plugins come in through the same door.

Imports: config, config.kinds, domain, net.checks, net.sockets, Twisted. Used by:
service, service.changes, service.checks, simulate, tap.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from random import Random
from typing import Any

import attrs
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from lolly_tx.config.checks import Health
from lolly_tx.config.kinds.extensions import settings_from
from lolly_tx.config.kinds.problems import Rejected
from lolly_tx.config.pools import SendProxy, UpstreamTLS
from lolly_tx.domain.addresses import DOWN
from lolly_tx.domain.interfaces import IHealthCheck, IHealthCheckFactory
from lolly_tx.net.checks.http import (
    ConnectTo,
    HTTPCheck,
    Now,
    ReachCheck,
    TCPCheck,
    TLSCheck,
)
from lolly_tx.net.sockets.dialing import Dialer
from lolly_tx.net.sockets.endpoints import TargetEndpoints, client_endpoint
from lolly_tx.net.sockets.health_map import HealthMap
from lolly_tx.net.sockets.tls_names import ALPN_HTTP2


class UnknownCheck(LookupError):
    """No check of that type is registered."""


class BadCheckSettings(ValueError):
    """The settings of a check cannot be meant. The text names the check and the reason."""


@attrs.frozen
class CheckDeps:
    """What the factory of a check may use.

    `reactor`: sockets, time, resolver. `clock`: for limits. `now`: seconds, monotonic. `random`: seeded in tests.
    `health`: the whole table, for `timeout`, `port` and the like. `tls`: of the pool. `connect_to`: the endpoint of a
    target with the pool's TLS, without a limit of its own.
    """

    reactor: Any
    clock: IReactorTime
    now: Now
    random: Random
    log: Logger
    health: Health
    tls: UpstreamTLS | None
    connect_to: ConnectTo


@implementer(IHealthCheckFactory)
@attrs.frozen
class BuiltIn:
    """A type of check whose settings are the whole `health` table."""

    name: str
    build: Callable[[Health, CheckDeps], IHealthCheck]
    settings: type = Health


def _over_a_connection(kind: type[TCPCheck]) -> Callable[[Health, CheckDeps], Any]:
    def build(settings: Health, deps: CheckDeps) -> IHealthCheck:
        return kind(settings, deps.connect_to, clock=deps.clock, now=deps.now)

    return build


def _over_datagrams(settings: Health, deps: CheckDeps) -> Any:
    from lolly_tx.net.checks.datagrams import UDPCheck

    return UDPCheck(settings, reactor=deps.reactor, now=deps.now)


def _script(settings: Health, deps: CheckDeps) -> Any:
    from lolly_tx.net.checks.scripts import ScriptCheck

    return _over_a_connection(ScriptCheck)(settings, deps)


def _grpc(settings: Health, deps: CheckDeps) -> Any:
    from lolly_tx.net.checks.grpc import GrpcCheck

    return _over_a_connection(GrpcCheck)(settings, deps)


# The modules of those that few configurations have are imported with the first of a kind.
BUILT_IN = (
    BuiltIn("http", _over_a_connection(HTTPCheck)),
    BuiltIn("tcp", _over_a_connection(TCPCheck)),
    BuiltIn("tls", _over_a_connection(TLSCheck)),
    BuiltIn("script", _script),
    BuiltIn("udp", _over_datagrams),
    BuiltIn("grpc", _grpc),
)


class CheckKinds:
    """A registry of factories (`IHealthCheckFactory`) of checks (`IHealthCheck`), by the name in `health.type`."""

    def __init__(self, factories: Iterable[Any] = BUILT_IN) -> None:
        self._factories: dict[str, Any] = {}
        for factory in factories:
            self.register(factory)

    def names(self) -> list[str]:
        """All names, sorted."""
        return sorted(self._factories)

    def register(self, factory: Any) -> None:
        """Add a factory under its name. ValueError when the name is taken."""
        if factory.name in self._factories:
            raise ValueError(f"there is already a check {factory.name!r}")
        self._factories[factory.name] = factory

    def make(
        self,
        reactor: Any,
        health: Health,
        tls: UpstreamTLS | None = None,
        *,
        now: Now,
        random: Random,
        dialer: Dialer | None = None,
        send_proxy: SendProxy = "",
    ) -> IHealthCheck:
        """The check that `health` describes, over the targets' own endpoints.

        `dialer`: what is known of names and addresses; it should ask all the same, those that are down included.
        `send_proxy`: of the pool; a probe's header says that it is our own.

        Raises `UnknownCheck`, or `BadCheckSettings` for settings the factory refuses.
        """
        try:
            factory = self._factories[health.type]
        except KeyError:
            known = ", ".join(self.names())
            raise UnknownCheck(
                f"no check {health.type!r}; there are: {known}"
            ) from None
        dialer = dialer or HealthMap(reactor).dialer(worst=DOWN)
        deps = CheckDeps(
            reactor=dialer.map.reactor,
            clock=reactor,
            now=now,
            random=random,
            log=Logger(f"lolly_tx.check.{health.type}"),
            health=health,
            tls=tls,
            # The probe's limit covers the whole.
            connect_to=TargetEndpoints(
                reactor,
                tls=tls,
                timeout=None,
                patience=health.timeout,
                dialer=dialer,
                send_proxy=send_proxy,
                alpn=(ALPN_HTTP2,) if health.type == "grpc" else (),
            ),
        )
        try:
            settings = health
            if factory.settings is not Health:
                settings = settings_from(factory.settings, health.settings)
            check: IHealthCheck = factory.build(settings, deps)
        except (Rejected, TypeError, ValueError) as e:
            raise BadCheckSettings(f'check of type "{health.type}": {e}') from e
        return check

    def reach(
        self,
        reactor: Any,
        timeout: float,
        *,
        now: Now,
        dialer: Dialer | None = None,
    ) -> IHealthCheck:
        """A check that only connects, whatever is registered; `timeout`: in seconds."""
        connect_to = partial(
            client_endpoint,
            reactor,
            timeout=None,
            patience=timeout,
            dialer=dialer or HealthMap(reactor).dialer(worst=DOWN),
        )
        settings = Health(type="tcp", timeout=timeout)
        return ReachCheck(settings, connect_to, clock=reactor, now=now)


def health_check(
    reactor: Any,
    settings: Health,
    tls: UpstreamTLS | None = None,
    *,
    now: Now,
) -> IHealthCheck:
    """Make the check of a built-in type that `settings` describe; see `CheckKinds.make`."""
    return CheckKinds().make(reactor, settings, tls, now=now, random=Random())
