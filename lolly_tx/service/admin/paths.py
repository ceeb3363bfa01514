"""Paths of the admin endpoint as values: what is declared of each, and which one a request is for.

The router and the OpenAPI document go by the same declarations (`service.admin.table`).

Imports: service.admin. Used by: service.admin.openapi, service.admin.reads,
service.admin.table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal

import attrs

from lolly_tx.service.admin.desk import Asked, Desk, Outcome
from lolly_tx.service.admin.schemas import Schema

JSON = "application/json"
TOML = "application/toml"

Who = Literal["all", "readers", "writers", "anybody"]
"""Who is answered: everybody; who may read, if that needs a token; who has the token; "anybody" has to show it here."""


@attrs.frozen
class Parameter:
    """Of a query."""

    name: str
    doc: str
    schema: Schema = {"type": "string"}
    many: bool = False


@attrs.frozen
class Declared:
    """One path with one method.

    `path`: with parameters in braces. `answer`: what makes the answer. `shows`: the answers that are in order, each
    status with the schema of its body, which is of `type`, or of one that is `also` there for who accepts it.
    `refuses`: statuses of refusals beside those that follow from `who`. `body`: what is sent; None: nothing.
    """

    method: str
    path: str
    doc: str
    answer: Callable[[Desk, Asked], Outcome]
    who: Who = "readers"
    shows: Mapping[int, Schema] = attrs.field(factory=dict)
    refuses: Sequence[int] = ()
    type: str = JSON
    also: Sequence[str] = ()
    query: Sequence[Parameter] = ()
    body: Schema | None = None
    body_type: str = JSON
    head: bool = True

    @property
    def segments(self) -> list[str]:
        """The parts of its path."""
        return self.path[1:].split("/")

    @property
    def parameters(self) -> list[str]:
        """The names of those in its path."""
        return [one[1:-1] for one in self.segments if one.startswith("{")]

    def names_in(self, segments: Sequence[str]) -> Mapping[str, str] | None:
        """What `segments` has in place of the parameters; None: it is another path."""
        ours = self.segments
        if len(ours) != len(segments):
            return None
        names = {}
        for mine, given in zip(ours, segments, strict=True):
            if mine.startswith("{"):
                names[mine[1:-1]] = given
            elif mine != given:
                return None
        return names


Found = tuple[Declared, Mapping[str, str]]


class Paths:
    """All that are declared. Where two fit, the one with fewer parameters does."""

    def __init__(self, declared: Iterable[Declared]) -> None:
        self.declared = tuple(declared)
        self._sorted = sorted(self.declared, key=lambda one: len(one.parameters))

    def find(self, segments: Sequence[str]) -> Mapping[str, Found]:
        """What there is at a path, by method; nothing when there is no such path."""
        found: dict[str, Found] = {}
        for one in self._sorted:
            names = one.names_in(segments)
            if names is None:
                continue
            found.setdefault(one.method, (one, names))
            if one.method == "GET" and one.head:
                found.setdefault("HEAD", (one, names))
        return found

    @property
    def listed(self) -> list[str]:
        """Every path once, for people."""
        return list(dict.fromkeys(_for_people(one.path) for one in self.declared))


def _for_people(path: str) -> str:
    parts = path.split("/")
    return "/".join(p[1:-1].upper() if p.startswith("{") else p for p in parts)
