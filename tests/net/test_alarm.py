"""Tests of the timers that read before they judge."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.net.alarm import CATCH_UP, LATE, Alarm, Patience, respite


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
        """Late by a standstill, it rings once, after as long again, however late that is."""
        self.alarm(1.0)
        self.clock.advance(1.5)
        self.assertEqual(self.rung, [])
        self.clock.pump([5.0, 5.0])
        self.assertEqual(self.rung, [6.5])

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
