"""Tests of pools while nobody is to be ejected: what is held, what is undone, and what goes on."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.domain.checks.health import Health, Observation
from lolly_tx.domain.checks.quorum import Member, Opinion
from lolly_tx.domain.ejection import EjectionLimits
from lolly_tx.domain.errors import (
    ConnectRefused,
    ConnectTimedOut,
    OutOfResources,
    ProxyError,
)
from lolly_tx.domain.node import Node
from lolly_tx.domain.slow_start import SlowStart
from tests.domain.pools import BAD, GOOD, Diary, fail, pool_of, succeed

LOST = Observation(False, "no connection in 5 s", error=ConnectTimedOut("x"))


class Witness:
    """Takes note, and has pools hold when it is told to."""

    def __init__(self) -> None:
        self.why = ""
        self.told: list[str] = []

    def failed(self, node: Node, error: ProxyError, now: float) -> None:
        self.told.append(f"{node.id} {type(error).__name__}")

    def heard(self, node: Node, now: float) -> None:
        self.told.append(f"{node.id} heard")

    def holds(self, pool: str, now: float) -> str:
        return self.why

    def short(self, words: str) -> None:
        self.told.append(words)


class HeldTests(SynchronousTestCase):
    def held(self, *names: str, **settings: Any) -> Any:
        self.witness = Witness()
        self.diary = Diary()
        pool = pool_of(*(names or ("a", "b")), events=self.diary, **settings)
        pool.roster.witness = self.witness
        return pool

    def test_told(self) -> None:
        """The witness hears of failures, of checks and rechecks, and of what this machine has run out of."""
        pool = self.held("a")
        fail(pool, 0.0, error=ConnectTimedOut("late"))
        succeed(pool, 0.0)
        for seen in (GOOD, BAD, LOST, Observation(False, "no answer in 5 s")):
            self.assertTrue(pool.check_counts("a", seen, 1.0))
        self.assertTrue(pool.check_counts("gone", LOST, 1.0))
        lease = pool.acquire(2.0)
        lease.failed(2.0, OutOfResources("no file descriptor left"))
        lease.release(2.0)
        self.assertEqual(
            self.witness.told,
            [
                "a ConnectTimedOut",
                "a heard",
                "a heard",
                "a ConnectTimedOut",
                "no file descriptor left",
            ],
        )

    def test_rechecks_are_told(self) -> None:
        """So does it of our own connects to those that take none."""
        pool = self.held("a")
        fail(pool, 0.0, 3)
        pool.reached("a", LOST, 1.0)
        self.assertEqual(self.witness.told[-1], "a ConnectTimedOut")

    def test_no_ejection(self) -> None:
        """Nobody is ejected while it holds, and it is told why; afterwards it takes all failures anew."""
        pool = self.held()
        self.witness.why = "local fault: so many"
        fail(pool, 0.0, 12)
        self.assertEqual(len(pool.available(0.0)), 2)
        spared = pool.nodes["a"].spared
        assert spared is not None
        self.assertIn("local fault: so many", spared.cause)
        self.witness.why = ""
        fail(pool, 1.0, 4)
        self.assertEqual(len(pool.available(1.0)), 2)
        fail(pool, 1.0, 2)
        self.assertEqual(len(pool.available(1.0)), 0)

    def test_no_bad_check(self) -> None:
        """Checks that go wrong do not count and are kept as evidence; good ones and drains count."""
        pool = self.held("a", rise=2)
        node = pool.nodes["a"]
        self.witness.why = "local fault"
        self.assertFalse(pool.check_counts("a", LOST, 1.0))
        self.assertEqual(len(node.evidence.checks), 1)
        self.assertTrue(pool.check_counts("a", GOOD, 1.0))
        drain = Observation(False, "404", status=404, drain=True)
        self.assertTrue(pool.check_counts("a", drain, 1.0))

    def test_undone(self) -> None:
        """Who went out since it began is back at once, with its whole share and no longer ejections later."""
        pool = self.held(
            slow_start=SlowStart(60.0),
            ejections=EjectionLimits(max_seconds=300.0),
        )
        succeed(pool, 0.0, 4)
        fail(pool, 10.0, 3, error=ConnectTimedOut("late"), tried=[pool.nodes["b"]])
        pool.observe("b", LOST, 10.5)
        self.assertEqual(pool.available(11.0), ())
        pool.restore(10.0, "local fault", 11.0)
        self.assertEqual(len(pool.available(11.0)), 2)
        for node in pool.nodes.values():
            self.assertEqual((node.weight, node.ramp, node.streak), (1.0, None, 0))
            self.assertEqual(node.health.against, 0)
        self.assertEqual(
            self.diary.words("ejection"), ["a: up -> ejected", "a: ejected -> up"]
        )
        self.assertEqual(self.diary.words("health"), ["b: up -> down", "b: down -> up"])

    def test_not_undone(self) -> None:
        """Who was out before it began stays out, and so does who was taken down by hand."""
        pool = self.held("a", "b", "c")
        fail(pool, 5.0, 3, tried=[pool.nodes["b"], pool.nodes["c"]])
        pool.observe("b", BAD, 6.0)
        pool.mark("c", False, "marked unhealthy", 12.0)
        pool.restore(10.0, "local fault", 13.0)
        self.assertEqual(pool.available(13.0), ())

    def test_trial(self) -> None:
        """A trial that fails meanwhile leaves its node as it was: ejected, and no longer for it."""
        pool = self.held(ejections=EjectionLimits(max_seconds=300.0))
        fail(pool, 0.0, 3, tried=[pool.nodes["b"]])
        node = pool.nodes["a"]
        self.witness.why = "local fault"
        lease = pool.acquire(60.0, tried=[pool.nodes["b"]])
        self.assertTrue(lease.on_trial)
        lease.failed(60.0, ConnectTimedOut("late"))
        lease.release(60.0)
        self.assertEqual((node.ejection, node.streak), ("ejected", 1))
        self.assertEqual(node.ejected_until, 120.0)
        pool.restore(59.0, "local fault", 61.0)
        self.assertEqual(node.ejection, "ejected")
        self.witness.why = ""
        pool.acquire(120.0, tried=[pool.nodes["b"]]).ended(120.0, 200)
        self.assertEqual(node.ejection, "up")

    def test_without_a_witness(self) -> None:
        """A pool nobody watches judges as ever."""
        pool = pool_of("a")
        self.assertTrue(pool.check_counts("a", LOST, 0.0))
        lease = pool.acquire(2.0)
        lease.failed(2.0, OutOfResources("no file descriptor left"))
        lease.release(2.0)
        fail(pool, 3.0, 3, error=ConnectRefused("connection refused"))
        self.assertEqual(pool.available(3.0), ())


class OpinionTests(SynchronousTestCase):
    def test_before(self) -> None:
        """A check of several that went down since then thinks as before; others keep their opinion."""
        member = Member("web")
        for health, up in (
            (Health(up=False, since=5.0), True),
            (Health(up=False, since=4.0), False),
            (Health(up=False), False),
            (Health(up=True, since=6.0, against=1), True),
        ):
            opinion = Opinion(member, health).before(5.0, 7.0)
            self.assertIs(opinion.health.up, up)
