"""Rendezvous hashing: each node scores the key, the highest score wins.

Imports: domain, domain.balancers. Used by: domain.balancers.consistent_hash.

A node that leaves moves only its own keys, one that joins takes only what becomes its own, and weights are
exact: with u uniform in (0, 1), the odds that -weight / ln(u) is the largest are proportional to the weight.
Cost: O(n) per pick.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import log

from lolly_tx.domain.balancers.hashing import hash64, mixed
from lolly_tx.domain.node import Node

_SCALE = 2.0**-64


class Rendezvous:
    """The same key goes to the same node while that is available."""

    def __init__(self) -> None:
        self._candidates: Sequence[Node] = ()
        self._seeds: list[tuple[int, Node]] = []
        self._equal = True

    def pick(self, candidates: Sequence[Node], key: bytes) -> Node:
        """The node with the highest score for `key`."""
        if candidates is not self._candidates:
            self._prepare(candidates)
        point = hash64(key)
        if self._equal:
            return max(self._seeds, key=lambda seed: mixed(seed[0], point))[1]
        return max(self._seeds, key=lambda seed: _score(seed, point))[1]

    def ranked(self, candidates: Sequence[Node], key: bytes) -> Iterator[Node]:
        """All candidates, the best for `key` first."""
        if candidates is not self._candidates:
            self._prepare(candidates)
        point = hash64(key)
        order = sorted(self._seeds, key=lambda seed: -_score(seed, point))
        return (node for _, node in order)

    def _prepare(self, candidates: Sequence[Node]) -> None:
        self._candidates = candidates
        self._seeds = [(hash64(node.id.encode()), node) for node in candidates]
        self._equal = all(n.weight == candidates[0].weight for n in candidates)


def _score(seed: tuple[int, Node], point: int) -> float:
    # Half a step up, because u must be neither 0 nor 1.
    return -seed[1].weight / log((mixed(seed[0], point) + 0.5) * _SCALE)
