"""A tier: the nodes of one priority in a pool, and the balancer that chooses among them.

Imports: domain, domain.balancers. Used by: domain.

Each tier has its own balancer where the pool can make more than one, because balancers remember their candidates;
backups are the last tier.

Where tiers share the traffic, chance decides who takes an exchange, or its key if it has one: a key stays with
its tier, and a change of the shares moves only as many keys as change sides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

from lolly_tx.domain.balancers.hashing import hash64
from lolly_tx.domain.interfaces import IBalancer
from lolly_tx.domain.node import Node, Told

if TYPE_CHECKING:  # pragma: no cover
    from random import Random


BACKUP: Final = 1 << 30
"""The rank of the backups: after every priority."""


class Tier:
    """`rank`: the priority. `nodes`: the available ones. `enabled`: how many the operator has not taken out."""

    __slots__ = (
        "balancer",
        "completed",
        "enabled",
        "finished",
        "load",
        "nodes",
        "pick",
        "rank",
        "ranked",
        "released",
        "tell",
        "weights",
    )

    def __init__(self, rank: int, balancer: IBalancer) -> None:
        self.rank = rank
        self.balancer = balancer
        self.nodes: tuple[Node, ...] = ()
        self.weights: list[float] = []
        self.enabled = 0
        self.load = 0
        """Per cent of the pool's traffic."""
        self.pick: Callable[[Sequence[Node], bytes | None], Node] = balancer.pick
        self.ranked: Callable[[Sequence[Node], bytes | None], Iterator[Node]] | None = (
            getattr(balancer, "ranked", None)
        )
        self.released: Callable[[Node], None] | None = getattr(
            balancer, "released", None
        )
        self.tell: Told | None = getattr(balancer, "finished", None)
        whole = getattr(balancer, "whole", False)
        self.finished = None if whole else self.tell
        """To be called at the head of an answer."""
        self.completed = self.tell if whole else None
        """To be called at its end."""

    def update(self, nodes: list[Node]) -> None:
        """The available nodes are these. Only a change makes a new tuple, because balancers go by its identity."""
        weights = [node.weight for node in nodes]
        if weights != self.weights or tuple(nodes) != self.nodes:
            self.weights = weights
            self.nodes = tuple(nodes)

    def __repr__(self) -> str:
        name = "backups" if self.rank == BACKUP else f"priority {self.rank}"
        return f"<Tier {name}: {len(self.nodes)} of {self.enabled}, {self.load} %>"


def by_load(order: Sequence[Tier], key: bytes | None, random: Random) -> Sequence[Tier]:
    """The tiers of `order`, the one that takes the exchange of `key` first."""
    if not order or order[0].load in (0, 100):
        return order
    if key is not None:
        return by_load_of_key(order, key)
    return _first_at(order, random.random() * 100)


def by_load_of_key(order: Sequence[Tier], key: bytes | None) -> Sequence[Tier]:
    """The same without chance: as they are when there is no key."""
    if key is None or not order or order[0].load in (0, 100):
        return order
    # Not the number the balancers go by: a tier would see a part of its range only.
    return _first_at(order, hash64(b"tier:" + key) * (100 * 2.0**-64))


def _first_at(order: Sequence[Tier], point: float) -> Sequence[Tier]:
    """`point`: 0..100, on the line of the loads."""
    for tier in order:
        point -= tier.load
        if point < 0:
            break
    return [tier, *(t for t in order if t is not tier)]
