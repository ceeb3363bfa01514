"""Tests of `lolly_tx.domain.balancers.round_robin`."""

from __future__ import annotations

from collections import Counter

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.domain.balancers.round_robin import RoundRobin, smooth
from lolly_tx.testing import fake_pool
from tests.domain.pools import picks, pool_of, target


def weighted(*weights: int) -> list[str]:
    """The picks of one cycle of targets a, b, c ..., as a string in a list of letters."""
    names = "abcdefgh"
    pool = pool_of(*(target(names[i], weight=w) for i, w in enumerate(weights)))
    return list(picks(pool, sum(weights)))


class RoundRobinTests(SynchronousTestCase):
    def test_golden(self) -> None:
        """A heavy target's turns are spread, not bunched."""
        self.assertEqual("".join(weighted(5, 1, 1)), "aabacaa")
        self.assertEqual("".join(weighted(3, 2, 1)), "abacba")

    def test_equal(self) -> None:
        """Equal targets take turns in the order of the file, also with weights that are equal."""
        self.assertEqual("".join(weighted(1, 1, 1)), "abc")
        self.assertEqual("".join(weighted(7, 7))[:4], "abab")

    def test_common_divisor(self) -> None:
        """Weights 300 and 200 make the same short cycle as 3 and 2."""
        pool = pool_of(target("a", weight=300), target("b", weight=200))
        self.assertEqual(picks(pool, 5), "ababa")

    def test_share(self) -> None:
        """Over 30,000 exchanges equal targets get equal shares within one per cent."""
        counts = Counter(picks(pool_of("a", "b", "c"), 30_000))
        for count in counts.values():
            self.assertApproximates(count, 10_000, 100)

    def test_many_weights(self) -> None:
        """Among hundreds of weighted targets the shares are exact after one cycle."""
        pool = pool_of(*(target(f"t{i}", weight=1 + i % 3) for i in range(300)))
        counts = Counter(pool.acquire(0.0).node for _ in range(600))
        for node, count in counts.items():
            self.assertEqual(count, node.target.weight)

    def test_odd_weights(self) -> None:
        """Weights too large for a cycle are shared within two per cent all the same, and evenly spread."""
        pool = pool_of(target("a", weight=7919), target("b", weight=15838 + 1))
        turns = picks(pool, 3000)
        self.assertApproximates(turns.count("b"), 2000, 40)
        self.assertNotIn("aa", turns)

    def test_change_of_members(self) -> None:
        """When a target goes, the turn passes to the next; nobody is favoured by a restart of the cycle."""
        pool = pool_of("a", "b", "c")
        self.assertEqual(picks(pool, 1), "a")
        pool.set_enabled("b", "drain", "test", 0.0)
        self.assertEqual(picks(pool, 3), "cac")
        pool.set_enabled("b", "up", "test", 0.0)
        self.assertEqual(picks(pool, 3), "abc")

    def test_steady_churn_is_fair(self) -> None:
        """Even if the membership changes before every pick, shares stay equal."""
        pool = pool_of("a", "b", "c", "d")
        counts: Counter[str] = Counter()
        for i in range(600):
            pool.set_enabled("d", "up" if i % 2 else "drain", "test", 0.0)
            counts[picks(pool, 1)] += 1
        for name in "abc":
            self.assertGreater(counts[name], 120)

    def test_newcomer_waits_its_turn(self) -> None:
        """A target that joins among odd weights does not get a burst to catch up."""
        pool = pool_of(target("a", weight=7919), target("b", weight=15839))
        picks(pool, 900)
        members = [n.target for n in pool.nodes.values()]
        pool.replace([*members, target("c", weight=7919)], 1.0)
        turns = picks(pool, 400, 1.0)
        self.assertApproximates(turns.count("c"), 100, 4)
        self.assertNotIn("cc", turns)

    def test_cycle_after_a_line(self) -> None:
        """When weights change from odd ones to those of a cycle, everybody has a turn in it."""
        pool = pool_of(target("a", weight=7919), target("b", weight=15839), "c")
        picks(pool, 50)
        names = {"a": 4000, "b": 4000, "c": 3}
        pool.replace([target(n, weight=w) for n, w in names.items()], 1.0)
        self.assertEqual(picks(pool, 8003, 1.0).count("c"), 3)
        pool.replace([target(n, weight=w) for n, w in {**names, "c": 4}.items()], 2.0)
        self.assertEqual(picks(pool, 2001, 2.0).count("c"), 1)

    def test_smooth_sum(self) -> None:
        """One cycle gives each index its weight in turns."""
        turns = smooth([4, 3, 9])
        self.assertEqual([turns.count(i) for i in range(3)], [4, 3, 9])

    def test_preview_of_odd_weights(self) -> None:
        """Also with weights that make no cycle the next turn can be seen without taking it."""
        pool = fake_pool("abc", RoundRobin())
        nodes = tuple(pool.nodes.values())
        nodes[0].weight = 0.3
        balancer = RoundRobin()
        for _ in range(20):
            said = balancer.preview(nodes, None), balancer.preview(nodes, None)
            self.assertEqual(said, (balancer.pick(nodes, None),) * 2)
