"""Consistent hashing: the same key goes to the same node, and a change of nodes moves as few keys as can be.

Imports: domain, domain.balancers. Used by: domain.balancers.by_name.

The key is bytes the caller prepares from what `hash_key` names; exchanges without one take turns.

Among few nodes each scores the key (rendezvous: exact shares, O(n)); among many there is a ring (O(log n)). A
pool that grows past the border moves its keys once; `method` pins either. With a `balance_factor` no node takes
more than that many times its fair share of what is in flight: the key goes on to its next node then.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import ceil
from typing import TYPE_CHECKING, Literal

from zope.interface import implementer

from lolly_tx.domain.balancers.hashing import hash64
from lolly_tx.domain.balancers.rendezvous import Rendezvous
from lolly_tx.domain.balancers.ring import Ring
from lolly_tx.domain.interfaces import IBalancer, IRankingBalancer
from lolly_tx.domain.node import Node

if TYPE_CHECKING:  # pragma: no cover
    from random import Random

Method = Literal["auto", "rendezvous", "ring"]

FEW = 32
"""Up to here scoring all costs about what a lookup in a ring costs."""


@implementer(IBalancer, IRankingBalancer)
class ConsistentHash:
    """The balancer of a key.

    `method`: "auto", "rendezvous" or "ring". `balance_factor`: 0 (no bound), or more than 1; 1.25 to 2 is useful.
    """

    def __init__(
        self,
        random: Random | None = None,
        *,
        method: Method = "auto",
        balance_factor: float = 0.0,
    ) -> None:
        if method not in ("auto", "rendezvous", "ring"):
            raise ValueError(f"{method!r} is none of auto, rendezvous, ring")
        if balance_factor and balance_factor <= 1:
            raise ValueError("balance_factor is 0 (no bound) or more than 1")
        self.method = method
        self.balance_factor = balance_factor
        self._scores = Rendezvous()
        self._candidates: Sequence[Node] = ()
        self._there: dict[str, Node] = {}
        self._known: dict[str, Node] = {}
        self._ring: Ring | None = None
        self._turn = 0
        self._mean = 0.0
        self._mean_for = 0

    def pick(self, candidates: Sequence[Node], key: bytes | None) -> Node:
        """The node of `key`."""
        if candidates is not self._candidates:
            self._prepare(candidates)
        if key is None:
            self._turn = turn = self._turn + 1
            return candidates[turn % len(candidates)]
        if self.balance_factor:
            return next(self.ranked(candidates, key))
        if self._ring is None:
            return self._scores.pick(candidates, key)
        return next(self._ring.walk(hash64(key), self._there))

    def ranked(self, candidates: Sequence[Node], key: bytes | None) -> Iterator[Node]:
        """All candidates, the node of `key` first; those above their share of the load last."""
        if candidates is not self._candidates:
            self._prepare(candidates)
        if key is None:
            self._turn = turn = self._turn + 1
            n = len(candidates)
            order = iter([candidates[i % n] for i in range(turn, turn + n)])
        elif self._ring is None:
            order = self._scores.ranked(candidates, key)
        else:
            order = self._ring.walk(hash64(key), self._there)
        return self._bounded(order) if self.balance_factor else order

    def _bounded(self, order: Iterator[Node]) -> Iterator[Node]:
        per_weight = self.balance_factor * self._load()
        above = []
        for node in order:
            if node.in_flight < ceil(per_weight * node.weight):
                yield node
            else:
                above.append(node)
        yield from above

    def _load(self) -> float:
        """Exchanges in flight per weight, the new one included; among many, counted once in n/16 picks."""
        self._mean_for -= 1
        if self._mean_for <= 0:
            nodes = self._candidates
            self._mean_for = len(nodes) // 16
            total = sum(node.in_flight for node in nodes) + 1
            self._mean = total / sum(node.weight for node in nodes)
        return self._mean

    def _prepare(self, candidates: Sequence[Node]) -> None:
        self._candidates = candidates
        self._mean_for = 0
        there = {node.id: node for node in candidates}
        known = self._known
        known.update(there)
        over = len(known) - (2 * len(there) + FEW)
        if over > 0:
            # The oldest must have left for good; those that only were down get their old points again.
            for name in [name for name in known if name not in there][:over]:
                del known[name]
        if self.method == "rendezvous" or (self.method == "auto" and len(known) <= FEW):
            self._ring = None
            return
        self._there = there
        if self._ring is None:
            self._ring = Ring(known.values())
        elif not self._ring.holds(candidates):
            self._ring.lay_out(known.values())
