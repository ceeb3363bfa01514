"""Many facts that change at one time: all of them hold at the next choice, and are carried out once."""

from __future__ import annotations

from random import Random
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.domain.errors import AllDown
from lolly_tx.domain.new_settings import take_settings
from lolly_tx.domain.pool import SOON_SECONDS, Pool
from lolly_tx.domain.slow_start import SlowStart
from tests.domain.pools import BAD, GOOD, Diary, pool_of, target

NAMES = [f"t{number}" for number in range(100)]


class TogetherTests(SynchronousTestCase):
    def counted(self, **settings: Any) -> Any:
        """A pool that has settled at 1.0; how often it looks at all of its nodes from then on is in `looks`."""
        pool: Any = pool_of(*NAMES, **settings)
        pool.available(1.0)
        self.looks = 0
        rebuild = pool.choice.rebuild

        def counting(now: float) -> None:
            self.looks += 1
            rebuild(now)

        self.patch(pool.choice, "rebuild", counting)
        return pool

    def test_one_look(self) -> None:
        """A hundred targets that go down in one turn are looked at once, by who asks next."""
        pool = self.counted()
        for name in NAMES:
            pool.observe(name, BAD, 1.0)
        self.assertEqual(self.looks, 0)
        self.assertRaises(AllDown, pool.acquire, 1.0)
        self.assertEqual(self.looks, 1)

    def test_not_long(self) -> None:
        """When nobody asks, what is said after a moment carries it out."""
        pool = self.counted()
        for name in NAMES[:50]:
            pool.observe(name, BAD, 1.0)
        pool.observe(NAMES[50], BAD, 1.0 + SOON_SECONDS)
        self.assertEqual(self.looks, 1)
        self.assertEqual(len(pool._ready), 50)

    def test_at_once_for_who_asks(self) -> None:
        """Who is chosen never waits for that: each change holds at the next choice."""
        pool = self.counted()
        for number, name in enumerate(NAMES[:-1], 1):
            pool.observe(name, BAD, 1.0)
            self.assertNotIn(pool.acquire(1.0).node.id, NAMES[:number])

    def test_slow_start(self) -> None:
        """A target that goes down and comes back between two choices comes back slowly all the same."""
        pool = self.counted(slow_start=SlowStart(window=10.0))
        pool.observe("t3", BAD, 1.0)
        pool.observe("t3", GOOD, 1.0)
        pool.available(1.0)
        self.assertIsNotNone(pool.nodes["t3"].ramp)
        self.assertLess(pool.nodes["t3"].weight, 1.0)
        self.assertEqual(pool.nodes["t4"].weight, 1.0)

    def test_one_look_at_a_round(self) -> None:
        """A round of a thousand flips, a tenth of them in each turn, costs one look a turn, and not one a flip."""
        pool = self.counted()
        for turn in range(10):
            now = 2.0 + turn
            for name in NAMES:
                pool.observe(name, GOOD if turn % 2 else BAD, now)
            if turn % 2:
                pool.acquire(now)
            else:
                self.assertRaises(AllDown, pool.acquire, now)
        # One for what is said first after a pause, one for who asks.
        self.assertLessEqual(self.looks, 20)

    def test_membership_with_settings(self) -> None:
        """Other settings and other targets in one reload are one look, at what comes of both."""
        pool = self.counted()
        other = Pool(
            "app",
            (),
            balancer=pool.balancer,
            accrual=None,
            thresholds=pool.thresholds,
            now=0.0,
            events=Diary(),
            random=Random(1),
        )
        take_settings(pool, other, (), 2.0)
        pool.replace([target("t1"), target("new")], 2.0)
        self.assertEqual(self.looks, 0)
        self.assertEqual([n.id for n in pool.available(2.0)], ["t1", "new"])
        self.assertEqual(self.looks, 1)

    def test_gone(self) -> None:
        """What is said of a target that has left is nothing, here as well."""
        pool = self.counted()
        pool.observe("t1", BAD, 1.0)
        pool.observe("nobody", BAD, 1.0)
        self.assertEqual(len(pool.available(1.0)), 99)
