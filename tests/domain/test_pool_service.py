"""Tests of what a pool does beyond choosing: tiers, slow start, outliers, panic, caps, explanations."""

from __future__ import annotations

import json
from collections import Counter
from random import Random
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.domain.balancers.by_name import Balancers
from lolly_tx.domain.balancers.consistent_hash import ConsistentHash
from lolly_tx.domain.balancers.round_robin import RoundRobin
from lolly_tx.domain.concurrency import AdaptiveLimit
from lolly_tx.domain.ejection import EjectionLimits
from lolly_tx.domain.errors import AllDown, AllFull, ConnectFailed
from lolly_tx.domain.node import Node
from lolly_tx.domain.outlier import OutlierLimits
from lolly_tx.domain.pool import Pool
from lolly_tx.domain.slow_start import SlowStart
from tests.domain.pools import BAD, GOOD, Diary, fail, picks, pool_of, succeed, target


def shares(pool: Pool, now: float, count: int = 1000) -> Counter[str]:
    return Counter(succeed(pool, now).node.id for _ in range(count))


class TierTests(SynchronousTestCase):
    def tiers(self, **settings: Any) -> Pool:
        return pool_of(
            *(target(f"a{i}") for i in range(4)),
            *(target(f"b{i}", priority=1) for i in range(4)),
            target("z", backup=True),
            another_balancer=RoundRobin,
            **settings,
        )

    def test_best_tier_takes_all(self) -> None:
        """While enough of the best tier is well, nobody else is asked."""
        pool = self.tiers()
        pool.observe("a0", BAD, 0.0)
        counts = shares(pool, 0.0, 30)
        self.assertEqual(set(counts), {"a1", "a2", "a3"})

    def test_spill(self) -> None:
        """With half of the best tier gone, the next one takes 30 per cent, and every tier turns on evenly."""
        pool = self.tiers()
        for name in ("a0", "a1"):
            pool.observe(name, BAD, 0.0)
        counts = shares(pool, 0.0, 4000)
        best = counts["a2"] + counts["a3"]
        self.assertApproximates(best, 2800, 120)
        self.assertApproximates(counts["a2"], counts["a3"], 1)
        self.assertApproximates(counts["b0"], counts["b3"], 1)
        self.assertEqual(counts["z"], 0)
        self.assertEqual(len(pool.available(0.0)), 6)

    def test_key_stays_with_its_tier(self) -> None:
        """Where tiers share the load a key always gets the same target, as foreseen, and all keys the shares."""
        pool = pool_of(
            *(target(f"a{i}") for i in range(4)),
            *(target(f"b{i}", priority=1) for i in range(4)),
            balancer=ConsistentHash(),
            another_balancer=ConsistentHash,
        )
        for name in ("a0", "a1"):
            pool.observe(name, BAD, 0.0)
        counts: Counter[str] = Counter()
        for i in range(2000):
            key = b"key %d" % i
            node = succeed(pool, 0.0, key=key).node
            counts[node.id] += 1
            self.assertIs(succeed(pool, 0.0, key=key).node, node)
            self.assertIs(pool.foresee(0.0, key).node, node)
            rows = pool.explain(0.0, key)
            self.assertEqual([r["id"] for r in rows if r["preference"] == 1], [node.id])
        best = counts["a2"] + counts["a3"]
        self.assertApproximates(best, 1400, 90)
        # The choice of the tier says nothing about the choice within it.
        self.assertApproximates(counts["a2"], 700, 90)
        for name in ("b0", "b1", "b2", "b3"):
            self.assertApproximates(counts[name], 150, 50)

    def test_a_change_of_shares_moves_few_keys(self) -> None:
        """When the best tier gets worse only the keys it cannot take any longer move."""
        pool = self.tiers()
        keys = [b"key %d" % i for i in range(1000)]

        def in_best() -> set[bytes]:
            return {k for k in keys if succeed(pool, 0.0, key=k).node.id[0] == "a"}

        before = in_best()
        pool.observe("a0", BAD, 0.0)
        pool.observe("a1", BAD, 0.0)
        half = in_best()
        pool.observe("a2", BAD, 0.0)
        quarter = in_best()
        self.assertEqual(len(before), 1000)
        self.assertApproximates(len(half), 700, 50)
        self.assertApproximates(len(quarter), 350, 50)
        self.assertLess(quarter, half)

    def test_no_key_no_forecast(self) -> None:
        """Without a key chance decides between tiers, and the forecast says so."""
        pool = self.tiers()
        pool.observe("a0", BAD, 0.0)
        pool.observe("a1", BAD, 0.0)
        said = pool.foresee(0.0)
        self.assertIsNone(said.node)
        self.assertIn("chance", said.why)

    def test_all_gone(self) -> None:
        """When the best tier is gone the next takes all, and after that the backups."""
        pool = self.tiers()
        for i in range(4):
            pool.observe(f"a{i}", BAD, 0.0)
        self.assertEqual(set(shares(pool, 0.0, 20)), {"b0", "b1", "b2", "b3"})
        for i in range(4):
            pool.observe(f"b{i}", BAD, 0.0)
        self.assertEqual(picks(pool, 2), "zz")
        pool.observe("z", BAD, 0.0)
        self.assertRaises(AllDown, pool.acquire, 0.0)

    def test_overflow(self) -> None:
        """A best tier that is full overflows into the next."""
        pool = pool_of(target("a", max_conns=1), target("b", priority=1))
        held = [pool.acquire(0.0) for _ in range(3)]
        self.assertEqual([x.node.id for x in held], ["a", "b", "b"])

    def test_drained_are_not_missing(self) -> None:
        """Targets the operator took out do not make a tier look ill."""
        pool = self.tiers()
        for name in ("a0", "a1"):
            pool.set_enabled(name, "down", "deploy", 0.0)
        self.assertEqual(set(shares(pool, 0.0, 10)), {"a2", "a3"})

    def test_change_of_tier(self) -> None:
        """A target can change its tier at run time."""
        pool = pool_of("a", target("b", priority=1))
        pool.replace([target("a", priority=1), target("b")], 1.0)
        self.assertEqual(picks(pool, 2, 1.0), "bb")
        self.assertIn("priority 1", repr(pool.nodes["a"].tier))

    def test_tier_repr(self) -> None:
        """The tier of the backups says so."""
        pool = self.tiers()
        self.assertIn("backups", repr(pool.nodes["z"].tier))


