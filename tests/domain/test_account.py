"""Tests of the account given of a target, and of what is foreseen for an exchange."""

from random import Random

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.domain.account import account
from lolly_tx.domain.accruals.consecutive import ConsecutiveFailures
from lolly_tx.domain.balancers.by_name import Balancers
from lolly_tx.domain.balancers.round_robin import RoundRobin
from lolly_tx.domain.checks.health import Observation, Thresholds
from lolly_tx.domain.checks.target_agent import AgentReport
from lolly_tx.domain.errors import ConnectFailed, ResponseTimedOut
from lolly_tx.domain.target import Target
from lolly_tx.domain.wayback import Planned
from lolly_tx.testing import BAD_CHECK, GOOD_CHECK, fake_pool, fake_target


def make_pool(*targets, **settings):
    settings.setdefault("accrual", ConsecutiveFailures)
    return fake_pool(targets or "ab", RoundRobin(random=Random(1)), **settings)


def told(pool, now, next_check=None, name="a"):
    pool.available(now)
    return account(pool.nodes[name], pool.thresholds, now, Planned(next_check))


def fail(pool, count, at):
    node = pool.nodes["a"]
    for _ in range(count):
        lease = pool.acquire(
            at, tried=[n for n in pool.nodes.values() if n is not node]
        )
        lease.failed(at, ConnectFailed("connection refused"))
        lease.release(at)


class AccountTests(SynchronousTestCase):
    def summary(self, pool, now, next_check=None):
        return told(pool, now, next_check)["summary"]

    def test_fine(self):
        """Of a target in service it says so, and that nothing has to happen."""
        said = told(make_pool(), 1.0)
        self.assertEqual((said["summary"], said["back"]), ("takes new exchanges", []))
        self.assertTrue(all(fact["good"] for fact in said["facts"]))

    def test_ejected(self):
        """An ejected target comes back in some seconds or after some good checks, whatever is first."""
        pool = make_pool()
        fail(pool, 3, 10.0)
        self.assertEqual(
            self.summary(pool, 57.7),
            "ejected: back in 12.3 s, for one trial request",
        )
        pool.observe("a", GOOD_CHECK, 50.0)
        self.assertEqual(
            self.summary(pool, 57.7, 60.0),
            "ejected: back in 12.3 s, for one trial request, or after 1 more good"
            " check (the next in 2.3 s)",
        )
        self.assertEqual(self.summary(pool, 71.0), "waits for one trial request")

    def test_spared(self):
        """Of an ejection that was refused it says when, why, and what for; the record has begun anew."""
        pool = make_pool("a")
        for at in (1.0, 2.0, 3.0):
            lease = pool.acquire(at)
            lease.failed(at, ResponseTimedOut("nothing in 30 s"))
            lease.release(at)
        said = told(pool, 8.0)
        self.assertEqual(said["summary"], "takes new exchanges")
        self.assertEqual(
            said["facts"][2]["detail"],
            "0 of 3 failures in a row; 5.0 s ago not ejected: the last available target"
            " stays; passive: 3 of 3 failures in a row, last: nothing in 30 s",
        )
        self.assertIn("the last available", said["state"]["ejection"]["refused"])

    def test_trial(self):
        """While the trial runs, its verdict is what counts."""
        pool = make_pool("a")
        fail(pool, 3, 10.0)
        pool.acquire(70.0)
        said = told(pool, 71.0)
        self.assertEqual(
            said["summary"],
            "trial in flight: back when the trial in flight is answered well",
        )
        self.assertFalse(said["available"])

    def test_unhealthy(self):
        """A target that checks took down needs good checks, and the next one's time is known."""
        pool = make_pool()
        pool.go_by(Thresholds(rise=3, fall=1), "up")
        pool.observe("a", BAD_CHECK, 1.0)
        pool.observe("a", GOOD_CHECK, 2.0)
        self.assertEqual(
            self.summary(pool, 2.0, 2.5),
            "unhealthy: back after 2 more good checks in a row (the next in 0.5 s)",
        )
        self.assertIn("none is planned", self.summary(pool, 2.0))
        fact = told(pool, 4.0)["facts"][1]
        self.assertEqual(
            (fact["state"], fact["good"], fact["since_seconds"], fact["cause"]),
            ("down", False, 3.0, "check: 503 from /health"),
        )
        self.assertEqual(fact["detail"], "2 more good checks would flip it")

    def test_several_obstacles(self):
        """Everything that keeps it out is told, for all of it has to go."""
        pool = make_pool()
        pool.set_enabled("a", "drain", "operator", 1.0)
        pool.observe("a", BAD_CHECK, 1.0)
        self.assertEqual(
            self.summary(pool, 2.0, 3.0),
            "draining: back when the operator enables it; and after 1 more good check"
            " (the next in 1.0 s)",
        )

    def test_own_word(self):
        """What a target says of itself is an obstacle too."""
        pool = make_pool()
        drain = Observation(True, "404 from /health", drain=True)
        pool.observe("a", drain, 1.0)
        pool.hear_agent("a", AgentReport(admin="down", up=False), 1.0)
        said = self.summary(pool, 2.0)
        self.assertIn("when its agent says ready", said)
        self.assertIn("when its agent says up", said)
        self.assertIn("after a good check that is no 404", said)

    def test_full(self):
        """A full target has room again when an exchange ends."""
        pool = make_pool(fake_target("a", max_conns=1))
        pool.acquire(1.0)
        said = told(pool, 1.0)
        self.assertEqual(said["summary"], "full: back when an exchange ends")
        self.assertEqual(said["facts"][3]["detail"], "1 in flight, room for 1")

    def test_evidence_and_history(self):
        """The last checks and failures are shown with their ages and causes, and every event."""
        pool = make_pool()
        pool.observe("a", BAD_CHECK, 1.0)
        pool.observe("a", GOOD_CHECK, 2.0)
        fail(pool, 1, 3.0)
        said = told(pool, 5.0)
        self.assertEqual(
            said["evidence"]["checks"][0],
            {
                "seconds_ago": 4.0,
                "ok": False,
                "cause": "503 from /health",
                "took_seconds": 0.01,
            },
        )
        [failure] = said["evidence"]["failures"]
        self.assertEqual(
            (failure["seconds_ago"], failure["cause"]), (2.0, "connection refused")
        )
        self.assertEqual([e["new"] for e in said["history"]], ["down", "up"])

    def test_without_policies(self):
        """A target that nobody checks or watches is told as such."""
        said = told(make_pool(accrual=None), 1.0)
        self.assertEqual(
            [fact["detail"] for fact in said["facts"]],
            ["", "never checked", "not watched", "0 in flight, no limit"],
        )


