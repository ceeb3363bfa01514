"""Tests of `lolly_tx.domain.retries.budget`."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.domain.retries.budget import SPAN, RetryBudget


class RetryBudgetTests(SynchronousTestCase):
    def test_share(self) -> None:
        """Without a floor one request in five may be tried again."""
        budget = RetryBudget(0.2, 0.0)
        granted = 0
        for i in range(1000):
            budget.request(i / 100)
            granted += budget.withdraw(i / 100)
        self.assertEqual(granted, 200)
        self.assertEqual((budget.spent, budget.refused), (200, 800))
        self.assertApproximates(budget.amplification, 1.2, 1e-9)

    def test_floor(self) -> None:
        """A quiet pool may try a few more times all the same, and again later."""
        budget = RetryBudget(0.2, 3.0)
        self.assertEqual(sum(budget.withdraw(5.0) for _ in range(99)), 30)
        self.assertFalse(budget.withdraw(5.0 + SPAN - 0.1))
        self.assertTrue(budget.withdraw(5.0 + SPAN + 1.0))

    def test_none(self) -> None:
        """A budget of nothing grants nothing."""
        budget = RetryBudget(0.0, 0.0)
        budget.request(0.0)
        self.assertFalse(budget.withdraw(0.0))
        self.assertEqual(budget.amplification, 1.0)
        self.assertRaises(ValueError, RetryBudget, -0.1)

    def test_give_back(self) -> None:
        """An attempt that was granted and not made counts for nothing."""
        budget = RetryBudget(0.0, 0.1)
        self.assertTrue(budget.withdraw(0.0))
        budget.give_back()
        self.assertEqual((budget.spent, budget.balance(0.0)), (0, 1.0 + 1e-9))
        self.assertTrue(budget.withdraw(0.0))
        self.assertFalse(budget.withdraw(0.0))

    def test_balance_and_repr(self) -> None:
        """What is left can be read, and the budget says what it is."""
        budget = RetryBudget(0.5, 0.0)
        for _ in range(10):
            budget.request(0.0)
        budget.withdraw(0.0)
        self.assertEqual(round(budget.balance(1.0), 6), 4)
        self.assertEqual(budget.balance(99.0) < 0.001, True)
        self.assertIn("1 spent", repr(budget))
        self.assertEqual(RetryBudget().amplification, 1.0)

    @given(st.lists(st.tuples(st.floats(0, 2), st.booleans()), max_size=300))
    def test_never_more_than_the_share(self, steps: list[tuple[float, bool]]) -> None:
        """In no stretch of the span are there more extra attempts than requests and floor allow."""
        budget, now = RetryBudget(0.2, 1.0), 0.0
        requests: list[float] = []
        granted: list[float] = []
        for wait, retry in steps:
            now += wait
            if not retry:
                budget.request(now)
                requests.append(now)
            elif budget.withdraw(now):
                granted.append(now)
                # Slots are a second wide, so the edge of the span is that vague.
                spent = sum(t > now - SPAN + 1 for t in granted)
                earned = sum(t > now - SPAN - 1 for t in requests)
                self.assertLessEqual(spent, 0.2 * earned + SPAN + 1e-6)
