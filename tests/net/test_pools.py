"""Tests of lolly_tx.net.library.pools and .client: pools in a few lines, with defaults for the rest."""

from __future__ import annotations

from typing import Any

from treq.client import HTTPClient
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.logger import globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from lolly_tx.domain.balancers.by_name import UnknownBalancer
from lolly_tx.domain.balancers.least_conn import LeastConn
from lolly_tx.domain.errors import AddressDown, AllDown, ConnectFailed
from lolly_tx.domain.events import Event
from lolly_tx.domain.retries.budget import RetryBudget
from lolly_tx.domain.target import Target
from lolly_tx.net.library.client import client
from lolly_tx.net.library.pools import balanced
from lolly_tx.net.sockets.health_map import HealthMap
from tests.domain.pools import BAD, GOOD, Diary
from tests.net.connects import ADDRESS, RecorderFactory

URLS = ("http://127.0.0.1:9001", "http://127.0.0.1:9002")


class Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor: Any = MemoryReactorClock()
        self.heard: list[Event] = []
        self.factory = RecorderFactory()

    def balanced(self, *targets: Target | str, **settings: Any) -> Any:
        settings.setdefault("events", self.heard.append)
        settings.setdefault("now", self.reactor.seconds)
        return balanced(self.reactor, targets or URLS, **settings)

    @property
    def asked(self) -> list[int]:
        """The ports that got a SYN so far."""
        return [port for _, port, *_ in self.reactor.tcpClients]

    def accept(self) -> Any:
        """The latest connect comes about; its transport."""
        transport = StringTransport()
        transport.abortConnection = transport.loseConnection  # type: ignore[method-assign]  # as an Agent wants it
        protocol = self.reactor.tcpClients[-1][2].buildProtocol(ADDRESS)
        protocol.makeConnection(transport)
        return transport

    def refuse(self) -> None:
        """The latest connect is refused."""
        self.reactor.tcpClients[-1][2].clientConnectionFailed(
            self.reactor.connectors[-1], Failure(ConnectionRefusedError())
        )


