"""Tests of `lolly_tx.domain.balancers.consistent_hash` and `ring`."""

from __future__ import annotations

from collections import Counter
from random import Random
from unittest import mock

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.domain.balancers import ring as ring_module
from lolly_tx.domain.balancers.consistent_hash import FEW, ConsistentHash
from lolly_tx.domain.balancers.ring import MOST_POINTS, Ring, points_of
from lolly_tx.domain.pool import Pool
from tests.domain.balancers.test_rendezvous import KEYS, owners
from tests.domain.pools import pool_of, target

METHODS = ("rendezvous", "ring")


def hashed(*names: object, method: str = "ring", **settings: float) -> Pool:
    balancer = ConsistentHash(method=method, **settings)  # type: ignore[arg-type]
    return pool_of(*names, balancer=balancer)  # type: ignore[arg-type]


def many(count: int) -> Pool:
    return hashed(*(f"t{i}" for i in range(count)), method="auto")


class ConsistentHashTests(SynchronousTestCase):
    def test_shares(self) -> None:
        """Five equal targets hold 15 to 25 per cent of ten thousand keys each, by either method."""
        for method in METHODS:
            counts = Counter(owners(hashed(*"abcde", method=method)))
            for count in counts.values():
                self.assertTrue(1500 <= count <= 2500, (method, counts))

    def test_only_its_own_keys_move(self) -> None:
        """When one of five goes only its keys move, and all return with it, by either method."""
        for method in METHODS:
            pool = hashed(*"abcde", method=method)
            before = owners(pool)
            pool.set_enabled("b", "down", "test", 0.0)
            for old, new in zip(before, owners(pool), strict=True):
                self.assertTrue(old == new or (old == "b" and new != "b"))
            pool.set_enabled("b", "up", "test", 0.0)
            self.assertEqual(owners(pool), before)

    def test_newcomer_takes_only_its_own(self) -> None:
        """A target that joins takes its share, and no key moves between the others."""
        pool = hashed(*"abcde")
        before = owners(pool)
        pool.replace([*(n.target for n in pool.nodes.values()), target("f")], 0.0)
        moved = {(o, n) for o, n in zip(before, owners(pool), strict=True) if o != n}
        self.assertEqual({new for _, new in moved}, {"f"})

    def test_weights_in_the_ring(self) -> None:
        """In the ring shares follow the weights about."""
        counts = Counter(owners(hashed(target("a", weight=3), "b", "c")))
        self.assertApproximates(counts["a"], 6000, 700)

    def test_slow_start_in_the_ring(self) -> None:
        """A target with a tenth of its weight takes about a tenth of its share, from its own keys only."""
        pool = hashed("a", "b")
        before = owners(pool)
        some = tuple(pool.nodes.values())
        pool.nodes["a"].weight = 0.1
        after = [pool.balancer.pick(some, key).id for key in KEYS]
        self.assertTrue(200 <= after.count("a") <= 1600, after.count("a"))
        for old, new in zip(before, after, strict=True):
            self.assertTrue(new == old or old == "a")

    def test_many(self) -> None:
        """Among many the ring is used, and it moves few keys when one of them goes."""
        pool = many(200)
        before = owners(pool)
        self.assertIsNotNone(pool.balancer._ring)  # type: ignore[attr-defined]
        gone = before[0]
        pool.set_enabled(gone, "down", "test", 0.0)
        for old, new in zip(before, owners(pool), strict=True):
            self.assertTrue(old == new or old == gone)

    def test_ring_is_kept(self) -> None:
        """Nodes that go down and come back do not make the ring be laid out again."""
        pool = many(FEW + 8)
        owners(pool, KEYS[:1])
        with mock.patch.object(Ring, "lay_out", side_effect=AssertionError):
            for word in ("down", "up"):
                for name in ("t1", "t2", "t3"):
                    pool.set_enabled(name, word, "test", 0.0)
                owners(pool, KEYS[:1])

    def test_forgets_who_has_left(self) -> None:
        """A pool whose members all change again and again does not fill its ring with those of old."""
        pool = many(FEW + 8)
        for round_ in range(8):
            pool.replace([target(f"r{round_}-{i}") for i in range(40)], 0.0)
            owners(pool, KEYS[:3])
        known = pool.balancer._known  # type: ignore[attr-defined]
        self.assertLessEqual(len(known), 2 * 40 + FEW)

    def test_bounded_load(self) -> None:
        """With a bound a hot key spreads over its next targets instead of drowning one."""
        for method in METHODS:
            pool = hashed(*"abcd", method=method, balance_factor=1.25)
            for _ in range(40):
                pool.acquire(0.0, b"hot")
            held = [node.in_flight for node in pool.nodes.values()]
            self.assertLessEqual(max(held), 13)
            free = hashed(*"abcd", method=method)
            for _ in range(40):
                free.acquire(0.0, b"hot")
            self.assertEqual(max(n.in_flight for n in free.nodes.values()), 40)

    def test_bounded_light_load(self) -> None:
        """While nothing else runs a bounded key stays with its own target."""
        pool = hashed(*"abcd", balance_factor=1.25)
        self.assertEqual(owners(pool)[:500], owners(hashed(*"abcd"))[:500])

    def test_bounded_all_above(self) -> None:
        """When load is spread so that all are above, the key's own target takes it."""
        pool = hashed("a", balance_factor=1.25)
        self.assertEqual({pool.acquire(0.0, b"k").node.id for _ in range(9)}, {"a"})

    def test_wrong_settings(self) -> None:
        """Wrong settings are refused."""
        self.assertRaises(ValueError, ConsistentHash, method="magic")
        self.assertRaises(ValueError, ConsistentHash, balance_factor=0.5)

    def test_the_oldest_are_forgotten(self) -> None:
        """Of those that have left the latest keep their points, as they may come back."""
        pool = many(FEW + 8)
        for first in range(0, 200, 10):
            pool.replace([target(f"r{i}") for i in range(first, first + 40)], 0.0)
            owners(pool, KEYS[:1])
        known = pool.balancer._known  # type: ignore[attr-defined]
        self.assertEqual(set(known), {f"r{i}" for i in range(230 - 2 * 40 - FEW, 230)})


