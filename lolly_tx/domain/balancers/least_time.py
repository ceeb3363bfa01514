"""Least time: the node that answers fastest, counting those who already wait there.

Imports: domain. Used by: domain.balancers.by_name.

Peak EWMA: a node's cost is its worst recent latency, and it fades by half every `half_life` seconds, so one
slow answer is felt at once, a node that nobody asks becomes cheap again and is asked once more, and none
starves. The load is cost x (in flight + 1) / weight. Errors count as slow, or a node that fails fast would draw
all the traffic. A node nobody has measured gets one exchange at a time.

All costs fade alike, so only their order matters, and that stands still: with L = ln(seconds) + now / tau at
the time of an answer, a larger L is the larger cost at any later time. Thus a pick needs no clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log
from typing import TYPE_CHECKING

from zope.interface import implementer

from lolly_tx.domain.interfaces import IOutcomeListener, IPreviewBalancer
from lolly_tx.domain.node import NO_COST, Node

if TYPE_CHECKING:  # pragma: no cover
    from random import Random

_FEW = 8
"""Up to here all are compared; beyond, the better of two different ones drawn."""

_FASTEST = 1e-5
"""Seconds; the logarithm needs more than 0, and no proxy tells 10 us apart."""

_UNMEASURED_BUSY = 1e9


@implementer(IOutcomeListener, IPreviewBalancer)
class LeastTime:
    """The balancer by latency.

    `half_life`: seconds in which what is known of a node fades by half. `error`: seconds an error counts as, at
    least. `metric`: what counts as the time of an answer, until its "header" or its "last_byte"; the latter has the
    size of answers in it and how fast clients read them.
    """

    def __init__(
        self,
        random: Random,
        *,
        half_life: float = 7.0,
        error: float = 1.0,
        metric: str = "header",
    ) -> None:
        if half_life <= 0 or error <= 0:
            raise ValueError("half_life and error are more than 0 seconds")
        if metric not in ("header", "last_byte"):
            raise ValueError(f'metric is "header" or "last_byte", not {metric!r}')
        self.whole = metric == "last_byte"
        self._draw = random.random
        self._tau = half_life / log(2)
        self._error = error
        self._turn = 0

    def pick(self, candidates: Sequence[Node], key: bytes | None) -> Node:
        """The least loaded: of all, or of two drawn from many."""
        n = len(candidates)
        if n > _FEW:
            draw = self._draw
            i = int(draw() * n)
            j = int(draw() * (n - 1))
            one = candidates[i]
            other = candidates[j if j < i else j + 1]
            return other if _load(other) < _load(one) else one
        self._turn = turn = self._turn + 1
        best = candidates[turn % n]
        least = _load(best)
        for i in range(turn + 1, turn + n):
            node = candidates[i % n]
            load = _load(node)
            if load < least:
                best, least = node, load
        return best

    def preview(self, candidates: Sequence[Node], key: bytes | None) -> Node | None:
        """The least loaded; None when two are drawn."""
        if len(candidates) > _FEW:
            return None
        turn = self._turn
        node = self.pick(candidates, key)
        self._turn = turn
        return node

    def finished(self, node: Node, seconds: float, ok: bool, now: float) -> None:
        """An answer took `seconds`."""
        if not ok:
            seconds = max(seconds, self._error)
        cost = log(max(seconds, _FASTEST)) + now / self._tau
        if cost > node.cost:
            node.cost = cost


def _load(node: Node) -> float:
    """The logarithm of cost x (in flight + 1) / weight."""
    cost = node.cost
    if cost == NO_COST and node.in_flight:
        return _UNMEASURED_BUSY + node.in_flight
    return cost + log((node.in_flight + 1) / node.weight)
