"""Tests of `lolly_tx.domain.balancers.first`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.domain.pools import pool_of, target


class FirstTests(SynchronousTestCase):
    def test_packs(self) -> None:
        """The second target gets traffic only while the first is full."""
        pool = pool_of(target("a", max_conns=2), target("b"), balance="first")
        held = [pool.acquire(0.0) for _ in range(4)]
        self.assertEqual([x.node.id for x in held], ["a", "a", "b", "b"])
        held[0].release(1.0)
        self.assertEqual(pool.acquire(1.0).node.id, "a")
