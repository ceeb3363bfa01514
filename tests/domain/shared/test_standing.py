"""Tests of failures that stand: what is told of them, and what the word of others may do, whatever it is."""

from __future__ import annotations

from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.domain.accruals.consecutive import ConsecutiveFailures
from lolly_tx.domain.checks.health import Observation
from lolly_tx.domain.ejection import EjectionLimits
from lolly_tx.domain.errors import (
    BadResponse,
    ConnectRefused,
    ConnectTimedOut,
    ProxyError,
)
from lolly_tx.domain.lease import Lease
from lolly_tx.domain.node import Node
from lolly_tx.domain.pool import Pool
from lolly_tx.domain.shared.standing import (
    MOST_ELSEWHERE,
    MOST_HERE,
    SILENCE_SECONDS,
    STANDS_SECONDS,
    Standing,
    Told,
)
from tests.domain.pools import Diary, pool_of

REFUSED = ConnectRefused("connection refused")
BROKEN = BadResponse("no HTTP")
SILENT = ConnectTimedOut("no connection in 5 s")
OK_CONNECT = Observation(ok=True, cause="connected", latency=0.01)


class Shared:
    """A pool whose failures stand, as the service joins the two."""

    def __init__(self, *names: str, **settings: Any) -> None:
        self.diary = Diary()
        self.pool: Pool = pool_of(*names, events=self.diary, **settings)
        self.standing = Standing(self.pool)
        self.due: list[float] = []
        self.pool.verdicts.on_failure = lambda node, outcome, now: self.due.append(
            self.standing.failed(node, outcome, now)
        )

    def node(self, name: str) -> Node:
        return self.pool.nodes[name]

    def fail(self, name: str, now: float, error: ProxyError = REFUSED) -> None:
        """A request that went there, and failed."""
        lease = self._lease(name, now)
        lease.failed(now, error)
        lease.release(now)

    def succeed(self, name: str, now: float) -> None:
        """One that went well."""
        self._lease(name, now).ended(now, 200)

    def _lease(self, name: str, now: float) -> Lease:
        others = [node for node in self.pool.nodes.values() if node.id != name]
        return self.pool.acquire(now, tried=others)

    def told(self, now: float, most: int = 100) -> dict[str, int]:
        """What is told, by the names of nodes."""
        return {one.node.id: one.count for one in self.standing.tell(now, most)}

    def hear(self, name: str, now: float, elsewhere: int, count: int = 1) -> bool:
        told = Told(self.node(name), count, count)
        return self.standing.hear(told, elsewhere, now)

    def out(self, now: float) -> list[str]:
        """Who is left alone."""
        self.pool.available(now)
        return [n.id for n in self.pool.nodes.values() if n.ejection == "ejected"]


