"""What must hold between middleware and the rest of a configuration, and what follows from it.

The settings of a type may say so themselves, by methods of their class:

    rules(config, place)    records what is wrong with them together with the rest
    facts()                 sentences: what they imply
    doubts()                sentences: what looks wrong

Imports: config.kinds, config.middleware. Used by: config.middleware.facts,
config.rules, service.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from lolly_tx.config.kinds.plain import nearest
from lolly_tx.config.kinds.schema import Place
from lolly_tx.config.middleware.using import Middleware, Use


def middleware_rules(middleware: Middleware, config: Any, place: Place) -> None:
    """Apply those of its type. `config`: the whole `model.Config`."""
    if getattr(middleware.settings, "store", "") and not middleware.name:
        place.at("store").wrong(
            "needs a [middleware.NAME], by whose name all instances know it"
        )
    rules = getattr(middleware.settings, "rules", None)
    if rules is not None:
        rules(config, place)


def use_rules(use: Use, config: Any, names: Collection[str], place: Place) -> None:
    """Apply every rule to one list. `names`: of the tables there are, right or wrong."""
    for index, one in enumerate(use):
        here = place.at(index)
        if isinstance(one, Middleware):
            middleware_rules(one, config, here)
        elif one not in names:
            here.wrong("no middleware has this name" + nearest(one, names))


def middleware_facts(middleware: Middleware) -> Iterator[tuple[str, bool]]:
    """What its settings imply, and what looks wrong: sentences, the latter with True."""
    for method, doubt in (("facts", False), ("doubts", True)):
        say = getattr(middleware.settings, method, None)
        for sentence in say() if say is not None else ():
            yield sentence, doubt


def titles(use: Use, named: Mapping[str, Middleware]) -> list[str]:
    """A list as people read it: names with their types, types of those on the spot."""
    found = []
    for one in use:
        if isinstance(one, Middleware):
            found.append(one.type)
        elif one in named:
            found.append(f"{one} ({named[one].type})")
    return found
