"""Tests of `lolly_tx.domain.checks.recheck`, and of what a pool makes of the connects."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.domain.account import account
from lolly_tx.domain.checks.health import Observation, Thresholds
from lolly_tx.domain.checks.recheck import AFTER_GOOD, SPREAD, RecheckDelays
from lolly_tx.domain.errors import ConnectTimedOut, ResponseTimedOut
from lolly_tx.domain.node import Node
from lolly_tx.domain.wayback import NextCheck, Planned
from tests.domain.pools import fail, pool_of

REACHED = Observation(True, "connected", 0.001)
REFUSED = Observation(False, "connection refused")


class RecheckDelaysTests(SynchronousTestCase):
    @given(st.floats(0.01, 100), st.floats(0, 0.999))
    def test_bounds(self, interval: float, chance: float) -> None:
        """A connect comes within an interval, at different times for different targets, and soon after a good one."""
        delays = RecheckDelays(interval)
        for delay in (delays.first(chance), delays.following(False, chance)):
            self.assertLessEqual(delay, interval)
            self.assertGreaterEqual(delay, (1 - SPREAD) * interval)
        self.assertEqual(delays.following(True, chance), AFTER_GOOD * interval)

    def test_longest(self) -> None:
        """With the defaults a target is back 1.25 s after it takes connections again."""
        self.assertEqual(RecheckDelays(1.0).longest(2), 1.25)
        self.assertEqual(
            (RecheckDelays(0.1).patience, RecheckDelays(5).patience), (1, 5)
        )


class ReachedTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.told: list[tuple[Node, float]] = []
        self.pool = pool_of("a")
        self.pool.on_unreachable.append(lambda node, now: self.told.append((node, now)))
        self.node = self.pool.nodes["a"]

    def test_told(self) -> None:
        """Whoever asks is told of each target that takes no connections, a failed trial included."""
        fail(self.pool, 0.0, 3)
        self.assertEqual(self.told, [(self.node, 0.0)])
        fail(self.pool, 60.0)
        self.assertEqual(self.told, [(self.node, 0.0), (self.node, 60.0)])

    def test_not_for_other_failures(self) -> None:
        """A target that takes connections and does not answer is not asked by one."""
        pool = pool_of("a", "b")
        pool.on_unreachable.append(lambda node, now: self.told.append((node, now)))
        fail(pool, 0.0, 3, error=ResponseTimedOut("late"), tried=[pool.nodes["b"]])
        self.assertEqual(pool.nodes["a"].ejection, "ejected")
        self.assertEqual(self.told, [])
        pool.reached("a", REACHED, 1.0)
        pool.reached("a", REACHED, 1.0)
        self.assertEqual(pool.nodes["a"].ejection, "ejected")

    def test_two_in_a_row(self) -> None:
        """`min_rises` connects in a row bring it back, and they are counted and kept as evidence."""
        fail(self.pool, 0.0, 3)
        for now, found in enumerate((REACHED, REFUSED, REACHED), 1):
            self.pool.reached("a", found, now)
            self.assertEqual(self.node.ejection, "ejected")
        self.pool.reached("a", REACHED, 3.25)
        self.assertEqual(self.node.ejection, "up")
        self.assertEqual(self.node.stats.rechecks, 4)
        self.assertEqual(len(self.node.evidence.checks), 4)
        self.assertIsNotNone(self.node.last_change)
        assert self.node.last_change is not None
        self.assertEqual(
            self.node.last_change.cause, "enough good checks, last: recheck: connected"
        )
        self.pool.reached("a", REFUSED, 4.0)
        self.pool.reached("gone", REFUSED, 4.0)
        self.assertEqual(self.node.stats.rechecks, 4)

    def test_failures_from_before(self) -> None:
        """Exchanges begun before it came back fail late, and do not take it out again."""
        late = [self.pool.acquire(0.0) for _ in range(9)]
        fail(self.pool, 0.0, 3)
        for now in (1.0, 2.0):
            self.pool.reached("a", REACHED, now)
        for lease in late:
            lease.failed(5.0, ConnectTimedOut("no connection in 5 s"))
            lease.release(5.0)
        self.assertEqual(self.node.ejection, "up")
        fail(self.pool, 6.0, 3)
        self.assertEqual(self.node.ejection, "ejected")

    def test_no_client_is_the_trial(self) -> None:
        """As long as our own connects fail no client has to try."""
        fail(self.pool, 0.0, 3)
        for now in range(1, 100):
            self.pool.reached("a", REFUSED, float(now))
        self.assertEqual(self.pool.available(100.0), ())
        self.assertEqual(len(self.pool.available(159.0)), 1)

    def test_explained(self) -> None:
        """`explain` says what is missing, and when the next connect is."""
        fail(self.pool, 0.0, 3)
        self.assertEqual(
            self.way_back(0.0, 0.4),
            "after 2 more connects of our own in a row (the next in 0.4 s)",
        )
        self.pool.reached("a", REACHED, 0.4)
        self.assertEqual(
            self.way_back(0.4, 0.65),
            "after 1 more connect of our own (the next in 0.2 s)",
        )

    def test_no_end_that_moves(self) -> None:
        """The end of the ejection, which each connect that fails moves, is told only when it comes first."""
        fail(self.pool, 0.0, 3)
        for now in range(1, 100):
            self.pool.reached("a", REFUSED, float(now))
            for due in (now + 1.0, "in progress"):
                self.assertNotIn("trial", self.way_back(float(now), due))
        self.assertEqual(
            self.way_back(158.5, 159.5),
            "in 0.5 s, for one trial request, or after 2 more connects of our own in a row (the next in 1.0 s)",
        )
        self.assertEqual(self.way_back(158.5, None), "in 0.5 s, for one trial request")

    def way_back(self, now: float, recheck: NextCheck) -> str:
        """What brings it back, which all that is shown of it agrees on."""
        planned = Planned(None, recheck)
        said = account(self.node, Thresholds(), now, planned)
        (row,) = self.pool.snapshot(now, lambda node_id: planned)
        (ways,) = said["back"]
        text: str
        (text,) = row["back"]
        self.assertEqual(", or ".join(ways), text)
        self.assertEqual(said["state"]["back"], row["back"])
        self.assertEqual(said["summary"], f"ejected: back {text}")
        return text
