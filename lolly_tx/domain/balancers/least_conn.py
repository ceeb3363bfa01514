"""Least connections: the node with the fewest exchanges in flight for its weight.

Imports: domain. Used by: domain, domain.balancers.by_name.

Among few nodes it simply looks at all. Among many it keeps a heap of (load, turn, node), where the turn makes
ties go round: entries are corrected when they come up, and each release puts in a fresh one (`released`), which
makes the older ones of that node void. Full nodes drop out of the heap until one of their exchanges ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heapify, heappop, heappush, heapreplace
from typing import TYPE_CHECKING

from zope.interface import implementer

from lolly_tx.domain.interfaces import IPreviewBalancer, IReleaseListener
from lolly_tx.domain.node import Node

if TYPE_CHECKING:  # pragma: no cover
    from random import Random

_FEW = 8
"""Up to here looking at all costs less than the heap."""

_HEAVIER = float("inf")


@implementer(IPreviewBalancer, IReleaseListener)
class LeastConn:
    """The least (in flight + 1) / weight; ties in turn."""

    def __init__(self, random: Random | None = None) -> None:
        self._candidates: Sequence[Node] = ()
        self._heap: list[tuple[float, int, Node]] = []
        self._valid: dict[Node, int] = {}
        self._turn = 0
        self._members: frozenset[Node] = frozenset()
        self._limit = 0
        self._together = False

    def look_together(self) -> None:
        """From now on go by what all processes of the proxy have in flight; that means looking at every node."""
        self._together = True

    def pick(self, candidates: Sequence[Node], key: bytes | None) -> Node:
        """The least loaded that has room; any, when all are full."""
        if self._together:
            return self._look_together(candidates)
        if len(candidates) <= _FEW:
            return self._look(candidates)
        if candidates is not self._candidates:
            self._prepare(candidates)
        heap, valid = self._heap, self._valid
        while heap:
            load, turn, node = heap[0]
            if valid.get(node) != turn:
                heappop(heap)
                continue
            in_flight = node.in_flight
            if in_flight >= node.capacity:
                heappop(heap)
                del valid[node]
                continue
            actual = (in_flight + 1) / node.weight
            if actual == load:
                return node
            self._turn = turn = self._turn + 1
            valid[node] = turn
            heapreplace(heap, (actual, turn, node))
        return candidates[0]

    def preview(self, candidates: Sequence[Node], key: bytes | None) -> Node:
        """The least loaded, and the next of equal ones stays the next."""
        turn = self._turn
        node = self.pick(candidates, key)
        if len(candidates) <= _FEW or self._together:
            self._turn = turn
        return node

    def released(self, node: Node) -> None:
        """`node` has one exchange less."""
        if node not in self._members:
            return
        heap = self._heap
        self._turn = turn = self._turn + 1
        self._valid[node] = turn
        heappush(heap, ((node.in_flight + 1) / node.weight, turn, node))
        if len(heap) > self._limit:
            self._prepare(self._candidates)

    def _look(self, candidates: Sequence[Node]) -> Node:
        """All of a few, from another one each time."""
        n = len(candidates)
        self._turn = turn = self._turn + 1
        best, least = candidates[turn % n], _HEAVIER
        for i in range(turn, turn + n):
            node = candidates[i % n]
            in_flight = node.in_flight
            load = (in_flight + 1) / node.weight
            if load < least and in_flight < node.capacity:
                best, least = node, load
        return best

    def _look_together(self, candidates: Sequence[Node]) -> Node:
        """The same by the numbers of all processes."""
        n = len(candidates)
        self._turn = turn = self._turn + 1
        best, least = candidates[turn % n], _HEAVIER
        for i in range(turn, turn + n):
            node = candidates[i % n]
            holding = node.holding
            in_flight = node.in_flight if holding is None else holding.leases.total
            load = (in_flight + 1) / node.weight
            if load < least and in_flight < node.capacity:
                best, least = node, load
        return best

    def _prepare(self, candidates: Sequence[Node]) -> None:
        self._candidates = candidates
        self._members = frozenset(candidates)
        self._limit = 4 * len(candidates) + 64
        start = self._turn
        self._turn += len(candidates)
        self._heap = [
            ((node.in_flight + 1) / node.weight, start + i, node)
            for i, node in enumerate(candidates)
        ]
        self._valid = {node: turn for _, turn, node in self._heap}
        heapify(self._heap)
