"""Tests of `lolly_tx.domain.slow_start`."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.domain.slow_start import STEPS, SlowStart

AGES = (0.0, 6.0, 15.0, 30.0, 45.0, 60.0)


class SlowStartTests(SynchronousTestCase):
    def test_golden_line(self) -> None:
        """With aggression 1 the share grows in a straight line from the floor."""
        factors = [SlowStart(60.0).factor(t) for t in AGES]
        self.assertEqual(factors, [0.1, 0.1, 0.25, 0.5, 0.75, 1.0])

    def test_golden_aggression(self) -> None:
        """With aggression 2 the share grows as the root."""
        factors = [round(SlowStart(60.0, 0.1, 2.0).factor(t), 3) for t in AGES]
        self.assertEqual(factors, [0.129, 0.316, 0.5, 0.707, 0.866, 1.0])

    def test_off(self) -> None:
        """Without a window there is no ramp."""
        self.assertEqual(SlowStart().factor(0.0), 1.0)
        self.assertIsNone(SlowStart().next_step(0.0))

    @given(st.floats(0.5, 1000.0), st.floats(0.1, 5.0))
    def test_steps_lead_to_the_end(self, window: float, aggression: float) -> None:
        """The steps of a ramp never go back, lower nothing, and end with the full share."""
        ramp = SlowStart(window, aggression=aggression)
        age: float | None = 0.0
        factor, steps = 0.0, 0
        while age is not None:
            self.assertGreaterEqual(ramp.factor(age), factor)
            factor = ramp.factor(age)
            after = ramp.next_step(age)
            self.assertTrue(after is None or after > age)
            age, steps = after, steps + 1
        self.assertEqual(factor, 1.0)
        self.assertLessEqual(steps, STEPS + 2)

    def test_wrong_settings(self) -> None:
        """Settings that make no sense are refused."""
        for settings in ({"window": -1}, {"floor": 1.5}, {"aggression": 0}):
            self.assertRaises(ValueError, SlowStart, **settings)
