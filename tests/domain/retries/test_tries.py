"""Tests of lolly_tx.domain.retries.tries: the tries of a call that is made again as a whole."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.domain.errors import (
    AllDown,
    AllTried,
    BadResponse,
    ConnectFailed,
    ConnectionReset,
    ProxyError,
    StaleConnection,
)
from lolly_tx.domain.lease import Lease
from lolly_tx.domain.node import Node
from lolly_tx.domain.retries.budget import BudgetSpent, RetryBudget
from lolly_tx.domain.retries.retry import RetryPolicy
from lolly_tx.domain.retries.tries import MOST_STALE, Tries
from tests.domain.pools import pool_of

GET: dict[str, Any] = {"method": b"GET", "replayable": True}


def run(coroutine: Coroutine[Any, Any, str]) -> str:
    """The result of a coroutine that waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return str(end.value)
    raise AssertionError("it waits")


class TriesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.pool = pool_of("a", "b", "c")
        self.asked: list[str] = []

    def make(
        self,
        *failures: Exception,
        tries: int = 9,
        budget: RetryBudget | None = None,
        **request: Any,
    ) -> str:
        """Attempts that fail one after another, and then one that does not."""
        left = list(failures)

        def choose(now: float, tried: Sequence[Node]) -> Lease:
            return self.pool.acquire(now, None, tried)

        async def attempt(lease: Lease) -> str:
            self.asked.append(lease.node.id)
            lease.release(0.0)
            if left:
                raise left.pop(0)
            return lease.node.id

        policy = RetryPolicy(tries=tries)
        every = Tries(choose, lambda: 0.0, policy, budget)
        return run(every.make(attempt, **request))

    def test_first(self) -> None:
        """The first result is the result."""
        self.assertEqual(self.make(), "a")

    def test_never_twice(self) -> None:
        """Another attempt is made at a node that has not failed in this call."""
        self.assertEqual(self.make(ConnectFailed(), ConnectFailed()), "c")
        self.assertEqual(self.asked, ["a", "b", "c"])

    def test_nobody_left(self) -> None:
        """With every node tried the last failure is the call's, and says why it was the last."""
        last = ConnectFailed("the last")
        error = self.assertRaises(
            ConnectFailed, self.make, ConnectFailed(), ConnectFailed(), last
        )
        self.assertIs(error, last)
        self.assertIsInstance(error.__cause__, AllTried)

    def test_nobody_at_all(self) -> None:
        """Without a node for the first attempt none is made."""
        for node in self.pool.nodes:
            self.pool.mark(node, False, "gone", 0.0)
        self.assertRaises(AllDown, self.make)
        self.assertEqual(self.asked, [])

    def test_policy(self) -> None:
        """The retry policy has the say: how many attempts, and after what."""
        self.assertRaises(ConnectFailed, self.make, *[ConnectFailed()] * 2, tries=2)
        self.assertEqual(len(self.asked), 2)
        self.assertRaises(BadResponse, self.make, BadResponse(), **GET)
        self.assertRaises(ConnectionReset, self.make, ConnectionReset())
        self.assertRaises(ConnectionReset, self.make, ConnectionReset(), method=b"POST")
        self.assertEqual(len(self.asked), 5)
        self.make(ConnectionReset(), **GET)
        self.assertEqual(len(self.asked), 7)

    def test_foreign(self) -> None:
        """What is no failure of an attempt ends the call at once."""
        self.assertRaises(KeyError, self.make, KeyError())
        self.assertEqual(self.asked, ["a"])

    def test_stale(self) -> None:
        """A kept connection found dead is no attempt, and its node may be asked again."""
        stale = [StaleConnection()] * MOST_STALE
        self.make(*stale, tries=1, **GET)
        self.assertEqual(len(self.asked), MOST_STALE + 1)
        self.assertEqual(self.asked.count("a"), 2)
        self.assertRaises(
            StaleConnection, self.make, StaleConnection(), *stale, tries=1, **GET
        )

    def test_stale_not_repeatable(self) -> None:
        """A request that may have been carried out is not sent again."""
        for request in ({"method": b"POST", "replayable": True}, {"method": b"GET"}):
            self.assertRaises(StaleConnection, self.make, StaleConnection(), **request)

    def test_budget(self) -> None:
        """Attempts beyond the first come out of the budget; dead kept connections do not."""
        budget = RetryBudget(share=1.0, floor=0.0)
        self.make(ConnectFailed(), budget=budget)
        self.assertEqual((budget.requests, budget.spent), (1, 1))
        self.make(StaleConnection(), budget=budget, **GET)
        self.assertEqual((budget.requests, budget.spent), (2, 1))
        failure: ProxyError = ConnectFailed("over budget")
        error = self.assertRaises(
            ConnectFailed,
            self.make,
            ConnectFailed(),
            failure,
            budget=RetryBudget(share=1.0, floor=0.0),
        )
        self.assertIs(error, failure)
        self.assertIsInstance(error.__cause__, BudgetSpent)

    def test_budget_given_back(self) -> None:
        """What was granted is given back when there is no node for it."""
        self.pool = pool_of("a")
        budget = RetryBudget(share=1.0, floor=0.0)
        self.assertRaises(ConnectFailed, self.make, ConnectFailed(), budget=budget)
        self.assertEqual(budget.spent, 0)
