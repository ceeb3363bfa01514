"""What policies that hear whole outcomes share: a penalty, and the good probes that lift it.

Imports: nothing of ours. Used by: domain.accruals.gateway, domain.accruals.nginx,
domain.accruals.rate.
"""

from __future__ import annotations


class Penalty:
    """`seconds`: how long a penalty lasts. `min_rises`: good probes in a row that lift it."""

    clean = False

    def __init__(self, seconds: float, min_rises: int) -> None:
        if seconds <= 0 or min_rises < 1:
            raise ValueError("seconds is more than 0, min_rises at least 1")
        self.seconds = seconds
        self.min_rises = min_rises
        self.penalised = False
        self.rises = 0

    def reset(self) -> None:
        """Forget everything."""
        self.penalised = False
        self.rises = 0

    def succeeded(self, now: float) -> bool:
        """A good probe, or a trial that went well."""
        if not self.penalised:
            return False
        self.rises += 1
        if self.rises < self.min_rises:
            return False
        self.reset()
        return True

    def failed(self, now: float) -> float | None:
        """A bad probe, or a trial that failed."""
        self.rises = 0
        return self.seconds if self.penalised else None

    def _eject(self) -> float:
        self.penalised = True
        self.rises = 0
        return self.seconds
