"""Tests of lolly_tx.net.timeout."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.domain.errors import ConnectTimedOut, ResponseTimedOut
from lolly_tx.net.timeout import within


class WithinTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()

    def limited(self, attempt: Deferred[Any]) -> Deferred[Any]:
        return within(attempt, 3.0, self.clock, lambda: ResponseTimedOut("late"))

    def test_in_time(self) -> None:
        """A result in time passes, and the timer is gone."""
        attempt: Deferred[Any] = Deferred()
        limited = self.limited(attempt)
        attempt.callback("done")
        self.assertEqual(self.successResultOf(limited), "done")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_failure_in_time(self) -> None:
        """A failure in time passes as it is."""
        attempt: Deferred[Any] = Deferred()
        limited = self.limited(attempt)
        attempt.errback(ConnectTimedOut())
        self.failureResultOf(limited, ConnectTimedOut)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_late(self) -> None:
        """The attempt is cancelled, and the error says that it was our limit."""
        cancelled: list[Any] = []
        limited = self.limited(Deferred(cancelled.append))
        self.clock.advance(2.9)
        self.assertNoResult(limited)
        self.clock.advance(0.1)
        self.assertEqual(len(cancelled), 1)
        failure = self.failureResultOf(limited, ResponseTimedOut)
        self.assertIsInstance(failure.value.__cause__, CancelledError)

    def test_standstill(self) -> None:
        """What had come by the end of a standstill is read before anything is cancelled."""
        attempt: Deferred[Any] = Deferred()
        limited = self.limited(attempt)
        self.clock.advance(3.5)
        self.assertNoResult(limited)
        attempt.callback("connected long ago")
        self.assertEqual(self.successResultOf(limited), "connected long ago")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_standstill_and_nothing_came(self) -> None:
        """After a standstill the limit holds a little later."""
        limited = self.limited(Deferred())
        self.clock.pump([3.5, 0.6])
        self.failureResultOf(limited, ResponseTimedOut)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_cancelled_by_the_caller(self) -> None:
        """A cancel by the caller stays one."""
        limited = self.limited(Deferred())
        limited.cancel()
        self.failureResultOf(limited, CancelledError)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_result_in_spite_of_the_cancel(self) -> None:
        """A result that wins the race against the limit is kept."""
        limited = self.limited(Deferred(lambda d: d.callback("just so")))
        self.clock.advance(3)
        self.assertEqual(self.successResultOf(limited), "just so")