class SlowStartTests(SynchronousTestCase):
    def pool(self, balance: str = "round_robin", **settings: Any) -> Pool:
        pool = pool_of(
            "a",
            target("b", **settings),
            balance=balance,
            slow_start=SlowStart(20.0),
            accrual=None,
        )
        pool.available(0.0)
        return pool

    def test_not_at_process_start(self) -> None:
        """When the pool begins, all have their full share at once."""
        self.assertEqual(shares(self.pool(), 0.0), {"a": 500, "b": 500})

    def test_not_at_process_start_on_probation(self) -> None:
        """A first good check of a target that starts on probation begins no ramp either."""
        pool = pool_of("a", slow_start=SlowStart(20.0), initial="probation")
        pool.observe("a", GOOD, 1.0)
        pool.available(1.0)
        self.assertIsNone(pool.nodes["a"].ramp)

    def test_recovery(self) -> None:
        """A target that recovers takes its share bit by bit, with weights and by load alike."""
        for balance in ("round_robin", "random"):
            pool = self.pool(balance)
            pool.observe("b", BAD, 10.0)
            pool.observe("b", GOOD, 20.0)
            begin = shares(pool, 20.0)["b"]
            self.assertApproximates(begin, 91, 40)
            half = shares(pool, 30.0)["b"]
            self.assertApproximates(half, 333, 60)
            self.assertApproximates(shares(pool, 40.0)["b"], 500, 60)
            self.assertIsNone(pool.nodes["b"].ramp)

    def test_cold_looks_idle(self) -> None:
        """Also by fewest connections the cold target gets little, although it looks idle."""
        pool = self.pool("least_conn")
        pool.observe("b", BAD, 10.0)
        pool.observe("b", GOOD, 20.0)
        held = Counter(pool.acquire(20.0).node.id for _ in range(33))
        self.assertLessEqual(held["b"], 4)

    def test_further_good_checks(self) -> None:
        """Further good checks do not start the ramp again."""
        pool = self.pool()
        pool.observe("b", BAD, 10.0)
        for t in range(20, 40):
            pool.observe("b", GOOD, float(t))
        self.assertGreater(pool.nodes["b"].weight, 0.9)
        self.assertTrue(pool.snapshot(39.0)[1]["slow_start"])

    def test_max_conns(self) -> None:
        """The limit of a cold target grows with its share."""
        pool = self.pool(max_conns=20)
        pool.observe("b", BAD, 10.0)
        pool.observe("b", GOOD, 20.0)
        pool.available(20.0)
        self.assertEqual(pool.nodes["b"].capacity, 2)
        pool.available(30.0)
        self.assertEqual(pool.nodes["b"].capacity, 10)
        pool.available(40.0)
        self.assertEqual(pool.nodes["b"].capacity, 20)

    def test_joining(self) -> None:
        """A target that joins later starts slowly, as does one that comes back from its drain or ejection."""
        pool = pool_of("a", "b", slow_start=SlowStart(20.0))
        members = [n.target for n in pool.nodes.values()]
        pool.replace([*members, target("c")], 5.0)
        pool.available(5.0)
        self.assertEqual(pool.nodes["c"].weight, 0.1)
        pool.set_enabled("a", "drain", "deploy", 6.0)
        pool.set_enabled("a", "up", "deploy", 7.0)
        pool.available(7.0)
        self.assertEqual(pool.nodes["a"].weight, 0.1)
        others = [pool.nodes["a"], pool.nodes["c"]]
        fail(pool, 50.0, 3, tried=others)
        succeed(pool, 110.0, tried=others)
        pool.available(110.0)
        self.assertEqual(pool.nodes["b"].weight, 0.1)

    def test_going_down_again(self) -> None:
        """A target that goes down on its ramp starts a new one when it comes back."""
        pool = self.pool()
        for t, check in ((10, BAD), (20, GOOD), (35, BAD), (36, GOOD)):
            pool.observe("b", check, float(t))
        pool.available(36.0)
        self.assertEqual(pool.nodes["b"].weight, 0.1)


