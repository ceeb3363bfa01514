"""Tests of `lolly_tx.domain.concurrency`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.domain.concurrency import AdaptiveLimit


def run(limit: AdaptiveLimit, capacity: int, seconds: int, start: float = 0.0) -> None:
    """A backend that answers in 10 ms up to `capacity` at once, and in proportion slower beyond, under full load."""
    for second in range(seconds):
        for i in range(20):
            busy = limit.limit
            took = 0.01 * max(1.0, busy / capacity)
            limit.sample(took, busy, start + second + i / 20)


class AdaptiveLimitTests(SynchronousTestCase):
    def test_grows_to_the_capacity(self) -> None:
        """Under load the limit grows until answers get slower, and stays in the region of the capacity."""
        limit = AdaptiveLimit()
        run(limit, capacity=100, seconds=60)
        self.assertTrue(90 <= limit.limit <= 180, limit)

    def test_shrinks(self) -> None:
        """When the backend loses capacity the limit follows."""
        limit = AdaptiveLimit()
        run(limit, capacity=100, seconds=60)
        run(limit, capacity=10, seconds=30, start=60.0)
        self.assertLess(limit.limit, 45)

    def test_idle(self) -> None:
        """A light load is no reason to allow more."""
        limit = AdaptiveLimit()
        for i in range(500):
            limit.sample(0.01, 1, i / 20)
        self.assertEqual(limit.limit, 20)

    def test_too_few(self) -> None:
        """A few answers say nothing."""
        limit = AdaptiveLimit()
        for i in range(9):
            self.assertFalse(limit.sample(1.0 + i, 20, 2.0 * i))

    def test_bounds(self) -> None:
        """The limit stays between its floor and its ceiling, whatever latency says."""
        limit = AdaptiveLimit(initial=5, floor=4, ceiling=9)
        run(limit, capacity=1000, seconds=20)
        self.assertEqual(limit.limit, 9)
        for i in range(400):
            limit.sample(0.01 * 2 ** min(30, i // 20), 9, 20 + i / 20)
        self.assertGreaterEqual(limit.limit, 4)
        self.assertRaises(ValueError, AdaptiveLimit, initial=1, floor=2)
        self.assertIn("AdaptiveLimit", repr(limit))

    def test_no_time_at_all(self) -> None:
        """Answers that take no measurable time break nothing."""
        limit = AdaptiveLimit()
        for i in range(100):
            limit.sample(0.0, 20, i / 20)
        self.assertGreaterEqual(limit.limit, 20)
