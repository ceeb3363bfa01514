"""What a provider brings beside the file: read as a configuration is, each object for itself, and put beside it.

    read_provided(draft tables, config, names) --> Provided, and why others cannot be used, by whose they are
    with_provided(config, ...)                 --> the settings with all of it

The file has the first word on a name, and on what a route matches.

Imports: config, config.kinds, config.rules, config.texts. Used by: config.amendments,
config.providedtexts, service.providers.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import attrs

from lolly_tx.config.kinds.problems import Problem
from lolly_tx.config.kinds.tables import Named, Table, read_or_none
from lolly_tx.config.pools import PoolSettings
from lolly_tx.config.routing import Route
from lolly_tx.config.rules.together import Parts, check_pool, check_route, parts_of
from lolly_tx.config.texts.reading import Names, Source, SourcePlace

if TYPE_CHECKING:
    from lolly_tx.config.model import Config

NO_POOLS: Mapping[str, PoolSettings] = MappingProxyType({})
NO_STREAMS: Mapping[str, Mapping[str, str]] = MappingProxyType({})
_ROUTE = Table(Route)
_POOLS = Named(PoolSettings)

Owned = tuple[Hashable, Mapping[str, Any]]
"""Whose a table is, and the table."""


@attrs.frozen
class Provided:
    """`streams`: by the name of one of the file, pools by name in the ClientHello, "" = for who asks for no other."""

    routes: tuple[Route, ...] = ()
    pools: Mapping[str, PoolSettings] = NO_POOLS
    streams: Mapping[str, Mapping[str, str]] = NO_STREAMS


@attrs.define
class Known:
    """What was read before of tables that are still the same, beside the same `config`: most are, most of the time."""

    config: Config | None = None
    pools: dict[str, PoolSettings] = attrs.field(factory=dict)
    routes: dict[str, Route] = attrs.field(factory=dict)

    def beside(self, config: Config) -> Known:
        """Itself; empty, if that is another configuration."""
        return self if self.config is config else Known(config)


def read_provided(
    routes: Sequence[Owned],
    pools: Mapping[str, Any],
    config: Config,
    names: Names,
    known: Known | None = None,
) -> tuple[Provided, dict[Hashable, str], Known]:
    """The routes and pools of these tables; of whom something cannot be used nothing is, and why.

    `config`: what they stand beside. `names`: what a configuration may name. `known`: what was given back before.
    """
    known = (known or Known()).beside(config)
    fresh = Known(config)
    read_pools, wrong = _pools(pools, config, names, known, fresh)
    beside = attrs.evolve(
        config, pools=MappingProxyType({**read_pools, **config.pools})
    )
    refused: dict[Hashable, str] = {}
    read: list[tuple[Hashable, Route]] = []
    parts = parts_of(beside, SourcePlace(_source(names, {})))
    for owner, table in routes:
        if owner in refused:
            continue
        text = repr(table)
        # A pool that cannot be used any more is not known to be one.
        route = None if wrong else known.routes.get(text)
        problems: list[Problem] = []
        if route is None:
            route, problems = _route(table, beside, parts, names)
        if route is None or problems:
            said = [wrong[one] for one in _pools_of(table) if one in wrong]
            refused[owner] = "; ".join(said) or _said(problems)
        else:
            fresh.routes[text] = route
            read.append((owner, route))
    whole = tuple(route for owner, route in read if owner not in refused)
    return Provided(whole, MappingProxyType(read_pools)), refused, fresh


def _pools(
    tables: Mapping[str, Any], config: Config, names: Names, known: Known, fresh: Known
) -> tuple[dict[str, PoolSettings], dict[str, str]]:
    read: dict[str, PoolSettings] = {}
    wrong: dict[str, str] = {}
    for name, table in tables.items():
        text = repr((name, table))
        if text in known.pools:
            read[name] = fresh.pools[text] = known.pools[text]
            continue
        source = _source(names, {name: table})
        place = SourcePlace(source)
        found = read_or_none(_POOLS, {name: table}, place) or {}
        if name in found:
            check_pool(config, found[name], place.at(name))
        if source.problems or name not in found:
            wrong[name] = _said(source.problems)
        else:
            read[name] = fresh.pools[text] = found[name]
    return read, wrong


def _route(
    table: Mapping[str, Any], config: Config, parts: Parts, names: Names
) -> tuple[Route | None, list[Problem]]:
    source = _source(names, dict(table))
    place = SourcePlace(source)
    route: Route | None = read_or_none(_ROUTE, dict(table), place)
    if route is not None:
        check_route(config, parts, route, place)
    return route, source.problems


def _source(names: Names, tree: dict[str, Any]) -> Source:
    return Source("", "/", names, lambda path: "", tree)


def _pools_of(table: Mapping[str, Any]) -> list[str]:
    return [table.get("pool", ""), *(one["pool"] for one in table.get("split", ()))]


def _said(problems: Iterable[Problem]) -> str:
    said = "; ".join(
        f"{one.key}: {one.message}" if one.key else one.message for one in problems
    )
    return said[:500] or "cannot be used"


def with_provided(config: Config, provided: Iterable[Provided]) -> Config:
    """`config` with what its providers bring; `config` itself where they bring nothing."""
    for one in provided:
        if one != Provided():
            config = _with(config, one)
    return config


def _with(config: Config, one: Provided) -> Config:
    streams = dict(config.streams)
    for name, pools in one.streams.items():
        stream = streams.get(name)
        if stream is not None:
            sni = {host: pool for host, pool in pools.items() if host}
            streams[name] = attrs.evolve(
                stream,
                pool=stream.pool or pools.get("", ""),
                sni=MappingProxyType({**sni, **stream.sni}),
            )
    doors = {door for route in config.routes for door in doors_of(route)}
    routes = [route for route in one.routes if not doors.intersection(doors_of(route))]
    return attrs.evolve(
        config,
        streams=MappingProxyType(streams),
        pools=MappingProxyType({**one.pools, **config.pools}),
        routes=(*config.routes, *routes),
    )


def doors_of(route: Route) -> list[tuple[Any, ...]]:
    """All that a route matches, each by listener, host, path and conditions."""
    path, conditions = route.path.removeprefix("^~"), frozenset(route.conditions)
    return [
        (listener, host, path, conditions)
        for listener in route.listeners or ("",)
        for host in route.hosts or ("",)
    ]
