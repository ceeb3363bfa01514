"""Tests of what instances tell each other of failing targets: three of them, and what may befall their store."""

from __future__ import annotations

from random import Random
from types import SimpleNamespace
from typing import Any

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.config.local_fault import LocalFault
from lolly_tx.domain.errors import (
    BadResponse,
    ConnectRefused,
    ConnectTimedOut,
    ProxyError,
)
from lolly_tx.domain.local_fault import CALM_SECONDS
from lolly_tx.domain.node import Node
from lolly_tx.domain.pool import Pool
from lolly_tx.domain.target import Target
from lolly_tx.net.sockets.health_map import HealthMap
from lolly_tx.net.stores.scripts import STAND
from lolly_tx.net.stores.store import SharedStore
from lolly_tx.service.checks.local_faults import LocalFaults
from lolly_tx.service.stores.fleet import KEEP_SECONDS, TELL_SECONDS, FleetEvidence
from lolly_tx.service.surroundings import Surroundings
from lolly_tx.wire.resp import Refusal, Reply
from tests.domain.pools import Diary, pool_of
from tests.net.stores.fakes import FakeStore
from tests.service.changes.test_reload import ReloadTestCase
from tests.service.checks.test_local_faults import Network

REFUSED = ConnectRefused("connection refused")
SILENT = ConnectTimedOut("no connection in 5 s")
STEP = 0.02


