"""A pool that goes on under other settings: what it goes by changes, what it knows of its nodes does not.

Imports: domain. Used by: service.changes.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

from lolly_tx.domain.pool import Pool

PolicyWord = Literal["balance", "accrual", "outliers", "limit"]
"""Who is chosen next, which failures count, how peers compare, the moving limit of exchanges: what has a memory."""


def take_settings(
    pool: Pool, other: Pool, anew: Collection[PolicyWord], now: float
) -> None:
    """Have `pool` go by the settings of `other`, a pool without nodes and not in use; no fact of a node changes.

    `anew`: the policies that are others and begin anew; all else goes on.
    """
    pool.available(now)  # what is due by now is due by the old settings
    roster = pool.roster
    pool.caps.go_by(other.caps, another_limit="limit" in anew)
    if "outliers" in anew:
        roster.outliers = other.roster.outliers
    roster.go_by(other.roster, "balance" in anew, "accrual" in anew)
    pool.ejections.limits = other.ejections.limits
    pool.verdicts.failure_statuses = other.verdicts.failure_statuses
    pool.timetable.slow_start = other.timetable.slow_start
    pool.choice.go_by(other.choice)
    if "balance" in anew:
        pool.balancer = other.balancer
        pool.choice.choose_by(other.balancer)
    pool.go_by(other.thresholds, other.initial)
