"""Slow start: a node that joins or recovers takes its share bit by bit.

Imports: nothing of ours. Used by: domain.pool, domain.timetable, service.

Only the way back into service starts a ramp; further good checks do not restart it.
"""

from __future__ import annotations

import attrs

STEPS = 20
"""Steps of one ramp: each makes the balancer look at its candidates anew, and 5 % is fine enough."""


@attrs.frozen
class SlowStart:
    """How the share grows over `window` seconds (0: no slow start).

    `floor`: the smallest part, 0..1, so that the node sees traffic at all. `aggression`: 1 is a straight line, more
    grows faster in the beginning.
    """

    window: float = attrs.field(default=0.0, validator=attrs.validators.ge(0))
    floor: float = attrs.field(
        default=0.1, validator=[attrs.validators.ge(0), attrs.validators.le(1)]
    )
    aggression: float = attrs.field(default=1.0, validator=attrs.validators.gt(0))

    def factor(self, age: float) -> float:
        """The part, floor..1, of its share a node has `age` seconds after it came back."""
        if age >= self.window:
            return 1.0
        part: float = (max(age, 1.0) / self.window) ** (1 / self.aggression)
        return max(self.floor, min(1.0, part))

    def next_step(self, age: float) -> float | None:
        """The age at which the share is to be looked at next; None when the ramp is over."""
        if age >= self.window:
            return None
        step = self.window / STEPS
        # The tiny addition keeps rounding from naming the step that is being taken right now.
        return min(self.window, (int(age / step + 1e-9) + 1) * step)
