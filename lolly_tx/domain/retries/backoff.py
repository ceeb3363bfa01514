"""How long to wait before the next attempt.

Imports: nothing of ours. Used by: config.facts, domain.retries.policy, service.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:  # pragma: no cover
    from random import Random


@attrs.frozen
class Backoff:
    """Full jitter under a bound that about doubles: (2^n - 1) times `base` seconds before retry n, at most `longest`.

    `base` 0: no wait. `longest` 0: ten times the base.
    """

    base: float = attrs.field(default=0.025, validator=attrs.validators.ge(0))
    longest: float = attrs.field(default=0.0, validator=attrs.validators.ge(0))

    def bound(self, retry: int) -> float:
        """The longest wait, seconds, before retry number `retry` (1 = the first)."""
        longest = self.longest or 10 * self.base
        # Shifting by thousands would make a number of thousands of bits to no end.
        return min(longest, ((1 << min(retry, 64)) - 1) * self.base)

    def delay(self, retry: int, random: Random) -> float:
        """A wait drawn evenly from 0 to the bound, seconds."""
        return random.random() * self.bound(retry)
