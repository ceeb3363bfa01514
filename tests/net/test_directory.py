"""Tests of lolly_tx.net.library.directory and the endpoint string `lolly:`."""

from __future__ import annotations

from typing import Any

from twisted.internet.endpoints import clientFromString
from twisted.internet.interfaces import (
    IStreamClientEndpoint,
    IStreamClientEndpointStringParserWithReactor,
)
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.plugin import getPlugins
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from lolly_tx.domain.target import Target
from lolly_tx.net.library.balanced import BalancedEndpoint, UnknownPool
from lolly_tx.net.library.directory import (
    RUNNING,
    NamedPoolEndpoint,
    OnlyDatagrams,
    PoolDirectory,
    parse_pool_endpoint,
)
from tests.domain.pools import pool_of
from tests.net.connects import FakeNetwork, RecorderFactory


def balanced(network: Any = None, **settings: Any) -> BalancedEndpoint:
    clock = Clock()
    return BalancedEndpoint(
        pool_of("a", "b", **settings), network or FakeNetwork(), clock, clock.seconds
    )


class DirectoryTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = PoolDirectory()

    def test_published_and_withdrawn(self) -> None:
        """A pool is found while its service runs."""
        endpoint = balanced()
        self.directory.publish(endpoint)
        self.assertIs(self.directory.find("p"), endpoint)
        self.directory.withdraw(endpoint)
        self.directory.withdraw(endpoint)
        error = self.assertRaises(UnknownPool, self.directory.find, "p")
        self.assertIn("no proxy runs here", str(error))

    def test_the_youngest_counts(self) -> None:
        """A service that takes over is found at once, and not lost with the old one."""
        old, new = balanced(), balanced()
        self.directory.publish(old)
        self.directory.publish(new)
        self.assertIs(self.directory.find("p"), new)
        self.directory.withdraw(old)
        self.assertIs(self.directory.find("p"), new)
        error = self.assertRaises(UnknownPool, self.directory.find, "q")
        self.assertIn("known: p", str(error))


class NamedPoolEndpointTests(SynchronousTestCase):
    def test_found_when_connecting(self) -> None:
        """The string may be parsed before the service has started."""
        directory = PoolDirectory()
        endpoint = NamedPoolEndpoint("p", directory=directory)
        verifyObject(IStreamClientEndpoint, endpoint)
        self.assertIn("p", repr(endpoint))
        self.failureResultOf(endpoint.connect(RecorderFactory()), UnknownPool)
        network = FakeNetwork()
        directory.publish(balanced(network))
        connecting = endpoint.connect(RecorderFactory())
        network.last.accept()
        self.successResultOf(connecting)

    def test_datagrams(self) -> None:
        """Nobody is connected to targets that are sent datagrams, and the error says so."""
        directory, network, clock = PoolDirectory(), FakeNetwork(), Clock()
        pool = pool_of(Target.from_url("udp://10.0.0.1:53"))
        directory.publish(BalancedEndpoint(pool, network, clock, clock.seconds))
        connecting = NamedPoolEndpoint("p", directory=directory).connect(
            RecorderFactory()
        )
        failure = self.failureResultOf(connecting, OnlyDatagrams)
        self.assertIn("pool p has targets for datagrams", str(failure.value))
        self.assertEqual(network.asked, [])

    def test_key(self) -> None:
        """A key chooses the node where the pool hashes."""
        directory, network = PoolDirectory(), FakeNetwork()
        directory.publish(balanced(network, balance="ip_hash"))
        for _ in range(3):
            NamedPoolEndpoint("p", b"k", directory).connect(RecorderFactory())
        self.assertEqual(len(set(network.asked)), 1)


class StringTests(SynchronousTestCase):
    def test_parser_is_a_plugin(self) -> None:
        """Twisted finds the parser of `lolly:` by itself."""
        (parser,) = (
            plugin
            for plugin in getPlugins(IStreamClientEndpointStringParserWithReactor)
            if plugin.prefix == "lolly"
        )
        verifyObject(IStreamClientEndpointStringParserWithReactor, parser)

    def test_strings(self) -> None:
        """`lolly:pool=NAME` reaches a running pool, from any Twisted program."""
        network = FakeNetwork()
        endpoint = balanced(network)
        RUNNING.publish(endpoint)
        self.addCleanup(RUNNING.withdraw, endpoint)
        for text in ("lolly:pool=p", "lolly:p", "lolly:pool=p:key=k"):
            clientFromString(MemoryReactorClock(), text).connect(RecorderFactory())
        self.assertEqual(len(network.asked), 3)

    def test_bad_strings(self) -> None:
        """A string that cannot be meant says what is wrong with it."""
        for args, kwargs, words in (
            ((), {}, "needs the name of a pool"),
            (("",), {}, "needs the name of a pool"),
            (("a", "b"), {}, "with one name"),
            (("a",), {"pool": "b"}, "with one name"),
            ((), {"pool": "a", "port": "1"}, "knows pool and key, not port"),
        ):
            error = self.assertRaises(ValueError, parse_pool_endpoint, *args, **kwargs)
            self.assertIn(words, str(error))
