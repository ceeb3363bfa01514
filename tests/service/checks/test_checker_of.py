"""Tests of HealthChecker.of: checks in a program that has no configuration."""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionRefusedError
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.config.pools import UpstreamTLS
from lolly_tx.domain.errors import AllDown
from lolly_tx.domain.events import Event
from lolly_tx.net.checks.kinds import BadCheckSettings
from lolly_tx.net.library.balanced import BalancedEndpoint
from lolly_tx.net.library.pools import balanced
from lolly_tx.service.checks.checker import HealthChecker
from tests.domain.pools import pool_of
from tests.net.connects import ADDRESS, FakeNetwork, RecorderFactory
from tests.service.checks.test_checker import FakeCheck

URL = "http://127.0.0.1:9001"


class OfTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor: Any = MemoryReactorClock()
        self.heard: list[Event] = []

    def checker(self, where: Any, **settings: Any) -> HealthChecker:
        made = HealthChecker.of(self.reactor, where, **settings)
        made.start()
        self.addCleanup(made.stop)
        return made

    def answer(self, status: int) -> bytes:
        """The latest probe is answered; what it asked."""
        transport: Any = StringTransport()
        transport.abortConnection = transport.loseConnection
        protocol = self.reactor.tcpClients[-1][2].buildProtocol(ADDRESS)
        protocol.makeConnection(transport)
        protocol.dataReceived(b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % status)
        return bytes(transport.value())

    def test_targets(self) -> None:
        """Targets alone: each is asked, and whoever listens hears of every change."""
        checker = self.checker([URL], events=self.heard.append)
        self.assertTrue(self.answer(503).startswith(b"GET /health HTTP/1.1\r\n"))
        [node] = checker.pool.nodes.values()
        self.assertFalse(node.health.up)
        self.assertEqual([(e.fact, e.new) for e in self.heard], [("health", "down")])

    def test_endpoint(self) -> None:
        """An endpoint that balances goes by what the checks find."""
        endpoint = balanced(self.reactor, [URL], now=self.reactor.seconds)
        self.checker(endpoint, path="/up", interval=2.0, rise=2)
        self.assertIn(b"GET /up ", self.answer(503))
        self.failureResultOf(endpoint.connect(RecorderFactory()), AllDown)
        for _ in range(2):
            self.assertRaises(AllDown, endpoint.lease)
            self.reactor.pump([0.1] * 21)
            self.answer(200)
        endpoint.lease()

    def test_asks_those_that_are_down(self) -> None:
        """An address that takes no connections is asked all the same: so it comes back."""
        endpoint = balanced(self.reactor, [URL], now=self.reactor.seconds)
        for _ in range(3):
            endpoint.connect(RecorderFactory()).addErrback(lambda _: None)
            self.reactor.tcpClients[-1][2].clientConnectionFailed(
                self.reactor.connectors[-1], Failure(ConnectionRefusedError())
            )
        self.assertEqual(len(self.reactor.tcpClients), 3)
        self.checker(endpoint)
        self.assertEqual(len(self.reactor.tcpClients), 4)

    def test_pool(self) -> None:
        """A pool of one's own, and a check of one's own."""
        check = FakeCheck()
        pool = pool_of("a", "b")
        self.checker(pool, check=check)
        self.reactor.pump([0.0] * 3)  # in portions, where the machine is slow
        self.assertEqual(sorted(check.asked), ["a", "b"])
        self.checker(BalancedEndpoint(pool, FakeNetwork(), self.reactor, lambda: 0.0))

    def test_tls(self) -> None:
        """Probes verify https targets as the endpoint's traffic does."""
        tls = UpstreamTLS(ca="/nowhere/ca.pem")
        with self.assertRaisesRegex(ValueError, "ca.pem"):
            balanced(self.reactor, ["https://127.0.0.1:9001"], tls=tls)
        endpoint = balanced(
            self.reactor, ["https://127.0.0.1:1"], tls=UpstreamTLS(verify=False)
        )
        checker = HealthChecker.of(self.reactor, endpoint)
        check: Any = checker.check
        self.assertIs(check._connect_to.tls, endpoint.connect_to.tls)  # type: ignore[attr-defined]  # TargetEndpoints

    def test_wrong(self) -> None:
        """Settings that cannot be meant are refused when the checker is made."""
        endpoint = balanced(self.reactor, [URL])
        for wrong in (
            {"interval": 0.0},
            {"timeout": 0.0},
            {"rise": 0},
            {"events": self.heard.append},
        ):
            self.assertRaises(
                ValueError, HealthChecker.of, self.reactor, endpoint, **wrong
            )
        self.assertRaises(
            BadCheckSettings, HealthChecker.of, self.reactor, endpoint, path="no path"
        )
        self.assertRaises(TypeError, HealthChecker.of, self.reactor, endpoint, rises=1)
        self.assertRaises(ValueError, HealthChecker.of, self.reactor, [])
