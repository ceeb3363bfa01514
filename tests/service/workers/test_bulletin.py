"""Tests of facts that are told to those that serve."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.service.workers.bulletin import Bell, Bulletin
from tests.domain.pools import BAD, pool_of


class BulletinTests(SynchronousTestCase):
    def setUp(self) -> None:
        """A pool whose changes ring the bell."""
        self.clock = Clock()
        self.bell = Bell()
        self.pool = pool_of("a", "b", events=self.bell)
        self.told: list[Any] = []
        self.bulletin = Bulletin(self.clock, {"p": self.pool}, self.told.append)
        self.bell.heard = self.bulletin.changed

    def test_change_is_told_in_the_same_round(self) -> None:
        """Once, with nothing of targets that did not change."""
        self.pool.observe("a", BAD, 1.0)
        self.assertEqual(self.told, [])
        self.clock.advance(0)
        [facts] = self.told
        self.assertEqual(list(facts["p"]), ["a"])
        self.assertFalse(facts["p"]["a"]["health"]["up"])

    def test_what_is_as_before_is_not_told_again(self) -> None:
        """Somebody may think that it changed."""
        self.pool.set_enabled("a", "drain", "x", 1.0)
        self.clock.advance(0)
        self.bulletin.changed("p", "a")
        self.bulletin.changed("p", "gone")
        self.bulletin.changed("q", "a")
        self.clock.advance(0)
        self.assertEqual(len(self.told), 1)

    def test_all_of_it_for_a_beginner(self) -> None:
        """A new worker knows of what was decided before it was there."""
        self.pool.set_enabled("b", "down", "x", 1.0)
        whole = self.bulletin.whole(2.0)
        self.assertEqual(set(whole["p"]), {"a", "b"})
        self.assertEqual(whole["p"]["b"]["enabled"], "down")

    def test_thousands_at_once(self) -> None:
        """No round tells of more than some; all of them are told in the end, each once."""
        many = pool_of(*(f"n{number}" for number in range(250)), events=self.bell)
        self.bulletin = Bulletin(self.clock, {"p": many}, self.told.append)
        self.bell.heard = self.bulletin.changed
        for node_id in many.nodes:
            many.set_enabled(node_id, "drain", "x", 1.0)
        for _ in range(3):
            self.clock.advance(0)
        self.assertEqual([len(one["p"]) for one in self.told], [100, 100, 50])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_other_settings(self) -> None:
        """Of new targets what sets them apart is told with the settings, the rest soon; known ones are known."""
        self.pool.set_enabled("a", "drain", "x", 1.0)
        self.clock.advance(0)
        self.told.clear()
        targets = [pool_of(name).nodes[name].target for name in "abcd"]
        self.pool.replace(targets, 2.0)
        self.pool.set_enabled("d", "down", "x", 2.0)
        found = self.bulletin.committed(2.0)
        self.assertEqual(list(found["p"]), ["d"])
        self.assertEqual(found["p"]["d"]["enabled"], "down")
        self.clock.advance(0)
        self.assertEqual([set(one["p"]) for one in self.told], [{"b", "c"}])

    def test_who_left_and_came_back(self) -> None:
        """It is new again."""
        self.pool.set_enabled("b", "drain", "x", 1.0)
        self.clock.advance(0)
        both = [node.target for node in self.pool.nodes.values()]
        self.pool.replace(both[:1], 2.0)
        self.bulletin.committed(2.0)
        self.pool.replace(both, 3.0)
        self.pool.set_enabled("b", "drain", "x", 3.0)
        self.assertEqual(list(self.bulletin.committed(3.0)["p"]), ["b"])

    def test_pools_own_events_concern_no_target(self) -> None:
        """Panic is worked out by everybody."""
        self.pool.roster.record(None, "panic", "off", "on", "x", 1.0)
        self.clock.advance(0)
        self.assertEqual(self.told, [])

    def test_stop(self) -> None:
        """No timer is left."""
        self.bulletin.changed("p", "a")
        self.bulletin.stop()
        self.bulletin.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
