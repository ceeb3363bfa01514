"""When a target that takes no connections is asked by a connect of our own.

Imports: nothing of ours. Used by: config.facts, service, service.checks.
"""

from __future__ import annotations

import attrs

SPREAD = 0.25
"""The part of an interval that the connects are spread over: targets that went together are not asked together."""

AFTER_GOOD = 0.25
"""The part of an interval after which one that was reached is asked again: it need not wait long to be sure."""


@attrs.frozen
class RecheckDelays:
    """Seconds from one connect to the next. `interval`: from the settings. `chance` is from 0 up to 1."""

    interval: float

    def first(self, chance: float) -> float:
        """After the ejection."""
        return self.interval * (1.0 - SPREAD * chance)

    def following(self, reached: bool, chance: float) -> float:
        """After the start of one that has ended."""
        return AFTER_GOOD * self.interval if reached else self.first(chance)

    @property
    def patience(self) -> float:
        """How long a connect may take: a SYN of ours each interval finds out sooner than the repeats of an old one."""
        return max(1.0, self.interval)

    def longest(self, rises: int) -> float:
        """Until `rises` connects in a row have gone well, at worst, each without delay."""
        return self.interval * (1.0 + AFTER_GOOD * (rises - 1))
