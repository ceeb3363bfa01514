"""How long the bodies of requests may be: of all as the longest of them, and of each location.

Imports: config.kinds, importing, importing.nginx. Used by: importing.nginx.convert,
importing.nginx.way.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from lolly_tx.config.kinds.plain import size_text
from lolly_tx.importing.draft import Table
from lolly_tx.importing.nginx.scope import Scope
from lolly_tx.importing.nginx.values import size_bytes
from lolly_tx.importing.nginx.work import Making, Work
from lolly_tx.importing.report import NotThere
from lolly_tx.importing.statements import Statement

NAME = "client_max_body_size"
_UNSAID = 1 << 20
"""Bytes that nginx takes where nothing is said."""
_BLOCKS = ("server", "location")


def longest(work: Work) -> None:
    """Set the limit of all to the longest that any location has."""
    found = [_bytes(scope) for scope in _scopes(work.http)]
    work.longest_body = max(found, default=_UNSAID)
    whole = 0 if work.longest_body == math.inf else int(work.longest_body)
    work.draft.inner("limits")["body_size"] = size_text(whole)


def _scopes(scope: Scope) -> Iterator[Scope]:
    """Every block that requests may end in, and what is around each."""
    inner = [one for name in _BLOCKS for one in scope.own(name)]
    if not inner:
        yield scope
    for one in inner:
        yield from _scopes(Scope(one.block or (), scope))


def _bytes(scope: Scope) -> float:
    found = scope.last(NAME)
    try:
        return (size_bytes(found.args[0]) or math.inf) if found else _UNSAID
    except NotThere:
        return _UNSAID


def body_limit(making: Making) -> list[str | Table]:
    """The limit of a location that has a shorter one."""

    def carry(one: Statement) -> None:
        size_bytes(one.args[0])

    making.work.report.carry(making.scope.nearest(NAME)[-1:], carry)
    here = _bytes(making.scope)
    if here >= making.work.longest_body:
        return []
    return [{"type": "body_limit", "size": size_text(int(here))}]