class BalancedTests(Case):
    def test_defaults(self) -> None:
        """A reactor and URLs are all it needs."""
        endpoint = balanced(self.reactor, URLS)
        verifyObject(IStreamClientEndpoint, endpoint)
        for _ in range(4):
            connecting = endpoint.connect(self.factory)
            self.accept()
            self.successResultOf(connecting)
        self.assertEqual(sorted(self.asked), [9001, 9001, 9002, 9002])

    def test_passive(self) -> None:
        """Three failures in a row take a target out for a minute; then one trial brings it back."""
        self.balanced(URLS[0])
        endpoint = self.balanced(URLS[0])
        for _ in range(3):
            connecting = endpoint.connect(self.factory)
            self.refuse()
            self.failureResultOf(connecting, ConnectFailed)
        self.failureResultOf(endpoint.connect(self.factory), AllDown)
        self.assertEqual(len(self.asked), 3)
        self.assertEqual(
            [(e.fact, e.new) for e in self.heard], [("ejection", "ejected")]
        )
        self.reactor.advance(60.0)
        connecting = endpoint.connect(self.factory)
        self.accept()
        self.successResultOf(connecting)

    def test_numbers(self) -> None:
        """The numbers of the passive record are parameters."""
        endpoint = self.balanced(max_fails=1, fail_timeout=5.0, min_rises=3)
        connecting = endpoint.connect(self.factory)
        self.refuse()
        self.accept()
        self.successResultOf(connecting)
        node = endpoint.pool.nodes["http-127-0-0-1-9001"]
        self.assertTrue(node.why_not())
        for _ in range(3):
            self.assertTrue(node.why_not())
            endpoint.pool.observe(node.id, GOOD, self.reactor.seconds())
        self.assertFalse(node.why_not())
        for wrong in ({"max_fails": -1}, {"fail_timeout": 0.0}, {"min_rises": 0}):
            self.assertRaises(ValueError, self.balanced, **wrong)
        self.assertRaises(ValueError, self.balanced, timeout=0)

    def test_targets(self) -> None:
        """Targets may be URLs, endpoint strings and targets; each is checked at once."""
        mine = Target.from_url("http://127.0.0.1:9003", weight=2)
        endpoint = self.balanced(URLS[0], "unix:/run/a.sock", mine, "tcp://127.0.0.1:7")
        self.assertEqual(
            list(endpoint.pool.nodes),
            [
                "http-127-0-0-1-9001",
                "unix-run-a-sock",
                "http-127-0-0-1-9003",
                "tcp-127-0-0-1-7",
            ],
        )
        for wrong in ((), (URLS[0], URLS[0]), ("ftp://a",), ("nonsense:1",)):
            self.assertRaises(ValueError, balanced, self.reactor, wrong)
        error = self.assertRaises(
            ValueError, balanced, self.reactor, ["udp://10.0.0.1:53"]
        )
        self.assertIn("is for datagrams", str(error))
        error = self.assertRaises(ValueError, balanced, self.reactor, URLS[0])
        self.assertIn(f"['{URLS[0]}']", str(error))

    def test_balance(self) -> None:
        """The balancer has a name, or is one's own; an unknown name is told with those there are."""
        endpoint = self.balanced(balance="first")
        for _ in range(3):
            endpoint.connect(self.factory)
        self.assertEqual(self.asked, [9001, 9001, 9001])
        mine = LeastConn()
        self.assertIs(self.balanced(balance=mine).pool.balancer, mine)
        error = self.assertRaises(UnknownBalancer, self.balanced, balance="best")
        self.assertIn("round_robin", str(error))

    def test_backup(self) -> None:
        """Backups have a balancer of their own kind."""
        spare = Target.from_url("http://127.0.0.1:9003", backup=True)
        endpoint = self.balanced(URLS[0], spare)
        endpoint.pool.mark("http-127-0-0-1-9001", False, "gone", 0.0)
        endpoint.connect(self.factory)
        self.assertEqual(self.asked, [9003])

    def test_events(self) -> None:
        """A sink gets the events in place of the log; without anything they are logged."""
        diary = Diary()
        endpoint = self.balanced(events=diary)
        endpoint.pool.mark("http-127-0-0-1-9001", False, "gone", 0.0)
        self.assertEqual(diary.words("health"), ["http-127-0-0-1-9001: up -> down"])
        seen: list[Any] = []
        keep: Any = seen.append
        globalLogPublisher.addObserver(keep)
        self.addCleanup(globalLogPublisher.removeObserver, keep)
        endpoint = self.balanced(events=None)
        endpoint.pool.mark("http-127-0-0-1-9001", False, "gone", 0.0)
        self.assertEqual([e["cause"] for e in seen if "fact" in e], ["gone"])

    def test_shared_map(self) -> None:
        """Pools that share a map know what the others found out; good news lets an address be tried again."""
        known = HealthMap(self.reactor, now=self.reactor.seconds)
        for _ in range(3):
            known.records.failed(("127.0.0.1", 9001), 0.0)
        endpoint = self.balanced(URLS[0], health_map=known, max_fails=0)
        lenient = self.balanced(URLS[0], health_map=known)
        self.failureResultOf(lenient.connect(self.factory), AddressDown)
        self.assertEqual(self.asked, [])
        endpoint.connect(self.factory)
        self.assertEqual(self.asked, [9001])
        lenient.pool.observe("http-127-0-0-1-9001", BAD, 0.0)
        lenient.pool.observe("http-127-0-0-1-9001", GOOD, 0.0)
        lenient.connect(self.factory)
        self.assertEqual(self.asked, [9001, 9001])

    def test_budget(self) -> None:
        """A budget limits how many connects go on to another target."""
        endpoint = self.balanced(budget=RetryBudget(share=0.0, floor=0.0))
        connecting = endpoint.connect(self.factory)
        self.refuse()
        self.failureResultOf(connecting, ConnectFailed)

    def test_lease(self) -> None:
        """A lease may be had without a connect; whom it avoids is a parameter."""
        endpoint = self.balanced()
        first = endpoint.lease()
        for _ in range(3):
            other = endpoint.lease((first.node,))
            self.assertIsNot(other.node, first.node)

    def test_one_target(self) -> None:
        """One target can be connected to with no lease and no verdict, within the same limit."""
        endpoint = self.balanced(timeout=2.0)
        [node, _] = endpoint.pool.nodes.values()
        one = endpoint.to(node.target)
        verifyObject(IStreamClientEndpoint, one)
        self.assertIn(URLS[0], repr(one))
        connecting = one.connect(self.factory)
        self.refuse()
        self.failureResultOf(connecting, ConnectFailed)
        self.assertEqual((node.in_flight, node.stats.failures), (0, 0))


class ClientTests(Case):
    OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

    def test_client(self) -> None:
        """A URL names the pool; its requests go round, to lists of targets and endpoints alike."""
        other = self.balanced("http://127.0.0.1:9003")
        treq = client(self.reactor, {"api": URLS, "other": other})
        self.assertIsInstance(treq, HTTPClient)
        for name in ("api", "api", "other"):
            asking = treq.get(f"http://{name}/x?y")
            transport = self.accept()
            self.assertTrue(transport.value().startswith(b"GET /x?y HTTP/1.1\r\n"))
            transport.protocol = self.reactor.tcpClients[-1][2]
            asking.cancel()
            self.failureResultOf(asking)
        self.assertEqual(sorted(self.asked), [9001, 9002, 9003])

    def test_settings(self) -> None:
        """Settings that make no sense are refused when the client is made."""
        self.assertRaises(ValueError, client, self.reactor, {"a": URLS}, timeout=0)
        self.assertRaises(ValueError, client, self.reactor, {"a": ()})