class ToldTests(SynchronousTestCase):
    def test_stands(self) -> None:
        """A failure is told once it has stood for a while, as often as one asks, and taken back after a success."""
        shared = Shared("a", "b")
        self.assertFalse(shared.standing)
        shared.fail("a", 10.0)
        self.assertEqual(shared.due, [10.0 + STANDS_SECONDS])
        self.assertEqual(shared.told(10.0), {})
        self.assertTrue(shared.standing)
        for now in (10.5, 11.5):
            self.assertEqual(shared.told(now), {"a": 1})
        shared.fail("a", 11.6)
        self.assertEqual(shared.told(12.5), {"a": 2})
        shared.succeed("a", 12.6)
        self.assertEqual(shared.told(13.5), {"a": 0})
        self.assertFalse(shared.standing)
        self.assertEqual(shared.told(14.5), {})

    def test_blip(self) -> None:
        """One request of many that fails is never told."""
        shared = Shared("a", "b")
        shared.fail("a", 10.0)
        shared.succeed("a", 10.1)
        self.assertEqual(shared.told(10.5), {})
        self.assertFalse(shared.standing)

    def test_old(self) -> None:
        """What is older than the window stands no more."""
        shared = Shared("a", "b")
        shared.fail("a", 10.0)
        self.assertEqual(shared.told(70.0), {"a": 1})
        self.assertEqual(shared.told(70.1), {"a": 0})

    def test_silence(self) -> None:
        """What may as well be our own network is told later, also of a target that failed before."""
        shared = Shared("a", "b")
        shared.fail("a", 10.0, SILENT)
        shared.fail("b", 10.0, BROKEN)
        self.assertEqual(shared.told(11.0), {"b": 1})
        self.assertEqual(shared.told(10.0 + SILENCE_SECONDS)["a"], 1)
        shared.succeed("a", 14.0)
        shared.fail("a", 14.5, SILENT)
        self.assertEqual(shared.told(15.0), {"a": 0, "b": 1})
        self.assertEqual(shared.told(14.5 + SILENCE_SECONDS)["a"], 1)

    def test_own_fault(self) -> None:
        """What is nobody's fault is told no more, and does not count with what fails later."""
        shared = Shared("a", "b")
        shared.fail("a", 10.0)
        shared.fail("b", 10.4)
        self.assertEqual(shared.told(10.5), {"a": 1})
        shared.standing.forget()
        self.assertEqual(shared.told(11.5), {"a": 0})
        self.assertFalse(shared.standing)
        shared.fail("a", 12.0)
        self.assertEqual(shared.told(12.5), {"a": 1})
        self.assertFalse(shared.hear("a", 12.5, 1, count=2))

    def test_left(self) -> None:
        """A target that left, or is another one by that name, has nothing that stands."""
        shared = Shared("a", "b")
        shared.fail("a", 10.0)
        node = shared.node("a")
        shared.pool.replace([shared.node("b").target], 10.1)
        self.assertFalse(shared.standing.hear(Told(node, 1, 1), 9, 10.5))
        self.assertEqual(shared.told(10.5), {})

    def test_many(self) -> None:
        """Each is told of in turn where there are more than may be at once."""
        names = [f"n{number}" for number in range(10)]
        shared = Shared(*names)
        for name in names:
            shared.fail(name, 10.0)
        found = [list(shared.told(11.0 + n, most=4)) for n in range(3)]
        self.assertEqual([len(one) for one in found], [4, 4, 4])
        self.assertEqual({name for one in found for name in one}, set(names))

    def test_before(self) -> None:
        """What was told last goes with it, so that just that can be taken back."""
        shared = Shared("a", "b")
        found = []
        for now in (10.0, 10.1):
            shared.fail("a", now)
        for now in (10.5, 11.5, 12.5):
            [told] = shared.standing.tell(now, 9)
            found.append((told.count, told.before))
        shared.succeed("a", 13.0)
        shared.fail("a", 13.3)
        for now in (13.5, 14.5):
            [told] = shared.standing.tell(now, 9)
            found.append((told.count, told.before))
        self.assertEqual(found, [(1, 0), (2, 1), (2, 2), (0, 2), (1, 0)])

    def test_most(self) -> None:
        """So many are told of one target, and no more are remembered."""
        shared = Shared("a", "b", accrual=lambda: ConsecutiveFailures(1000))
        for number in range(MOST_HERE + 10):
            shared.fail("a", 10.0 + number / 1000)
        self.assertEqual(shared.told(12.0), {"a": MOST_HERE})

    def test_ejected(self) -> None:
        """It stands on while the target is out and fails, so that whoever comes later knows."""
        shared = Shared("a", "b")
        for _ in range(3):
            shared.fail("a", 10.0)
        self.assertEqual(shared.out(10.0), ["a"])
        self.assertEqual(shared.told(11.0), {"a": 3})
        shared.fail("a", 70.5)  # its trial
        self.assertEqual(shared.told(71.5), {"a": 3})


