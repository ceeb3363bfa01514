"""Tests of `lolly_tx.domain.balancers.least_conn`."""

from __future__ import annotations

from collections import Counter
from random import Random

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.domain.errors import NoTarget
from lolly_tx.domain.lease import Lease
from tests.domain.pools import picks, pool_of, target


class LeastConnTests(SynchronousTestCase):
    def test_ties_are_fair(self) -> None:
        """Idle targets take turns instead of the first one getting everything, few or many."""
        for n in (3, 30):
            pool = pool_of(*(f"t{i}" for i in range(n)), balance="least_conn")
            counts = Counter(pool_pick(pool) for _ in range(20 * n))
            self.assertEqual(set(counts.values()), {20})

    def test_fewest(self) -> None:
        """The target with the fewest exchanges is taken."""
        pool = pool_of("a", "b", "c", balance="least_conn")
        held = [pool.acquire(0.0) for _ in range(6)]
        gone = held[2].node
        for lease in held:
            if lease.node is gone:
                lease.release(0.0)
        self.assertEqual({pool.acquire(0.0).node for _ in range(2)}, {gone})

    def test_weights(self) -> None:
        """A target of weight 3 holds three times as many exchanges, among few and among many."""
        for n in (2, 20):
            targets = [target(f"t{i}", weight=1 if i % 2 else 3) for i in range(n)]
            pool = pool_of(*targets, balance="least_conn")
            for _ in range(n * 10):
                pool.acquire(0.0)
            held = [node.in_flight for node in pool.nodes.values()]
            for i, count in enumerate(held):
                self.assertApproximates(count, 5 if i % 2 else 15, 1)

    def test_never_an_idle_backup(self) -> None:
        """A busy primary is preferred to an idle backup."""
        pool = pool_of("a", target("b", backup=True), balance="least_conn")
        for _ in range(5):
            self.assertEqual(pool.acquire(0.0).node.id, "a")

    @given(st.integers(0, 2**32), st.sampled_from([3, 9, 20]))
    def test_always_the_least(self, seed: int, n: int) -> None:
        """Whatever comes and goes, the pick is one of the least loaded that have room."""
        random = Random(seed)
        targets = [
            target(f"t{i}", weight=random.randint(1, 3), max_conns=random.randint(0, 3))
            for i in range(n)
        ]
        pool = pool_of(*targets, balance="least_conn")
        held: list[Lease] = []
        for step in range(200):
            if step % 50 == 49:
                name = f"t{random.randrange(n)}"
                node = pool.nodes[name]
                word = "up" if node.enabled == "drain" else "drain"
                pool.set_enabled(name, word, "test", 0.0)  # type: ignore[arg-type]
            if held and random.random() < 0.45:
                held.pop(random.randrange(len(held))).release(0.0)
                continue
            free = [x for x in pool.available(0.0) if not x.full]
            loads = [(x.in_flight + 1) / x.weight for x in free]
            if not free:
                self.assertRaises(NoTarget, pool.acquire, 0.0)
                continue
            lease = pool.acquire(0.0)
            held.append(lease)
            self.assertEqual(lease.node.in_flight / lease.node.weight, min(loads))

    def test_all_full(self) -> None:
        """When all are full the balancer names one all the same; it is the pool that refuses."""
        pool = pool_of(
            *(target(f"t{i}", max_conns=1) for i in range(20)), balance="least_conn"
        )
        held = [pool.acquire(0.0) for _ in range(20)]
        self.assertRaises(NoTarget, pool.acquire, 0.0)
        candidates = pool.available(0.0)
        self.assertIn(pool.balancer.pick(candidates, None), candidates)
        held[7].release(0.0)
        self.assertIs(pool.acquire(0.0).node, held[7].node)

    def test_bounded_memory(self) -> None:
        """A long life of ups and downs of load does not grow what the balancer keeps."""
        pool = pool_of(*(f"t{i}" for i in range(16)), balance="least_conn")
        random, held = Random(5), []
        for i in range(5000):
            held.append(pool.acquire(0.0))
            if i % 7 == 0:
                random.shuffle(held)
                while held:
                    held.pop().release(0.0)
        heap = pool.balancer._heap  # type: ignore[attr-defined]
        self.assertLessEqual(len(heap), 4 * 16 + 64)


def pool_pick(pool: object) -> str:
    return picks(pool, 1)  # type: ignore[arg-type]
