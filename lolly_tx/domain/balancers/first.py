"""First: the first node of the list that has room.

Imports: domain. Used by: domain.balancers.by_name, service.forwards.

It packs the traffic on as few nodes as its `max_conns` allow, so that the others may sleep or be switched off.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from zope.interface import implementer

from lolly_tx.domain.interfaces import IBalancer, IRankingBalancer
from lolly_tx.domain.node import Node

if TYPE_CHECKING:  # pragma: no cover
    from random import Random


@implementer(IBalancer, IRankingBalancer)
class First:
    """In the order of the configuration."""

    def __init__(self, random: Random | None = None) -> None:
        """Nothing to set."""

    def pick(self, candidates: Sequence[Node], key: bytes | None) -> Node:
        """The first; the pool goes on to the next when that is full."""
        return candidates[0]

    def ranked(self, candidates: Sequence[Node], key: bytes | None) -> Iterator[Node]:
        """As they stand."""
        return iter(candidates)
