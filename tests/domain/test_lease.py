"""Tests of `lolly_tx.domain.lease`: whose time counts, and what decides a trial."""

from __future__ import annotations

from random import Random
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.domain.accruals.rate import SlowAnswers
from lolly_tx.domain.balancers.least_time import LeastTime
from lolly_tx.domain.concurrency import AdaptiveLimit
from lolly_tx.domain.ejection import TRIAL_SECONDS, UPLOAD_TRIAL_SECONDS
from lolly_tx.domain.errors import AllFull, ConnectionReset, StaleConnection
from lolly_tx.domain.lease import WAITING, Lease
from lolly_tx.domain.outlier import OutlierLimits
from lolly_tx.domain.pool import Pool
from tests.domain.pools import fail, pool_of, succeed

BROKEN = ConnectionReset("connection closed within the response")


def upload(pool: Pool, at: float, complete: float, head: float, end: float) -> None:
    """One exchange whose request, answer's head and answer's end come at these times."""
    lease = pool.acquire(at)
    lease.asked = WAITING
    lease.asked = complete
    lease.answered(head, 200)
    lease.ended(end, 200)


class LatencyTests(SynchronousTestCase):
    """Neither slow writers nor slow readers count: only what is between the request's end and the head."""

    def test_passive_latency(self) -> None:
        """Twelve slow clients do not eject a target that answers at once."""
        pool = pool_of(
            "a", "b", accrual=lambda: SlowAnswers(over=2.0, at_least=5, share=0.5)
        )
        for i in range(24):
            upload(pool, i, i + 10.0, i + 10.1, i + 30.0)
        self.assertEqual(pool.nodes["a"].ejection, "up")
        for i in range(9):
            upload(pool, 100.0 + i, 100.0 + i, 103.0 + i, 103.0 + i)
        self.assertEqual(pool.nodes["a"].ejection, "ejected")

    def test_adaptive(self) -> None:
        """An adaptive limit does not shrink because clients read slowly."""
        limit = AdaptiveLimit(initial=10, floor=2)
        pool = pool_of("a", adaptive=limit)
        for i in range(40):
            upload(pool, i / 10, i / 10, i / 10 + 0.01, i / 10 + 0.01)
        for i in range(400):
            now = 10.0 + i / 10
            upload(pool, now, now + 5.0, now + 5.01, now + 20.0)
        self.assertGreaterEqual(limit.limit, 10)

    def test_adaptive_room(self) -> None:
        """Nor do readers and writers take the room that others need for their answers."""
        limit = AdaptiveLimit(initial=10, floor=2)
        pool = pool_of("a", adaptive=limit)
        told: list[float] = []
        pool.on_room.append(told.append)
        slow = [pool.acquire(0.0) for _ in range(10)]
        self.assertRaises(AllFull, pool.acquire, 0.0)
        for lease in slow[:5]:
            lease.answered(0.1, 200)
        for lease in slow[5:]:
            lease.asked = WAITING
        self.assertEqual(told, [0.1] * 5)
        quick = [pool.acquire(0.2) for _ in range(10)]
        self.assertRaises(AllFull, pool.acquire, 0.2)
        for lease in slow + quick:
            lease.release(9.0)
        self.assertEqual((pool.in_flight, pool.caps.leases), (0, set()))

    def test_early_answer_is_no_sample(self) -> None:
        """An answer before the request's end says nothing about how long answers take."""
        limit = AdaptiveLimit(initial=10, floor=2)
        pool = pool_of("a", adaptive=limit, balance="least_time")
        lease = pool.acquire(0.0)
        lease.asked = WAITING
        lease.answered(7.0, 413)
        self.assertEqual((lease.seconds, limit._count), (0.0, 0))
        self.assertEqual(pool.nodes["a"].cost, float("-inf"))
        lease.ended(9.0, 413)
        self.assertEqual(pool.nodes["a"].stats.latency_sum, 0.0)

    def test_outliers(self) -> None:
        """A target is not slower than its peers because its clients are."""
        pool = pool_of("a", "b", "c", outliers=OutlierLimits(latency=True))
        for i in range(60):
            slow = 10.0 if i % 3 == 0 else 0.0  # all of one target's
            now = i / 100
            upload(pool, now, now + slow, now + slow + 0.02, now + slow + 20.0)
        pool.acquire(61.0).release(61.0)
        self.assertEqual([n.ejection for n in pool.nodes.values()], ["up"] * 3)

    def test_statistics(self) -> None:
        """The mean latency that is shown is that of the target."""
        pool = pool_of("a")
        upload(pool, 0.0, 5.0, 5.5, 60.0)
        stats = pool.nodes["a"].stats
        self.assertEqual((stats.successes, stats.latency_sum), (1, 0.5))


