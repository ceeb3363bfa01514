"""A passive policy: gateway errors in a row.

Imports: domain, domain.accruals. Used by: service.
"""

from __future__ import annotations

from collections.abc import Collection

from zope.interface import implementer

from lolly_tx.domain.accruals.interfaces import IOutcomeAccrual
from lolly_tx.domain.accruals.penalty import Penalty
from lolly_tx.domain.outcomes import Outcome

GATEWAY_STATUSES = frozenset((502, 503, 504))


@implementer(IOutcomeAccrual)
class GatewayErrors(Penalty):
    """`limit` exchanges in a row that failed or were answered by one of `statuses` eject for `seconds`."""

    def __init__(
        self,
        limit: int = 5,
        seconds: float = 30.0,
        statuses: Collection[int] = GATEWAY_STATUSES,
        min_rises: int = 2,
    ) -> None:
        super().__init__(seconds, min_rises)
        if limit < 1:
            raise ValueError("the limit of gateway errors is at least 1")
        self.limit = limit
        self.statuses = frozenset(statuses)
        self._run = 0

    def __repr__(self) -> str:
        return f"<GatewayErrors {self._run}/{self.limit} in a row>"

    def __str__(self) -> str:
        """For a person, in the cause of an ejection."""
        return f"{self._run} of {self.limit} gateway errors in a row"

    def reset(self) -> None:
        """Forget everything."""
        super().reset()
        self._run = 0

    def heard(self, outcome: Outcome, now: float) -> float | None:
        """An exchange ended."""
        if outcome.error is None and outcome.status not in self.statuses:
            self._run = 0
            return None
        self._run += 1
        return self._eject() if self._run >= self.limit else None
