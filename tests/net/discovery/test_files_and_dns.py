"""Tests of the discoveries that read a file and ask the DNS."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.names import dns
from twisted.names.error import DNSNameError, DNSServerError
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from lolly_tx.config.discoveries import Dns, File, Srv
from lolly_tx.config.discovering import BUILT_IN as SETTINGS
from lolly_tx.domain.interfaces import IDiscovery
from lolly_tx.net.discovery.built_in import BUILT_IN, Later
from lolly_tx.net.discovery.dns import Addresses, Named, Services
from lolly_tx.net.discovery.entries import MOST_BYTES
from lolly_tx.net.discovery.feed import Answer, Feed, NotLearned
from lolly_tx.testing import DiscoveryContract
from tests.net.discovery.asked import deps

A, B = "http://10.0.0.1:80", "http://10.0.0.2:80"


class FileTests(SynchronousTestCase):
    def setUp(self) -> None:
        """A file that is not there yet, and who looks for it."""
        self.clock = Clock()
        self.path = Path(self.mktemp() + ".json").absolute()
        self.found: list[Any] = []
        self.failed: list[str] = []
        self.feed = self.feed_of(self.path)

    def feed_of(self, path: Path) -> Feed:
        """Who reads `path`, and has looked."""
        [factory] = [one for one in BUILT_IN if one.name == "file"]
        feed: Feed = factory.build(File(str(path)), deps(self.clock))
        feed.start(self.found.append, self.failed.append)
        self.addCleanup(feed.stop)
        self.clock.advance(0)
        return feed

    def test_changes(self) -> None:
        """It is read when it comes and when it is another one; what cannot be read is told, and read later."""
        self.assertIn("No such file", self.failed[0])
        self.path.write_text(f'["{A}"]')
        self.clock.advance(1)
        self.clock.pump([1] * 5)
        self.assertEqual(self.found, [[A]] * len(self.found))
        self.path.write_text(f'{{"targets": ["{A}", ')
        self.clock.advance(1)
        self.assertEqual(len(self.failed), 2)
        self.path.write_text(f'{{"targets": ["{A}", "{B}"]}}')
        self.clock.advance(1)
        self.assertEqual(self.found[-1], [A, B])

    def test_toml(self) -> None:
        """A file `.toml` is read as that."""
        path = self.path.with_suffix(".toml")
        path.write_text(f'targets = ["{A}"]\n')
        self.feed_of(path)
        self.assertEqual(self.found, [[A]])

    def test_what_is_no_list(self) -> None:
        """A pipe, a folder, too much, and other documents have a reason each."""
        pipe = self.path.with_name("pipe")
        os.mkfifo(pipe)
        large = self.path.with_name("large")
        large.write_bytes(b" " * (MOST_BYTES + 1))
        other = self.path.with_name("other")
        other.write_text('{"a": 1}')
        deep = self.path.with_name("deep")
        deep.write_text("[" * 100000)
        for path, part in (
            (pipe, "no regular file"),
            (self.path.parent, "directory"),
            (large, "more than"),
            (other, "list of targets"),
            (deep, "deep: "),
        ):
            self.feed_of(path)
            self.assertIn(part, self.failed[-1])
        self.assertEqual(self.found, [])


class FileContractTests(DiscoveryContract, SynchronousTestCase):
    def setUp(self) -> None:
        """A file that is not there yet."""
        super().setUp()
        self.path = Path(self.mktemp()).absolute()

    def make_discovery(self) -> IDiscovery:
        """Who reads it."""
        [factory] = [one for one in BUILT_IN if one.name == "file"]
        made: IDiscovery = factory.build(File(str(self.path)), self.deps())
        return made

    def one(self) -> None:
        """It has one target."""
        self.path.write_text(f'["{A}"]')

    def two(self) -> None:
        """It has two."""
        self.path.write_text(f'["{A}", "{B}"]')

    def broken(self) -> None:
        """It is half written."""
        self.path.write_text(f'["{A}", ')


class Resolver:
    """Answers what it is told to: records, or an error."""

    authority: Any = []

    def __init__(self, **answers: Any) -> None:
        self.answers = answers

    def _asked(self, kind: str) -> Any:
        answer = self.answers.get(kind, ())
        if isinstance(answer, Exception):
            return fail(answer)
        return succeed((list(answer), self.authority, []))

    def lookupAddress(self, name: bytes) -> Any:
        """A."""
        return self._asked("a")

    def lookupIPV6Address(self, name: bytes) -> Any:
        """AAAA."""
        return self._asked("aaaa")

    def lookupService(self, name: bytes) -> Any:
        """SRV."""
        return self._asked("srv")


def a(address: str, ttl: int) -> Any:
    return dns.RRHeader(b"api", dns.A, ttl=ttl, payload=dns.Record_A(address, ttl))


def srv(host: str, port: int, priority: int, weight: int, ttl: int = 60) -> Any:
    record = dns.Record_SRV(priority, weight, port, host.encode(), ttl)
    return dns.RRHeader(b"api", dns.SRV, ttl=ttl, payload=record)


def make(**answers: Any) -> Any:
    """What makes a resolver that answers so."""

    async def resolver() -> Any:
        return Resolver(**answers)

    return resolver


class DnsTests(SynchronousTestCase):
    def ask(self, **answers: Any) -> Answer:
        """What comes of a question for addresses."""
        asked = Addresses(Dns("api", 80), 30.0, make(**answers))
        return self.answer(asked.ask())

    def answer(self, asking: Any) -> Answer:
        """Of a coroutine that waits for nothing."""
        try:
            asking.send(None)
        except StopIteration as done:
            answer: Answer = done.value
            return answer
        raise AssertionError("it waits")

    def services(self, *records: Any) -> Answer:
        """What comes of a question for services."""
        return self.answer(Services(Srv("_h._tcp.x"), 30, make(srv=records)).ask())

    def test_addresses(self) -> None:
        """All of both families, in one order, until the first is not to be believed any more."""
        six = dns.RRHeader(
            b"api", dns.AAAA, ttl=9, payload=dns.Record_AAAA("2001:db8::1", 9)
        )
        alias = dns.RRHeader(b"api", dns.CNAME, ttl=1, payload=dns.Record_CNAME(b"x"))
        answer = self.ask(a=[alias, a("10.0.0.2", 20), a("10.0.0.1", 25)], aaaa=[six])
        self.assertEqual(answer.entries, [A, B, "http://[2001:db8::1]:80"])
        self.assertEqual(answer.wait, 9)

    def test_waiting(self) -> None:
        """Once a second at most, and at the interval at least."""
        self.assertEqual(self.ask(a=[a("10.0.0.1", 0)]).wait, 1.0)
        self.assertEqual(self.ask(a=[a("10.0.0.1", 3600)]).wait, 30.0)

    def test_no_such_name(self) -> None:
        """That is an answer, of no targets."""
        answer = self.ask(a=DNSNameError(), aaaa=DNSNameError())
        self.assertEqual((answer.entries, answer.wait), ([], 30.0))

    def test_for_how_long_there_is_none(self) -> None:
        """The zone says for how long that is to be believed: for a name that is not there, and for one without any."""
        soa = dns.RRHeader(
            b"x", dns.SOA, ttl=9, payload=dns.Record_SOA(b"ns", b"m", minimum=4)
        )
        message = dns.Message(rCode=dns.ENAME)
        message.authority = [soa]
        gone = DNSNameError(message)
        self.assertEqual(self.ask(a=gone, aaaa=gone), Answer([], 4.0))
        self.patch(Resolver, "authority", [soa])
        self.assertEqual(self.ask(), Answer([], 4.0))
        # The other family has one: for ever so long this one has none.
        self.assertEqual(self.ask(a=[a("10.0.0.1", 20)]).wait, 4.0)
        soa.ttl = 2
        self.assertEqual(self.services(), Answer([], 2.0))
        with self.assertRaises(NotLearned):
            self.ask(aaaa=DNSServerError())

    def test_failures(self) -> None:
        """One family that fails does not matter where the other has an answer; both do."""
        answer = self.ask(a=[a("10.0.0.1", 5)], aaaa=DNSServerError())
        self.assertEqual(answer.entries, [A])
        for answers in ({"a": DNSServerError()}, {"aaaa": TimeoutError()}):
            with self.assertRaisesRegex(NotLearned, "api: no answer from the DNS"):
                self.ask(**answers)

    def test_services(self) -> None:
        """Priorities are ranks from 0 on, weights are kept; a weight of 0 is the least there is."""
        answer = self.services(
            srv("b.test", 81, 20, 5), srv("a.test", 80, 10, 0), srv("c.test", 82, 20, 7)
        )
        self.assertEqual(
            answer.entries,
            [
                {"url": "http://a.test:80", "weight": 1, "priority": 0},
                {"url": "http://b.test:81", "weight": 5, "priority": 1},
                {"url": "http://c.test:82", "weight": 7, "priority": 1},
            ],
        )
        self.assertEqual(self.services(srv("", 0, 0, 0)).entries, [])

    def test_many_priorities(self) -> None:
        """As many priorities as records take no longer than one: a rank is looked up, not searched for."""
        records = [srv("a.test", n, n, 1) for n in range(3000)]
        compared = 0

        class Priority(int):
            def __eq__(self, other: object) -> bool:
                nonlocal compared
                compared += 1
                return int(self) == other

            __hash__ = int.__hash__

        for one in records:
            one.payload.priority = Priority(one.payload.priority)
        entries = self.services(*records).entries
        ranks = [one["priority"] for one in entries or ()]
        self.assertEqual(ranks, list(range(3000)))
        self.assertLess(compared, 20_000)


class ServersTests(SynchronousTestCase):
    def servers(self, settings: Dns, system: str = "/none") -> Any:
        """Those that are asked."""
        asked = Named(settings, deps(Clock()), system)
        return self.successResultOf(Deferred.fromCoroutine(asked.resolver()))

    def test_named(self) -> None:
        """Those of the settings, and nothing of the system."""
        named = (("10.0.0.2", 53), ("10.0.0.3", 5353))
        self.assertEqual(
            self.servers(Dns("a", 80, resolvers=named)).servers, list(named)
        )

    def test_of_the_system(self) -> None:
        """Those of the file, behind /etc/hosts; one that is not there is a failure."""
        path = Path(self.mktemp())
        path.write_text("# x\nnameserver 10.0.0.2\nnameserver\nnameserver ::1\n")
        _, asked = self.servers(Dns("a", 80), str(path)).resolvers
        self.assertEqual(asked.servers, [("10.0.0.2", 53), ("::1", 53)])
        failing = Named(Dns("a", 80), deps(Clock()), "/none").resolver()
        self.failureResultOf(Deferred.fromCoroutine(failing), NotLearned)


class BuiltInTests(SynchronousTestCase):
    def test_all_can_be_built(self) -> None:
        """Each type of the configuration has a feed, which asks nothing before it begins."""
        given: dict[str, dict[str, Any]] = {
            "dns": {"name": "a", "port": 80, "resolvers": (("127.0.0.1", 53),)},
            "srv": {"name": "a"},
            "file": {"path": "/t"},
            "http": {"url": "http://a/"},
            "etcd": {"url": "http://a/", "prefix": "a"},
            "consul": {"url": "http://a/", "service": "a"},
            "kubernetes": {"service": "a"},
        }
        self.assertEqual({one.name for one in BUILT_IN}, set(SETTINGS))
        for name, cls in SETTINGS.items():
            clock = Clock()
            feed = Later(name).build(cls(**given[name]), deps(clock))
            verifyObject(IDiscovery, feed)
            self.assertEqual(clock.getDelayedCalls(), [])
