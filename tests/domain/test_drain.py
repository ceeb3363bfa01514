"""Tests of a check that asks for no new clients: bound ones go on, others go elsewhere."""

from __future__ import annotations

from collections.abc import Collection

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.domain.balancers.round_robin import RoundRobin
from lolly_tx.domain.checks.health import Observation
from lolly_tx.domain.checks.target_agent import parse_line
from tests.domain.pools import BAD, GOOD, Diary, picks, pool_of

LAME = Observation(False, "404 from /health", status=404, drain=True)


class Binding(RoundRobin):
    """Binds a client to the node whose name it brings."""

    def bound(self, bond: bytes, ids: Collection[str]) -> str | None:
        return bond.decode() if bond.decode() in ids else None


class DrainTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.diary = Diary()
        self.pool = pool_of("a", "b", events=self.diary, balancer=Binding())

    def test_only_bound_clients(self) -> None:
        """While its check says so, a target takes bound clients only, and is not down."""
        self.pool.observe("a", LAME, 1.0)
        self.assertEqual(picks(self.pool, 4, 1.0), "bbbb")
        self.assertEqual(self.pool.acquire(1.0, bond=b"a").node.id, "a")
        node = self.pool.nodes["a"]
        self.assertTrue(node.health.up)
        self.assertEqual(node.why_not(), "draining by itself")
        self.assertEqual(
            self.pool.snapshot(1.0)[0]["back"], ["after a good check that is no 404"]
        )
        self.assertEqual(self.diary.words("health"), [])

    def test_back(self) -> None:
        """A good check ends it; each change is told once."""
        for observation in (LAME, LAME, GOOD, GOOD):
            self.pool.observe("a", observation, 1.0)
        self.assertEqual(self.diary.words("drain"), ["a: off -> on", "a: on -> off"])
        self.assertEqual(sorted(picks(self.pool, 4, 1.0)), list("aabb"))

    def test_down_from_there(self) -> None:
        """A target that drains and then fails is down for bound clients too; 404 does not bring it back."""
        for observation in (LAME, BAD, LAME):
            self.pool.observe("a", observation, 1.0)
        self.assertFalse(self.pool.nodes["a"].health.up)
        self.assertEqual(self.pool.acquire(1.0, bond=b"a").node.id, "b")
        self.pool.observe("a", GOOD, 2.0)
        self.assertEqual(self.pool.nodes["a"].why_not(), "")

    def test_maintenance_ends_the_bond(self) -> None:
        """An agent's maintenance is for bound clients too."""
        self.pool.hear_agent("a", parse_line(b"drain"), 1.0)
        self.assertEqual(self.pool.acquire(1.0, bond=b"a").node.id, "a")
        self.pool.hear_agent("a", parse_line(b"maint"), 1.0)
        self.assertEqual(self.pool.acquire(1.0, bond=b"a").node.id, "b")
