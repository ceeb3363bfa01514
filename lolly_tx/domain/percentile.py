"""A percentile of recent durations, in little memory.

Imports: nothing of ours. Used by: domain.retries, service.

Durations are counted in buckets whose bounds grow by a tenth, so an answer is at most ten
per cent too high. Two windows of `WINDOW` samples each take turns: the answer rests on one to two windows, and what
is older is forgotten.
"""

from __future__ import annotations

from math import ceil, exp, log

WINDOW = 1000
"""Samples after which the older window is dropped."""
LEAST_SAMPLES = 20
"""Fewer say nothing about a percentile."""

_STEP = log(1.1)
_FLOOR = 1e-4
_BUCKETS = 160
"""1.1**160 times 0.1 ms: about seven minutes."""


class Percentile:
    """The value below which `share` (0..1) of the recent durations lie."""

    __slots__ = ("_count", "_now", "_old", "_old_count", "share")

    def __init__(self, share: float) -> None:
        if not 0.0 < share < 1.0:
            raise ValueError(f"{share!r} is no share between 0 and 1")
        self.share = share
        self._now = [0] * _BUCKETS
        self._old = [0] * _BUCKETS
        self._count = self._old_count = 0

    def add(self, seconds: float) -> None:
        """Count one duration."""
        bucket = 0
        if seconds > _FLOOR:
            bucket = min(_BUCKETS - 1, ceil(log(seconds / _FLOOR) / _STEP))
        self._now[bucket] += 1
        self._count += 1
        if self._count >= WINDOW:
            self._old, self._old_count = self._now, self._count
            self._now, self._count = [0] * _BUCKETS, 0

    def value(self) -> float | None:
        """The percentile in seconds, None while there are too few samples."""
        total = self._count + self._old_count
        if total < LEAST_SAMPLES:
            return None
        wanted = self.share * total
        for bucket in range(_BUCKETS):
            wanted -= self._now[bucket] + self._old[bucket]
            if wanted <= 0:
                return _FLOOR * exp(bucket * _STEP)
        return _FLOOR * exp((_BUCKETS - 1) * _STEP)