class OutlierTests(SynchronousTestCase):
    def run_traffic(self, pool: Pool, bad: str, seconds: int, start: float) -> int:
        """20 requests per second, every second one of target `bad` answered 500; how many clients saw one."""
        seen = 0
        odd = 0
        for i in range(20 * seconds):
            now = start + i / 20
            lease = pool.acquire(now)
            status = 200
            if lease.node.id == bad:
                odd += 1
                status = 500 if odd % 2 else 200
            lease.succeeded(now + 0.01, status)
            lease.release(now + 0.01)
            seen += status == 500
        return seen

    def test_one_of_three(self) -> None:
        """One of three that answers 500 to every second request is ejected in seconds, and nobody sees a 500 then."""
        diary = Diary()
        pool = pool_of(*"abc", outliers=OutlierLimits(), events=diary)
        self.assertGreater(self.run_traffic(pool, "b", 6, 0.0), 5)
        self.assertEqual(diary.words("ejection"), ["b: up -> ejected"])
        self.assertIn("outlier: ", diary.events[0].cause)
        self.assertEqual(self.run_traffic(pool, "b", 20, 6.0), 0)

    def test_trial_by_status(self) -> None:
        """An outlier does not come back by answering its trial with another 500."""
        pool = pool_of(*"abc", outliers=OutlierLimits(), accrual=None)
        self.run_traffic(pool, "b", 6, 0.0)
        b = pool.nodes["b"]
        others = [pool.nodes["a"], pool.nodes["c"]]
        until = b.ejected_until
        lease = pool.acquire(until, tried=others)
        lease.succeeded(until, 500)
        lease.release(until)
        self.assertEqual((b.ejection, b.ejected_until), ("ejected", until + 30.0))

    def test_lucky_trial(self) -> None:
        """Nor does one lucky trial bring it back: it takes ten good ones in a row."""
        pool = pool_of(*"abc", outliers=OutlierLimits(), accrual=None)
        self.run_traffic(pool, "b", 6, 0.0)
        b = pool.nodes["b"]
        others = [pool.nodes["a"], pool.nodes["c"]]
        until = b.ejected_until
        succeed(pool, until, 9, tried=others)
        self.assertEqual(b.ejection, "trial")
        lease = pool.acquire(until, tried=others)
        self.assertTrue(lease.on_trial)
        lease.succeeded(until, 500)
        lease.release(until)
        self.assertEqual(b.ejection, "ejected")
        succeed(pool, until + 30.0, 9, tried=others)
        self.assertEqual(b.ejection, "trial")
        succeed(pool, until + 30.0, tried=others)
        self.assertEqual(b.ejection, "up")

    def test_good_checks_do_not_lift(self) -> None:
        """Good checks do not bring an outlier back: it may well answer those."""
        pool = pool_of(*"abc", outliers=OutlierLimits())
        self.run_traffic(pool, "b", 6, 0.0)
        for _ in range(9):
            pool.observe("b", GOOD, 7.0)
        self.assertEqual(pool.nodes["b"].ejection, "ejected")
        pool.observe("b", BAD, 8.0)
        pool.observe("b", GOOD, 9.0)
        self.assertEqual(pool.nodes["b"].ejection, "up")

    def test_shadow(self) -> None:
        """In shadow mode the outlier is reported and stays."""
        diary = Diary()
        limits = OutlierLimits(shadow=True)
        pool = pool_of(*"abc", outliers=limits, events=diary)
        self.run_traffic(pool, "b", 6, 0.0)
        self.assertIn("b: up -> ejected", diary.words("shadow"))
        self.assertEqual(diary.words("ejection"), [])

    def test_cap(self) -> None:
        """Outliers count for the share that may be ejected."""
        pool = pool_of(
            *"abc", outliers=OutlierLimits(), ejections=EjectionLimits(max_share=0.4)
        )
        fail(pool, 0.0, 3, tried=[pool.nodes["b"], pool.nodes["c"]])
        self.run_traffic(pool, "b", 6, 0.0)
        self.assertEqual(pool.nodes["b"].ejection, "up")
        self.assertGreater(pool.ejections.refused, 0)

    def test_refused_trial(self) -> None:
        """A trial that fails to connect is told apart from one that answers badly, without accrual too."""
        pool = pool_of(*"abc", outliers=OutlierLimits(), accrual=None)
        self.run_traffic(pool, "b", 6, 0.0)
        b = pool.nodes["b"]
        until = b.ejected_until
        fail(pool, until, tried=[pool.nodes["a"], pool.nodes["c"]])
        self.assertEqual(b.ejected_until, until + 30.0)


