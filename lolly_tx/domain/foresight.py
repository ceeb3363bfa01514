"""Whom an exchange would get now, and what decides it; takes no turn away.

Imports: domain. Used by: domain.pool, service.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import attrs

from lolly_tx.domain.tier import Tier

if TYPE_CHECKING:  # pragma: no cover
    from lolly_tx.domain.interfaces import IBalancer
    from lolly_tx.domain.node import Node


@attrs.frozen
class Foresight:
    """`node`: who would be chosen; None when nobody is, or chance decides. `why`: for a person."""

    node: Node | None
    why: str


def foresee(
    order: Sequence[Tier],
    key: bytes | None,
    bound: Node | None,
    panic_odds: float,
) -> Foresight:
    """The choice among `order`, the tiers as that key asks them. `bound`: the node the client is bound to."""
    if bound is not None:
        return Foresight(bound, "the client is bound to it")
    if panic_odds >= 1:
        return Foresight(None, "panic: the least loaded of all enabled targets")
    maybe = ""
    if panic_odds > 0:
        maybe = f"; {panic_odds:.2%} of the exchanges ignore availability"
    asked = [tier for tier in order if tier.nodes]
    if not asked:
        return Foresight(None, "no target is available")
    free = [tier for tier in asked if not all(node.full for node in tier.nodes)]
    if not free:
        return Foresight(None, "every available target is full")
    tier = free[0]
    if key is None and 0 < tier.load < 100:
        return Foresight(None, "chance, by the load of each tier" + maybe)
    node, why = _in_tier(tier, key)
    return Foresight(node, why + maybe)


def _in_tier(tier: Tier, key: bytes | None) -> tuple[Node | None, str]:
    name = balancer_name(tier.balancer)
    if tier.ranked is not None and key is not None:
        for node in tier.ranked(tier.nodes, key):
            if not node.full:
                return node, f"{name}: the first with room in the order of its key"
    preview = getattr(tier.balancer, "preview", None)
    choice: Node | None = preview(tier.nodes, key) if preview is not None else None
    if choice is None:
        return None, f"{name}: decided by chance or load when the exchange comes"
    if choice.full:
        return None, f"{name}: the next one with room"
    return choice, f"{name}: the next choice"


def balancer_name(balancer: IBalancer) -> str:
    """What it is called for people."""
    called: str = getattr(balancer, "called", type(balancer).__name__)
    return called
