"""Tests of `lolly_tx.service.checks.local_faults`: who is asked, what is held and undone, and who is told."""

from __future__ import annotations

from random import Random
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.config.local_fault import LocalFault as Settings
from lolly_tx.domain.checks.health import Observation
from lolly_tx.domain.checks.quorum import Member
from lolly_tx.domain.errors import (
    ConnectRefused,
    ConnectTimedOut,
    NoNetwork,
    OutOfResources,
    ProxyError,
)
from lolly_tx.domain.lease import Lease
from lolly_tx.domain.local_fault import CALM_SECONDS
from lolly_tx.domain.pool import Pool
from lolly_tx.domain.target import Target
from lolly_tx.net.sockets.health_map import HealthMap
from lolly_tx.service.checks.local_faults import ASK_SECONDS, TICK_SECONDS, LocalFaults
from lolly_tx.service.checks.quorum import Ballot
from lolly_tx.service.surroundings import Surroundings
from tests.domain.pools import Diary, pool_of

LATE = ConnectTimedOut("no connection in 5 s")
GATEWAY = "10.9.9.1:53"


class Network:
    """What is there: hosts that accept; others are silent. `asked`: by us, in order."""

    def __init__(self) -> None:
        self.there: set[str] = set()
        self.refusing: set[str] = set()
        self.asked: list[str] = []
        self.broken: ProxyError | None = None

    def reach(self, reactor: Any, timeout: float, **settings: Any) -> Any:
        return self

    def check(self, target: Target) -> Deferred[Observation]:
        self.asked.append(target.host)
        if self.broken is not None:
            return fail(self.broken)
        done: Deferred[Observation] = Deferred()
        if target.host in self.there:
            done.callback(Observation(True, "connected", 0.001))
        elif target.host in self.refusing:
            refused = ConnectRefused("connection refused")
            done.callback(Observation(False, refused.detail, error=refused))
        else:
            done.callback(Observation(False, LATE.detail, error=LATE))
        return done


def pool_at(name: str, *hosts: str, **settings: Any) -> Pool:
    targets = [
        Target.from_url(f"http://{host}:80", id=host[-2:].strip(".")) for host in hosts
    ]
    pool = pool_of(*targets, **settings)
    pool.name = name
    return pool


class LocalFaultsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.diary = Diary()
        self.network = Network()
        around = Surroundings(
            self.clock, self.clock.seconds, self.clock.seconds, Random(1)
        )
        self.map = HealthMap(self.clock, now=self.clock.seconds)
        network: Any = self.network
        self.faults = LocalFaults(around, self.map, network, self.diary)
        self.told: list[bool] = []
        self.faults.on_change.append(self.told.append)
        self.pools = [pool_at(f"p{n}", f"10.0.{n}.1", f"10.0.{n}.2") for n in range(4)]
        for pool in self.pools:
            self.faults.join(pool)
        self.addCleanup(self.faults.stop)
        self.everybody = {n.target.host for p in self.pools for n in p.nodes.values()}
        self.network.there |= self.everybody

    def lose(self, pool: Pool, times: int = 6, error: ProxyError = LATE) -> None:
        now = self.clock.seconds()
        for _ in range(times):
            try:
                lease: Lease = pool.acquire(now)
            except ProxyError:
                return
            lease.failed(now, error)
            lease.release(now)

    def succeed(self, pool: Pool) -> None:
        now = self.clock.seconds()
        pool.acquire(now).ended(now, 200)

    def run_for(self, seconds: float) -> None:
        for _ in range(round(seconds / TICK_SECONDS)):
            self.clock.advance(TICK_SECONDS)

    def out(self) -> int:
        now = self.clock.seconds()
        return sum(len(p.nodes) - len(p.available(now)) for p in self.pools)

    def cut(self, error: ProxyError = LATE) -> None:
        self.network.there.clear()
        for pool in self.pools:
            self.lose(pool, error=error)

    def test_one_dies(self) -> None:
        """A pool whose targets die while the others are idle: they are asked and answer, and nothing is held."""
        self.network.there -= {"10.0.0.1", "10.0.0.2"}
        self.lose(self.pools[0])
        self.assertEqual(self.out(), 2)
        self.run_for(12.0)
        self.assertEqual(self.out(), 2)
        self.assertIsNone(self.faults.shown())
        self.assertEqual(self.told, [])
        self.assertTrue({"10.0.1.1", "10.0.3.2"} <= set(self.network.asked))
        self.assertEqual(self.clock.getDelayedCalls(), [], "it rests")

    def test_they_refuse(self) -> None:
        """So it is when the others are there and refuse: that is news as well."""
        self.network.there.clear()
        self.network.refusing |= self.everybody - {"10.0.0.1", "10.0.0.2"}
        self.lose(self.pools[0])
        self.run_for(3.0)
        self.assertIsNone(self.faults.shown())

    def test_cut(self) -> None:
        """All are silent: who went out for it is back, nobody goes out, and it is told once that it is on, once off."""
        self.cut()
        self.assertEqual(self.out(), 8)
        self.run_for(2.0)
        self.assertEqual(self.out(), 0)
        for _ in range(20):
            for pool in self.pools:
                self.lose(pool)
            self.run_for(1.0)
        self.assertEqual(self.out(), 0)
        shown = self.faults.shown()
        assert shown is not None
        self.assertEqual((shown["kind"], shown["since_seconds"]), ("network", 22.0))
        self.assertIn("8 hosts of 4 pools in 4 networks", shown["why"])
        self.network.there |= self.everybody
        self.run_for(ASK_SECONDS + CALM_SECONDS + 1.0)
        self.assertIsNone(self.faults.shown())
        self.assertEqual(self.told, [True, False])
        self.assertEqual(
            self.diary.words("local_fault"),
            ["network: off -> on", "network: on -> off"],
        )
        self.assertEqual(self.faults.count, 1)
        self.run_for(12.0)
        self.assertEqual(self.clock.getDelayedCalls(), [], "it rests")
        self.lose(self.pools[0])
        self.assertEqual(self.out(), 2, "and judges as before")

    def test_addresses(self) -> None:
        """Meanwhile no address is taken for down either, or clients would be refused when the network is back."""
        for _ in range(3):
            self.map.records.failed(("10.0.0.1", 80), 0.0)
        self.cut()
        self.run_for(2.0)
        judge = self.map.dialer().judge
        self.assertFalse(judge.is_down(("10.0.0.1", 80), 2.0))
        for _ in range(3):
            self.map.records.failed(("10.0.0.1", 80), 2.0)
        self.assertFalse(judge.is_down(("10.0.0.1", 80), 2.0))

    def test_by_our_own_word(self) -> None:
        """That this machine has no network is enough from one of them, when the others are not heard."""
        self.network.there.clear()
        self.lose(self.pools[0], error=NoNetwork("network unreachable"))
        self.run_for(2.0)
        self.assertEqual(self.out(), 0)
        self.assertEqual(self.told, [True])

    def test_served_meanwhile(self) -> None:
        """Who serves requests meanwhile is heard, although nobody had to ask."""
        self.network.broken = OutOfResources("no file descriptor left")
        self.lose(self.pools[0], error=NoNetwork("network unreachable"))
        self.run_for(0.5)
        for pool in self.pools[1:]:
            self.succeed(pool)
        self.run_for(2.0)
        self.assertEqual(self.told, [])
        shown = self.faults.shown()
        assert shown is not None
        self.assertEqual(shown["kind"], "resources")

    def test_a_pool_that_is_well(self) -> None:
        """A pool in which somebody is heard goes on ejecting: its requests are better off there."""
        near = pool_at("near", "10.0.7.1", "10.0.8.2")
        self.pools.append(near)
        self.faults.join(near)
        self.network.there.clear()
        self.network.there.add("10.0.7.1")
        for pool in self.pools[:4]:
            self.lose(pool)
        self.run_for(0.25)
        for _ in range(10):
            now = self.clock.seconds()
            lease = near.acquire(now, tried=[near.nodes["2"]])
            lease.ended(now, 200)
            self.run_for(0.25)
        self.assertEqual(self.told, [True])
        for _ in range(3):
            now = self.clock.seconds()
            lease = near.acquire(now, tried=[near.nodes["1"]])
            lease.failed(now, LATE)
            lease.release(now)
        self.assertEqual([n.id for n in near.available(self.clock.seconds())], ["1"])

    def test_checks(self) -> None:
        """Checks that go wrong meanwhile count for nothing, and what they did before is undone, opinions as well."""
        pool = self.pools[0]
        ballot = Ballot(pool, [Member("web"), Member("port")], 0)
        self.faults.join(pool, ballot)
        lost = Observation(False, LATE.detail, error=LATE)
        for number, each in enumerate(self.pools):
            for node in each.nodes.values():
                if each.check_counts(node.id, lost, 0.0):
                    if number:
                        each.observe(node.id, lost, 0.0)
                    else:
                        ballot.take(0, node.id, lost, 0.0)
        self.network.there.clear()
        self.assertEqual(self.out(), 8)
        self.run_for(2.0)
        self.assertEqual(self.out(), 0)
        self.assertTrue(ballot.of("1")[0].health.up)
        self.assertFalse(pool.check_counts("1", lost, 2.0))
        self.assertEqual(self.diary.words("local_fault"), ["network: off -> on"])

    def test_canaries(self) -> None:
        """Canaries are asked all the time; one of them heard says that it is the targets."""
        self.faults.go_by(Settings(canaries=(GATEWAY,)))
        self.faults.start()
        self.network.there.add("10.9.9.1")
        self.run_for(3.0)
        self.assertEqual(set(self.network.asked), {"10.9.9.1"})
        self.network.there -= self.everybody
        for pool in self.pools:
            self.lose(pool)
        self.run_for(5.0)
        self.assertEqual((self.told, self.out()), ([], 8))

    def test_canaries_alone(self) -> None:
        """Silent canaries say it before any client has met it; whoever is not asked any more has no voice."""
        self.faults.go_by(Settings(canaries=(GATEWAY,)))
        self.faults.start()
        self.network.refusing.add("10.9.9.1")
        self.run_for(3.0)
        self.network.refusing.clear()
        self.network.there.clear()
        self.run_for(5.0)
        self.assertEqual(self.told, [True])
        self.faults.go_by(Settings())
        self.network.there |= self.everybody
        self.run_for(8.0)
        self.assertEqual(self.told, [True, False])

    def test_a_canary_that_was_never_there(self) -> None:
        """A canary that never answered is none: a firewall may drop what is sent there."""
        self.faults.go_by(Settings(canaries=(GATEWAY,)))
        self.faults.start()
        self.run_for(10.0)
        self.assertEqual(self.told, [])

    def test_settings(self) -> None:
        """`hosts = 0` ends it and what it holds; with other settings it goes on by these."""
        self.cut()
        self.run_for(2.0)
        self.faults.go_by(Settings(hosts=0))
        self.assertEqual(self.told, [True, False])
        for pool in self.pools:
            self.lose(pool)
        self.assertEqual(self.out(), 8)
        self.run_for(2.0)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.faults.go_by(Settings(hosts=9))
        self.cut()
        self.run_for(3.0)
        self.assertEqual(self.told, [True, False])

    def test_pools_come_and_go(self) -> None:
        """A pool that leaves is not asked, and judges by itself; one that joins meanwhile is held too."""
        gone = self.pools[0]
        self.cut()
        self.run_for(2.0)
        self.faults.leave(gone)
        self.faults.leave(gone)
        self.lose(gone)
        self.assertEqual(gone.available(self.clock.seconds()), ())
        new = pool_at("new", "10.0.6.1", "10.0.6.2")
        self.faults.join(new)
        self.lose(new)
        self.assertEqual(len(new.available(self.clock.seconds())), 2)

    def test_elsewhere(self) -> None:
        """A process that leaves judging to another one tells it what it has run out of, once a second."""
        said: list[str] = []
        self.faults.elsewhere = said.append
        self.faults.go_by(Settings(hosts=0))
        for _ in range(5):
            self.lose(self.pools[0], 2, OutOfResources("no file descriptor left"))
        self.assertEqual(said, ["no file descriptor left"])
        self.lose(self.pools[0])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_networks(self) -> None:
        """Addresses are told apart by their networks; names by themselves, until it is known what they mean."""
        for url, wanted in (
            ("http://10.1.2.3:80", "10.1.2.0/24"),
            ("http://[2001:db8:1:2:3::4]:80", "2001:db8:1:2::/64"),
            ("http://api.example:80", "api.example"),
            ("http://localhost:80", ""),
            ("http://127.0.0.2:80", ""),
            ("http://[::1]:80", ""),
        ):
            self.assertEqual(self.faults.network_of(Target.from_url(url)), wanted)
        endpoint = Target(id="x", address="unix:/x", endpoint="unix:/x")
        self.assertEqual(self.faults.network_of(endpoint), "")
        asked: Deferred[Any] = Deferred()
        self.map.resolver._lookup = lambda name: asked
        self.map.resolver.resolve("api.example")
        asked.callback(["10.1.2.9"])
        target = Target.from_url("http://api.example:80")
        self.assertEqual(self.faults.network_of(target), "10.1.2.0/24")

    def test_not_by_the_network(self) -> None:
        """Targets on this machine have no voice."""
        local = pool_at("local", "127.0.0.1", "127.0.0.2")
        self.faults.join(local)
        self.lose(local)
        self.assertEqual(self.clock.getDelayedCalls(), [])