class PanicTests(SynchronousTestCase):
    def test_rises_smoothly(self) -> None:
        """With most targets down some traffic goes to them all the same, the more the fewer are left."""
        pool = pool_of(*"abcdefghij", all_down="least_bad", accrual=None)
        seen = []
        for down in range(10):
            seen.append(pool.choice.panics)
            shares(pool, 0.0, 2000)
            pool.observe("abcdefghij"[down], BAD, 0.0)
        pool.available(0.0)
        counts = [b - a for a, b in zip(seen, seen[1:], strict=False)]
        self.assertEqual(counts[:4], [0, 0, 0, 0])
        self.assertTrue(0 < counts[6] < counts[8] < 2000, counts)
        self.assertEqual(pool.choice.panic_odds, 1.0)

    def test_no_panic_with_refuse(self) -> None:
        """With all_down = refuse nobody is ever sent to an unavailable target."""
        pool = pool_of(*"abcd")
        for name in "abc":
            pool.observe(name, BAD, 0.0)
        self.assertEqual(set(picks(pool, 2000)), {"d"})

    def test_only_when_all_are_down(self) -> None:
        """Without draws the last resort is used only when nobody is available."""
        pool = pool_of(*"abcd", all_down="least_bad", panic_draws=0)
        for name in "abc":
            pool.observe(name, BAD, 0.0)
        self.assertEqual(set(picks(pool, 2000)), {"d"})
        pool.observe("d", BAD, 0.0)
        self.assertEqual(set(picks(pool, 8)), set("abcd"))

    def test_full_last_resort(self) -> None:
        """The last resort keeps to max_conns too."""
        pool = pool_of(target("a", max_conns=1), all_down="least_bad")
        pool.observe("a", BAD, 0.0)
        pool.acquire(0.0)
        self.assertRaises(AllFull, pool.acquire, 0.0)


class CapTests(SynchronousTestCase):
    def test_pool_max_conns(self) -> None:
        """A pool can be limited as a whole."""
        pool = pool_of("a", "b", max_conns=3)
        held = [pool.acquire(0.0) for _ in range(3)]
        error = self.assertRaises(AllFull, pool.acquire, 0.0)
        self.assertIn("3 exchanges are running", str(error))
        self.assertEqual((pool.in_flight, pool.caps.refused), (3, 1))
        held[0].release(0.0)
        pool.acquire(0.0)

    def test_retries(self) -> None:
        """The number of attempts beyond the first that run at once can be limited."""
        pool = pool_of("a", "b", max_retries=1)
        tried = [pool.nodes["a"]]
        lease = pool.acquire(0.0, tried=tried)
        self.assertRaises(AllFull, pool.acquire, 0.0, None, tried)
        pool.acquire(0.0)
        lease.release(0.0)
        pool.acquire(0.0, tried=tried)

    def test_adaptive(self) -> None:
        """An adaptive limit holds for the pool, and moves with the latency of its answers."""
        limit = AdaptiveLimit(initial=4, floor=2)
        pool = pool_of("a", "b", adaptive=limit)
        held = [pool.acquire(0.0) for _ in range(4)]
        self.assertRaises(AllFull, pool.acquire, 0.0)
        for i in range(60):
            held[0].release(i / 10)
            held = [*held[1:], pool.acquire(i / 10)]
            held[0].asked = i / 10 - 0.01
            held[0].succeeded(i / 10)
        self.assertGreater(limit.limit, 4)


