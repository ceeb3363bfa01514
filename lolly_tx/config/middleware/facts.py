"""What middleware implies, and what looks wrong with it, for `lolly check`.

Imports: config.middleware. Used by: config.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from lolly_tx.config.middleware.rules import middleware_facts, titles
from lolly_tx.config.middleware.using import Middleware, Use

Fact = tuple[str, str, bool]
"""What it is about, the sentence, and whether it is one to look at again."""


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
    used = {one for _, use in places for one in use if isinstance(one, str)}
    for about, use in places:
        if use:
            yield about, f"requests pass {', '.join(titles(use, named))}", False
    for name, middleware in named.items():
        for sentence, doubt in middleware_facts(middleware):
            yield f"middleware {name}", sentence, doubt
        if name not in used:
            yield f"middleware {name}", "no listener and no route uses it", True
    for about, use in places:
        for one in use:
            if isinstance(one, Middleware):
                for sentence, doubt in middleware_facts(one):
                    yield f"{about}: {one.type}", sentence, doubt
