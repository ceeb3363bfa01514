"""Tests of the timers that read before they judge."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.net.alarm import (
    CATCH_UP,
    CATCH_UP_MOST,
    LATE,
    LOOK,
    Alarm,
    Patience,
    respite,
)

FROZEN = 3.5
"""Seconds of a standstill."""


class AlarmTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.rung: list[float] = []

    def alarm(self, seconds: float) -> Alarm:
        return Alarm(
            self.clock, seconds, lambda: self.rung.append(self.clock.seconds())
        )

    def test_in_time(self) -> None:
        """It rings once, at its time or as little later as a busy process is."""
        self.alarm(1.0)
        self.clock.pump([0.9, 0.1 + LATE / 2, 5.0])
        self.assertEqual(self.rung, [1.0 + LATE / 2])

    def test_standstill(self) -> None:
        """Late by a standstill, it rings once, after as long again."""
        self.alarm(1.0)
        self.clock.advance(1.5)
        self.clock.pump([LOOK] * 4)
        self.assertEqual(self.rung, [])
        self.clock.pump([LOOK] * 30)
        [at] = self.rung
        self.assertLessEqual(abs(at - 2.0), LOOK + 1e-6)

    def test_standstill_in_the_respite(self) -> None:
        """Another standstill while it catches up is caught up with as well."""
        for gap in (0.0, 0.5, 1.0, 1.5):
            self.rung.clear()
            alarm = self.alarm(1.0)
            self.clock.advance(FROZEN)
            self.clock.pump([LOOK] * round(gap / LOOK))
            self.clock.advance(FROZEN)
            resumed = self.clock.seconds()
            self.clock.pump([LOOK] * (round(CATCH_UP / LOOK) - 1))
            self.assertEqual(self.rung, [], f"{gap} s apart")
            self.clock.pump([LOOK] * 30)
            [at] = self.rung
            self.assertLess(abs(at - resumed - CATCH_UP), LOOK + 1e-6)
            alarm.cancel()

    def test_overload(self) -> None:
        """Where every timer is late by a little, it rings all the same."""
        self.alarm(0.75)
        self.clock.pump([0.5] * 6)
        self.assertEqual(self.rung, [1.5])

    def test_cancel(self) -> None:
        """Cancelled before its time, in its respite or after it has rung: nothing follows."""
        for steps in ([0.5], [1.5], [1.0]):
            alarm = self.alarm(1.0)
            self.clock.pump(steps)
            alarm.cancel()
            alarm.cancel()
            self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(len(self.rung), 1)

    def test_respite(self) -> None:
        """There is none for who is hardly late, and never more than CATCH_UP."""
        self.assertEqual(respite(-1.0), 0.0)
        self.assertEqual(respite(LATE), 0.0)
        self.assertEqual(respite(0.5), 0.5)
        self.assertEqual(respite(3600.0), CATCH_UP)


class PatienceTests(SynchronousTestCase):
    def test_standstill(self) -> None:
        """A late look does not judge, nor do those of the next while; then all is as before."""
        patience = Patience(0.25)
        patience.begin(0.0)
        looks = [0.25, 0.5, 2.0, 2.25, 2.5, 2.75, 3.0, 3.25, 3.5, 3.75]
        judged = [now for now in looks if patience.allows(now)]
        self.assertEqual(judged, [0.25, 0.5, 3.25, 3.5, 3.75])

    def test_every_look_late(self) -> None:
        """Of looks that are all late every other one judges."""
        patience = Patience(0.25)
        patience.begin(0.0)
        judged = [now for now in (1.0, 2.0, 3.0, 4.0) if patience.allows(now)]
        self.assertEqual(judged, [2.0, 4.0])

    def after(self, *steps: float) -> tuple[Patience, float]:
        """Looks so many seconds apart, none of which may judge; where that leads to."""
        patience = Patience(LOOK)
        patience.begin(0.0)
        now = 0.0
        for step in steps:
            now += step
            self.assertFalse(patience.allows(now), f"at {now:.1f} s")
        return patience, now

    def test_each_standstill_has_its_respite(self) -> None:
        """However soon one follows another, what has come is read before anybody is judged."""
        for gap in (0.0, 0.5, 1.0, 1.9):
            steps = [FROZEN, *[LOOK] * round(gap / LOOK)] * 4
            patience, now = self.after(*steps, FROZEN, *[LOOK] * 19)
            judged = [patience.allows(now + LOOK * n) for n in (1, 2, 3, 4)]
            self.assertEqual(judged[1:], [True] * 3, f"{gap} s apart")

    def test_respite_after_a_judgement(self) -> None:
        """Standstills that are far apart are caught up with, and judged by in between."""
        for gap in (2.5, 3.0):
            patience, now = self.after(FROZEN, *[LOOK] * 19)
            looks = round(gap / LOOK) - 19
            judged = [patience.allows(now + LOOK * n) for n in range(1, looks)]
            self.assertIn(True, judged)
            now += LOOK * looks + FROZEN
            looked = [patience.allows(now + LOOK * n) for n in range(20)]
            self.assertEqual(looked, [False] * 20)

    def test_catching_up_while_overloaded(self) -> None:
        """A standstill while all looks are late is told from them by its length."""
        patience, now = self.after(FROZEN, 0.3, 0.3, FROZEN, 0.3, 0.3)
        self.assertFalse(patience.allows(now + 1.2))
        self.assertTrue(patience.allows(now + 1.5))

    def test_always_behind(self) -> None:
        """Who stands still for most of the time judges at times, at a look that is in time or at last."""
        for late, in_time in ((0.6, 1), (FROZEN, 5), (FROZEN, 0)):
            patience = Patience(LOOK)
            patience.begin(0.0)
            now, judged, looks = 0.0, [], 0
            while now < 100 * FROZEN:
                for step in (late, *[LOOK] * in_time):
                    now += step
                    looks += 1
                    if patience.allows(now):
                        judged.append(step)
            self.assertGreater(len(judged), 3)
            self.assertLessEqual(looks, (len(judged) + 1) * 2.1 * CATCH_UP_MOST / LOOK)
            self.assertEqual(set(judged), {LOOK if in_time else late})