class ForesightTests(SynchronousTestCase):
    def pool(self, balance, *targets, **settings):
        pool = fake_pool(
            targets or "abc", Balancers().make(balance, {}, Random(1)), **settings
        )
        pool.available(0.0)
        return pool

    def seen(self, pool, key=None, bond=None):
        said = pool.foresee(0.0, key, bond)
        return said.node and said.node.id, said.why

    def test_turns(self):
        """The next in turn is named, and has its turn still."""
        pool = self.pool("round_robin")
        for _ in range(4):
            name, why = self.seen(pool)
            self.assertEqual(why, "RoundRobin: the next choice")
            self.assertEqual(pool.acquire(0.0).node.id, name)

    def test_key(self):
        """The target of a key is named, and the next when that is full."""
        targets = [fake_target(n, max_conns=1) for n in "abc"]
        pool = self.pool("ip_hash", *targets)
        for _ in range(3):
            name, why = self.seen(pool, b"10.0.0.9")
            self.assertIn("in the order of its key", why)
            self.assertEqual(pool.acquire(0.0, b"10.0.0.9").node.id, name)
        self.assertEqual(
            self.seen(pool, b"x"), (None, "every available target is full")
        )

    def test_full_turn(self):
        """When the next in turn is full, whoever follows with room is taken."""
        pool = self.pool("round_robin", fake_target("a", max_conns=1), "b")
        held = pool.acquire(0.0)
        pool.acquire(0.0)
        self.assertEqual(held.node.id, "a")
        self.assertEqual(self.seen(pool), (None, "RoundRobin: the next one with room"))

    def test_chance(self):
        """Where chance decides, no name is given."""
        self.assertEqual(self.seen(self.pool("random"))[0], None)

    def test_nobody(self):
        """With nobody available it says so."""
        pool = self.pool("round_robin", "a")
        pool.observe("a", BAD_CHECK, 0.0)
        self.assertEqual(self.seen(pool), (None, "no target is available"))

    def test_panic(self):
        """In panic availability counts for nothing, and a little panic is mentioned."""
        pool = self.pool("round_robin", *"abcd", all_down="least_bad")
        pool.observe("a", BAD_CHECK, 0.0)
        pool.observe("b", BAD_CHECK, 0.0)
        pool.observe("c", BAD_CHECK, 0.0)
        name, why = self.seen(pool)
        self.assertEqual(name, "d")
        self.assertIn("of the exchanges ignore availability", why)
        pool.observe("d", BAD_CHECK, 0.0)
        self.assertTrue(self.seen(pool)[1].startswith("panic: "))

    def test_tiers(self):
        """When two tiers share the load, chance decides."""
        members = [fake_target(n) for n in "abc"]
        pool = self.pool("round_robin", *members, fake_target("d", priority=1))
        pool.observe("a", BAD_CHECK, 0.0)
        pool.observe("b", BAD_CHECK, 0.0)
        self.assertIn("by the load of each tier", self.seen(pool)[1])

    def test_bond(self):
        """A bound client goes to its target."""
        balancer = Balancers().make(
            "sticky", {"keys": [b"0123456789abcdef"]}, Random(1)
        )
        pool = fake_pool(
            [Target("a", "http://a.invalid"), Target("b", "http://b.invalid")], balancer
        )
        said = self.seen(pool, None, balancer.bond("b"))
        self.assertEqual(said, ("b", "the client is bound to it"))
