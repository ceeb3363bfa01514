"""Routes that no request can reach, because another one comes first for all of their paths.

Only what can be proved is told: by one other route, with the same host pattern, whose conditions hold wherever those of
the hidden one do. Whether an expression takes all paths of another pattern is read off their automata.

Imports: config, domain.routing. Used by: config.facts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ipaddress import IPv4Network, IPv6Network
from typing import Any

from lolly_tx.config.diff import route_name
from lolly_tx.config.routing import Route
from lolly_tx.domain.routing.automata import always_ends, included
from lolly_tx.domain.routing.expressions import Expression
from lolly_tx.domain.routing.locations import (
    EXPRESSION,
    FIRST,
    PREFIX,
    covers,
    path_expression,
    path_kind,
    start_of,
)

MOST_COMPARED = 2000
"""Pairs of expressions that are compared for one host."""


def shadowed(routes: Sequence[Route], listener: str) -> Iterator[tuple[str, str]]:
    """Of the routes of `listener` those that nothing reaches, with the one that comes first, by name."""
    mine = [one for one in routes if not one.listeners or listener in one.listeners]
    by_host: dict[str, list[Route]] = {}
    for route in mine:
        for host in route.hosts or ("",):
            by_host.setdefault(host, []).append(route)
    found = {host: _Host(each) for host, each in by_host.items()}
    for route in mine:
        hiding = [found[host].hides(route) for host in route.hosts or ("",)]
        if all(hiding) and hiding[0] is not None:
            yield route_name(route), route_name(hiding[0])


class _Host:
    """The routes of one host pattern, as written."""

    def __init__(self, routes: list[Route]) -> None:
        self._routes = routes
        self._kinds = [path_kind(route.path) for route in routes]
        self._by_path: dict[tuple[str, str], list[int]] = {}
        for place, (kind, path) in enumerate(self._kinds):
            sort = PREFIX if kind == FIRST else kind
            self._by_path.setdefault((sort, path), []).append(place)
        self._expressions = self._of(EXPRESSION)
        self._firsts = self._of(FIRST)
        self._plain = [self._kinds[place][1] for place in self._of(PREFIX)]
        self._starts = {n: start_of(routes[n].path) for n in self._expressions}
        self._made: dict[int, Expression] = {}
        self._places = {id(route): place for place, route in enumerate(routes)}
        self._left = MOST_COMPARED

    def _of(self, wanted: str) -> list[int]:
        return [n for n, (kind, _) in enumerate(self._kinds) if kind == wanted]

    def hides(self, route: Route) -> Route | None:
        """The route that comes before `route` for each of its paths; None: none does."""
        place = self._places[id(route)]
        kind, path = self._kinds[place]
        sort = PREFIX if kind == FIRST else kind
        for other in self._by_path[sort, path]:
            if self._precedes(other, place):
                return self._routes[other]
        if kind == PREFIX:
            candidates = [n for n in self._expressions if self._takes_prefix(n, path)]
        elif kind == EXPRESSION:
            candidates = [n for n in self._firsts if self._keeps_from(n, place)]
            candidates += [
                n for n in self._expressions if n < place and self._takes_all(n, place)
            ]
        else:
            candidates = []
        for other in candidates:
            if _implied(self._routes[other], route):
                return self._routes[other]
        return None

    def _precedes(self, one: int, other: int) -> bool:
        """Whether `one`, for the same path, is asked before `other` and holds wherever that does."""
        a, b = self._routes[one], self._routes[other]
        order = (a.rank, -len(a.conditions), one) < (
            b.rank,
            -len(b.conditions),
            other,
        )
        return order and _implied(a, b)

    def _expression(self, place: int) -> Expression:
        if place not in self._made:
            self._made[place] = path_expression(self._routes[place].path)
        return self._made[place]

    def _compares(self) -> bool:
        self._left -= 1
        return self._left >= 0

    def _takes_prefix(self, one: int, prefix: str) -> bool:
        """Whether an expression takes every path that a prefix covers."""
        raw = prefix.encode()
        if not raw.startswith(self._starts[one]) or not self._compares():
            return False
        expression = self._expression(one)
        if raw.endswith(b"/"):
            return always_ends(expression, raw)
        return expression.matches(raw) and always_ends(expression, raw + b"/")

    def _keeps_from(self, one: int, other: int) -> bool:
        """Whether a "^~" prefix keeps an expression from all of its paths."""
        prefix, start = self._kinds[one][1], self._starts[other]
        raw = prefix.encode()
        if not covers(raw, start) or (start == raw and not raw.endswith(b"/")):
            return False  # "/api" as a start may go on as "/apix"
        return not any(
            plain != prefix and covers(raw, plain.encode()) for plain in self._plain
        )

    def _takes_all(self, one: int, other: int) -> bool:
        """Whether an expression takes all that another one takes."""
        starts = self._starts
        if not starts[other].startswith(starts[one]) or not self._compares():
            return False
        return included(self._expression(other), self._expression(one), b"/")


def _implied(one: Route, other: Route) -> bool:
    """Whether the conditions of `one` hold wherever those of `other` do."""
    if one.method and not (other.method and set(other.method) <= set(one.method)):
        return False
    header = {name.lower(): value for name, value in other.header.items()}
    for name, value in one.header.items():
        if header.get(name.lower()) != value:
            return False
    for name, value in one.query.items():
        if other.query.get(name) != value:
            return False
    if not one.client:
        return True
    return bool(other.client) and all(
        any(_inside(each, wider) for wider in one.client) for each in other.client
    )


def _inside(network: Any, wider: Any) -> bool:
    if isinstance(network, IPv4Network) and isinstance(wider, IPv4Network):
        return network.subnet_of(wider)
    if isinstance(network, IPv6Network) and isinstance(wider, IPv6Network):
        return network.subnet_of(wider)
    return bool(network == wider)
