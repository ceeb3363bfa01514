"""An adaptive limit of exchanges at once, from what latency says.

Imports: nothing of ours. Used by: domain.caps, domain.pool, service.

The gradient method: while answers take as long as they do on an idle backend, the limit grows by about its
root; when they take longer, the limit shrinks in proportion. The latency of the idle backend is the least
window average of the last minute or so, so that nothing has to be choked to measure it: the limit dips to its
root-growth only.
"""

from __future__ import annotations

from collections import deque
from math import sqrt


class AdaptiveLimit:
    """A limit between `floor` and `ceiling`, brought up to date each `window` seconds.

    `buffer`: how much longer than on an idle backend answers may take (0.25 = a quarter). `remember`: windows
    over which the idle latency is looked for. `at_least`: answers a window needs to say anything.
    """

    __slots__ = (
        "_busy",
        "_count",
        "_ends",
        "_idle",
        "_sum",
        "at_least",
        "buffer",
        "ceiling",
        "floor",
        "limit",
        "window",
    )

    def __init__(
        self,
        initial: int = 20,
        floor: int = 3,
        ceiling: int = 1000,
        buffer: float = 0.25,
        window: float = 1.0,
        remember: int = 60,
        at_least: int = 10,
    ) -> None:
        if not 1 <= floor <= initial <= ceiling:
            raise ValueError("an adaptive limit needs 1 <= floor <= initial <= ceiling")
        self.limit = initial
        self.floor = floor
        self.ceiling = ceiling
        self.buffer = buffer
        self.window = window
        self.at_least = at_least
        self._idle: deque[float] = deque(maxlen=remember)
        self._sum = 0.0
        self._count = 0
        self._busy = False
        self._ends = float("-inf")

    def __repr__(self) -> str:
        return f"<AdaptiveLimit {self.limit}>"

    def sample(self, seconds: float, in_flight: int, now: float) -> bool:
        """One answer took `seconds`, with `in_flight` exchanges running; True when the limit moved."""
        self._sum += seconds
        self._count += 1
        if 2 * in_flight >= self.limit:
            self._busy = True
        if now < self._ends:
            return False
        if self._ends == float("-inf"):
            self._ends = now + self.window
            return False
        return self._close(now)

    def _close(self, now: float) -> bool:
        count, mean = self._count, self._sum / self._count
        busy, old = self._busy, self.limit
        self._ends = now + self.window
        if count < self.at_least:
            return False
        self._sum, self._count, self._busy = 0.0, 0, False
        self._idle.append(mean)
        idle = min(self._idle)
        gradient = min(1.0, idle * (1 + self.buffer) / mean) if mean > 0 else 1.0
        wanted = old * gradient + sqrt(old)
        if gradient == 1.0 and not busy:
            # Good answers under a light load are no reason to allow more.
            return False
        self.limit = max(self.floor, min(self.ceiling, int(wanted)))
        return self.limit != old
