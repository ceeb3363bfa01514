"""Durations counted by how long they were.

The hot path has no calls for it: it looks at `QUICK`, and counts what took longer in a plain list. What was as quick as
that is not counted anywhere, because how many there were in all is known, and what is left is the first number.

Imports: nothing of ours. Used by: commands, domain.lease, domain.node, domain.pool,
domain.shared, proxy, service, service.admin, service.metrics, service.records,
service.workers, wire.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import Any, Final

import attrs

BOUNDS: Final = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Seconds. The n-th number of a list of counts is of durations up to the n-th bound, the last one of longer ones."""

QUICK: Final = 0.001
"""The first of them."""

NONE: Final = (0,) * (len(BOUNDS) + 1)
"""The counts of nothing."""


@attrs.frozen
class Exemplar:
    """One duration that was counted. `trace_id`: of its trace, hexadecimal. `at`: its end, seconds since the epoch."""

    trace_id: str
    seconds: float
    at: float


def filled_in(total: int, counted: Sequence[int]) -> list[int]:
    """The counts of all `total` durations, where `counted` leaves out the quick ones."""
    slower = counted[1:]
    # What is counted between the reading of two numbers is in one of them only.
    return [max(0, total - sum(slower)), *slower]


class Durations:
    """Durations where a call for each costs nothing that matters. `seconds`: their sum."""

    __slots__ = ("counts", "seconds")

    def __init__(self) -> None:
        self.counts = list(NONE)
        self.seconds = 0.0

    def add(self, seconds: float) -> None:
        """One more."""
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.seconds += seconds

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {"counts": sparse(self.counts), "seconds": self.seconds}

    def take(self, said: Mapping[str, Any]) -> None:
        """Go on from what `as_dict` made. Raises what `dense` does, with nothing taken."""
        counts = dense(said.get("counts", {}), len(NONE))
        self.counts, self.seconds = counts, float(said.get("seconds", 0.0))

    @property
    def told(self) -> tuple[list[int], float]:
        """Counts and seconds."""
        return self.counts, self.seconds


def sparse(counts: Sequence[int]) -> dict[str, int]:
    """Those that are not 0, by place: most are."""
    return {str(place): count for place, count in enumerate(counts) if count}


def dense(counts: Mapping[str, float], length: int) -> list[int]:
    """The list that `sparse` was made of. Raises ValueError and IndexError for what it cannot have been."""
    found = [0] * length
    for place, count in counts.items():
        found[int(place)] = int(count)
    return found
