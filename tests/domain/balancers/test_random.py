"""Tests of `lolly_tx.domain.balancers.random`."""

from __future__ import annotations

from collections import Counter

from twisted.trial.unittest import SynchronousTestCase

from tests.domain.pools import picks, pool_of, target


class TwoChoicesTests(SynchronousTestCase):
    def test_equal_shares(self) -> None:
        """Idle equal targets get about equal shares."""
        counts = Counter(picks(pool_of("a", "b", "c", balance="random"), 9000))
        for count in counts.values():
            self.assertApproximates(count, 3000, 250)

    def test_weights(self) -> None:
        """Idle targets are shared by weight."""
        pool = pool_of(target("a", weight=3), target("b"), balance="random")
        self.assertApproximates(picks(pool, 8000).count("a"), 6000, 250)

    def test_less_loaded(self) -> None:
        """The load spreads far more evenly than by single draws, with and without weights."""
        for weight in (1, 2):
            targets = [target(f"t{i}", weight=weight if i else 1) for i in range(20)]
            pool = pool_of(*targets, balance="random")
            for _ in range(1000):
                pool.acquire(0.0)
            loads = [n.in_flight / n.weight for n in pool.nodes.values()]
            self.assertLess(max(loads), 1.25 * sum(loads) / len(loads))

    def test_two_different(self) -> None:
        """Of two targets with 0 and 100 in flight the loaded one gets nothing, with and without weights."""
        for weight in (1, 3):
            pool = pool_of(target("idle", weight=weight), "loaded", balance="random")
            pool.nodes["loaded"].in_flight = 100
            self.assertNotIn("loaded", picks(pool, 400))

    def test_never_the_most_loaded(self) -> None:
        """Whichever of several is the most loaded for its weight is never chosen, as it always meets another."""
        for weights in ((1, 1, 1, 1), (1, 2, 3, 4), (9, 1, 1, 1), (1, 1, 1, 9)):
            targets = [
                target(n, weight=w) for n, w in zip("abcd", weights, strict=True)
            ]
            for busy in "abcd":
                pool = pool_of(*targets, balance="random")
                pool.nodes[busy].in_flight = 1000
                self.assertEqual(set(picks(pool, 400)), set("abcd") - {busy})

    def test_second_draw_goes_by_weight(self) -> None:
        """With the first drawn out of the way, the others are drawn in proportion to their weights."""
        targets = (target("a", weight=2), target("b", weight=3), target("c", weight=1))
        pool = pool_of(*targets, balance="random")
        pool.nodes["b"].in_flight = 1000
        # First a: 1/3. First c: 1/6. First b: 1/2, and then a twice as often as c.
        self.assertApproximates(picks(pool, 9000).count("a"), 6000, 250)

    def test_one(self) -> None:
        """A single target gets everything."""
        self.assertEqual(picks(pool_of("a", balance="random"), 3), "aaa")

    def test_repeats_with_its_seed(self) -> None:
        """The same seed makes the same choices."""
        runs = {picks(pool_of("a", "b", "c", balance="random"), 50) for _ in "ab"}
        self.assertEqual(len(runs), 1)
