"""Tests of `lolly_tx.domain.panic`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.domain.panic import panic_odds


class PanicTests(SynchronousTestCase):
    def test_golden(self) -> None:
        """The odds of ignoring availability rise smoothly with the share that is unavailable."""
        odds = [round(panic_odds(part, 100), 4) for part in (30, 50, 60, 70)]
        self.assertEqual(odds, [0.0001, 0.0039, 0.0168, 0.0576])

    def test_ends(self) -> None:
        """All well: never. Nobody available, or nobody at all: always."""
        self.assertEqual(
            [panic_odds(0, 3), panic_odds(3, 3), panic_odds(0, 0)], [0.0, 1.0, 1.0]
        )
