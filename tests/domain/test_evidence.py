"""Tests of the evidence kept of each target."""

from random import Random

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.domain.accruals.consecutive import ConsecutiveFailures
from lolly_tx.domain.balancers.round_robin import RoundRobin
from lolly_tx.domain.errors import ConnectFailed
from lolly_tx.domain.evidence import KEPT
from lolly_tx.domain.roster import DEPARTED
from lolly_tx.testing import BAD_CHECK, GOOD_CHECK, fake_pool, fake_target


def make_pool(*targets):
    return fake_pool(targets, RoundRobin(random=Random(1)), ConsecutiveFailures)


class EvidenceTests(SynchronousTestCase):
    def test_checks(self):
        """Each check leaves its time, verdict and cause, and only the last few are kept."""
        pool = make_pool("a")
        pool.observe("a", BAD_CHECK, 1.0)
        pool.observe("a", GOOD_CHECK, 2.0)
        checks = pool.nodes["a"].evidence.checks
        self.assertEqual(
            [(c.at, c.ok, c.cause, c.seconds) for c in checks],
            [
                (1.0, False, "503 from /health", 0.01),
                (2.0, True, "200 from /health", 0.01),
            ],
        )
        for at in range(20):
            pool.observe("a", GOOD_CHECK, 10.0 + at)
        self.assertEqual(len(checks), KEPT)
        self.assertIn(f"{KEPT} checks, 0 failures", repr(pool.nodes["a"].evidence))

    def test_failures(self):
        """Each failure of traffic leaves its time and cause; successes leave nothing."""
        pool = make_pool("a")
        for at, error in ((1.0, None), (2.0, ConnectFailed("connection refused"))):
            lease = pool.acquire(at)
            if error is None:
                lease.succeeded(at)
            else:
                lease.failed(at + 0.5, error)
            lease.release(at)
        [seen] = pool.nodes["a"].evidence.failures
        self.assertEqual(
            (seen.at, seen.cause, seen.seconds), (2.5, "connection refused", 0.5)
        )


class HistoryTests(SynchronousTestCase):
    def test_change_of_membership(self):
        """A target that stays, or leaves and comes back, keeps its history."""
        pool = make_pool("a", "b")
        pool.observe("a", BAD_CHECK, 1.0)
        pool.replace([fake_target("a", weight=3)], 2.0)
        pool.replace([fake_target("b")], 3.0)
        pool.replace([fake_target("a")], 4.0)
        facts = [(e.at, e.fact, e.new) for e in pool.nodes["a"].history]
        self.assertEqual(
            facts,
            [
                (1.0, "health", "down"),
                (2.0, "membership", "weight=3"),
                (3.0, "membership", ""),
                (4.0, "membership", "member"),
            ],
        )

    def test_departed_are_bounded(self):
        """Of those that left only so many are remembered, the latest."""
        pool = make_pool("keeps")
        for number in range(DEPARTED + 2):
            pool.replace([fake_target(f"t{number}")], float(number))
        pool.replace([fake_target("keeps"), fake_target("t2")], 100.0)
        self.assertEqual(len(pool.nodes["keeps"].history), 1)
        self.assertEqual(len(pool.nodes["t2"].history), 3)
