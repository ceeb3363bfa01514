"""The budget of extra attempts, shared by retries and hedges.

Imports: domain. Used by: domain.retries.attempts, domain.retries.policy,
domain.retries.tries, net.library, service.

Retries help against a failure here and there and finish off a backend that is overloaded. So they may be a
share of the requests of the last ten seconds, plus a small floor for pools with little traffic; what is spent
counts as long as what was earned.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from lolly_tx.domain.errors import NoTarget

if TYPE_CHECKING:  # pragma: no cover
    from lolly_tx.domain.lease import Lease

SPAN: Final = 10
"""Seconds over which requests and attempts are set against each other, one slot per second."""


class RetryBudget:
    """In any `SPAN` seconds: extra attempts <= `share` x requests + `floor` per second.

    `share`: 0..1 and more. `floor`: attempts per second, whatever the traffic. Both 0: no extra attempts at all.
    """

    __slots__ = (
        "_earned",
        "_until",
        "_now_requests",
        "_now_spent",
        "_slots",
        "_spent",
        "floor",
        "refused",
        "requests",
        "share",
        "spent",
    )

    def __init__(self, share: float = 0.2, floor: float = 3.0) -> None:
        if share < 0 or floor < 0:
            raise ValueError("the retry budget's share and floor are never negative")
        self.share = share
        self.floor = floor
        self.spent = 0
        """Extra attempts granted."""
        self.refused = 0
        """Extra attempts refused."""
        self.requests = 0
        """Requests seen."""
        self._slots: deque[tuple[float, int, int]] = deque()
        self._earned = self._spent = 0
        self._now_requests = self._now_spent = 0
        self._until = float("-inf")

    def __repr__(self) -> str:
        return f"<RetryBudget {self.share:g} + {self.floor:g}/s, {self.spent} spent>"

    def request(self, now: float) -> None:
        """A request came in (its first attempt is free)."""
        self.requests += 1
        if now >= self._until:
            self._turn(now)
        self._now_requests += 1

    def withdraw(self, now: float) -> bool:
        """One extra attempt, if the budget has it."""
        if now >= self._until:
            self._turn(now)
        if self._spent + self._now_spent + 1 > self._allowed():
            self.refused += 1
            return False
        self.spent += 1
        self._now_spent += 1
        return True

    def give_back(self) -> None:
        """The attempt just granted is not made after all: there was no node for it."""
        self.spent -= 1
        self._now_spent -= 1

    def balance(self, now: float) -> float:
        """Extra attempts left at `now`."""
        if now >= self._until:
            self._turn(now)
        return max(0.0, self._allowed() - self._spent - self._now_spent)

    @property
    def amplification(self) -> float:
        """Attempts per request since the start; 1.0 without any retry."""
        return 1.0 + self.spent / self.requests if self.requests else 1.0

    def _allowed(self) -> float:
        # The smallest addition undoes the binary rounding of such shares as 0.2.
        requests = self._earned + self._now_requests
        return self.share * requests + self.floor * SPAN + 1e-9

    def _turn(self, now: float) -> None:
        """Close the slot of the last second and drop those older than the span."""
        slots = self._slots
        if self._now_requests or self._now_spent:
            slots.append((self._until, self._now_requests, self._now_spent))
            self._earned += self._now_requests
            self._spent += self._now_spent
            self._now_requests = self._now_spent = 0
        while slots and slots[0][0] <= now - SPAN + 1.0:
            _, requests, spent = slots.popleft()
            self._earned -= requests
            self._spent -= spent
        self._until = now + 1.0


class BudgetSpent(NoTarget):
    """The pool may have somebody, but no extra attempt is left to send there."""


def extra_lease(
    budget: RetryBudget | None, choose: Callable[[], Lease], now: float
) -> Lease:
    """A lease for an attempt beyond the first. Raises BudgetSpent, and what `choose` raises: `NoTarget`.

    An attempt that nobody was found for costs the budget nothing.
    """
    if budget is None:
        return choose()
    if not budget.withdraw(now):
        raise BudgetSpent("the budget of extra attempts is spent")
    try:
        return choose()
    except NoTarget:
        budget.give_back()
        raise
