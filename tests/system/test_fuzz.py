"""A short, seeded run of the fuzzer; the long one is `python -m tests.system.fuzz`."""

from __future__ import annotations

import asyncio
from random import Random

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.system.fuzz import fuzz
from tests.system.mutation import mutate

CANARY_MS = 500
"""Looser than in the long run: a test machine may be busy with anything."""


class FuzzTests(SynchronousTestCase):
    def test_short_run(self) -> None:
        """Mutated messages hurt nobody: neither side, nor the canary, nor the log (L19, L24)."""
        report = asyncio.run(
            fuzz(inputs=2500, soaked=2500, seed=2, canary_ms=CANARY_MS)
        )
        self.assertEqual([], report.wrong)
        self.assertEqual(2500, report.soaked + report.soaked_visible)
        self.assertGreater(report.forwarded, 2500)
        self.assertGreater(report.canary["requests"], 20)
        self.assertEqual(0, report.canary["failed"])

    @given(st.integers(), st.binary(min_size=1, max_size=200))
    def test_mutations_repeat(self, seed: int, data: bytes) -> None:
        """The same seed makes the same input, so that a fault can be found again."""
        others = [b"GET / HTTP/1.1\r\n\r\n", b"5\r\nhello\r\n"]
        one, two = (mutate(Random(seed), data, others) for _ in range(2))
        self.assertEqual(one, two)
        self.assertTrue(one)