class EndTests(SynchronousTestCase):
    def test_an_answer_that_breaks_off_is_a_failure(self) -> None:
        """Three answers in a row that break off after their heads eject, as ever."""
        pool = pool_of("a", "b")
        for i in range(6):
            lease = pool.acquire(float(i))
            lease.answered(float(i), 200)
            lease.failed(i + 0.5, BROKEN)
            lease.release(i + 0.5)
        node = pool.nodes["a"]
        self.assertEqual((node.ejection, node.stats.failures), ("ejected", 3))
        self.assertEqual(node.stats.successes, 0)

    def test_nobody_reads_the_rest(self) -> None:
        """A client that leaves within an answer leaves a success behind."""
        pool = pool_of("a")
        lease = pool.acquire(0.0)
        lease.answered(0.1, 200)
        lease.release(5.0)
        self.assertEqual(pool.nodes["a"].stats.successes, 1)

    def test_nobody_waits_for_the_head(self) -> None:
        """One that leaves before it leaves none, nor does an error that blames nobody."""
        pool = pool_of("a")
        for error in (None, StaleConnection("closed")):
            lease = pool.acquire(0.0)
            if error is not None:
                lease.failed(0.1, error)
            lease.release(5.0)
        stats = pool.nodes["a"].stats
        self.assertEqual((stats.successes, stats.failures), (0, 0))

    def test_statuses_count_at_the_head(self) -> None:
        """A status that counts as a failure does so at once, once."""
        pool = pool_of("a", "b", failure_statuses=(503,))
        for i in range(5):
            lease = pool.acquire(0.0)
            lease.answered(0.0, 503)
            self.assertEqual(len(lease.node.evidence.failures), 1 + i // 2)
            if i < 3:
                lease.ended(9.0, 503)
        self.assertEqual(len(lease.node.evidence.failures), 3)
        self.assertEqual(pool.nodes["a"].ejection, "ejected")


class TrialTests(SynchronousTestCase):
    def ejected(self, **settings: Any) -> Pool:
        """A pool whose target a is on trial from 60 s on; b serves all the time."""
        pool = pool_of("a", "b", **settings)
        fail(pool, 0.0, 3, tried=[pool.nodes["b"]])
        return pool

    def acquire(self, pool: Pool, now: float) -> Lease:
        """A lease of a."""
        return pool.acquire(now, tried=[pool.nodes["b"]])

    def succeed(self, pool: Pool, now: float) -> None:
        """An exchange with a that goes well."""
        succeed(pool, now, tried=[pool.nodes["b"]])

    def test_judged_by_the_head(self) -> None:
        """An event stream brings a target back with its head, not with its end."""
        pool = self.ejected()
        stream = self.acquire(pool, 60.0)
        stream.answered(60.1, 200)
        self.assertEqual(pool.nodes["a"].ejection, "up")
        self.succeed(pool, 60.2)
        stream.release(3600.0)
        self.assertEqual(pool.nodes["a"].stats.successes, 2)

    def test_bad_head(self) -> None:
        """A status that counts as a failure ends the trial with its head, too."""
        pool = self.ejected(failure_statuses=(503,))
        self.acquire(pool, 60.0).answered(60.1, 503)
        self.assertEqual(pool.nodes["a"].ejection, "ejected")
        self.assertEqual(pool.nodes["a"].ejected_until, 120.1)

    def test_an_upload_makes_room(self) -> None:
        """A trial whose client is still sending keeps the next one away for a second only."""
        pool = self.ejected()
        slow = self.acquire(pool, 60.0)
        slow.asked = WAITING
        self.assertRaises(
            AllFull, self.acquire, pool, 60.0 + UPLOAD_TRIAL_SECONDS - 0.1
        )
        self.succeed(pool, 60.0 + UPLOAD_TRIAL_SECONDS)
        self.assertEqual(pool.nodes["a"].ejection, "up")
        slow.asked = 300.0
        slow.ended(300.1, 200)

    def test_a_silent_target_makes_room(self) -> None:
        """One that waits for its answer does so for ten seconds, and the next after as many."""
        pool = self.ejected()
        self.acquire(pool, 60.0)
        self.assertRaises(AllFull, self.acquire, pool, 60.0 + TRIAL_SECONDS - 0.1)
        self.acquire(pool, 60.0 + TRIAL_SECONDS)
        self.assertRaises(AllFull, self.acquire, pool, 60.0 + TRIAL_SECONDS + 0.1)
        self.succeed(pool, 60.0 + 2 * TRIAL_SECONDS)
        self.assertEqual(pool.nodes["a"].ejection, "up")

    def test_late_verdicts_count(self) -> None:
        """The verdict of a trial that made room counts when it comes: good, or bad."""
        for good in (True, False):
            pool = self.ejected()
            first = self.acquire(pool, 60.0)
            self.acquire(pool, 75.0)
            if good:
                first.answered(76.0, 200)
            else:
                first.failed(76.0, BROKEN)
            word = "up" if good else "ejected"
            self.assertEqual(pool.nodes["a"].ejection, word)

    def test_of_an_ejection_before(self) -> None:
        """That of a trial before the last ejection does not."""
        pool = self.ejected()
        first = self.acquire(pool, 60.0)
        self.acquire(pool, 75.0).failed(76.0, BROKEN)
        first.answered(77.0, 200)
        self.assertEqual(pool.nodes["a"].ejection, "ejected")
        second = self.acquire(pool, 136.0)
        self.assertEqual(pool.nodes["a"].ejection, "trial")
        first.ended(137.0, 200)
        self.assertEqual(pool.nodes["a"].ejection, "trial")
        second.answered(137.0, 200)
        self.assertEqual(pool.nodes["a"].ejection, "up")


class LastByteTests(SynchronousTestCase):
    """`least_time` by the header, or by the last byte."""

    def costs(self, metric: str) -> dict[str, float]:
        pool = pool_of("a", "b", balancer=LeastTime(Random(1), metric=metric))
        for _ in range(2):
            lease = pool.acquire(0.0)
            whole = 9.0 if lease.node.id == "a" else 0.2
            lease.answered(0.1, 200)
            lease.ended(whole, 200)
        return {node.id: node.cost for node in pool.nodes.values()}

    def test_header(self) -> None:
        """Slow readers of one target do not make it dearer."""
        costs = self.costs("header")
        self.assertEqual(costs["a"], costs["b"])

    def test_last_byte(self) -> None:
        """With `last_byte` they do, for the whole of the answer counts."""
        costs = self.costs("last_byte")
        self.assertGreater(costs["a"], costs["b"] + 3)

    def test_break_off(self) -> None:
        """An answer that breaks off counts as an error with either; a client that leaves says nothing of the rest."""
        for metric in ("header", "last_byte"):
            balancer = LeastTime(Random(1), metric=metric, error=5.0)
            pool = pool_of("a", balancer=balancer)
            lease = pool.acquire(0.0)
            lease.answered(0.1, 200)
            before = pool.nodes["a"].cost
            lease.failed(0.2, BROKEN)
            self.assertGreater(pool.nodes["a"].cost, max(before, 1.5))
            pool = pool_of("a", balancer=LeastTime(Random(1), metric="last_byte"))
            left = pool.acquire(0.0)
            left.answered(0.1, 200)
            left.release(99.0)
            self.assertEqual(pool.nodes["a"].cost, float("-inf"))

    def test_unknown(self) -> None:
        """Any other word is refused."""
        self.assertRaises(ValueError, LeastTime, Random(1), metric="middle")
