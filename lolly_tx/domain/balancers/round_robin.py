"""Round robin: smooth and weighted.

Imports: domain. Used by: domain.balancers.by_name, domain.balancers.sticky, proxy,
service.

"Smooth" spreads the turns of a heavy node evenly (5, 1, 1 gives `aabacaa`, not `aaaaabc`). For small integer
weights the whole cycle is computed when the candidates change, and a pick is one `next`. Beyond, turns come
from a heap of deadlines: the node with the earliest takes its turn and moves 1/weight further, which spreads
just as evenly at O(log n).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from heapq import heapify, heapreplace
from itertools import cycle, islice
from math import gcd
from typing import TYPE_CHECKING

from zope.interface import classImplements

from lolly_tx.domain.interfaces import IPreviewBalancer
from lolly_tx.domain.native import mypyc_attr
from lolly_tx.domain.node import Node

if TYPE_CHECKING:  # pragma: no cover
    from random import Random

_SMOOTH_WORK = 20_000
"""Steps the exact computation of a cycle may take (turns times nodes; about 2 ms)."""

_LONGEST_CYCLE = 8192
"""Turns of the longest cycle kept (64 KiB; by deadlines, it takes about 5 ms to lay out)."""


def smooth(weights: Sequence[int]) -> list[int]:
    """One cycle of smooth weighted round robin, as indexes.

    Each turn all grow by their weight, and the largest is taken and pays the sum.
    """
    total = sum(weights)
    current = [0] * len(weights)
    turns = []
    for _ in range(total):
        for i, weight in enumerate(weights):
            current[i] += weight
        best = max(range(len(weights)), key=current.__getitem__)
        current[best] -= total
        turns.append(best)
    return turns


@mypyc_attr(allow_interpreted_subclasses=True)
class RoundRobin:
    """Each in turn, as often as its weight says."""

    def __init__(self, random: Random | None = None) -> None:
        self._candidates: Sequence[Node] = ()
        self._turns: Iterator[Node] = iter(())
        self._deadlines: dict[str, float] = {}
        self._order: list[Node] = []

    def pick(self, candidates: Sequence[Node], key: bytes | None) -> Node:
        """The next in turn."""
        if candidates is not self._candidates:
            self._prepare(candidates)
        return next(self._turns)

    def preview(self, candidates: Sequence[Node], key: bytes | None) -> Node:
        """The next in turn, who keeps the turn."""
        if candidates is not self._candidates:
            self._prepare(candidates)
        if not self._order:
            deadlines = self._deadlines
            return min(candidates, key=lambda node: deadlines[node.id])
        # All around once, to where it was.
        self._order = list(islice(self._turns, len(self._order)))
        self._turns = cycle(self._order)
        return self._order[0]

    def _prepare(self, candidates: Sequence[Node]) -> None:
        """New candidates: go on with the node whose turn it is, so that a change favours nobody."""
        known = set(candidates)
        first = next(
            (
                n
                for _, n in zip(self._candidates, self._turns, strict=False)
                if n in known
            ),
            None,
        )
        self._candidates = candidates
        weights = [node.weight for node in candidates]
        if all(weight == weights[0] for weight in weights):
            order = list(candidates)
        else:
            whole = _whole(weights)
            turns = sum(whole)
            if not 0 < turns <= _LONGEST_CYCLE:
                self._order = []
                self._turns = self._by_deadline(candidates)
                return
            if turns * len(whole) <= _SMOOTH_WORK:
                order = [candidates[i] for i in smooth(whole)]
            else:
                # From an empty line, or who is far back in it would have no turn in the cycle.
                line = [(1 / n.weight, i, n) for i, n in enumerate(candidates)]
                heapify(line)
                order = list(islice(_in_line(line, {}), turns))
        if first is not None:
            at = order.index(first)
            order = order[at:] + order[:at]
        self._order = order
        self._turns = cycle(order)

    def _by_deadline(self, candidates: Sequence[Node]) -> Iterator[Node]:
        deadlines = self._deadlines
        start = min(
            (deadlines[n.id] for n in candidates if n.id in deadlines), default=0.0
        )
        # A newcomer waits its own interval, an old one keeps its place in the line.
        heap = [
            (deadlines.get(n.id, start + 1 / n.weight), i, n)
            for i, n in enumerate(candidates)
        ]
        heapify(heap)
        self._deadlines = deadlines = {n.id: at for at, _, n in heap}
        return _in_line(heap, deadlines)


classImplements(RoundRobin, IPreviewBalancer)


def _in_line(
    heap: list[tuple[float, int, Node]], deadlines: dict[str, float]
) -> Iterator[Node]:
    """Always the one of the earliest deadline; `deadlines` are kept as those of the next turn."""
    while True:
        at, i, node = heap[0]
        at += 1 / node.weight
        deadlines[node.id] = at
        heapreplace(heap, (at, i, node))
        yield node


def _whole(weights: Sequence[float]) -> list[int]:
    """The weights as the smallest integers of the same proportions, or [] when they are no integers."""
    if any(weight != int(weight) or weight < 1 for weight in weights):
        return []
    integers = [int(weight) for weight in weights]
    divisor = gcd(*integers)
    return [weight // divisor for weight in integers]
