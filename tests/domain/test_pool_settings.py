"""A pool whose settings change while it serves: what is known of its nodes stays, where it still holds."""

from __future__ import annotations

from random import Random
from typing import Any

import attrs
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.domain.accruals.consecutive import ConsecutiveFailures
from lolly_tx.domain.balancers.least_conn import LeastConn
from lolly_tx.domain.balancers.round_robin import RoundRobin
from lolly_tx.domain.checks.health import Observation, Thresholds
from lolly_tx.domain.ejection import EjectionLimits
from lolly_tx.domain.errors import AllFull, ConnectFailed
from lolly_tx.domain.new_settings import PolicyWord, take_settings
from lolly_tx.domain.pool import Pool
from tests.domain.pools import Diary, pool_of, target


def settings(**named: Any) -> Pool:
    """A pool without nodes, whose settings are to be taken."""
    named.setdefault("balancer", RoundRobin())
    named.setdefault("accrual", lambda: ConsecutiveFailures(3, 60.0, 2))
    named.setdefault("thresholds", Thresholds())
    return Pool("app", (), now=0.0, events=Diary(), random=Random(1), **named)


def take(pool: Pool, other: Pool, now: float = 1.0, *anew: PolicyWord) -> None:
    """Have `pool` go by the settings of `other`."""
    take_settings(pool, other, anew, now)


def facts(pool: Pool) -> list[tuple[Any, ...]]:
    """All that is known of the nodes."""
    return [
        (n.id, n.enabled, n.health, n.ejection, n.ejected_until, n.in_flight, n.cost)
        for n in pool.nodes.values()
    ]


class SettingsTests(SynchronousTestCase):
    def test_nothing_is_forgotten(self) -> None:
        """A down target gets no traffic, an ejected one stays out, and the operator's word holds."""
        pool = pool_of("a", "b", "c", "d")
        pool.observe("a", Observation(False, "500"), 0.0)
        pool.set_enabled("b", "drain", "deploy", 0.0)
        others = [pool.nodes[name] for name in "abd"]
        for _ in range(3):
            lease = pool.acquire(0.0, tried=others)
            lease.failed(0.0, ConnectFailed())
            lease.release(0.0)
        held = pool.acquire(0.5)
        before = facts(pool)
        take(pool, settings(max_conns=50, max_retries=5))
        self.assertEqual(facts(pool), before)
        self.assertEqual([n.id for n in pool.available(1.0)], ["d"])
        held.release(1.0)

    def test_rotation_goes_on(self) -> None:
        """The turn does not begin anew with each reload."""
        pool = pool_of("a", "b", "c")
        seen = ""
        for now in range(9):
            seen += pool.acquire(float(now)).node.id
            take(pool, settings(), float(now))
        self.assertEqual(sorted(seen), sorted("aaabbbccc"))
        self.assertEqual(seen[:3] * 3, seen)

    def test_counted_failures_stay(self) -> None:
        """Failures counted before a change of something else count on after it."""
        pool = pool_of("a", "b")
        b = pool.nodes["b"]
        for number in range(3):
            if number == 2:
                take(pool, settings(max_conns=7), 0.0)
            lease = pool.acquire(0.0, tried=[b])
            lease.failed(0.0, ConnectFailed())
            lease.release(0.0)
        self.assertEqual(pool.nodes["a"].ejection, "ejected")

    def test_caps(self) -> None:
        """A cap holds for the next exchange; a lower one counts those that run."""
        pool = pool_of("a")
        take(pool, settings(max_conns=3), 0.0)
        held = [pool.acquire(0.0) for _ in range(3)]
        self.assertRaises(AllFull, pool.acquire, 0.0)
        take(pool, settings(max_conns=2), 0.0)
        held.pop().release(0.0)
        self.assertRaises(AllFull, pool.acquire, 0.0)
        take(pool, settings(), 0.0)
        pool.acquire(0.0)
        take(pool, settings(max_conns=1), 0.0)
        pool.acquire(
            0.0
        )  # those from before the cap are not counted, none is left over
        self.assertRaises(AllFull, pool.acquire, 0.0)

    def test_another_balance(self) -> None:
        """Another policy of choice chooses at once, by what it finds."""
        pool = pool_of("a", "b")
        held = pool.acquire(0.0)
        take(pool, settings(balancer=LeastConn()), 0.0, "balance")
        self.assertIsNot(pool.acquire(0.0).node, held.node)
        self.assertIsInstance(pool.balancer, LeastConn)

    def test_another_accrual(self) -> None:
        """Another passive policy judges from now on; who is out stays out for its time."""
        pool = pool_of("a", "b")
        b = pool.nodes["b"]
        other = settings(accrual=lambda: ConsecutiveFailures(1, 60.0, 2))
        take(pool, other, 0.0, "accrual")
        lease = pool.acquire(0.0, tried=[b])
        lease.failed(0.0, ConnectFailed())
        lease.release(0.0)
        self.assertEqual(pool.nodes["a"].ejection, "ejected")
        take(pool, settings(accrual=None), 1.0, "accrual")
        self.assertEqual(pool.nodes["a"].ejection, "ejected")

    def test_limits_of_ejections(self) -> None:
        """How far ejections may go is another number at once."""
        pool = pool_of("a", "b")
        limits = EjectionLimits(shadow=True)
        take(pool, settings(ejections=limits), 0.0)
        self.assertIs(pool.ejections.limits, limits)

    def test_no_panic_where_none_is_asked_for(self) -> None:
        """With `all_down` back at "refuse" no pick ignores availability."""
        pool = pool_of("a", "b", "c", all_down="least_bad")
        for name in "ab":
            pool.observe(name, Observation(False, "500"), 0.0)
        pool.available(0.0)
        self.assertGreater(pool.choice.panic_odds, 0.0)
        take(pool, settings(), 0.0)
        pool.available(0.0)
        self.assertEqual(pool.choice.panic_odds, 0.0)

    def test_another_check(self) -> None:
        """What another question had found is not believed for the new one."""
        events = Diary()
        pool = pool_of("a", "b", events=events)
        pool.observe("a", Observation(False, "500"), 0.0)
        pool.observe("b", Observation(True, "200"), 0.0)
        pool.begin_health_anew("the check changed", 1.0)
        healths = [node.health for node in pool.nodes.values()]
        self.assertEqual(
            [(one.word, one.checked) for one in healths], [("up", None)] * 2
        )
        self.assertEqual(events.words("health"), ["a: up -> down", "a: down -> up"])


class MovedTests(SynchronousTestCase):
    def test_nothing_is_known_of_another_address(self) -> None:
        """A target that moved has no health, ejection or exchanges of its old address; word and counters stay."""
        pool = pool_of("a", "b")
        old = pool.nodes["a"]
        lease = pool.acquire(0.0, tried=[pool.nodes["b"]])
        pool.observe("a", Observation(False, "500"), 0.0)
        pool.set_enabled("a", "drain", "deploy", 0.0)
        moved = attrs.evolve(target("a"), host="192.0.2.7")
        pool.replace([moved, target("b")], 1.0)
        new = pool.nodes["a"]
        self.assertIsNot(new, old)
        self.assertEqual(list(pool.nodes), ["a", "b"])
        self.assertEqual(
            (new.health.word, new.ejection, new.in_flight, new.enabled),
            ("up", "up", 0, "drain"),
        )
        self.assertIs(new.stats, old.stats)
        lease.failed(2.0, ConnectFailed())
        lease.release(2.0)
        self.assertEqual((new.unreached, old.in_flight), (0, 0))
