"""Targets behind a tunnel: who has nobody to connect to is out, and nothing is held against it."""

from __future__ import annotations

from typing import Any, cast

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.domain.account import account
from lolly_tx.domain.balancers.round_robin import RoundRobin
from lolly_tx.domain.errors import AllAbsent, AllDown
from lolly_tx.domain.interfaces import IBindingBalancer
from lolly_tx.domain.pool import Pool
from lolly_tx.domain.slow_start import SlowStart
from lolly_tx.domain.target import Target
from tests.domain.pools import BAD, GOOD, Diary, picks, pool_of, succeed, target

WHY = 'no connector "home" with service web is connected'


class AbsentTests(SynchronousTestCase):
    def setUp(self) -> None:
        """Everybody whose id is in `gone` is absent."""
        self.gone = {"a"}
        self.diary = Diary()

    def absence(self, target: Target) -> str:
        return WHY if target.id in self.gone else ""

    def pool(self, *names: str, **settings: Any) -> Pool:
        members = [target(name) for name in names or "ab"]
        return pool_of(*members, absence=self.absence, events=self.diary, **settings)

    def come(self, pool: Pool, now: float, *gone: str) -> list[str]:
        """Only `gone` are absent from now on; those who are said to be back."""
        self.gone = {*gone}
        return [node.id for node in pool.look_for_absent(now, lambda target: True)]

    def test_others_serve(self) -> None:
        """Requests go to the others without a try; it takes its share once somebody is connected."""
        pool = self.pool()
        self.assertEqual(picks(pool, 4, 1.0), "b" * 4)
        self.assertEqual(pool.nodes["a"].stats.requests, 0)
        self.assertEqual(self.come(pool, 2.0), ["a"])
        self.assertEqual(sorted(picks(pool, 4, 2.0)), ["a", "a", "b", "b"])
        self.assertEqual(self.come(pool, 3.0, "a"), [])
        self.assertEqual(picks(pool, 4, 3.0), "b" * 4)

    def test_some(self) -> None:
        """Only those that the news are about are asked."""
        pool = self.pool()
        self.gone = {"b"}
        back = pool.look_for_absent(1.0, lambda target: target.id == "b")
        self.assertEqual((back, pool.available(1.0)), ([], ()))

    def test_events(self) -> None:
        """That it comes and goes are events with their causes; another reason to be away is none."""
        pool = self.pool()
        self.come(pool, 1.0)
        self.come(pool, 2.0)
        self.come(pool, 3.0, "a")
        pool.roster.set_absent(pool.nodes["a"], "another reason", 4.0)
        self.assertEqual(self.diary.words("tunnel"), ["a: down -> up", "a: up -> down"])
        causes = [e.cause for e in self.diary.events if e.fact == "tunnel"]
        self.assertEqual(causes, ["its connector is connected", WHY])

    def test_explained(self) -> None:
        """The reason is named, and what ends it; the operator's word comes first."""
        pool = self.pool()
        node = pool.nodes["a"]
        told = account(node, pool.thresholds, 1.0)
        self.assertFalse(told["available"])
        self.assertEqual(
            told["summary"], "not connected: back when its connector connects"
        )
        [fact] = [one for one in told["facts"] if one["fact"] == "tunnel"]
        self.assertEqual((fact["state"], fact["detail"]), ("down", WHY))
        self.come(pool, 2.0)
        told = account(node, pool.thresholds, 3.0)
        [fact] = [one for one in told["facts"] if one["fact"] == "tunnel"]
        self.assertEqual((fact["state"], fact["since_seconds"]), ("up", 1.0))
        facts = account(pool.nodes["b"], pool.thresholds, 3.0)["facts"]
        self.assertNotIn("tunnel", [one["fact"] for one in facts])
        self.come(pool, 4.0, "a")
        [fact] = [
            one
            for one in account(node, pool.thresholds, 6.0)["facts"]
            if one["fact"] == "tunnel"
        ]
        self.assertEqual((fact["cause"], fact["since_seconds"]), (WHY, 2.0))
        pool.set_enabled("a", "down", "test", 5.0)
        self.assertEqual(node.why_not(), "disabled")

    def test_all_gone(self) -> None:
        """With nobody left the refusal says which connector is missing, and when to come again."""
        pool = self.pool("a")
        error = self.assertRaises(AllAbsent, pool.acquire, 1.0)
        self.assertIn(WHY, str(error))
        self.assertEqual(error.again, 5)
        pool.set_enabled("a", "down", "test", 2.0)
        error = self.assertRaises(AllDown, pool.acquire, 3.0)
        self.assertNotIsInstance(error, AllAbsent)

    def test_least_bad(self) -> None:
        """Not even the least bad is one with nobody to connect to, and being without it is no panic."""
        pool = self.pool("a", "b", all_down="least_bad")
        pool.observe("b", BAD, 1.0)
        self.assertEqual(picks(pool, 20, 2.0), "b" * 20)
        pool = self.pool("a", all_down="least_bad")
        self.assertRaises(AllAbsent, pool.acquire, 1.0)
        self.assertEqual(pool.choice.panic_odds, 0.0)

    def test_spill(self) -> None:
        """A better tier without its connectors leaves its traffic to the next, and a backup is as good as any."""
        cases: tuple[dict[str, Any], ...] = {"priority": 1}, {"backup": True}
        for worse in cases:
            self.gone = {"a"}
            members = target("a"), target("b", **worse)
            pool = pool_of(*members, absence=self.absence, another_balancer=RoundRobin)
            self.assertEqual(picks(pool, 4, 1.0), "b" * 4)
            self.come(pool, 2.0)
            self.assertEqual(picks(pool, 4, 2.0), "a" * 4)

    def test_bound(self) -> None:
        """A client that is bound to it goes elsewhere for as long."""
        self.gone = set()
        pool = pool_of(target("a"), target("b"), balance="sticky", absence=self.absence)
        bond = cast(IBindingBalancer, pool.balancer).bond("a")
        self.assertEqual(pool.acquire(1.0, bond=bond).node.id, "a")
        self.come(pool, 2.0, "a")
        self.assertEqual(pool.acquire(3.0, bond=bond).node.id, "b")

    def test_checks(self) -> None:
        """A check that found nobody says nothing of the target, so it is back as it was; a good one counts."""
        pool = self.pool()
        self.assertFalse(pool.check_counts("a", BAD, 1.0))
        self.assertTrue(pool.check_counts("a", GOOD, 1.0))
        self.assertTrue(pool.check_counts("b", BAD, 1.0))
        self.come(pool, 2.0)
        self.assertTrue(pool.check_counts("a", BAD, 2.0))

    def test_newcomers(self) -> None:
        """Who joins, and who moves to another address, is asked for at once."""
        pool = self.pool("b")
        self.gone = {"b", "c"}
        pool.replace([target("b"), target("c")], 1.0)
        self.assertEqual([n.id for n in pool.available(1.0)], ["b"])
        moved = Target(id="b", address="tunnel:x:y", endpoint="tunnel:x:y")
        pool.replace([moved, target("c")], 2.0)
        self.assertEqual(pool.available(2.0), ())

    def test_first_time(self) -> None:
        """Who was never in service takes its whole share when it connects; who was away begins slowly."""
        pool = self.pool(slow_start=SlowStart(10.0))
        pool.available(0.0)
        self.come(pool, 1.0)
        pool.available(1.0)
        self.assertEqual(pool.nodes["a"].weight, 1.0)
        self.come(pool, 2.0, "a")
        pool.available(2.0)
        self.come(pool, 3.0)
        succeed(pool, 3.0)
        self.assertLess(pool.nodes["a"].weight, 1.0)
