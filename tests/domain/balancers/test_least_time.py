"""Tests of `lolly_tx.domain.balancers.least_time`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from random import Random

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.domain.balancers.least_time import LeastTime
from lolly_tx.domain.errors import ConnectFailed
from lolly_tx.domain.pool import Pool
from tests.domain.pools import pool_of, target


def sequence(
    pool: Pool, took: Mapping[str, float], count: int, now: float = 0.0
) -> tuple[Counter[str], float]:
    """So many exchanges one after the other, each as long as its target takes; the counts and the time at the end."""
    counts: Counter[str] = Counter()
    for _ in range(count):
        lease = pool.acquire(now)
        now += took[lease.node.id]
        lease.succeeded(now)
        lease.release(now)
        counts[lease.node.id] += 1
    return counts, now


class LeastTimeTests(SynchronousTestCase):
    def test_fast_one_gets_it(self) -> None:
        """Of 60 exchanges in a row over a 50 ms and a 1 ms target, the fast one gets at least 55."""
        pool = pool_of("slow", "fast", balance="least_time")
        counts, _ = sequence(pool, {"slow": 0.05, "fast": 0.001}, 60)
        self.assertGreaterEqual(counts["fast"], 55)

    def test_nobody_starves(self) -> None:
        """When the slow one recovers it gets its share again, without any help."""
        pool = pool_of("slow", "fast", balance="least_time")
        _, now = sequence(pool, {"slow": 0.05, "fast": 0.001}, 60)
        _, now = sequence(pool, {"slow": 0.001, "fast": 0.001}, 60_000, now)
        counts, _ = sequence(pool, {"slow": 0.001, "fast": 0.001}, 1000, now)
        self.assertTrue(300 <= counts["slow"] <= 700, counts)

    def test_waiting_counts(self) -> None:
        """A target ten times as fast takes ten exchanges at once before the slow one gets any."""
        pool = pool_of("slow", "fast", balance="least_time")
        sequence(pool, {"slow": 0.1, "fast": 0.01}, 20)
        held = Counter(pool.acquire(1.0).node.id for _ in range(22))
        self.assertApproximates(held["fast"], 20, 1)

    def test_unknown_is_tried_once(self) -> None:
        """A target nobody has measured gets one exchange, and no other before that has ended."""
        pool = pool_of("new", "old", balance="least_time")
        old = pool.nodes["new"]
        sequence(pool, {"new": 0.01, "old": 0.01}, 4)
        pool.replace([target("new2"), target("old")], 1.0)
        held = Counter(pool.acquire(1.0).node.id for _ in range(20))
        self.assertEqual(held["new2"], 1)
        self.assertEqual(old.in_flight, 0)

    def test_errors_are_slow(self) -> None:
        """A target that fails at once does not draw the traffic."""
        pool = pool_of("a", "b", balance="least_time", accrual=None)
        counts: Counter[str] = Counter()
        for i in range(100):
            lease = pool.acquire(i / 100)
            counts[lease.node.id] += 1
            if lease.node.id == "a":
                lease.failed(i / 100, ConnectFailed())
            else:
                lease.succeeded(i / 100 + 0.2)
            lease.release(i / 100)
        self.assertLessEqual(counts["a"], 5)

    def test_server_errors_are_slow(self) -> None:
        """Quick 500s do not draw the traffic either."""
        pool = pool_of("a", "b", balance="least_time")
        for _ in range(2):
            lease = pool.acquire(0.0)
            lease.succeeded(0.001, 500 if lease.node.id == "a" else 200)
            lease.release(0.001)
        self.assertEqual(pool.acquire(0.0).node.id, "b")

    def test_many(self) -> None:
        """Among many the fast ones get most of it by two draws."""
        names = [f"t{i}" for i in range(20)]
        pool = pool_of(*names, balance="least_time")
        took = {name: 0.001 if i < 10 else 0.1 for i, name in enumerate(names)}
        _, now = sequence(pool, took, 200)
        counts, _ = sequence(pool, took, 2000, now)
        fast = sum(counts[name] for name in names[:10])
        self.assertGreater(fast, 1400)

    def test_many_two_different(self) -> None:
        """Among many the slowest is never chosen: it is always compared with another one."""
        names = [f"t{i}" for i in range(9)]
        pool = pool_of(*names, balance="least_time")
        for node in pool.nodes.values():
            node.cost = 1.0
        pool.nodes["t4"].cost = 9.0
        counts = Counter(pool.acquire(0.0).node.id for _ in range(400))
        self.assertNotIn("t4", counts)

    def test_no_time_at_all(self) -> None:
        """Answers that take no measurable time break nothing."""
        counts, _ = sequence(
            pool_of("a", "b", balance="least_time"), {"a": 0.0, "b": 0.0}, 10
        )
        self.assertEqual(counts, {"a": 5, "b": 5})

    def test_wrong_settings(self) -> None:
        """Times that make no sense are refused."""
        self.assertRaises(ValueError, LeastTime, Random(1), half_life=0)
        self.assertRaises(ValueError, LeastTime, Random(1), error=-1)
