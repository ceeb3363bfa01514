"""Two passive policies: the rate of failures in a window, and the rate of slow answers.

Imports: domain, domain.accruals. Used by: service.
"""

from __future__ import annotations

from zope.interface import implementer

from lolly_tx.domain.accruals.interfaces import IOutcomeAccrual
from lolly_tx.domain.accruals.penalty import Penalty
from lolly_tx.domain.outcomes import Outcome

_SLOTS = 10


@implementer(IOutcomeAccrual)
class FailureRate(Penalty):
    """When at least `share` of the exchanges of the last `window` seconds failed, and they were `at_least`, eject."""

    word = "failed"
    """What it counts, for a person."""

    def __init__(
        self,
        share: float = 0.5,
        window: float = 10.0,
        at_least: int = 20,
        seconds: float = 30.0,
        min_rises: int = 2,
    ) -> None:
        super().__init__(seconds, min_rises)
        if not 0 < share <= 1:
            raise ValueError("the share of failures is more than 0 and at most 1")
        if window <= 0 or at_least < 1:
            raise ValueError("the window is more than 0 s, at_least at least 1")
        self.share = share
        self.window = window
        self.at_least = at_least
        self._slots: list[tuple[int, int, int]] = []

    def __repr__(self) -> str:
        failures, total = self._sums()
        return f"<{type(self).__name__} {failures} of {total} in {self.window:g} s>"

    def __str__(self) -> str:
        """For a person, in the cause of an ejection."""
        failures, total = self._sums()
        return f"{failures} of {total} {self.word} in {self.window:g} s"

    def reset(self) -> None:
        """Forget everything."""
        super().reset()
        self._slots = []

    def heard(self, outcome: Outcome, now: float) -> float | None:
        """An exchange ended."""
        self._add(now, self._is_bad(outcome))
        failures, total = self._sums()
        if total >= self.at_least and failures >= self.share * total and failures:
            return self._eject()
        return None

    def _is_bad(self, outcome: Outcome) -> bool:
        return not outcome.ok

    def _add(self, now: float, bad: bool) -> None:
        slot = int(now * _SLOTS / self.window)
        slots = self._slots
        if slots and slots[-1][0] == slot:
            _, failures, total = slots[-1]
            slots[-1] = (slot, failures + bad, total + 1)
            return
        self._slots = [s for s in slots if s[0] > slot - _SLOTS]
        self._slots.append((slot, int(bad), 1))

    def _sums(self) -> tuple[int, int]:
        return sum(s[1] for s in self._slots), sum(s[2] for s in self._slots)


class SlowAnswers(FailureRate):
    """The same for answers that took longer than `over` seconds; errors that took as long count, quick ones do not."""

    word = "slow"

    def __init__(
        self,
        over: float = 2.0,
        share: float = 0.5,
        window: float = 10.0,
        at_least: int = 20,
        seconds: float = 30.0,
        min_rises: int = 2,
    ) -> None:
        super().__init__(share, window, at_least, seconds, min_rises)
        self.over = over

    def _is_bad(self, outcome: Outcome) -> bool:
        return outcome.seconds > self.over