class AvoidTests(SynchronousTestCase):
    def test_avoid(self) -> None:
        """Nodes to be avoided are passed over while others have room, and not counted as tried."""
        pool = pool_of("a", target("b", max_conns=1))
        a, b = pool.nodes.values()
        self.assertEqual({pool.acquire(0.0, avoid=[b]).node.id for _ in "1234"}, {"a"})
        first = pool.acquire(0.0, avoid=[a])
        self.assertIs(first.node, b)
        self.assertIs(pool.acquire(0.0, avoid=[a]).node, a)
        self.assertIn(pool.acquire(0.0, avoid=[a, b]).node, (a,))
        self.assertRaises(AllFull, pool.acquire, 0.0, None, [a], None, [b])
        self.assertEqual((a.stats.retries, b.stats.retries), (0, 0))


class WatchTests(SynchronousTestCase):
    def test_suspect(self) -> None:
        """Whoever asked hears of each failure held against a target, and of nothing else."""
        pool = pool_of("a")
        heard: list[tuple[Node, float]] = []
        pool.suspect = lambda node, now: heard.append((node, now))
        succeed(pool, 1.0)
        fail(pool, 2.0, 2)
        self.assertEqual(heard, [(pool.nodes["a"], 2.0)] * 2)

    def test_explain(self) -> None:
        """For a key each target is shown with its place or what excludes it; no turn is used up."""
        pool = pool_of("a", "b", "c", balance="ip_hash")
        pool.observe("c", BAD, 0.0)
        rows = {
            row["id"]: row for row in json.loads(json.dumps(pool.explain(0.0, b"k")))
        }
        self.assertEqual(rows["c"]["excluded"], "unhealthy")
        self.assertIsNone(rows["c"]["preference"])
        first = next(name for name in "ab" if rows[name]["preference"] == 1)
        self.assertEqual(pool.acquire(0.0, b"k").node.id, first)

    def test_explain_turns(self) -> None:
        """Where turns decide, there is no order of preference, and explaining does not change whose turn it is."""
        pool = pool_of("a", target("b", backup=True))
        a, b = pool.explain(0.0, b"k")
        self.assertEqual((a["preference"], a["tier_load_percent"]), (None, 100))
        self.assertEqual((b["tier"], b["tier_load_percent"]), ("backup", 0))

    def test_every_balancer_through_an_outage(self) -> None:
        """With each balancer two of three targets die and return while traffic runs, and no lease is lost."""
        for name in Balancers().names():
            pool = pool_of(*"abc", balance=name, slow_start=SlowStart(5.0))
            random = Random(3)
            for i in range(3000):
                now = i / 20
                if i % 600 == 300:
                    pool.observe("a", BAD, now)
                    pool.observe("b", BAD, now)
                elif i % 600 == 500:
                    pool.observe("a", GOOD, now)
                    pool.observe("b", GOOD, now)
                lease = pool.acquire(now, b"%d" % random.randrange(50))
                if random.random() < 0.01:
                    lease.failed(now, ConnectFailed())
                else:
                    lease.succeeded(now + 0.01)
                lease.release(now)
            self.assertEqual(pool.in_flight, 0)


class RoomTests(SynchronousTestCase):
    def test_on_room(self) -> None:
        """Who waits for room is told of the end of each lease that was under a limit."""
        pool = pool_of(target("a", max_conns=1), "b")
        told: list[float] = []
        pool.on_room.append(told.append)
        one, two = pool.acquire(0.0), pool.acquire(0.0)
        two.release(1.0)
        self.assertEqual(told, [])
        one.release(2.0)
        self.assertEqual((told, pool.nodes["a"].in_flight), ([2.0], 0))
