"""Routes and pools that a provider brings as configuration texts: read as included files are, all of them or none.

    read_texts(texts, config, names) --> Provided, or ConfigErrors with all that is wrong with them

Whoever writes such a text says where requests go, and that is all: he gets to read no file, no variable of the
environment and no socket of this machine, nor sockets of this proxy. What the file says has the first word.

Imports: config, config.kinds, config.rules, config.texts. Used by: net.discovery,
service.providers.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import attrs

from lolly_tx.config.accesslogs import access_log_rules
from lolly_tx.config.kinds.problems import ConfigErrors
from lolly_tx.config.kinds.tables import Named, Table, read_or_none
from lolly_tx.config.model import Config
from lolly_tx.config.pools import PoolSettings
from lolly_tx.config.provided import Provided, doors_of
from lolly_tx.config.routing import Route, captured
from lolly_tx.config.rules.datagrams import named_pool_rules
from lolly_tx.config.rules.loops import leads_to, own_places
from lolly_tx.config.rules.together import (
    Parts,
    check_pool,
    check_route,
    parts_of,
    same_routes,
)
from lolly_tx.config.texts.reading import Names, Source, SourcePlace

MOST_TEXT_BYTES = 1 << 20
"""Of all texts of a provider together, in UTF-8."""

MOST_TEXTS = 1000
"""Of one provider."""

MOST_POOLS = 2000
"""Of one provider. Each is made on the event loop, in about 0.2 ms: so many hold it for half a second at most, once."""

MOST_TARGETS = 10_000
"""Of all pools of a provider together; as many as a pool may have that were found."""

_BROUGHT = ("pool", "route")
_ROUTE = Table(Route)
_POOLS = Named(PoolSettings)


@attrs.frozen
class Text:
    """`name`: where it is from, for errors."""

    name: str
    text: str


def read_texts(
    texts: Sequence[Text],
    config: Config,
    names: Names,
    others: Collection[str] = (),
) -> Provided:
    """The routes and pools of `texts` beside `config`, the settings of the file.

    `others`: names of pools that other providers bring. Raises `ConfigErrors`.
    """
    reading = _Reading(config, names, frozenset(others))
    return reading.provided(texts)


@attrs.define
class _Reading:
    """One reading of all texts."""

    config: Config
    names: Names
    others: frozenset[str]
    sources: list[Source] = attrs.field(factory=list)
    pools: dict[str, tuple[PoolSettings, SourcePlace]] = attrs.field(factory=dict)
    routes: list[tuple[Route, SourcePlace]] = attrs.field(factory=list)
    defined: dict[str, str] = attrs.field(factory=dict)

    def provided(self, texts: Sequence[Text]) -> Provided:
        """What they say."""
        trees = [(source, tree) for source, tree in map(self._tree, texts) if tree]
        variables: dict[str, str | None] = dict(self.config.variables)
        for _, tree in trees:
            variables.update(dict.fromkeys(captured(tree)))
        for source, tree in trees:
            source.variables = variables
            place = SourcePlace(source)
            for key in tree.keys() - set(_BROUGHT):
                place.at(key).wrong(
                    "belongs in the file: a provider brings `route` and `pool`"
                )
            self._read_pools(tree.get("pool", {}), place.at("pool"))
        for source, tree in trees:
            self._read_routes(tree.get("route", []), SourcePlace(source).at("route"))
        self._check()
        wrong = [
            problem
            for source in self.sources
            for problem in sorted(source.problems, key=lambda one: one.line)
        ]
        if wrong:
            raise ConfigErrors(wrong)
        return Provided(
            tuple(route for route, _ in self.routes),
            MappingProxyType({name: pool for name, (pool, _) in self.pools.items()}),
        )

    def _tree(self, one: Text) -> tuple[Source, dict[str, Any]]:
        source = Source(one.name, "/", self.names, lambda path: "", elsewhere=True)
        self.sources.append(source)
        if not source.parse(one.text):
            return source, {}
        return source, source.filled(None)

    def _read_pools(self, raw: Any, place: SourcePlace) -> None:
        tables = dict(raw) if isinstance(raw, Mapping) else raw
        if isinstance(raw, Mapping) and len(self.defined) + len(raw) > MOST_POOLS:
            place.wrong(f"a provider brings at most {MOST_POOLS} pools")
            return
        for name in list(raw) if isinstance(raw, Mapping) else ():
            here, before = place.at(name), self.defined.get(name)
            if name in self.config.pools:
                before = self.config.file
            elif name in self.others:
                before = "what another provider brings"
            if before is None:
                self.defined[name] = here.where
            else:
                here.wrong(f"is defined already in {before}")
                del tables[name]
        for name, pool in (read_or_none(_POOLS, tables, place) or {}).items():
            self.pools[name] = pool, place.at(name)

    def _read_routes(self, raw: Any, place: SourcePlace) -> None:
        if not isinstance(raw, list):
            place.wrong("must be written as [[route]], a table per route")
            return
        for index, table in enumerate(raw):
            route = read_or_none(_ROUTE, table, place.at(index))
            if route is not None:
                self.routes.append((route, place.at(index)))

    def _check(self) -> None:
        """Apply the rules that hold between them and the file."""
        config = self.config
        there = {name: pool for name, (pool, _) in self.pools.items()}
        beside = attrs.evolve(config, pools=MappingProxyType({**there, **config.pools}))
        listed = sum(len(pool.targets) for pool in there.values())
        if listed > MOST_TARGETS:
            _, last = next(reversed(self.pools.values()))
            last.at("targets").wrong(
                f"a provider brings at most {MOST_TARGETS} targets, in all its pools together"
            )
            return
        known = {**config.pools, **there}
        ours = own_places(config)
        for pool, place in self.pools.values():
            check_pool(config, pool, place)
            named_pool_rules(pool, known, place)
            for index, target in enumerate(pool.targets):
                for what, where in ours.items():
                    if leads_to(target, where):
                        here = place.at("targets").at(index)
                        here.wrong(f"is {what} of this proxy itself")
        if self.routes:
            self._check_routes(beside, parts_of(beside, self.routes[0][1]))

    def _check_routes(self, beside: Config, parts: Parts) -> None:
        # One that could not be read is no second problem.
        parts.pool_names.update(self.defined)
        taken = {door for route in self.config.routes for door in doors_of(route)}
        for route, place in self.routes:
            check_route(beside, parts, route, place)
            if route.access_log:
                access_log_rules(route.access_log, place.at("access_log"))
            if not taken.isdisjoint(doors_of(route)):
                place.wrong(
                    f"has the same listener, host, path and conditions as a route in {self.config.file}"
                )
        if not any(source.problems for source in self.sources):
            same_routes(self.routes)
