"""Tests of lolly_tx.net.sockets.resolver: names and their addresses."""

from __future__ import annotations

import socket
import threading
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IHostnameResolver, IHostResolution
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from lolly_tx.domain.errors import NameNotResolved, OutOfResources
from lolly_tx.net.sockets import resolver
from lolly_tx.net.sockets.resolver import (
    FAILED_SECONDS,
    FRESH_SECONDS,
    LOOKUPS_AT_ONCE,
    MOST_NAMES,
    STALE_SECONDS,
    Lane,
    NameResolver,
    Resolver,
    system_lookup,
)
from tests.net.fakes import SteppingTestCase

UNKNOWN = socket.gaierror(socket.EAI_NONAME, "unknown")


class FakeLookups:
    """A lookup that waits for the test. `asked`: the names, in order."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self._open: dict[str, Deferred[Any]] = {}

    def __call__(self, name: str) -> Deferred[Any]:
        assert name not in self._open, f"{name} is looked up twice at once"
        self.asked.append(name)
        self._open[name] = Deferred()
        return self._open[name]

    def answer(self, name: str, *addresses: str) -> None:
        """The lookup of `name` ends with these."""
        self._open.pop(name).callback(list(addresses))

    def fail(self, name: str, error: Exception = UNKNOWN) -> None:
        """It fails."""
        self._open.pop(name).errback(error)

    def take(self) -> list[str]:
        """The names asked for since the last look."""
        asked, self.asked = self.asked, []
        return asked


class ResolverTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.lookups = FakeLookups()
        self.resolver = Resolver(self.lookups, self.clock.seconds)

    def known(self, name: str, *addresses: str) -> None:
        """`name` has been looked up."""
        self.resolver.resolve(name)
        self.lookups.answer(name, *addresses)
        self.lookups.take()

    def test_joined(self) -> None:
        """However many ask for a name, it is looked up once, and all get the answer in its order."""
        asking = [self.resolver.resolve("a.example") for _ in range(9)]
        self.assertEqual(self.lookups.asked, ["a.example"])
        self.lookups.answer("a.example", "10.0.0.2", "10.0.0.1", "10.0.0.2")
        for each in asking:
            self.assertEqual(self.successResultOf(each), ("10.0.0.2", "10.0.0.1"))
        self.assertEqual(self.resolver.lookups, 1)

    def test_fresh(self) -> None:
        """A fresh answer is believed."""
        self.known("a.example", "10.0.0.1")
        self.clock.advance(FRESH_SECONDS - 0.1)
        asking = self.resolver.resolve("a.example")
        self.assertEqual(self.successResultOf(asking), ("10.0.0.1",))
        self.assertEqual(self.lookups.asked, [])

    def test_last_good_answer_serves(self) -> None:
        """An older answer serves at once while a new one is fetched, however long that takes."""
        self.known("a.example", "10.0.0.1")
        for _ in range(5):
            self.clock.advance(FRESH_SECONDS)
            asking = self.resolver.resolve("a.example")
            self.assertEqual(self.successResultOf(asking), ("10.0.0.1",))
        self.assertEqual(self.lookups.take(), ["a.example"])
        self.lookups.answer("a.example", "10.0.0.9")
        asking = self.resolver.resolve("a.example")
        self.assertEqual(self.successResultOf(asking), ("10.0.0.9",))

    def test_failed_lookup_takes_nothing_away(self) -> None:
        """A failed lookup leaves the addresses that are known, up to a day, and is repeated soon."""
        self.known("a.example", "10.0.0.1")
        self.clock.advance(FRESH_SECONDS)
        for _ in range(3):
            asking = self.resolver.resolve("a.example")
            self.assertEqual(self.successResultOf(asking), ("10.0.0.1",))
            self.lookups.fail("a.example")
            self.resolver.resolve("a.example")
            self.clock.advance(FAILED_SECONDS)
        self.assertEqual(self.lookups.take(), ["a.example"] * 3)
        self.clock.advance(STALE_SECONDS)
        asking = self.resolver.resolve("a.example")
        self.lookups.fail("a.example")
        self.failureResultOf(asking, NameNotResolved)

    def test_failure_is_an_answer_for_a_moment(self) -> None:
        """A name that nobody knows is not looked up for every connection."""
        first = self.resolver.resolve("a.example")
        self.lookups.fail("a.example")
        self.failureResultOf(first, NameNotResolved)
        self.failureResultOf(self.resolver.resolve("a.example"), NameNotResolved)
        self.assertEqual(self.lookups.take(), ["a.example"])
        self.clock.advance(FAILED_SECONDS)
        again = self.resolver.resolve("a.example")
        self.lookups.answer("a.example")
        self.failureResultOf(again, NameNotResolved)

    def test_own_trouble(self) -> None:
        """A lookup that fails for want of descriptors is this machine's trouble, not the name's."""
        asking = self.resolver.resolve("a.example")
        self.lookups.fail("a.example", OSError(24, "too many files"))
        self.failureResultOf(asking, OutOfResources)

    def test_lookup_that_raises(self) -> None:
        """Nor does one that cannot even begin leave anybody waiting."""

        def broken(name: str) -> Any:
            raise OSError(24, "too many files")

        asking = Resolver(broken, self.clock.seconds).resolve("a.example")
        self.failureResultOf(asking, OutOfResources)

    def test_cancel(self) -> None:
        """Who gives up leaves the lookup to the others."""
        first, second = (self.resolver.resolve("a.example") for _ in range(2))
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.lookups.answer("a.example", "10.0.0.1")
        self.successResultOf(second)

    def test_answer_that_makes_another_give_up(self) -> None:
        """One that is told may cancel the next, and nobody is left out."""
        asking = [self.resolver.resolve("a.example") for _ in range(3)]
        asking[0].addCallback(lambda _: asking[1].cancel())
        self.lookups.answer("a.example", "10.0.0.1")
        self.failureResultOf(asking[1], CancelledError)
        self.successResultOf(asking[2])

    def test_hanging_pool(self) -> None:
        """Names that hang hold a few lookups of their own pool; those of other pools go on."""
        slow, quick = Lane(), Lane()
        names = [f"s{n}.example" for n in range(12)]
        for name in names:
            self.resolver.claim(name, slow)
            self.resolver.resolve(name).addErrback(lambda failure: None)
        self.assertEqual(self.lookups.take(), names[:LOOKUPS_AT_ONCE])
        self.resolver.claim("q.example", quick)
        asking = self.resolver.resolve("q.example")
        self.lookups.answer("q.example", "10.0.0.1")
        self.successResultOf(asking)
        self.lookups.fail(names[0])
        self.assertEqual(self.lookups.take(), ["q.example", names[LOOKUPS_AT_ONCE]])

    def test_name_of_two_pools(self) -> None:
        """A name that waits behind slow ones is looked up by the other pool that has it, once."""
        slow, quick = Lane(), Lane()
        names = [f"s{n}.example" for n in range(LOOKUPS_AT_ONCE)]
        for name in (*names, "q.example"):
            self.resolver.claim(name, slow)
            asking = self.resolver.resolve(name)
            asking.addErrback(lambda failure: None)
        self.assertNoResult(asking)
        self.lookups.take()
        self.resolver.claim("q.example", quick)
        another = self.resolver.resolve("q.example")
        self.lookups.answer("q.example", "10.0.0.1")
        self.successResultOf(asking)
        self.successResultOf(another)
        self.lookups.fail(names[0])
        self.assertEqual(self.lookups.take(), ["q.example"])

    def test_bounded(self) -> None:
        """Names of no pool are forgotten when there are too many."""
        lane = Lane()
        self.resolver.claim("mine.example", lane)
        for number in range(MOST_NAMES + 5):
            self.known(f"n{number}.example", "10.0.0.1")
        self.assertLessEqual(len(self.resolver._names), MOST_NAMES)
        self.assertIn("mine.example", self.resolver._names)


class NameResolverTests(SynchronousTestCase):
    """The resolver as Twisted asks it."""

    def setUp(self) -> None:
        self.lookups = FakeLookups()
        self.names = NameResolver(Resolver(self.lookups, Clock().seconds))
        self.found: list[Any] = []
        self.over = False

    def resolutionBegan(self, resolution: Any) -> None:
        verifyObject(IHostResolution, resolution)
        self.resolution = resolution

    def addressResolved(self, address: Any) -> None:
        self.found.append(address)

    def resolutionComplete(self) -> None:
        self.over = True

    def test_addresses(self) -> None:
        """Addresses of both kinds, or of those that are wanted, with the port."""
        verifyObject(IHostnameResolver, self.names)
        receiver: Any = self
        self.names.resolveHostName(receiver, "a.example", 53, None, "UDP")
        self.assertEqual(self.resolution.name, "a.example")
        self.assertFalse(self.over)
        self.lookups.answer("a.example", "10.0.0.1", "::1")
        four, six = IPv4Address("UDP", "10.0.0.1", 53), IPv6Address("UDP", "::1", 53)
        self.assertEqual((self.found, self.over), ([four, six], True))
        self.found.clear()
        self.names.resolveHostName(receiver, "a.example", 53, [IPv6Address], "UDP")
        self.assertEqual(self.found, [six])

    def test_failure(self) -> None:
        """A failure is the end without an address."""
        receiver: Any = self
        self.names.resolveHostName(receiver, "a.example")
        self.lookups.fail("a.example")
        self.assertEqual((self.found, self.over), ([], True))

    def test_cancel(self) -> None:
        """Who cancels hears of the end, and of no address."""
        receiver: Any = self
        self.names.resolveHostName(receiver, "a.example")
        self.resolution.cancel()
        self.lookups.answer("a.example", "10.0.0.1")
        self.assertEqual((self.found, self.over), ([], True))


class SystemLookupTests(SteppingTestCase):
    def lookup(self, name: str) -> Any:
        found: list[Any] = []
        system_lookup(self.reactor)(name).addBoth(found.append)
        self.spin(lambda: found, "the lookup")
        return found[0]

    def test_threads_of_their_own(self) -> None:
        """A lookup runs in a thread that is none of the reactor's, and that nobody waits for."""
        threads: list[threading.Thread] = []

        def fake(host: str, *args: Any) -> Any:
            threads.append(threading.current_thread())
            if host == "bad.example":
                raise UNKNOWN
            return [
                (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.1", 0)),
                (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", 0, 0, 0)),
            ]

        self.patch(resolver, "getaddrinfo", fake)
        self.assertEqual(self.lookup("a.example"), ["10.0.0.1", "::1"])
        self.assertTrue(self.lookup("bad.example").check(socket.gaierror))
        self.assertTrue(all(thread.daemon for thread in threads))
        self.assertIsNone(self.reactor.threadpool)

    def test_no_thread_left(self) -> None:
        """Without a thread there is no lookup, which is nobody's fault but this machine's."""

        class NoThread:
            def __init__(self, **named: Any) -> None:
                pass

            def start(self) -> None:
                raise RuntimeError("can't start new thread")

        self.patch(resolver, "Thread", NoThread)
        self.assertTrue(self.lookup("a.example").check(OutOfResources))