class HeardTests(SynchronousTestCase):
    def test_together(self) -> None:
        """One failure here and two elsewhere eject, for as long as three here, and say so."""
        shared = Shared("a", "b", "c")
        shared.fail("a", 10.0)
        shared.told(10.5)
        self.assertFalse(shared.hear("a", 10.5, 1))
        self.assertTrue(shared.hear("a", 11.5, 2))
        node = shared.node("a")
        self.assertEqual(shared.out(11.5), ["a"])
        self.assertEqual((node.kind, node.ejected_until), ("fleet", 71.5))
        said = "3 failures in the fleet (1 here)"
        cause = f"passive: {said}, last: connection refused"
        self.assertEqual(shared.diary.events[-1].cause, cause)
        self.assertEqual(str(node.accrual), said)
        self.assertEqual(node.stats.ejected, {"fleet": 1})
        self.assertFalse(shared.hear("a", 11.6, 2), "it is out")

    def test_many_instances(self) -> None:
        """In a fleet of more than six it takes as many failures as half of its instances."""
        for instances, elsewhere in ((6, 2), (7, 3), (8, 3), (9, 4), (100, 49)):
            shared = Shared("a", "b", "c")
            shared.fail("a", 10.0)
            [told] = shared.standing.tell(10.5, 9)
            hear = shared.standing.hear
            self.assertFalse(hear(told, elsewhere - 1, 10.5, instances))
            self.assertTrue(hear(told, elsewhere, 10.5, instances))

    def test_back(self) -> None:
        """It comes back as from an ejection by its own record: one trial, or connects of our own."""
        shared = Shared("a", "b", "c")
        asked: list[str] = []
        shared.pool.on_unreachable.append(lambda node, now: asked.append(node.id))
        for name in "ab":
            shared.fail(name, 10.0, REFUSED if name == "a" else BROKEN)
        shared.told(13.0)
        self.assertTrue(shared.hear("a", 13.0, 2))
        self.assertEqual(asked, ["a"])
        for now in (14.0, 15.0):
            shared.pool.reached("a", OK_CONNECT, now)
        self.assertEqual(shared.out(15.0), [])
        self.assertTrue(shared.hear("b", 15.0, 2))
        self.assertEqual(asked, ["a"], "it takes connections")
        self.assertEqual(shared.out(74.0), ["b"])
        shared.succeed("b", 75.5)
        self.assertEqual(shared.node("b").ejection, "up")
        self.assertEqual(str(shared.node("b").accrual), "0 of 3 failures in a row")

    def test_trial(self) -> None:
        """One more failure after it ejects again: that is seen here."""
        shared = Shared("a", "b", "c")
        shared.fail("a", 10.0)
        shared.told(10.5)
        shared.hear("a", 10.5, 5)
        shared.fail("a", 71.0)
        self.assertEqual(shared.out(71.0), ["a"])
        self.assertEqual(shared.node("a").kind, "connect")

    def test_success_has_the_last_word(self) -> None:
        """A target that does well here stays, whatever is said of it."""
        shared = Shared("a", "b", "c")
        shared.fail("a", 10.0)
        shared.told(10.5)
        shared.succeed("a", 10.6)
        self.assertFalse(shared.hear("a", 10.7, 10**9))
        self.assertFalse(shared.hear("b", 10.7, 10**9), "nothing ever failed there")
        shared.fail("a", 10.8)
        self.assertFalse(shared.hear("a", 80.0, 10**9), "that is long ago")
        self.assertEqual(shared.out(80.0), [])

    def test_half(self) -> None:
        """Others take out at most half of a pool, or less where the pool says so; the rest takes failures here."""
        for share, most in ((1.0, 2), (0.3, 1)):
            shared = Shared(*"abcd", ejections=EjectionLimits(max_share=share))
            for name in "abcd":
                shared.fail(name, 10.0)
            shared.told(10.5)
            for name in "abcd":
                shared.hear(name, 10.5, 10**9)
            self.assertEqual(len(shared.out(10.5)), most)
            refused = shared.pool.ejections.refused
            self.assertEqual(refused, 4 - most)
            self.assertFalse(shared.hear("d", 11.5, 10**9))
            self.assertEqual(shared.pool.ejections.refused, refused, "asked once")
            spared = shared.node("d").spared
            assert spared is not None
            self.assertIn("1001 failures in the fleet (1 here)", spared.cause)
        shared = Shared(*"abcd")
        shared.fail("d", 10.0)
        for _ in range(2):
            shared.fail("d", 10.1)
        self.assertEqual(shared.out(10.1), ["d"])

    def test_last(self) -> None:
        """The last one stays, also where one's own record may take it out."""
        shared = Shared("a", ejections=EjectionLimits(keep_last=False))
        shared.fail("a", 10.0)
        shared.told(10.5)
        self.assertFalse(shared.hear("a", 10.5, 9))

    def test_nobody_else(self) -> None:
        """Who is out by others' word serves again before nobody does, even if it took no connection once."""
        shared = Shared("a", "b")
        shared.fail("a", 10.0)
        shared.told(10.5)
        self.assertTrue(shared.hear("a", 10.5, 9))
        for _ in range(3):
            shared.fail("b", 11.0)
        ready = [node.id for node in shared.pool.available(11.0)]
        self.assertEqual(ready, ["a"])

    def test_shadow(self) -> None:
        """In shadow mode it is reported, once for each failure here."""
        shared = Shared("a", "b", ejections=EjectionLimits(shadow=True))
        shared.fail("a", 10.0)
        shared.told(10.5)
        for now in (10.5, 11.5):
            self.assertFalse(shared.hear("a", now, 2))
        self.assertEqual(shared.diary.words("shadow"), ["a: up -> ejected"])

    def test_held(self) -> None:
        """During a local fault nobody goes out for what others say."""
        shared = Shared("a", "b", "c")
        shared.fail("a", 10.0)
        shared.told(10.5)

        class Witness:
            def holds(self, pool: str, now: float) -> str:
                return "local fault: all is silent"

        shared.pool.roster.witness = Witness()  # type: ignore[assignment]
        self.assertFalse(shared.hear("a", 10.5, 9))
        self.assertEqual(shared.out(10.5), [])


