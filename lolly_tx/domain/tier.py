"""A tier: the nodes of one priority in a pool, and the balancer that chooses among them.

May import: domain values. Used by: domain.roster, domain.pool. Each tier has its own balancer where the pool
can make more than one, because balancers remember their candidates; backups are the last tier.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from lolly_tx.domain.interfaces import IBalancer

if TYPE_CHECKING:  # pragma: no cover
    from lolly_tx.domain.node import Node

BACKUP = 1 << 30
"""The rank of the backups: after every priority."""


class Tier:
    """`rank`: the priority. `nodes`: the available ones. `enabled`: how many the operator has not taken out."""

    __slots__ = (
        "balancer",
        "enabled",
        "finished",
        "load",
        "nodes",
        "pick",
        "rank",
        "ranked",
        "released",
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
        self.finished: Callable[[Node, float, bool, float], None] | None = getattr(
            balancer, "finished", None
        )

    def update(self, nodes: list[Node]) -> None:
        """The available nodes are these. Only a change makes a new tuple, because balancers go by its identity."""
        weights = [node.weight for node in nodes]
        if weights != self.weights or tuple(nodes) != self.nodes:
            self.weights = weights
            self.nodes = tuple(nodes)

    def __repr__(self) -> str:
        name = "backups" if self.rank == BACKUP else f"priority {self.rank}"
        return f"<Tier {name}: {len(self.nodes)} of {self.enabled}, {self.load} %>"
