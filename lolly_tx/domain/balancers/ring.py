"""A hash ring: each node owns the stretches before its points; a key goes to the next point.

Imports: domain. Used by: domain.balancers.consistent_hash.

The ring holds every node it has met, available or not, and a walk skips those that are not there now: that is
the same as a ring without them, so nothing is rebuilt when a node goes down and returns. A node whose weight is
lowered for a while (slow start) keeps its points and only the first of them count.

What a change of the membership costs follows from who has come and who has gone: only the points of newcomers are
computed, and sorting them in among the others is one merge.
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
"""Points in all, about; laying out that many takes some 50 ms, for a hundred newcomers among a thousand some 7 ms."""

FEWEST = 8
"""Points of the lightest node."""

_NTH_BITS = 8
_LOW_BITS = 16 + _NTH_BITS
_NTH = (1 << _NTH_BITS) - 1
_OWNER = (1 << 16) - 1
_LOW = (1 << _LOW_BITS) - 1
"""A mark is one integer: 40 bits of the point, 16 of the owner, 8 of the point's number. Such lists sort fast."""


def points_of(name: str, count: int, done: int = 0) -> list[int]:
    """`count` points of a node without the first `done`, the first ones always the same."""
    out: list[int] = []
    begin = done - done % 8
    for i in range(begin, count, 8):
        digest = blake2b(b"%s#%d" % (name.encode(), i)).digest()
        out.extend(unpack(">8Q", digest))
    return out[done - begin : count - begin]


def _per_node(nodes: int) -> int:
    """Points of a heavy one among so many, in steps: one more seldom changes those of all."""
    share = MOST_POINTS // nodes
    if share >= POINTS:
        return POINTS
    share -= share % (1 << max(0, share.bit_length() - 3))
    return max(FEWEST, share)


class Ring:
    """The points of `nodes`, as many for each as its configured weight says."""

    def __init__(self, nodes: Collection[Node]) -> None:
        self._weights: dict[str, float] = {}
        self._owners: dict[str, int] = {}
        self._ids: list[str] = []
        self._counts: list[int] = []
        self._marks: list[int] = []
        self.lay_out(nodes)

    def __len__(self) -> int:
        return len(self._marks)

    def lay_out(self, nodes: Collection[Node]) -> None:
        """Have the points of these and of no others."""
        self._weights = weights = {node.id: node.base_weight for node in nodes}
        # Against a power of two from the largest weight on, so that a newcomer seldom changes the counts of others.
        scale = 2.0 ** max(0, int(max(weights.values()) - 1).bit_length())
        per_node = _per_node(len(weights))
        wanted = {
            name: max(FEWEST, round(per_node * weight / scale))
            for name, weight in weights.items()
        }
        owners, ids, counts, marks = self._owners, self._ids, self._counts, self._marks
        fewer = [
            name for name, at in owners.items() if wanted.get(name, 0) < counts[at]
        ]
        for name in fewer:
            counts[owners[name]] = wanted.get(name, 0)
            if name not in wanted:
                del owners[name]
        if fewer:
            marks = [m for m in marks if m & _NTH < counts[m >> _NTH_BITS & _OWNER]]
        free = [owner for owner, count in enumerate(counts) if not count]
        for name, count in wanted.items():
            owner = owners.get(name, -1)
            if owner < 0:
                if not free:
                    free.append(len(ids))
                    ids.append("")
                    counts.append(0)
                owner = owners[name] = free.pop()
                ids[owner] = name
            done = counts[owner]
            if done < count:
                low = owner << _NTH_BITS | done
                for point in points_of(name, count, done):
                    marks.append(point & ~_LOW | low)
                    low += 1
                counts[owner] = count
        # They are in order but for what was added at the end.
        marks.sort()
        self._marks = marks

    def holds(self, nodes: Collection[Node]) -> bool:
        """Every one of `nodes` has its points here, for the weight it is configured with."""
        weights = self._weights
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
                if low & _NTH >= max(1.0, counted):
                    continue
            seen.add(owner)
            yield node
            if len(seen) == len(there):
                return