class HostileTests(SynchronousTestCase):
    @given(
        seed=st.integers(0, 2**32),
        size=st.integers(1, 6),
        words=st.lists(st.integers(-(2**70), 2**70), min_size=1, max_size=40),
        keep_last=st.booleans(),
    )
    def test_never_empty(
        self, seed: int, size: int, words: list[int], keep_last: bool
    ) -> None:
        """Whatever is said, of whom and when: at most half of a pool, nobody who is well here, never all."""
        names = "abcdef"[:size]
        shared = Shared(*names, ejections=EjectionLimits(keep_last=keep_last))
        random = Random(seed)
        now = 10.0
        for word in words:
            now += random.uniform(0, 2)
            name = random.choice(names)
            node = shared.node(name)
            if random.random() < 0.5 and node.ejection == "up":
                if random.random() < 0.5:
                    # One's own record ejects nobody: it is the others' word that is tried.
                    own: Any = node.accrual
                    if own.standing(now) < 2:
                        shared.fail(name, now, BROKEN)
                else:
                    shared.succeed(name, now)
            shared.told(now)
            before = set(shared.out(now))
            instances = random.choice((-1e9, 0.0, 1.0, 1e9))
            told = Told(node, random.randrange(5), random.randrange(5))
            shared.standing.hear(told, word, now, instances)
            out = shared.out(now)
            self.assertLessEqual(len(out), max(0, min(size - 1, max(1, size // 2))))
            self.assertTrue(shared.pool.available(now))
            for new in set(out) - before:
                record: Any = shared.node(new).accrual
                self.assertGreater(record.falls, 0)
                self.assertLessEqual(record.elsewhere, MOST_ELSEWHERE)
