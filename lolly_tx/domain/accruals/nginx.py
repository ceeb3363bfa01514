"""The passive policy of nginx, for configurations that come from there.

Imports: domain, domain.accruals. Used by: programs.
"""

from __future__ import annotations

from zope.interface import implementer

from lolly_tx.domain.accruals.interfaces import IOutcomeAccrual
from lolly_tx.domain.accruals.penalty import Penalty
from lolly_tx.domain.outcomes import Outcome


@implementer(IOutcomeAccrual)
class NginxFailures(Penalty):
    """What nginx does with `max_fails` and `fail_timeout`, for configurations that come from there.

    Failures add up as long as no `fail_timeout` passes between two of them, whatever goes well meanwhile. nginx
    compares whole seconds, so its trial comes one second later than the number says.
    """

    def __init__(self, max_fails: int = 1, fail_timeout: float = 10.0) -> None:
        super().__init__(fail_timeout + 1.0, 1)
        self.max_fails = max_fails
        self.fail_timeout = fail_timeout
        self._fails = 0
        self._last = 0.0

    def __repr__(self) -> str:
        return f"<NginxFailures {self._fails}/{self.max_fails}>"

    def __str__(self) -> str:
        """For a person, in the cause of an ejection."""
        return f"{self._fails} of {self.max_fails} failures"

    def reset(self) -> None:
        """Forget everything."""
        super().reset()
        self._fails = 0

    def heard(self, outcome: Outcome, now: float) -> float | None:
        """An exchange ended."""
        gap = max(0.0, now - self._last)
        if outcome.ok:
            if gap > self.fail_timeout:
                self._fails = 0
            return None
        self._fails += 1
        self._last = now
        if not self.max_fails or self._fails < self.max_fails:
            return None
        return self._eject()
