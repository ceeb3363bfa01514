"""Tests of `lolly_tx.domain.retries.backoff`."""

from __future__ import annotations

from random import Random

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.domain.retries.backoff import Backoff


class BackoffTests(SynchronousTestCase):
    def test_golden(self) -> None:
        """The bound about doubles from 25 ms and stays at ten times that."""
        bounds = [round(1000 * Backoff().bound(n)) for n in range(1, 6)]
        self.assertEqual(bounds, [25, 75, 175, 250, 250])

    def test_longest(self) -> None:
        """The longest wait can be set, and a base of 0 means no wait."""
        self.assertEqual(Backoff(0.1, longest=0.2).bound(9), 0.2)
        self.assertEqual(Backoff(0.0).delay(3, Random(1)), 0.0)
        self.assertEqual(Backoff().bound(10**9), 0.25)

    def test_full_jitter(self) -> None:
        """Waits are spread over the whole range from nothing to the bound."""
        random = Random(7)
        delays = [Backoff().delay(2, random) for _ in range(2000)]
        self.assertTrue(0 <= min(delays) < 0.005)
        self.assertTrue(0.07 < max(delays) <= 0.075)
        self.assertApproximates(sum(delays) / 2000, 0.0375, 0.002)