class RingTests(SynchronousTestCase):
    def test_size(self) -> None:
        """A ring of a thousand stays of a size that is laid out in no time."""
        pool = many(1000)
        self.assertLessEqual(len(Ring(pool.nodes.values())), MOST_POINTS)

    def test_points_begin_alike(self) -> None:
        """Fewer points of a node are the first of its many."""
        self.assertEqual(points_of("a", 10), points_of("a", 40)[:10])

    def test_everybody_is_met(self) -> None:
        """A walk from anywhere meets everybody who is there once."""
        pool = hashed(*"abcdef")
        ring = Ring(pool.nodes.values())
        there = {n.id: n for n in pool.nodes.values() if n.id != "c"}
        for key in (0, 1 << 63, (1 << 64) - 1):
            walked = [node.id for node in ring.walk(key, there)]
            self.assertEqual(sorted(walked), sorted(there))

    def test_changes_end_where_a_new_one_begins(self) -> None:
        """A ring that has seen targets come, go and get other weights is like one laid out for those of now."""
        chance = Random(7)
        there = {n.id: n for n in many(600).nodes.values()}
        everybody = list(there.values())
        ring = Ring(everybody[:40])
        for count in (41, 300, 299, 600, 500, 50, 33):
            now = chance.sample(everybody, count)
            for node in chance.sample(now, 5):
                node.base_weight = chance.choice([1, 2, 5])
            ring.lay_out(now)
            fresh, nodes = Ring(now), {n.id: n for n in now}
            self.assertEqual(len(ring), len(fresh))
            for _ in range(20):
                point = chance.getrandbits(64)
                walks = [list(one.walk(point, nodes)) for one in (ring, fresh)]
                self.assertEqual(walks[0], walks[1])

    def test_only_newcomers_are_computed(self) -> None:
        """A target that joins a thousand has its points computed, and nobody else."""
        nodes = list(many(1001).nodes.values())
        ring = Ring(nodes[:1000])
        with mock.patch.object(ring_module, "points_of", wraps=points_of) as computed:
            ring.lay_out(nodes[1:])
        self.assertEqual([call.args[0] for call in computed.mock_calls], ["t1000"])

    def test_more_points_go_on_from_those_there_are(self) -> None:
        """The points after the first ones are those of the whole, from wherever they begin."""
        for done in (0, 1, 8, 13):
            self.assertEqual(points_of("a", 40, done), points_of("a", 40)[done:])
