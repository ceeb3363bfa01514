"""Many facts that change at one time: all of them hold at the next choice, and are carried out once."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.domain.errors import AllDown
from lolly_tx.domain.pool import SOON_SECONDS
from lolly_tx.domain.slow_start import SlowStart
from tests.domain.pools import BAD, GOOD, pool_of

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

    def test_gone(self) -> None:
        """What is said of a target that has left is nothing, here as well."""
        pool = self.counted()
        pool.observe("t1", BAD, 1.0)
        pool.observe("nobody", BAD, 1.0)
        self.assertEqual(len(pool.available(1.0)), 99)
