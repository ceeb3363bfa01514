"""A hash ring: each node owns the stretches before its points; a key goes to the next point.

Imports: domain. Used by: domain.balancers.consistent_hash.

The ring holds every node it has met, available or not, and a walk skips those that are not there now: that is
the same as a ring without them, so nothing is rebuilt when a node goes down and returns. A node whose weight is
lowered for a while (slow start) keeps its points and only the first of them count.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterator
from hashlib import blake2b
from struct import unpack
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # pragma: no cover
    from lolly_tx.domain.node import Node

POINTS = 160
"""Points of a heavy node, as ketama has them: shares of equal nodes are within about 8 % of each other."""

MOST_POINTS = 65_536
"""Points in all, about; laying out that many takes some 50 ms, once per change of the membership."""

FEWEST = 8
"""Points of the lightest node."""

_NTH_BITS = 8
_LOW_BITS = 16 + _NTH_BITS
_LOW = (1 << _LOW_BITS) - 1
"""A mark is one integer: 40 bits of the point, 16 of the owner, 8 of the point's number. Such lists sort fast."""


def points_of(name: str, count: int) -> list[int]:
    """`count` points of a node, the first ones always the same."""
    out: list[int] = []
    for i in range(0, count, 8):
        digest = blake2b(b"%s#%d" % (name.encode(), i)).digest()
        out.extend(unpack(">8Q", digest))
    return out[:count]


class Ring:
    """The points of `nodes`, as many for each as its configured weight says."""

    def __init__(self, nodes: Collection[Node]) -> None:
        # Against a power of two from the largest weight on, so that a newcomer seldom changes the counts of others.
        heaviest = max(node.base_weight for node in nodes)
        scale = 2.0 ** max(0, int(heaviest - 1).bit_length())
        per_node = min(POINTS, max(FEWEST, MOST_POINTS // len(nodes)))
        self.weights = {node.id: node.base_weight for node in nodes}
        self._ids = list(self.weights)
        self._counts: list[int] = []
        marks: list[int] = []
        for owner, (node_id, weight) in enumerate(self.weights.items()):
            count = max(FEWEST, round(per_node * weight / scale))
            self._counts.append(count)
            low = owner << _NTH_BITS
            for point in points_of(node_id, count):
                marks.append(point & ~_LOW | low)
                low += 1
        marks.sort()
        self._marks = marks

    def __len__(self) -> int:
        return len(self._marks)

    def holds(self, nodes: Collection[Node]) -> bool:
        """Every one of `nodes` has its points here, for the weight it is configured with."""
        weights = self.weights
        return all(weights.get(node.id) == node.base_weight for node in nodes)

    def walk(self, point: int, there: dict[str, Node]) -> Iterator[Node]:
        """The nodes of `there` in the order their points follow `point`, each once."""
        marks, ids, counts = self._marks, self._ids, self._counts
        size = len(marks)
        start = bisect_left(marks, point)
        seen: set[int] = set()
        for i in range(start, start + size):
            low = marks[i % size] & _LOW
            owner = low >> _NTH_BITS
            if owner in seen:
                continue
            node = there.get(ids[owner])
            if node is None:
                continue
            if node.weight < node.base_weight:
                counted = counts[owner] * node.weight / node.base_weight
                if low & ((1 << _NTH_BITS) - 1) >= max(1.0, counted):
                    continue
            seen.add(owner)
            yield node
            if len(seen) == len(there):
                return