class Board:
    """What `STAND` keeps, as the script does: by key, what each member stands by, and when it last said so."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.keys: dict[bytes, dict[bytes, tuple[int, float]]] = {}

    def __call__(self, keys: list[bytes], args: list[bytes]) -> Reply:
        member, keep, _, *words = args
        now, found = self.clock.seconds(), []
        for number, key in enumerate(keys):
            there = self.keys.setdefault(key, {})
            count, before = int(words[2 * number]), int(words[2 * number + 1])
            assert there.get(member, (before,))[0] == before, (there, before)
            there[member] = (count, now)
            for name, (n, at) in list(there.items()):
                if not n or at + int(keep) / 1000 <= now:
                    del there[name]
            found.append(sum(n for name, (n, _) in there.items() if name != member))
        return [*found]


class Instance:
    """One of a fleet, with a pool of its own."""

    def __init__(
        self, clock: Clock, store: SharedStore, number: int, names: str = "abcd"
    ) -> None:
        self.clock = clock
        self.store = store
        self.diary = Diary()
        self.network = Network()
        targets = [
            Target.from_url(f"http://10.0.{index}.1:80", id=name)
            for index, name in enumerate(names)
        ]
        self.pool: Pool = pool_of(*targets, events=self.diary)
        now = clock.seconds
        around = Surroundings(clock, now, now, Random(number))
        network: Any = self.network
        self.faults = LocalFaults(around, HealthMap(clock, now=now), network, Diary())
        self.faults.join(self.pool)
        stores: Any = {"shared": store}
        self.fleet = FleetEvidence(around, stores, self.faults, lambda: 1)
        self.share("shared")

    def share(self, store: str) -> None:
        """By the settings of a pool."""
        passive = SimpleNamespace(share=store)
        one: Any = SimpleNamespace(
            settings=SimpleNamespace(passive=passive), pool=self.pool
        )
        self.fleet.go_by({"p": one})

    def node(self, name: str) -> Node:
        return self.pool.nodes[name]

    def _lease(self, name: str) -> Any:
        others = [node for node in self.pool.nodes.values() if node.id != name]
        return self.pool.acquire(self.clock.seconds(), tried=others)

    def fail(self, name: str, error: ProxyError = REFUSED) -> None:
        lease = self._lease(name)
        lease.failed(self.clock.seconds(), error)
        lease.release(self.clock.seconds())

    def succeed(self, name: str) -> None:
        self._lease(name).ended(self.clock.seconds(), 200)

    def out(self) -> str:
        """Who is left alone."""
        self.pool.available(self.clock.seconds())
        nodes = self.pool.nodes.values()
        return "".join(n.id for n in nodes if n.ejection == "ejected")

    def stop(self) -> None:
        self.fleet.stop()
        self.faults.stop()
        self.store.stop()


class Fleet:
    """Three instances, and the store that they share."""

    def __init__(self, instances: int = 3) -> None:
        self.clock = Clock()
        self.fake = FakeStore(self.clock)
        self.board = Board(self.clock)
        self.fake.on(STAND, self.board)
        self.all: list[Instance] = []
        for number in range(instances):
            store = self.fake.store(member=f"m{number}")
            store.start()
            self.all.append(Instance(self.clock, store, number))
        self.pass_time(2.0)

    def pass_time(self, seconds: float) -> None:
        for _ in range(round(seconds / STEP)):
            self.clock.advance(STEP)

    def out(self) -> list[str]:
        return [one.out() for one in self.all]

    @property
    def questions(self) -> int:
        """Those about failures, so far."""
        asked = (b"EVALSHA", STAND.digest)
        return sum(tuple(words[:2]) == asked for words in self.fake.seen)

    def stop(self) -> None:
        for one in self.all:
            one.stop()


class FleetTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.fleet = Fleet()
        self.addCleanup(self.fleet.stop)

    def test_one_each(self) -> None:
        """One failure at each of three: all eject, within seconds of each other, and say why."""
        for one in self.fleet.all:
            one.fail("a")
            self.fleet.pass_time(0.3)
        self.assertEqual(self.fleet.out(), ["", "", ""])
        self.fleet.pass_time(3.0)
        self.assertEqual(self.fleet.out(), ["a", "a", "a"])
        ends = [one.node("a").ejected_until for one in self.fleet.all]
        self.assertLessEqual(max(ends) - min(ends), TELL_SECONDS + 1.0)
        for one in self.fleet.all:
            [event] = [e for e in one.diary.events if e.fact == "ejection"]
            self.assertIn("3 failures in the fleet (1 here)", event.cause)

    def test_one_of_two(self) -> None:
        """Fewer than `max_fails` in all eject nobody, however long they stand."""
        for one in self.fleet.all[:2]:
            one.fail("a")
        self.fleet.pass_time(90.0)
        self.assertEqual(self.fleet.out(), ["", "", ""])
        self.assertFalse(self.fleet.board.keys[b"lolly:evidence:p:http://10.0.0.1:80"])
        asked = self.fleet.questions
        self.fleet.pass_time(10.0)
        self.assertEqual(self.fleet.questions, asked, "it is over")

    def test_many(self) -> None:
        """The store says how many there are: in a fleet of eight it takes four failures."""
        self.fleet.fake.sharers = 8
        self.fleet.pass_time(2.0)
        for one in self.fleet.all:
            one.fail("a")
        self.fleet.pass_time(5.0)
        self.assertEqual(self.fleet.out(), ["", "", ""])
        self.fleet.all[0].fail("a")
        self.fleet.pass_time(5.0)
        self.assertEqual(self.fleet.out(), ["a", "a", "a"])

    def test_later(self) -> None:
        """Who comes to a target that is out elsewhere needs one failure of its own."""
        first, _, last = self.fleet.all
        for _ in range(3):
            first.fail("a")
        self.fleet.pass_time(20.0)
        self.assertEqual(self.fleet.out(), ["a", "", ""])
        last.fail("a")
        self.fleet.pass_time(1.0)
        self.assertEqual(self.fleet.out(), ["a", "", "a"])

    def test_successes(self) -> None:
        """They cost nothing, and what stood before is taken back: the others do not go by it."""
        first, second, third = self.fleet.all
        for _ in range(50):
            first.succeed("a")
        self.fleet.pass_time(2.0)
        self.assertEqual(self.fleet.questions, 0)
        first.fail("a")
        second.fail("a")
        self.fleet.pass_time(1.0)
        first.succeed("a")
        self.fleet.pass_time(1.5)
        third.fail("a")
        self.fleet.pass_time(5.0)
        self.assertEqual(self.fleet.out(), ["", "", ""])

    def test_cost(self) -> None:
        """However much fails, each instance asks one question a second; a blip of many requests asks none."""
        one = self.fleet.all[0]
        for _ in range(20):
            one.fail("a")
            one.succeed("a")
            self.fleet.pass_time(0.1)
        self.assertEqual(self.fleet.questions, 0)
        for index in range(40):
            name = "abcd"[index % 4]
            if one.node(name).ejection == "up":
                one.fail(name, BadResponse("no HTTP"))
            self.fleet.pass_time(0.25)
        self.assertLessEqual(self.fleet.questions, 11)
        self.assertGreater(self.fleet.questions, 5)

    def test_frozen(self) -> None:
        """While it is frozen each goes on alone; when it is back, what still stands is told."""
        self.fleet.fake.freeze()
        self.fleet.pass_time(2.0)
        for one in self.fleet.all:
            one.fail("a")
        self.fleet.pass_time(5.0)
        self.assertEqual(self.fleet.out(), ["", "", ""])
        for _ in range(2):
            self.fleet.all[0].fail("a")
        self.assertEqual(self.fleet.out(), ["a", "", ""])
        skipped = [one.store.counts["skipped"] for one in self.fleet.all]
        self.assertEqual(skipped, [0, 0, 0])
        self.fleet.fake.thaw()
        self.fleet.pass_time(5.0)
        self.assertEqual(self.fleet.out(), ["a", "a", "a"])

    def test_restarted(self) -> None:
        """One that has lost all it knew is told again."""
        for one in self.fleet.all[:2]:
            one.fail("a")
        self.fleet.pass_time(1.0)
        self.fleet.fake.kill()
        self.fleet.board.keys.clear()
        self.fleet.pass_time(1.0)
        self.fleet.fake.down = False
        self.fleet.pass_time(3.0)
        self.fleet.all[2].fail("a")
        self.fleet.pass_time(3.0)
        self.assertEqual(self.fleet.out(), ["a", "a", "a"])

    def test_dead_instance(self) -> None:
        """What an instance has said counts no longer than it goes on to say so."""
        first, second, third = self.fleet.all
        for one in (first, second):
            one.fail("a")
        self.fleet.pass_time(1.0)
        first.stop()
        self.fleet.pass_time(KEEP_SECONDS + 0.5)
        third.fail("a")
        self.fleet.pass_time(3.0)
        self.assertEqual(third.out(), "")

    def test_garbage(self) -> None:
        """What is no answer is none, what is no number of failures is none, and the store is asked on."""
        one = self.fleet.all[0]
        said: list[Reply] = [
            b"3",
            None,
            7,
            [],
            [9, 9],
            [b"9"],
            [None],
            [[9]],
            [-9],
            [0],
            Refusal("ERR no"),
        ]
        one.fail("a")
        self.fleet.pass_time(0.45)
        for reply in said:
            self.fleet.fake.on(STAND, lambda keys, args, reply=reply: reply)  # type: ignore[misc]
            self.fleet.pass_time(1.0)
            self.assertEqual(one.out(), "", repr(reply))
        self.assertGreater(self.fleet.questions, len(said) - 2)
        self.assertEqual(self.flushLoggedErrors(), [])
        self.fleet.fake.on(STAND, lambda keys, args: [2**62])
        self.fleet.pass_time(2.0)
        self.assertEqual(one.out(), "a")

    def test_lies(self) -> None:
        """Whatever it says of targets that are well here, all of them stay."""
        self.fleet.fake.on(STAND, lambda keys, args: [10**9] * len(keys))
        for one in self.fleet.all:
            for name in "abcd":
                one.fail(name)
                one.succeed(name)
        self.fleet.pass_time(10.0)
        self.assertEqual(self.fleet.out(), ["", "", ""])
        for one in self.fleet.all:
            for name in "abcd":
                one.fail(name)
        self.fleet.pass_time(10.0)
        self.assertEqual([len(out) for out in self.fleet.out()], [2, 2, 2])

    def test_opted_out(self) -> None:
        """A reload that takes the store from a pool ends it; one that leaves it keeps what stands."""
        first, second, third = self.fleet.all
        for one in self.fleet.all:
            one.share("")
            self.assertIsNone(one.pool.verdicts.on_failure)
            one.fail("a")
        self.fleet.pass_time(5.0)
        self.assertEqual((self.fleet.questions, self.fleet.out()), (0, [""] * 3))
        for one in self.fleet.all:
            one.share("shared")
            one.fail("b")
            one.share("shared")
        self.fleet.pass_time(3.0)
        self.assertEqual(self.fleet.out(), ["b", "b", "b"])

    def test_unknown_store(self) -> None:
        """One that is gone is not asked, and the timers end with what stands."""
        one = self.fleet.all[0]
        one.share("other")
        one.fail("a")
        self.fleet.pass_time(70.0)
        self.assertEqual(self.fleet.questions, 0)

    def test_stop(self) -> None:
        """No timer and no question is left, and nothing is logged."""
        one = self.fleet.all[0]
        one.fail("a")
        self.fleet.fake.freeze()
        self.fleet.pass_time(0.5)
        self.fleet.stop()
        self.fleet.clock.advance(0)
        self.assertEqual(self.fleet.clock.getDelayedCalls(), [])
        self.assertEqual(self.flushLoggedErrors(), [])


class LocalFaultTests(SynchronousTestCase):
    """A machine whose cable is pulled. Its targets are in networks of their own, in two pools."""

    def setUp(self) -> None:
        self.fleet = Fleet()
        self.addCleanup(self.fleet.stop)
        self.one = self.fleet.all[0]
        self.other = pool_of(Target.from_url("http://10.9.0.1:80", id="z"))
        self.other.name = "other"
        self.one.faults.join(self.other)

    def cut(self) -> None:
        """Everything is silent."""
        for name in "abcd":
            self.one.fail(name, SILENT)
        lease = self.other.acquire(self.fleet.clock.seconds())
        lease.failed(self.fleet.clock.seconds(), SILENT)
        lease.release(self.fleet.clock.seconds())

    def test_tells_nothing(self) -> None:
        """What it sees is never told, not even when the network is back."""
        self.cut()
        self.fleet.pass_time(2.0)
        self.assertEqual(self.one.faults.fault.word, "network")
        self.cut()
        for one in self.fleet.all[1:]:
            one.fail("a")
        self.fleet.pass_time(10.0)
        self.assertEqual(self.fleet.out(), ["", "", ""])
        members = [m for there in self.fleet.board.keys.values() for m in there.keys()]
        self.assertNotIn(self.one.fleet.member.encode(), members)
        self.one.network.there |= {f"10.0.{n}.1" for n in range(4)} | {"10.9.0.1"}
        self.fleet.pass_time(CALM_SECONDS + 5.0)
        self.assertEqual(self.one.faults.fault.word, "")
        self.fleet.pass_time(5.0)
        self.assertEqual(self.fleet.out(), ["", "", ""])

    def test_loses_nothing(self) -> None:
        """What others say ejects nobody there."""
        self.one.fail("a")
        self.fleet.pass_time(0.6)
        self.cut()
        self.fleet.pass_time(2.0)
        for one in self.fleet.all[1:]:
            one.fail("a")
        self.fleet.pass_time(5.0)
        self.assertEqual(self.fleet.out(), ["", "", ""])

    def test_target_is_silent(self) -> None:
        """A target that is silent while the rest is heard is told, some seconds later."""
        self.one.network.there |= {f"10.0.{n}.1" for n in range(4)} | {"10.9.0.1"}
        for one in self.fleet.all:
            one.network.there |= self.one.network.there - {"10.0.0.1"}
            one.fail("a", SILENT)
        self.fleet.pass_time(2.5)
        self.assertEqual(self.fleet.questions, 0)
        self.fleet.pass_time(3.0)
        self.assertEqual(self.fleet.out(), ["a", "a", "a"])

    def test_not_looked_for(self) -> None:
        """Where nobody looks for local faults it is told all the same."""
        for one in self.fleet.all:
            one.faults.go_by(LocalFault(hosts=0))
            one.fail("a", SILENT)
        self.fleet.pass_time(6.0)
        self.assertEqual(self.fleet.out(), ["a", "a", "a"])


@attrs.define
class Liar:
    """A store that says anything, now and then nothing, to anybody."""

    random: Random

    def __call__(self, keys: list[bytes], args: list[bytes]) -> Reply:
        numbers: list[Reply] = [self.random.randint(-5, 2**40) for _ in keys]
        said: list[Reply] = [numbers, numbers, numbers[1:], [*numbers, 1], None, b"x"]
        return self.random.choice(said)


class HostileTests(SynchronousTestCase):
    @settings(deadline=None, max_examples=30)
    @given(seed=st.integers(0, 2**32))
    def test_never_empty(self, seed: int) -> None:
        """Whatever a store says, and whenever it is frozen or gone: at most half of a pool is out by others' word."""
        random = Random(seed)
        fleet = Fleet(1)
        [one] = fleet.all
        fleet.fake.on(STAND, Liar(random))
        for _ in range(60):
            name = random.choice("abcd")
            node = one.node(name)
            record: Any = node.accrual
            if node.ejection == "up" and record.standing(fleet.clock.seconds()) < 2:
                random.choice((one.fail, one.succeed))(name)
            happens = random.random()
            if happens < 0.05:
                fleet.fake.freeze()
            elif happens < 0.1:
                fleet.fake.kill()
            elif happens < 0.3:
                fleet.fake.down = False
                fleet.fake.thaw()
            fleet.pass_time(random.choice((0.05, 0.5, 1.0)))
            self.assertLessEqual(len(one.out()), 2)
        fleet.stop()
        self.assertEqual(self.flushLoggedErrors(), [])


