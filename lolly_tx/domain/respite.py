"""Respites: a node that was asked for a path, and asked in turn to be left alone with it for a while.

Imports: domain, domain.balancers. Used by: proxy.

A Retry-After speaks of what was asked for, not of its server: one overloaded page is no reason to keep the others
away. So it holds for one path of one node, and nobody else is any the wiser.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lolly_tx.domain.balancers.hashing import hash64

if TYPE_CHECKING:  # pragma: no cover
    from lolly_tx.domain.node import Node

LONGEST = 300.0
"""Seconds; a Retry-After of a day would keep requests away long after its reason is gone."""

KEPT = 1024
"""Paths remembered at once; beyond, the one that was asked for first is forgotten."""


class Respites:
    """Who is left alone with which path, and until when (seconds, monotonic)."""

    def __init__(self) -> None:
        # By a hash: paths may be long, and strangers choose them.
        self._until: dict[int, dict[Node, float]] = {}

    def __len__(self) -> int:
        return len(self._until)

    def grant(self, node: Node, path: bytes, seconds: float, now: float) -> None:
        """Leave `node` alone with `path` for `seconds`, at most `LONGEST`."""
        if seconds <= 0:
            return
        key = hash64(path)
        nodes = self._until.setdefault(key, {})
        nodes[node] = now + min(seconds, LONGEST)
        if len(self._until) > KEPT:
            del self._until[next(iter(self._until))]

    def resting(self, path: bytes, now: float) -> tuple[Node, ...]:
        """The nodes to be left alone with `path`."""
        key = hash64(path)
        nodes = self._until.get(key)
        if nodes is None:
            return ()
        for node in [n for n, until in nodes.items() if until <= now]:
            del nodes[node]
        if not nodes:
            del self._until[key]
        return tuple(nodes)
