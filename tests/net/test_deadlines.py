"""Tests of the deadlines that are looked at together."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.net.alarm import CATCH_UP
from lolly_tx.net.deadlines import AT_ONCE, NEVER, PERIOD, Deadlines

TURN = 0.001


class Thing:
    """Watched; keeps when it expired."""

    def __init__(self, deadline: float, then=lambda thing: None) -> None:
        self.deadline = deadline
        self.times: list[float] = []
        self.then = then

    def expired(self, now: float) -> None:
        self.times.append(now)
        self.deadline = NEVER
        self.then(self)


class DeadlinesTests(SynchronousTestCase):
    def setUp(self):
        self.clock = Clock()
        self.deadlines = Deadlines(self.clock, self.clock.seconds)
        self.deadlines.start()

    def turns_take_time(self):
        """From now on what is put off to the next turn of the loop is due a little later."""
        later = self.clock.callLater
        self.clock.callLater = lambda delay, *call: later(delay or TURN, *call)

    def watch(self, *args):
        thing = Thing(*args)
        self.deadlines.add(thing)
        return thing

    def test_expires_once(self):
        """A deadline is met once, within a period."""
        soon, later, never = self.watch(0.25), self.watch(5.0), self.watch(NEVER)
        self.clock.pump([PERIOD] * 10)
        [at] = soon.times
        self.assertGreaterEqual(at, 0.25)
        self.assertLess(at, 0.25 + PERIOD)
        self.assertEqual(later.times + never.times, [])
        self.assertEqual(len(self.deadlines), 3)
        self.assertEqual(set(self.deadlines), {soon, later, never})

    def test_discard(self):
        """What is discarded does not expire; discarding it again does nothing."""
        thing = self.watch(0.1)
        self.deadlines.discard(thing)
        self.deadlines.discard(thing)
        self.clock.pump([PERIOD] * 3)
        self.assertEqual(thing.times, [])

    def test_many_at_once(self):
        """Of many that expire together a part is dealt with in each turn of the loop."""
        self.turns_take_time()
        things = [self.watch(0.05) for _ in range(2 * AT_ONCE + 1)]
        self.clock.advance(PERIOD)
        self.assertEqual(sum(len(each.times) for each in things), AT_ONCE)
        spared, saved = [each for each in things if not each.times][:2]
        self.deadlines.discard(spared)
        saved.deadline = NEVER
        self.clock.pump([TURN] * 3)
        self.assertEqual(sum(len(each.times) for each in things), 2 * AT_ONCE - 1)
        self.assertEqual(spared.times + saved.times, [])

    def test_stopped_between(self):
        """A stop leaves no timer behind, though some of many are not dealt with."""
        self.turns_take_time()
        for _ in range(AT_ONCE + 1):
            self.watch(0.05)
        self.clock.advance(PERIOD)
        self.deadlines.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_failure(self):
        """One that fails is logged and keeps nobody from expiring."""

        def fail(thing):
            raise ZeroDivisionError

        things = [self.watch(0.1, fail), self.watch(0.1), self.watch(0.1, fail)]
        self.clock.pump([PERIOD] * 3)
        self.assertEqual([len(thing.times) for thing in things], [1, 1, 1])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)

    def test_change_by_another(self):
        """Whoever loses his deadline by the expiry of another does not expire."""
        pair = []

        def disarm(thing):
            for each in pair:
                each.deadline = NEVER

        pair += [self.watch(0.1, disarm), self.watch(0.1, disarm)]
        self.clock.pump([PERIOD] * 3)
        self.assertEqual(sum(len(thing.times) for thing in pair), 1)

    def test_standstill(self):
        """After a late look nobody expires before the sockets have been read for a while."""
        waiting, answered = self.watch(1.0), self.watch(1.0)
        self.clock.pump([PERIOD] * 5)
        self.clock.advance(3.5)
        self.assertEqual(waiting.times + answered.times, [])
        answered.deadline = NEVER  # its bytes had been there all the time
        self.clock.pump([PERIOD] * round(CATCH_UP / PERIOD + 1))
        self.assertEqual(answered.times, [])
        [at] = waiting.times
        self.assertLess(abs(at - 4.0 - CATCH_UP), PERIOD + 0.01)

    def test_standstills_close_together(self):
        """An answer that came during the second of two standstills is read before its time is up."""
        for gap in (0.5, 1.0, 2.0, 3.0):
            self.setUp()
            first = self.watch(1.0)
            self.clock.advance(3.5)
            first.deadline = NEVER  # its answer is read
            self.clock.pump([PERIOD] * round(gap / PERIOD))
            second = self.watch(self.clock.seconds() + 0.5)
            self.clock.advance(3.5)
            self.clock.pump([PERIOD] * 18)
            self.assertEqual(first.times + second.times, [], f"{gap} s apart")
            self.clock.pump([PERIOD] * 5)
            self.assertEqual(len(second.times), 1)

    def test_standstill_is_told(self):
        """Whoever measures others hears how long the process did nothing, once."""
        thing = self.watch(NEVER)
        told = []
        thing.stood_still = lambda seconds, now: told.append((seconds, now))
        self.clock.pump([PERIOD, 3.5, PERIOD, PERIOD])
        [(seconds, now)] = told
        self.assertLess(abs(seconds - 3.4), 1e-6)
        self.assertLess(abs(now - 3.6), 1e-6)

    def test_short_standstill(self):
        """The respite is as long as the standstill was, at most."""
        waiting = self.watch(0.3)
        self.clock.pump([PERIOD, 0.5, 0.25])
        self.assertEqual(waiting.times, [])
        self.clock.pump([PERIOD] * 2)
        self.assertEqual(len(waiting.times), 1)

    def test_every_look_late(self):
        """Where every look is late, deadlines hold all the same."""
        waiting = self.watch(0.3)
        self.clock.pump([5 * PERIOD] * 4)
        self.assertEqual(len(waiting.times), 1)

    def test_start_after_a_while(self):
        """The time before the start is no standstill."""
        self.deadlines.stop()
        self.clock.advance(100)
        self.deadlines.start()
        waiting = self.watch(100.1)
        self.clock.pump([PERIOD] * 2)
        self.assertEqual(len(waiting.times), 1)

    def test_start_and_stop(self):
        """Both can be repeated, and begin again."""
        thing = self.watch(0.2)
        self.deadlines.start()
        self.deadlines.stop()
        self.deadlines.stop()
        self.clock.pump([PERIOD] * 5)
        self.assertEqual(thing.times, [])
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.deadlines.start()
        self.clock.pump([PERIOD] * 2)
        self.assertEqual(len(thing.times), 1)
