"""Tests of going through what is stored: a slice a turn, one sweep after the other."""

from __future__ import annotations

from collections.abc import Iterator

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.proxy.caching.sweeping import SLICE_SECONDS, Sweeper


class Turns(Clock):
    """What is called later is called in a turn of its own, also what is due at once."""

    def turn(self) -> None:
        """One turn of the event loop."""
        due, self.calls = self.calls, []
        for call in due:
            call.func()


class SweeperTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Turns()
        self.spent = 0.0
        self.sweeper = Sweeper(self.clock, lambda: self.clock.seconds() + self.spent)

    def steps(self, count: int, each: float = 0.0) -> Iterator[bool]:
        """Every other one is true; each takes so many seconds."""
        for number in range(count):
            self.spent += each
            yield bool(number % 2)

    def turn(self) -> float:
        """One turn of the event loop; how long it was held."""
        before = self.spent
        self.clock.turn()
        return self.spent - before

    def test_at_once(self) -> None:
        """What takes no time is done before anybody waits."""
        done = self.sweeper.sweep(self.steps(10_000))
        self.assertEqual(self.successResultOf(done), 5000)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_slices(self) -> None:
        """The loop is held for a slice, and goes on with it in its next turn."""
        first = self.sweeper.sweep(self.steps(1000, 0.0001))
        self.assertLess(self.spent, 2 * SLICE_SECONDS)
        second = self.sweeper.sweep(self.steps(10))
        self.assertNoResult(first)
        turns = []
        while self.clock.getDelayedCalls():
            turns.append(self.turn())
        self.assertLess(max(turns), 2 * SLICE_SECONDS)
        self.assertGreater(len(turns), 10)
        self.assertEqual(self.successResultOf(first), 500)
        self.assertEqual(self.successResultOf(second), 5)

    def test_from_the_end(self) -> None:
        """Who is told that one is done may begin another."""
        done = self.sweeper.sweep(self.steps(1000, 0.0001))
        more = done.addCallback(lambda _: self.sweeper.sweep(self.steps(4)))
        while self.clock.getDelayedCalls():
            self.turn()
        self.assertEqual(self.successResultOf(more), 2)

    def test_failed(self) -> None:
        """One that breaks ends; those behind it go on."""

        def broken() -> Iterator[bool]:
            yield True
            raise ValueError("broken")

        self.assertEqual(self.successResultOf(self.sweeper.sweep(broken())), 1)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.assertEqual(self.successResultOf(self.sweeper.sweep(self.steps(2))), 1)

    def test_stopped(self) -> None:
        """At the end of the process nothing is left to do."""
        done = self.sweeper.sweep(self.steps(1000, 0.0001))
        self.sweeper.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertNoResult(done)
