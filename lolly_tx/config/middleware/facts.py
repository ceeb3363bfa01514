"""What middleware implies, and what looks wrong with it, for `lolly check`.

Imports: config.middleware. Used by: config.facts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from lolly_tx.config.middleware.rules import middleware_facts, titles
from lolly_tx.config.middleware.using import Middleware, Use

GATES = frozenset(("access", "basic_auth", "forward_auth", "jwt", "maintenance"))
"""Types that let some requests in and others not."""

Fact = tuple[str, str, bool]
"""What it is about, the sentence, and whether it is one to look at again."""


def gates_behind_a_cache(use: Use, named: Mapping[str, Middleware]) -> list[str]:
    """Those of a list that a cache in front of them keeps from being asked, by their titles."""
    found: list[str] = []
    cached = False
    for one in use:
        middleware = named.get(one) if isinstance(one, str) else one
        if middleware is None:
            continue
        if cached and middleware.type in GATES:
            found.append(middleware.title)
        cached = cached or middleware.type == "cache"
    return found


def middleware_consequences(
    config: Any, route_name: Callable[[Any], str]
) -> Iterator[Fact]:
    """All of them for a `model.Config`."""
    named = config.middlewares
    places: list[tuple[str, Use]] = [
        (f"listener {name}", listener.use)
        for name, listener in config.listeners.items()
    ]
    places += [(f"route {route_name(route)}", route.use) for route in config.routes]
    streams = [(f"stream {name}", one.use) for name, one in config.streams.items()]
    used = {one for _, use in places + streams for one in use if isinstance(one, str)}
    for about, use in places:
        if use:
            yield about, f"requests pass {', '.join(titles(use, named))}", False
    for route in config.routes:
        for name in route.listeners or config.listeners:
            ways = config.listeners[name].use, route.use
            late = gates_behind_a_cache(ways[0] + ways[1], named)
            if late:
                said = f"{late[0]} is not asked about what the cache has; put it ahead of the cache"
                yield f"route {route_name(route)}", said, True
                break
    for name, middleware in named.items():
        for sentence, doubt in middleware_facts(middleware):
            yield f"middleware {name}", sentence, doubt
        if name not in used:
            yield (
                f"middleware {name}",
                "no listener, no route and no stream uses it",
                True,
            )
    for about, use in places + streams:
        for one in use:
            if isinstance(one, Middleware):
                for sentence, doubt in middleware_facts(one):
                    yield f"{about}: {one.type}", sentence, doubt
