"""Tests of a pool that several processes serve: what they hold together, and facts that are decided elsewhere."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from lolly_tx.domain.accruals.interfaces import IAccrual
from lolly_tx.domain.caps import Caps
from lolly_tx.domain.checks.target_agent import AgentReport
from lolly_tx.domain.concurrency import AdaptiveLimit
from lolly_tx.domain.errors import AllFull, AllTried, ConnectFailed
from lolly_tx.domain.holding import Holding
from lolly_tx.domain.node import UNLIMITED, Node
from lolly_tx.domain.pool import Pool
from lolly_tx.domain.shared.facts import Elsewhere, Facts, facts_of, follow
from lolly_tx.domain.shared.together import hold_together, shared_names
from lolly_tx.domain.shares import Shares
from lolly_tx.domain.slow_start import SlowStart
from tests.domain.pools import BAD, GOOD, fail, pool_of, target


def together(count: int = 2, **settings: Any) -> list[Pool]:
    """The pools of `count` processes, of the same two targets."""
    names = settings.pop("names", ("a", "b"))
    ids = [one if isinstance(one, str) else one.id for one in names]
    cells = [0] * (64 * count)
    rows = Shares(cells, count)
    for name in shared_names("p", ids):
        rows.claim(name)
    pools = []
    for column in range(count):
        shares = Shares(cells, count, column)
        shares.learn(rows.rows)
        pool = pool_of(*names, **{"accrual": Elsewhere, **settings})
        hold_together(pool, shares)
        pools.append(pool)
    return pools


def holding(node: Node) -> Holding:
    """What is held of a node; there has to be something."""
    assert node.holding is not None
    return node.holding


class LimitsTests(SynchronousTestCase):
    """Limits that hold for all processes together."""

    def test_max_conns_of_a_target(self) -> None:
        """Three at once are three, whichever process they are in; the next goes elsewhere or nowhere."""
        one, two = together(names=(target("a", max_conns=3),))
        leases = [one.acquire(0.0), two.acquire(0.0), one.acquire(0.0)]
        for pool in (one, two):
            with self.assertRaises(AllFull):
                pool.acquire(0.0)
        leases[1].release(1.0)
        again = one.acquire(1.0)
        with self.assertRaises(AllFull):
            two.acquire(1.0)
        self.assertEqual(one.refusals, 1)
        for lease in (leases[0], leases[2], again):
            lease.ended(2.0, 200)
        self.assertEqual(holding(two.nodes["a"]).leases.total, 0)

    def test_another_target_with_room_is_found(self) -> None:
        """A target that is full elsewhere is passed over, as one that is full here."""
        one, two = together(names=(target("a", max_conns=1), "b"))
        taken = {pool.acquire(0.0).node.id for pool in (one, two) for _ in range(2)}
        self.assertEqual(taken, {"a", "b"})
        self.assertEqual(one.nodes["a"].in_flight + two.nodes["a"].in_flight, 1)
        a, b = two.nodes["a"], two.nodes["b"]
        with self.assertRaises(AllFull):
            two.acquire(0.0, tried=(b,))
        with self.assertRaises(AllTried):
            two.acquire(0.0, tried=(a, b))

    def test_limit_of_an_agent_counts_from_then_on(self) -> None:
        """What is in flight when a limit comes is known at once, and forgotten when it goes."""
        one, two = together(names=("a",))
        leases = [one.acquire(0.0), two.acquire(0.0)]
        for pool in (one, two):
            pool.hear_agent("a", AgentReport(max_conns=2), 1.0)
        with self.assertRaises(AllFull):
            one.acquire(1.0)
        for lease in leases:
            lease.release(2.0)
        self.assertEqual(holding(one.nodes["a"]).leases.total, 0)
        one.acquire(2.0)
        self.assertTrue(holding(one.nodes["a"]).counted)
        follow(one, "a", facts_of(pool_of("a").nodes["a"]), 3.0)
        self.assertEqual(holding(one.nodes["a"]).leases.held, 0)

    def test_caps_of_the_pool(self) -> None:
        """Its leases and its retries are counted together, too, and given back."""
        one, two = together(max_conns=2, max_retries=1)
        first = one.acquire(0.0)
        retry = two.acquire(0.0, tried=(two.nodes["a"],))
        with self.assertRaises(AllFull):
            one.acquire(0.0)
        first.release(0.0)
        with self.assertRaises(AllFull):  # one retry is running already
            one.acquire(0.0, tried=(one.nodes["a"],))
        retry.release(0.0)
        with self.assertRaises(AllTried):
            one.acquire(0.0, tried=tuple(one.nodes.values()))
        leases = [one.acquire(0.0, tried=(one.nodes["a"],)), two.acquire(0.0)]
        self.assertEqual((one.caps.refused, two.caps.refused), (2, 0))
        for lease in leases:
            lease.release(0.0)
        one.acquire(0.0)
        two.acquire(0.0)

    def test_caps_that_change(self) -> None:
        """When a cap goes, or one that moves takes its place, nothing stays held."""
        [one] = together(1, max_conns=2)
        lease = one.acquire(0.0)
        moving = Caps(0, 0, AdaptiveLimit())
        one.caps.go_by(moving, another_limit=True)
        lease.release(0.0)
        one.acquire(0.0).release(0.0)
        one.caps.go_by(Caps(1, 0, None), another_limit=True)
        held = one.acquire(0.0)
        with self.assertRaises(AllFull):
            one.acquire(0.0)
        one.caps.go_by(Caps(0, 0, None), another_limit=False)
        held.release(0.0)
        one.caps.go_by(Caps(1, 0, None), another_limit=False)
        one.acquire(0.0)

    def test_one_trial_in_all_processes(self) -> None:
        """While one process tries whether a target is well again the others leave it alone."""
        one, two = together()
        for pool in (one, two):
            node = pool.nodes["a"]
            node.ejection, node.ejected_until = "ejected", 5.0
            pool.ejections.count = 1
            pool.changed()
        b = one.nodes["b"], two.nodes["b"]
        trial = one.acquire(6.0, tried=(b[0],))
        self.assertEqual(trial.node.ejection, "trial")
        with self.assertRaises(AllFull):
            two.acquire(6.0, tried=(b[1],))
        with self.assertRaises(AllFull):
            one.acquire(6.0, tried=(b[0],))
        trial.release(6.0)
        again = two.acquire(6.0, tried=(b[1],))
        two.nodes["a"].end_trial()
        two.nodes["a"].end_trial()
        self.assertEqual(holding(two.nodes["a"]).trials.total, 0)
        again.release(7.0)

    def test_trial_of_a_limited_target_counts(self) -> None:
        """It is one of its leases."""
        one, _ = together(names=(target("a", max_conns=1),))
        node = one.nodes["a"]
        node.ejection, node.ejected_until = "ejected", 5.0
        one.changed()
        lease = one.acquire(6.0)
        self.assertEqual(holding(node).leases.total, 1)
        lease.release(6.0)
        self.assertEqual(holding(node).leases.total, 0)

    def test_missing_row_is_an_error(self) -> None:
        """Counting apart what is to be counted together would be no limit."""
        with self.assertRaises(LookupError):
            hold_together(pool_of("a"), Shares([0] * 8, 1))


class LoadTests(SynchronousTestCase):
    """Least connections by what all processes have in flight."""

    def test_loads_of_other_processes_count(self) -> None:
        """A target that another process keeps busy is not the least loaded here."""
        one, two = together(balance="least_conn")
        a = one.nodes["a"]
        for _ in range(3):
            one.acquire(0.0, tried=(one.nodes["b"],))
        picked = [two.acquire(0.0).node.id for _ in range(3)]
        self.assertEqual(picked, ["b", "b", "b"])
        self.assertEqual(holding(a).leases.total, 3)
        self.assertFalse(a.capacity != UNLIMITED)

    def test_preview_takes_nobodys_turn(self) -> None:
        """Looking ahead does not change who is next."""
        [one] = together(1, balance="least_conn", names=[f"n{n}" for n in range(12)])
        balancer: Any = one.balancer
        ready = one.available(0.0)
        ahead = balancer.preview(ready, None)
        self.assertIs(ahead, one.acquire(0.0).node)

    def test_full_ones_are_passed_over(self) -> None:
        """One at its limit is not picked while another has room."""
        [one] = together(1, balance="least_conn", names=(target("a", max_conns=1), "b"))
        self.assertEqual(
            sorted(one.acquire(0.0).node.id for _ in range(4)), ["a", "b", "b", "b"]
        )


class FactsTests(SynchronousTestCase):
    """Facts that one process decides and others follow."""

    def setUp(self) -> None:
        """A pool that decides, and one that follows."""
        self.pool = pool_of("a", "b", slow_start=SlowStart(window=10.0))
        self.follower = pool_of(
            "a", "b", accrual=Elsewhere, slow_start=SlowStart(window=10.0)
        )
        self.down: list[str] = []
        self.back: list[str] = []
        self.follower.on_down.append(lambda node, now: self.down.append(node.id))
        self.follower.on_back.append(lambda node: self.back.append(node.id))

    def tell(self, now: float, **how: Any) -> None:
        """Send the facts of "a"."""
        said = json.dumps(facts_of(self.pool.nodes["a"], **how).as_dict())
        follow(self.follower, "a", Facts.from_dict(json.loads(said)), now)

    def ready(self, now: float) -> list[str]:
        """Who takes exchanges in the pool that follows."""
        return [node.id for node in self.follower.available(now)]

    def test_health(self) -> None:
        """A target that checks take down gets nothing, and whoever waits there hears of it."""
        self.pool.observe("a", BAD, 1.0)
        self.tell(1.0)
        self.assertEqual((self.ready(1.0), self.down), (["b"], ["a"]))
        self.pool.observe("a", GOOD, 2.0)
        self.tell(2.0)
        self.assertEqual((self.ready(2.0), self.back), (["a", "b"], ["a"]))

    def test_slow_start_is_the_same_everywhere(self) -> None:
        """The way back begins at the same moment, for a process that begins in the middle too."""
        self.pool.available(0.0)
        self.follower.available(0.0)
        self.pool.observe("a", BAD, 1.0)
        self.tell(1.0)
        self.ready(1.0)
        self.pool.observe("a", GOOD, 2.0)
        self.pool.available(2.0)
        self.tell(2.0)
        late = self.follower
        self.follower = pool_of("a", "b", accrual=Elsewhere, slow_start=SlowStart(10.0))
        self.pool.available(5.0)
        self.tell(5.0)
        for pool in (self.pool, late, self.follower):
            pool.available(5.0)
        weights = {p.nodes["a"].weight for p in (self.pool, late, self.follower)}
        self.assertEqual(len(weights), 1, weights)
        self.assertLess(weights.pop(), 1.0)

    def test_words(self) -> None:
        """The operator's word and the agent's hold everywhere."""
        self.pool.set_enabled("a", "drain", "deploy", 1.0)
        self.tell(1.0)
        self.assertEqual(self.ready(1.0), ["b"])
        self.pool.set_enabled("a", "up", "deploy", 2.0)
        self.pool.hear_agent("a", AgentReport(weight=7, max_conns=4), 2.0)
        self.tell(2.0)
        node = self.follower.nodes["a"]
        self.assertEqual(self.ready(12.0), ["a", "b"])
        self.assertEqual((node.weight, node.capacity), (7, 4))

    def test_ejection_and_the_way_back(self) -> None:
        """It is out, its time runs out everywhere by itself, and the word that it is back ends the trial."""
        fail(self.pool, 1.0, 3, tried=(self.pool.nodes["b"],))
        self.tell(1.0)
        self.assertEqual((self.ready(1.0), self.follower.ejections.count), (["b"], 1))
        node = self.follower.nodes["a"]
        until = node.ejected_until
        self.assertEqual(until, self.pool.nodes["a"].ejected_until)
        self.ready(until)
        self.assertEqual(node.ejection, "trial")
        self.pool.available(until)
        self.pool.mark("a", True, "by hand", until + 1)
        self.tell(until + 1)
        self.assertEqual((node.ejection, self.follower.ejections.count), ("up", 0))

    def test_successes_are_news_while_they_could_change_something(self) -> None:
        """After a failure, or always where somebody compares targets."""
        node = self.follower.nodes["a"]
        self.assertFalse(node.listening)
        fail(self.pool, 1.0, 1, tried=(self.pool.nodes["b"],))
        self.tell(1.0)
        self.assertTrue(node.listening)
        self.pool.mark("a", True, "x", 2.0)
        accrual: Any = self.pool.nodes["a"].accrual
        accrual.reset()
        self.tell(2.0)
        self.assertFalse(node.listening)
        self.tell(2.0, all_heard=True)
        self.assertTrue(node.listening)

    def test_who_left_is_ignored(self) -> None:
        """A message may come late."""
        follow(self.follower, "c", facts_of(self.pool.nodes["a"]), 1.0)

    def test_judged_elsewhere(self) -> None:
        """What happens here is reported, and ejects nobody by itself."""
        seen: list[tuple[str, bool, bool]] = []
        self.follower.verdicts.elsewhere = lambda lease, outcome, now, head: (
            seen.append((lease.node.id, outcome.ok, head))
        )
        fail(
            self.follower,
            1.0,
            5,
            tried=(self.follower.nodes["b"],),
            error=ConnectFailed(),
        )
        self.assertEqual(seen, [("a", False, False)] * 5)
        self.assertEqual(self.ready(1.0), ["a", "b"])
        node = self.follower.nodes["a"]
        node.ejection = "trial"
        self.follower.roster.tune(node)
        self.follower.changed()
        lease = self.follower.acquire(2.0, tried=(self.follower.nodes["b"],))
        lease.ended(3.0, 200)
        self.assertEqual(seen[5:], [("a", True, True), ("a", True, False)])
        self.assertEqual(node.ejection, "trial")

    def test_policy_of_nobody(self) -> None:
        """It asks for nothing and lifts nothing."""
        policy = Elsewhere()
        verifyObject(IAccrual, policy)
        self.assertIsNone(policy.failed(0.0))
        self.assertFalse(policy.succeeded(0.0))
        policy.reset()
        self.assertEqual(str(policy), "counted by another process")
