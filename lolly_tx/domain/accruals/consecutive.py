"""The passive policy of the house: consecutive failures of real traffic.

Imports: domain.accruals. Used by: domain.shared, net.library, service.
"""

from __future__ import annotations

from zope.interface import implementer

from lolly_tx.domain.accruals.interfaces import IAccrual


@implementer(IAccrual)
class ConsecutiveFailures:
    """`max_fails` failures in a row, none older than `fail_timeout` seconds before the next, eject for `fail_timeout`.

    A failure zeroes the rises and a success zeroes the falls. A record is as old as its last failure. While the
    penalty runs, `min_rises` successes in a row (good probes) lift it, and a failed trial renews it at once.
    `max_fails` 0: never. `elsewhere`: failures at other instances, where these were part of the reason for the
    penalty. Raises ValueError for numbers that make no sense.
    """

    __slots__ = (
        "_last",
        "clean",
        "elsewhere",
        "fail_timeout",
        "falls",
        "max_fails",
        "min_rises",
        "penalised",
        "rises",
    )

    def __init__(
        self, max_fails: int = 3, fail_timeout: float = 60.0, min_rises: int = 2
    ) -> None:
        if max_fails < 0 or fail_timeout <= 0 or min_rises < 1:
            raise ValueError(
                "max_fails is at least 0, fail_timeout more than 0 s, min_rises at least 1"
            )
        self.max_fails = max_fails
        self.fail_timeout = fail_timeout
        self.min_rises = min_rises
        self.reset()

    def __repr__(self) -> str:
        state = "penalised" if self.penalised else "counting"
        return (
            f"<ConsecutiveFailures {state} {self.falls}/{self.max_fails} falls, "
            f"{self.rises}/{self.min_rises} rises>"
        )

    def __str__(self) -> str:
        """For a person, in the cause of an ejection."""
        if self.penalised and self.rises:
            return f"{self.rises} of {self.min_rises} successes since"
        if self.elsewhere:
            total = self.falls + self.elsewhere
            return f"{total} failures in the fleet ({self.falls} here)"
        return f"{self.falls} of {self.max_fails} failures in a row"

    def reset(self) -> None:
        """Forget everything."""
        self.falls = 0
        self.rises = 0
        self.elsewhere = 0
        self.penalised = False
        self.clean = True
        self._last = 0.0

    def standing(self, now: float) -> int:
        """Failures in a row that are not forgotten at `now`."""
        return self.falls if max(0.0, now - self._last) <= self.fail_timeout else 0

    def penalise(self, elsewhere: int) -> None:
        """The penalty runs, because of so many failures at other instances besides those here."""
        self.elsewhere = elsewhere
        self.penalised = True
        self.rises = 0

    def succeeded(self, now: float) -> bool:
        """One success; True when it was the last one needed to lift the penalty."""
        self.falls = 0
        if not self.penalised:
            self.clean = True
            return False
        self.rises += 1
        if self.rises < self.min_rises:
            return False
        self.reset()
        return True

    def failed(self, now: float) -> float | None:
        """One failure; `fail_timeout` when it is one too many."""
        if not self.max_fails:
            return None
        self.clean = False
        self.rises = 0
        if self.penalised:
            self._last = now
            return self.fail_timeout
        if max(0.0, now - self._last) > self.fail_timeout:
            self.falls = 0
        self.falls += 1
        self._last = now
        if self.falls < self.max_fails:
            return None
        self.penalised = True
        return self.fail_timeout
