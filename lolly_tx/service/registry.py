"""The plugins of an installation, by kind and name; what is built in comes through the same door.

    kind       interface of the factory   named in a configuration by          its settings
    balance    IBalancerFactory           balance = "NAME"                     [pool.x.balance_settings]
    check      IHealthCheckFactory        health.type = "NAME"                 [pool.x.health.settings]
    accrual    IAccrualFactory            [pool.x.passive.policies.NAME]       the same table
    sink       IEventSinkFactory          [events.NAME]                        the same table
    middleware IMiddlewareFactory         [middleware.x] type = "NAME"         the same table
    discovery  IDiscoveryFactory          [pool.x.discover] type = "NAME"      the same table

A factory has `name`, `settings` (an attrs class) and `build(settings, deps)`. Third parties ship a module in
`lolly_tx/plugins/` with instances that also provide `twisted.plugin.IPlugin`. They are looked up as
`twisted.plugin.getPlugins` does, but without its cache, which needs a folder that can be written, and with the errors
of modules that cannot be imported kept for whoever asks for what is in them.

Imports: config.kinds, config.texts, domain, domain.balancers, net.checks,
net.discovery, proxy.middleware, service, service.records, Twisted. Used by: commands,
service.build, service.commons, service.middlewares, service.providers, service.workers,
simulate.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Mapping, Set
from functools import partial
from random import Random
from types import MappingProxyType, ModuleType
from typing import Any

import attrs
from twisted.logger import Logger
from twisted.plugin import IPlugin

from lolly_tx.config.kinds.extensions import settings_from
from lolly_tx.config.texts.reading import Names
from lolly_tx.domain.balancers.by_name import Balancers
from lolly_tx.domain.interfaces import (
    IAccrual,
    IAccrualFactory,
    IBalancer,
    IBalancerFactory,
    IDiscovery,
    IDiscoveryFactory,
    IEventSink,
    IEventSinkFactory,
    IHealthCheckFactory,
    IMiddleware,
    IMiddlewareFactory,
)
from lolly_tx.net.checks.kinds import BUILT_IN as BUILT_IN_CHECKS
from lolly_tx.net.checks.kinds import CheckKinds
from lolly_tx.net.discovery.built_in import BUILT_IN as BUILT_IN_DISCOVERY
from lolly_tx.net.discovery.deps import DiscoveryDeps
from lolly_tx.proxy.middleware.built_in import BUILT_IN as BUILT_IN_MIDDLEWARE
from lolly_tx.proxy.middleware.deps import MiddlewareDeps
from lolly_tx.service.guarded import GuardedBalancer, guarded_accrual
from lolly_tx.service.logfile import LogFile
from lolly_tx.service.records.sinks import BUILT_IN_SINKS
from lolly_tx.service.surroundings import Surroundings

KINDS: Mapping[str, Any] = MappingProxyType(
    {
        "balance": IBalancerFactory,
        "check": IHealthCheckFactory,
        "accrual": IAccrualFactory,
        "sink": IEventSinkFactory,
        "middleware": IMiddlewareFactory,
        "discovery": IDiscoveryFactory,
    }
)


_KNOWN = ("check", "discovery", "middleware")
"""Kinds whose built-in settings `config` knows by itself."""


class UnknownPlugin(LookupError):
    """There is no plugin of that kind and name; the text names those there are."""


@attrs.frozen
class PluginDeps:
    """What a factory may use. Checks and middleware get more: `net.checks.kinds.CheckDeps`, `proxy.middleware.deps`.

    `reactor`: sockets, time. `clock`: `IReactorTime`. `now`: seconds, monotonic. `random`: seeded in tests. `log`: a
    logger of the plugin's own. `stdout`: what logs to "-" share so that no lines mix; None: nobody else writes there.
    """

    reactor: Any
    clock: Any
    now: Callable[[], float]
    random: Random
    log: Logger
    stdout: LogFile | None = None


class Registry:
    """Factories by kind and name. Begins with what is built in."""

    _log = Logger()

    def __init__(self) -> None:
        self.broken: dict[str, Exception] = {}
        """Modules of plugins that could not be imported, with the reason."""
        self._factories: dict[tuple[str, str], Any] = {}
        self._built_in = {("balance", name) for name in Balancers().names()}
        built_in: list[tuple[str, Any]] = [("check", one) for one in BUILT_IN_CHECKS]
        built_in += [("sink", one) for one in BUILT_IN_SINKS]
        built_in += [("middleware", one) for one in BUILT_IN_MIDDLEWARE]
        built_in += [("discovery", one) for one in BUILT_IN_DISCOVERY]
        # Not by `add`, which looks at the settings: those of middleware are imported when they are used.
        self._factories.update({(kind, one.name): one for kind, one in built_in})
        self._built_in |= set(self._factories)

    def __repr__(self) -> str:
        added = [f"{kind}:{name}" for kind, name in self._added()]
        return f"<Registry with plugins {', '.join(added) or 'none'}>"

    def add(self, kind: str, factory: Any) -> None:
        """Add a factory under its name. ValueError when the name is taken, or the kind does not exist."""
        if kind not in KINDS:
            raise ValueError(f"{kind!r} is none of {', '.join(KINDS)}")
        place = (kind, factory.name)
        if place in self._factories or place in self._built_in:
            raise ValueError(f"there is already a {kind} {factory.name!r}")
        if not attrs.has(factory.settings):
            raise ValueError(
                f"the settings of {kind} {factory.name!r} are no attrs class"
            )
        self._factories[place] = factory

    def discover(self, package: ModuleType) -> None:
        """Add every plugin that a module in `package` offers; a module that fails hinders no other."""
        for found in pkgutil.iter_modules(package.__path__):
            try:
                module = importlib.import_module(f"{package.__name__}.{found.name}")
                self._take(module)
            except Exception as error:
                self.broken[found.name] = error
                self._log.warn(
                    "The plugin module {name} cannot be used: {error}",
                    name=found.name,
                    error=error,
                )

    def _take(self, module: ModuleType) -> None:
        marker: Any = IPlugin
        for value in vars(module).values():
            if marker.providedBy(value):
                for kind, interface in KINDS.items():
                    if interface.providedBy(value):
                        self.add(kind, value)

    def names(self, kind: str) -> list[str]:
        """All names of a kind, sorted."""
        return sorted(
            name for one, name in self._built_in | set(self._factories) if one == kind
        )

    def find(self, kind: str, name: str) -> Any:
        """The factory. Raises UnknownPlugin, from the import error of a module that may have had it."""
        try:
            return self._factories[kind, name]
        except KeyError:
            known = ", ".join(self.names(kind)) or "none"
            raise UnknownPlugin(
                f"no {kind} {name!r}; there are: {known}{self.hint}"
            ) from next(iter(self.broken.values()), None)

    @property
    def hint(self) -> str:
        """What to add to an error about an unknown name: the modules that could not be imported."""
        return "".join(
            f"; the plugin module {name} cannot be used: {type(error).__name__}: {error}"
            for name, error in self.broken.items()
        )

    def known_names(self, **endpoints: Set[str]) -> Names:
        """For reading a configuration: all names, and the settings of the plugins. `endpoints`: see `Names`."""
        return Names(
            balance=frozenset(self.names("balance")),
            check=frozenset(self.names("check")),
            accrual=frozenset(self.names("accrual")),
            sink=frozenset(self.names("sink")),
            middleware=frozenset(self.names("middleware")),
            discovery=frozenset(self.names("discovery")),
            settings={
                place: factory.settings
                for place, factory in self._factories.items()
                if place[0] not in _KNOWN or place not in self._built_in
            },
            hint=self.hint,
            **endpoints,
        )

    # -- what is built from it

    def balancers(self, surroundings: Surroundings) -> Balancers:
        """The balancers, those of plugins among them."""
        balancers = Balancers()
        for kind, name in self._added():
            if kind == "balance":
                balancers.register(name, self._balancer_of(name, surroundings))
        return balancers

    def _balancer_of(
        self, name: str, surroundings: Surroundings
    ) -> Callable[..., IBalancer]:
        factory = self._factories["balance", name]

        def make(random: Random, **raw: Any) -> IBalancer:
            settings = settings_from(factory.settings, raw)
            here = _deps(attrs.evolve(surroundings, random=random), "balance", name)
            return GuardedBalancer(name, factory.build(settings, here), here.log)

        return make

    def check_kinds(self) -> CheckKinds:
        """The checks, those of plugins among them."""
        return CheckKinds(
            f for (kind, _), f in self._factories.items() if kind == "check"
        )

    def accruals(
        self, policies: Mapping[str, Any], surroundings: Surroundings
    ) -> list[Callable[[], IAccrual]]:
        """What makes the policies that a pool's settings name. Raises UnknownPlugin."""
        made: list[Callable[[], IAccrual]] = []
        for name, raw in policies.items():
            factory = self.find("accrual", name)
            settings = settings_from(factory.settings, raw)
            here = _deps(surroundings, "accrual", name)
            made.append(partial(_accrual_of, factory, settings, here))
        return made

    def sinks(
        self, wanted: Mapping[str, Any], surroundings: Surroundings
    ) -> list[IEventSink]:
        """The event sinks that the settings name. Raises UnknownPlugin, and OSError for files."""
        made: list[IEventSink] = []
        for name, raw in wanted.items():
            factory = self.find("sink", name)
            settings = settings_from(factory.settings, raw)
            made.append(factory.build(settings, _deps(surroundings, "sink", name)))
        return made

    def middleware(self, type: str, raw: Any, deps: MiddlewareDeps) -> IMiddleware:
        """One of that type, by its settings. Raises UnknownPlugin, and what its factory raises."""
        factory = self.find("middleware", type)
        made: IMiddleware = factory.build(settings_from(factory.settings, raw), deps)
        return made

    def discovery(self, type: str, raw: Any, deps: DiscoveryDeps) -> IDiscovery:
        """One of that type, by its settings. Raises UnknownPlugin, and what its factory raises."""
        factory = self.find("discovery", type)
        made: IDiscovery = factory.build(settings_from(factory.settings, raw), deps)
        return made

    def _added(self) -> Iterable[tuple[str, str]]:
        return sorted(set(self._factories) - self._built_in)


def _accrual_of(factory: Any, settings: Any, deps: PluginDeps) -> IAccrual:
    return guarded_accrual(factory.name, factory.build(settings, deps), deps.log)


def _deps(surroundings: Surroundings, kind: str, name: str) -> PluginDeps:
    reactor = surroundings.reactor
    return PluginDeps(
        reactor,
        reactor,
        surroundings.now,
        surroundings.random,
        Logger(f"lolly_tx.{kind}.{name}"),
        surroundings.stdout,
    )
