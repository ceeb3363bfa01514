"""Panic: how often availability is ignored when most nodes are unavailable.

Imports: nothing of ours. Used by: domain.choice, domain.pool.

The few that are left may be too few for the load, and checks may be wrong about the others. A hard threshold
makes a cliff; here the odds rise smoothly. They are those of drawing two nodes `draws` times and meeting an
unavailable one each time.
"""

from __future__ import annotations

DRAWS = 4


def panic_odds(unavailable: int, total: int, draws: int = DRAWS) -> float:
    """The odds, 0..1, that a pick ignores availability; 1 when nobody is available, or there is nobody at all."""
    if not total:
        return 1.0
    odds: float = (unavailable / total) ** (2 * draws)
    return odds