TEXT = """
[listener.web]
endpoint = "tcp:8080"
[[route]]
pool = "app"
[store.shared]
url = "redis://127.0.0.1:6379/0"
[pool.app]
targets = ["http://127.0.0.1:9001", "http://127.0.0.1:9002"]
[pool.app.passive]
share = "shared"
"""


class ServiceTests(ReloadTestCase):
    def test_opt_in(self) -> None:
        """There is nothing of it until a pool asks for it, by a reload too."""
        off = TEXT.replace('share = "shared"', "max_fails = 3")
        self.start(off)
        self.assertIsNone(self.service.fleet)
        self.assertIsNone(self.service.pools["app"].verdicts.on_failure)
        self.reload(TEXT)
        self.assertIsNotNone(self.service.pools["app"].verdicts.on_failure)

    def test_life(self) -> None:
        """A pool shares from the start on, by other settings after a reload, and no more when the service ends."""
        self.start(TEXT)
        pool = self.service.pools["app"]
        self.assertIsNotNone(pool.verdicts.on_failure)
        self.reload(TEXT.replace('share = "shared"', "max_fails = 4"))
        self.assertIsNone(pool.verdicts.on_failure)
        self.reload(TEXT)
        self.assertIsNotNone(pool.verdicts.on_failure)
        self.service.stopService()
        self.pass_time(40)
        self.assertIsNone(pool.verdicts.on_failure)
