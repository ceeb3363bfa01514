"""The tries of a call that is made again as a whole: a connect, or a request of a client in this process.

    lease -> attempt --ok--> its result
      ^         |
      |      failed: what the retry policy says, then the budget, then the pool
      +---------+
    one of them has none: the last failure

The requests of a proxy have more to decide (hedges, answers held back, room to wait in): see `domain.retries.attempts`.

Imports: domain, domain.retries. Used by: net.library.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from lolly_tx.domain.errors import NoTarget, ProxyError, StaleConnection
from lolly_tx.domain.retries.budget import extra_lease
from lolly_tx.domain.retries.retry import IDEMPOTENT, RetryPolicy

if TYPE_CHECKING:  # pragma: no cover
    from lolly_tx.domain.lease import Lease
    from lolly_tx.domain.node import Node
    from lolly_tx.domain.retries.budget import RetryBudget

T = TypeVar("T")

MOST_STALE = 3
"""Kept connections found dead, one after another, before that counts as an attempt."""


class Tries:
    """Makes an attempt, and others as long as there may be any.

    `choose`: a lease of a node that is not among the tried ones; raises `NoTarget`. `now`: seconds, monotonic.
    `budget`: of the pool, for attempts beyond the first; None: as many as `retry` allows.
    """

    __slots__ = ("_budget", "_choose", "_now", "_retry")

    def __init__(
        self,
        choose: Callable[[float, Sequence[Node]], Lease],
        now: Callable[[], float],
        retry: RetryPolicy,
        budget: RetryBudget | None = None,
    ) -> None:
        self._choose = choose
        self._now = now
        self._retry = retry
        self._budget = budget

    async def make(
        self,
        attempt: Callable[[Lease], Awaitable[T]],
        *,
        method: bytes = b"",
        replayable: bool = False,
    ) -> T:
        """The result of the first attempt that has one; an attempt that fails has ended its lease.

        `method`: of a request, b"" for none. `replayable`: all of it can be sent once more. A request that met a
        kept connection which was closed while idle (`StaleConnection`) is sent again without that being an attempt.

        Raises `NoTarget` when there is no node for the first attempt, the `ProxyError` of the last one, and at once
        whatever else an attempt raises.
        """
        budget = self._budget
        now = self._now()
        if budget is not None:
            budget.request(now)
        lease = self._choose(now, ())
        tried: list[Node] = []
        stale = 0
        while True:
            try:
                return await attempt(lease)
            except ProxyError as error:
                failure = error
            if isinstance(failure, StaleConnection) and stale < MOST_STALE:
                if not (replayable and method in IDEMPOTENT):
                    raise failure
                stale += 1
                lease = self._another(tried, failure, None)
                continue
            tried.append(lease.node)
            if not self._retry.decide(
                failure,
                attempts=len(tried),
                method=method,
                replayable=replayable,
                response_started=False,
            ):
                raise failure
            lease = self._another(tried, failure, budget)

    def _another(
        self, tried: Sequence[Node], failure: ProxyError, budget: RetryBudget | None
    ) -> Lease:
        """The next lease. Raises `failure` when the budget or the pool has none."""
        now = self._now()
        try:
            return extra_lease(budget, lambda: self._choose(now, tried), now)
        except NoTarget as nobody:
            raise failure from nobody
