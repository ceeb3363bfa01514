"""When a target is checked next: how long to wait in which state, and when real traffic makes a check needless.

Imports: domain.checks. Used by: config, service.checks.

Four states: steady (up, and the last check agreed), suspect (never checked, or the counter is on its way between
the ends), down (and the last check agreed), idle (steady, and no exchange since the last check).
"""

from __future__ import annotations

from typing import Literal

import attrs

from lolly_tx.domain.checks.health import Health

State = Literal["steady", "suspect", "down", "idle"]


@attrs.frozen
class Traffic:
    """The counters of a node's real traffic at one moment; `bad`: failures and 5xx answers together."""

    good: int = 0
    bad: int = 0

    def well_since(self, then: Traffic) -> bool:
        """Exchanges ended well after `then`, and none badly."""
        return self.good > then.good and self.bad == then.bad


def state_of(health: Health, idle: bool) -> State:
    """Which of the four states a target is in. `idle`: it has had no exchange since its last check."""
    if health.against or health.checked is None:
        return "suspect"
    if not health.up:
        return "down"
    return "idle" if idle else "steady"


@attrs.frozen
class Cadence:
    """Seconds from the start of one check to the next, by state. `defer`: checks in a row that traffic may replace."""

    steady: float
    suspect: float
    down: float
    idle: float
    defer: int = 0

    def wait(self, health: Health, idle: bool = False) -> float:
        """Seconds until the next check."""
        seconds: float = getattr(self, state_of(health, idle))
        return seconds

    @property
    def shortest(self) -> float:
        """The shortest of the intervals."""
        return min(self.steady, self.suspect, self.down, self.idle)

    @property
    def longest(self) -> float:
        """The longest a steady target goes without a check, traffic or not."""
        return max(self.idle, self.steady * (1 + self.defer))

    def may_defer(
        self, health: Health, now: Traffic, then: Traffic, deferred: int
    ) -> bool:
        """Whether the check that is due may be left out.

        `then`: the traffic when the last check was done or left out, so that what is relied on is never older than
        one interval. `deferred`: checks left out in a row; with `defer` = N no target goes without a check for
        more than N + 1 intervals.
        """
        return (
            deferred < self.defer
            and state_of(health, False) == "steady"
            and now.well_since(then)
        )
