"""Tests of facts that are told to those that serve."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.service.bulletin import Bell, Bulletin
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
