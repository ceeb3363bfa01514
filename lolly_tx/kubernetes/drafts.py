"""What a translation makes: routes, pools, certificates and streams as tables, each with whose it is.

    Draft.settled() --> the routes that come into force, in the order in which conflicts are settled

Of two routes that match the same, the older has it; of the same age the first by namespace and name, then the one that
is written first. Among those for one host and path the specification's order is kept by `rank`: for a method, then
with more headers, then with more parameters.

Imports: kubernetes. Used by: kubernetes.httproutes, kubernetes.ingresses,
kubernetes.streamroutes, kubernetes.translation, service.providers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from lolly_tx.kubernetes.objects import Key

Owner = tuple[str, Key]
"""The kind of an object, and its key."""

MOST_ROUTES = 10_000
"""Of one cluster that are served."""


@attrs.frozen
class Entry:
    """A route for one listener and one host. `order`: of its owner and in it; `weight`: see `Matched`."""

    owner: Owner
    order: tuple[Any, ...]
    weight: tuple[int, int, int]
    table: Mapping[str, Any]


@attrs.define
class Draft:
    """All of it. `streams`: by the name of ours, the pool and those by name of the ClientHello, each with its owner.

    `certificates`: by listener, PEM text by name.
    """

    entries: list[Entry] = attrs.field(factory=list)
    pools: dict[str, dict[str, Any]] = attrs.field(factory=dict)
    certificates: dict[str, dict[str, str]] = attrs.field(factory=dict)
    streams: dict[str, dict[str, tuple[Owner, str]]] = attrs.field(factory=dict)

    def settled(self) -> list[tuple[Owner, dict[str, Any]]]:
        """The routes with their owners."""
        groups: dict[tuple[Any, ...], list[Entry]] = {}
        for one in sorted(self.entries, key=lambda one: one.order)[:MOST_ROUTES]:
            table = one.table
            place = table["listener"], table.get("host", ""), table["path"]
            groups.setdefault(place, []).append(one)
        out = []
        for same in groups.values():
            seen = set()
            rank = 0
            for one in sorted(same, key=lambda one: (one.weight, one.order)):
                door = repr(
                    [one.table.get(key) for key in ("method", "header", "query")]
                )
                if door in seen:
                    continue
                seen.add(door)
                rank += 1
                out.append((one.owner, {**one.table, "rank": rank}))
        return out

    def stream(self, name: str, host: str, owner: Owner, pool: str) -> None:
        """Let `host` ("" = who asks for no other) of a stream lead to `pool`, unless it is taken."""
        self.streams.setdefault(name, {}).setdefault(host, (owner, pool))
