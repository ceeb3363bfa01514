"""Random: the less loaded of two different ones drawn by weight.

Imports: domain. Used by: domain.balancers.by_name.

Two draws are enough to avoid the crowd that one makes and the herd that "the least loaded of all" makes when
several proxies share the targets. They are drawn without replacement: else the loaded one of two would be drawn
twice every fourth time. Ties go to the first draw, so an idle pool is shared by weight.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

from zope.interface import implementer

from lolly_tx.domain.interfaces import IBalancer
from lolly_tx.domain.node import Node

if TYPE_CHECKING:  # pragma: no cover
    from random import Random


@implementer(IBalancer)
class TwoChoices:
    """Draw two, take the one with fewer exchanges in flight per weight."""

    def __init__(self, random: Random) -> None:
        self._draw = random.random
        self._candidates: Sequence[Node] = ()
        self._sums: list[float] | None = None

    def pick(self, candidates: Sequence[Node], key: bytes | None) -> Node:
        """The less loaded of two."""
        if candidates is not self._candidates:
            self._prepare(candidates)
        draw, sums = self._draw, self._sums
        last = len(candidates) - 1
        if not last:
            return candidates[0]
        if sums is None:
            i = int(draw() * (last + 1))
            j = int(draw() * last)
            first = candidates[i]
            second = candidates[j if j < i else j + 1]
            return second if second.in_flight < first.in_flight else first
        total = sums[-1]
        i = bisect(sums, draw() * total, 0, last)
        # The second from what is left of the line without the stretch of the first.
        begin = sums[i - 1] if i else 0.0
        stretch = sums[i] - begin
        point = draw() * (total - stretch)
        if i == last or point < begin:
            j = bisect(sums, point, 0, i - 1)
        else:
            j = bisect(sums, point + stretch, i + 1, last)
        first, second = candidates[i], candidates[j]
        if second.in_flight * first.weight < first.in_flight * second.weight:
            return second
        return first

    def _prepare(self, candidates: Sequence[Node]) -> None:
        self._candidates = candidates
        weights = [node.weight for node in candidates]
        equal = all(weight == weights[0] for weight in weights)
        self._sums = None if equal else list(accumulate(weights))
