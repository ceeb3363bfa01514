"""Tests of targets that leave while something is under way there: what events and accounts say of them."""

from __future__ import annotations

from random import Random
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.domain.account import departed_account
from lolly_tx.domain.accruals.consecutive import ConsecutiveFailures
from lolly_tx.domain.balancers.round_robin import RoundRobin
from lolly_tx.domain.errors import ConnectionReset
from lolly_tx.testing import fake_pool, fake_target


class DepartingTests(SynchronousTestCase):
    def setUp(self) -> None:
        balancer = RoundRobin(random=Random(1))
        self.pool = fake_pool("ab", balancer, ConsecutiveFailures)
        self.lease = self.pool.acquire(1.0)
        self.node = self.lease.node

    def leave(self, at: float = 2.0, by: str = "") -> None:
        others = [n.target for n in self.pool.nodes.values() if n is not self.node]
        self.pool.replace(others, at, by)

    def changes(self) -> list[tuple[str, str, str]]:
        return [(e.old, e.new, e.cause) for e in self.node.history]

    def account(self, at: float) -> Any:
        return departed_account(self.node, self.pool.thresholds, at)

    def test_last_exchange(self) -> None:
        """It is leaving until its last exchange is over, which is an event of its own, however that ends."""
        self.leave(by="operator: admin API")
        self.assertEqual(self.changes(), [("member", "leaving", "operator: admin API")])
        self.assertIs(self.pool.departed[self.node.id], self.node)
        told = self.account(5.0)
        self.assertEqual((told["available"], told["why_not"]), (False, "leaving"))
        self.assertEqual(told["facts"][0]["since_seconds"], 3.0)
        self.assertIn("1 exchange still in flight", told["summary"])
        self.lease.failed(6.0, ConnectionReset("cut"))
        self.lease.release(6.0)
        self.assertEqual(
            self.changes()[-1], ("leaving", "", "its last exchange is over")
        )
        told = self.account(7.0)
        self.assertEqual(told["why_not"], "left")
        self.assertIn("added again", told["summary"])
        self.assertFalse(told["state"]["available"])

    def test_answered(self) -> None:
        """The quick way in which most exchanges end tells it as well."""
        self.leave()
        self.lease.ended(6.0, 200)
        self.assertEqual([new for _, new, _ in self.changes()], ["leaving", ""])

    def test_nothing_under_way(self) -> None:
        """One with nothing to do is gone at once."""
        self.lease.release(1.5)
        self.leave()
        self.assertEqual(self.changes(), [("member", "", "left")])

    def test_back_before_it_was_gone(self) -> None:
        """Who comes back meanwhile is a member; the end of old exchanges is no news then."""
        self.leave()
        targets = [*(n.target for n in self.pool.nodes.values()), self.node.target]
        self.pool.replace(targets, 3.0, "operator: admin API")
        new = self.pool.nodes[self.node.id]
        self.assertEqual(new.last_change and new.last_change.new, "member")
        self.lease.release(4.0)
        self.assertEqual(new.last_change and new.last_change.new, "member")
        self.assertNotIn(self.node.id, self.pool.departed)

    def test_who_changes_it(self) -> None:
        """Other settings, another address and a new target are told with who did it."""
        name = self.node.id
        self.lease.release(1.5)
        for target in (
            fake_target(name, weight=3),
            fake_target(name, host="elsewhere"),
        ):
            self.pool.replace([target, fake_target("new")], 2.0, "somebody")
            node = self.pool.nodes[name]
            self.assertEqual(node.last_change and node.last_change.cause, "somebody")
        new = self.pool.nodes["new"].history[0]
        self.assertEqual((new.new, new.cause), ("member", "somebody"))
