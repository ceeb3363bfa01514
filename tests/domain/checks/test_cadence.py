"""Tests of `lolly_tx.domain.checks.cadence`."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.domain.checks.cadence import Cadence, Traffic, state_of
from lolly_tx.domain.checks.health import Health, Thresholds, observe

STEADY = Health(checked=1.0)
DOWN = Health(up=False, checked=1.0)


class WaitTests(SynchronousTestCase):
    cadence = Cadence(steady=10.0, suspect=1.0, down=5.0, idle=60.0, defer=2)

    def test_states(self) -> None:
        """A target is suspect while the counter is between its ends, and before its first check."""
        self.assertEqual(state_of(Health(), False), "suspect")
        self.assertEqual(state_of(STEADY, False), "steady")
        self.assertEqual(state_of(STEADY, True), "idle")
        self.assertEqual(state_of(DOWN, True), "down")
        self.assertEqual(state_of(Health(against=1, checked=1.0), True), "suspect")
        self.assertEqual(
            state_of(Health(up=False, against=1, checked=1.0), False), "suspect"
        )

    def test_wait(self) -> None:
        """Each state has its interval."""
        self.assertEqual(self.cadence.wait(STEADY), 10.0)
        self.assertEqual(self.cadence.wait(STEADY, idle=True), 60.0)
        self.assertEqual(self.cadence.wait(DOWN), 5.0)
        self.assertEqual(self.cadence.wait(Health()), 1.0)

    def test_a_flip_ends_the_suspicion(self) -> None:
        """From the first bad check on it is looked at often; once it is down, as a down one."""
        health, waits = STEADY, []
        for ok in (False, False, False, True, True):
            health, _ = observe(health, ok, Thresholds(rise=2, fall=2), 2.0)
            waits.append(self.cadence.wait(health))
        self.assertEqual(waits, [1.0, 5.0, 5.0, 1.0, 10.0])

    def test_bounds(self) -> None:
        """The shortest and the longest wait are known beforehand."""
        self.assertEqual((self.cadence.shortest, self.cadence.longest), (1.0, 60.0))
        self.assertEqual(Cadence(10.0, 10.0, 10.0, 10.0, defer=3).longest, 40.0)


class DeferTests(SynchronousTestCase):
    cadence = Cadence(10.0, 10.0, 10.0, 10.0, defer=2)

    def may(self, now: Traffic, health: Health = STEADY, deferred: int = 0) -> bool:
        return self.cadence.may_defer(health, now, Traffic(5, 1), deferred)

    def test_fresh_successes(self) -> None:
        """Successes since the last look replace a check, as long as nothing failed."""
        self.assertTrue(self.may(Traffic(6, 1)))
        self.assertFalse(self.may(Traffic(5, 1)))
        self.assertFalse(self.may(Traffic(6, 2)))

    def test_only_when_steady(self) -> None:
        """A target that is down, suspect or unchecked is checked whatever its traffic says."""
        for health in (DOWN, Health(), Health(against=1, checked=1.0)):
            self.assertFalse(self.may(Traffic(9, 1), health))

    @given(st.integers(0, 5), st.integers(1, 30))
    def test_bounded(self, most: int, rounds: int) -> None:
        """With the best of traffic, no more checks in a row are left out than allowed."""
        cadence = Cadence(10.0, 10.0, 10.0, 10.0, defer=most)
        deferred = longest = 0
        for count in range(rounds):
            then, now = Traffic(count), Traffic(count + 1)
            if cadence.may_defer(STEADY, now, then, deferred):
                deferred += 1
            else:
                deferred = 0
            longest = max(longest, deferred)
        self.assertEqual(longest, min(most, rounds))
