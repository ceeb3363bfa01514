"""Tests of lolly_tx.service.checks.rechecks: the way back of targets that take no connections."""

from __future__ import annotations

from random import Random
from typing import Any

from twisted.internet.defer import fail as fail_with
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.domain.checks.health import Observation
from lolly_tx.domain.checks.recheck import RecheckDelays
from lolly_tx.domain.errors import OutOfResources
from lolly_tx.service.checks.rechecks import AT_ONCE, Rechecker
from tests.domain.pools import fail, pool_of
from tests.service.checks.test_checker import FakeCheck

REACHED = Observation(True, "connected", 0.001)
REFUSED = Observation(False, "connection refused")


class Connects(FakeCheck):
    """The same, whose answer may be a failure."""

    def check(self, target: Any) -> Any:
        answer: Any = self.answer
        if isinstance(answer, Exception):
            self.asked.append(target.id)
            return fail_with(answer)
        return super().check(target)


class RecheckerTests(SynchronousTestCase):
    def rechecker(self, *names: str, answer: Any = REFUSED, down: bool = True) -> Any:
        """A rechecker at work, of targets that are all out."""
        self.clock = Clock()
        self.check = Connects()
        self.check.answer = answer
        self.made = 0
        self.pool = pool_of(*(names or ("a",)))

        def make() -> Any:
            self.made += 1
            return self.check

        made = Rechecker(
            self.pool,
            make,
            RecheckDelays(1.0),
            clock=self.clock,
            now=self.clock.seconds,
            random=Random(1),
        )
        made.start()
        self.addCleanup(made.stop)
        if down:
            fail(self.pool, 0.0, 3 * len(self.pool.nodes))
        return made

    def run_for(self, seconds: float) -> None:
        for _ in range(round(seconds / 0.05)):
            self.clock.advance(0.05)

    def test_nothing_to_do(self) -> None:
        """While all targets take connections there is no timer, and nothing is made."""
        made = self.rechecker(down=False)
        self.assertEqual((self.clock.getDelayedCalls(), self.made), ([], 0))
        self.assertIsNone(made.due("a"))
        self.assertIn("0 to ask", repr(made))

    def test_every_second(self) -> None:
        """A target that is out is asked about every second, and due times are known."""
        made = self.rechecker()
        self.assertLessEqual(made.due("a"), 1.0)
        self.run_for(20)
        self.assertTrue(19 <= len(self.check.asked) <= 26, self.check.asked)
        self.assertEqual(made.asked, len(self.check.asked))
        self.assertEqual(self.pool.available(20.0), ())

    def test_back_soon(self) -> None:
        """Once it takes connections again it is back within 1.25 s and a tick, and the timer is gone."""
        self.rechecker()
        self.run_for(10)
        self.check.answer = REACHED
        self.run_for(1.35)
        self.assertEqual(len(self.pool.available(self.clock.seconds())), 1)
        self.run_for(0.1)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        fail(self.pool, self.clock.seconds(), 3)
        self.run_for(1.35)
        self.assertEqual(len(self.pool.available(self.clock.seconds())), 1)

    def test_one_at_a_time(self) -> None:
        """A connect that hangs is not joined by another, and blames nobody when it is cancelled."""
        made = self.rechecker(answer=None)
        self.run_for(9)
        self.assertEqual(len(self.check.asked), 1)
        self.assertEqual(made.due("a"), "in progress")
        made.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.pool.nodes["a"].stats.rechecks, 0)
        made.start()
        self.run_for(1.1)
        self.assertEqual(len(self.check.asked), 2)

    def test_spread(self) -> None:
        """Targets that went together are not asked together, and so many at once at most."""
        names = [f"t{n}" for n in range(AT_ONCE + 20)]
        made = self.rechecker(*names, answer=None)
        due = [made.due(name) for name in names]
        self.assertGreater(len(set(due)), len(names) // 2)
        self.run_for(5)
        self.assertEqual(len(self.check.asked), AT_ONCE)

    def test_own_trouble(self) -> None:
        """Without a descriptor nothing is learned, and it goes on."""
        self.rechecker(answer=OutOfResources("no file descriptor left"))
        self.run_for(5)
        self.assertGreaterEqual(len(self.check.asked), 4)
        self.assertEqual(self.pool.nodes["a"].stats.rechecks, 0)

    def test_check_with_a_bug(self) -> None:
        """A bug is told, and does not end it."""
        self.rechecker(answer=ZeroDivisionError())
        self.run_for(3)
        self.assertGreaterEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)

    def test_member_that_leaves(self) -> None:
        """A target that leaves the pool, or comes back otherwise, is not asked any more."""
        made = self.rechecker("a", "b")
        self.pool.replace([self.pool.nodes["b"].target], 0.1)
        self.pool.mark("b", True, "operator", 0.1)
        self.run_for(3)
        self.assertEqual(self.check.asked, [])
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertIsNone(made.due("a"))
