"""Priority tiers: how much of the traffic each takes when the better ones are not well.

Imports: nothing of ours. Used by: domain.choice.

Envoy's arithmetic. A tier's health is the available part of it times 1.4, capped at 100, so a tier keeps all
its traffic until more than 28 % of it are gone; what it cannot take spills to the next. Health is truncated to
whole per cents, loads are rounded.
"""

from __future__ import annotations

from collections.abc import Sequence

OVERPROVISION = 140
"""Per cent of its nodes a tier is taken to have."""


def tier_health(available: int, total: int) -> int:
    """The health of a tier, 0..100, of which `available` of `total` nodes take new exchanges."""
    if not total:
        return 0
    return min(100, OVERPROVISION * available // total)


def tier_loads(healths: Sequence[int]) -> list[int]:
    """The per cents of the traffic each tier takes, best tier first; they add up to 100 unless nobody is healthy."""
    total = min(100, sum(healths))
    if not total:
        return [0] * len(healths)
    loads: list[int] = []
    left = 100
    for health in healths:
        load = min(left, (2 * health * 100 + total) // (2 * total))
        loads.append(load)
        left -= load
    if left:
        # Rounding lost a per cent or two: the last tier that takes any gets them.
        last = max(i for i, load in enumerate(loads) if load)
        loads[last] += left
    return loads
