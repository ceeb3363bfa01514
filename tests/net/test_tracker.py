"""Tests of lolly_tx.net.library.tracker: one verdict at most, one release."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionDone, ConnectionRefusedError
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.domain.errors import (
    ConnectFailed,
    ConnectionReset,
    DownstreamGone,
    ResponseTimedOut,
    StaleConnection,
)
from lolly_tx.net.library.tracker import Tracker
from tests.domain.pools import pool_of


class TrackerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.pool = pool_of("a")
        self.node = self.pool.nodes["a"]
        self.now = 1.0
        self.tracker = Tracker(self.pool.acquire(self.now), lambda: self.now)

    def assertEnded(self, successes: int, failures: int) -> None:
        self.assertEqual(self.node.in_flight, 0)
        stats = self.node.stats
        self.assertEqual((stats.successes, stats.failures), (successes, failures))

    def test_success_then_end(self) -> None:
        """The lease outlives the verdict and ends with the body."""
        self.tracker.succeeded(200)
        self.assertEqual(self.node.in_flight, 1)
        self.now = 3.0
        self.tracker.ended()
        self.tracker.ended()
        self.assertEnded(1, 0)

    def test_failure_after_success(self) -> None:
        """Only the first verdict counts."""
        self.tracker.succeeded()
        self.tracker.failed(ConnectionDone(), connecting=False)
        self.assertEnded(1, 0)

    def test_failure_is_held_against_the_node(self) -> None:
        """The node's failure is counted, the lease released, the error named."""
        error = self.tracker.failed(ConnectionRefusedError(), connecting=True)
        self.assertIsInstance(error, ConnectFailed)
        self.assertEnded(0, 1)

    def test_end_without_a_verdict(self) -> None:
        """A client that went away says nothing about the node."""
        self.tracker.ended()
        self.assertEnded(0, 0)

    def test_cancel_by_the_caller(self) -> None:
        """A cancel without a recorded reason counts neither way."""
        attempt: Deferred[Any] = Deferred()
        tracked = self.tracker.track(attempt, connecting=False)
        tracked.cancel()
        self.failureResultOf(tracked, DownstreamGone)
        self.assertEnded(0, 0)

    def test_cancel_with_a_reason(self) -> None:
        """A timeout of ours cancels too, and is held against the node."""
        attempt: Deferred[Any] = Deferred()
        tracked = self.tracker.track(attempt, connecting=False)
        self.tracker.because = ResponseTimedOut("no answer in 3 s")
        tracked.cancel()
        failure = self.failureResultOf(tracked, ResponseTimedOut)
        self.assertIsInstance(failure.value.__cause__, CancelledError)
        self.assertEnded(0, 1)

    def test_tracked_result_passes(self) -> None:
        """A result leaves the lease open for whoever reads the body."""
        attempt: Deferred[Any] = Deferred()
        tracked = self.tracker.track(attempt, connecting=False)
        attempt.callback("head")
        self.assertEqual(self.successResultOf(tracked), "head")
        self.assertEqual(self.node.in_flight, 1)
        self.assertIn("open", repr(self.tracker))

    def test_tracked_error_of_ours_stays_the_same(self) -> None:
        """An error that needs no translation is not wrapped again."""
        mine = Failure(ConnectionReset("x"))
        attempt: Deferred[Any] = Deferred()
        tracked = self.tracker.track(attempt, connecting=False)
        attempt.errback(mine)
        self.assertIs(self.failureResultOf(tracked).value, mine.value)

    def test_forgiven(self) -> None:
        """A kept connection found dead is not the node's failure; a timeout on it is."""
        error = self.tracker.forgiven(ConnectionDone())
        self.assertIsInstance(error, StaleConnection)
        self.assertEnded(0, 0)
        other = Tracker(self.pool.acquire(1.0), lambda: 2.0)
        other.forgiven(ResponseTimedOut("late"))
        self.assertEnded(0, 1)
