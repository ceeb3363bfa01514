"""A pool used as a library: treq and endpoint strings, over real sockets, while targets die.

Origins, checker and client share one reactor that is never installed; every wait is
bounded (see `SteppingTestCase`).
"""

from __future__ import annotations

import time
from collections import Counter
from functools import partial
from random import Random
from typing import Any

from treq.client import HTTPClient
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint, clientFromString
from twisted.internet.protocol import Factory, Protocol
from twisted.python.failure import Failure
from twisted.web.client import Agent

from lolly_tx.config.pools import Health
from lolly_tx.domain.errors import AllDown, ConnectFailed
from lolly_tx.domain.target import Target
from lolly_tx.net.checks.kinds import health_check
from lolly_tx.net.library.agent import BalancedAgent
from lolly_tx.net.library.balanced import BalancedEndpoint, BalancedEndpointFactory
from lolly_tx.net.library.directory import RUNNING
from lolly_tx.net.sockets.endpoints import TargetEndpoints
from lolly_tx.service.checks.checker import HealthChecker
from tests.domain.pools import Diary, pool_of
from tests.net.connects import RecorderFactory
from tests.net.fakes import SteppingTestCase


class Origin(Factory):
    """A small HTTP server that says its name, and can die and come back on its port."""

    noisy = False

    def __init__(self, reactor: Any, name: str) -> None:
        self.reactor = reactor
        self.name = name
        self.port: Any = None
        self.number = 0
        self.connections: set[Any] = set()
        self.served = 0

    def buildProtocol(self, addr: Any) -> Protocol:
        return _OriginConnection(self)

    def come_up(self) -> None:
        listening = TCP4ServerEndpoint(
            self.reactor, self.number, interface="127.0.0.1"
        ).listen(self)
        listening.addCallback(self._listening)

    def _listening(self, port: Any) -> None:
        self.port = port
        self.number = port.getHost().port

    def die(self) -> None:
        """As a killed process does: nothing listens, every connection is reset."""
        if self.port is not None:
            self.port.stopListening()
            self.port = None
        for connection in list(self.connections):
            connection.transport.abortConnection()

    @property
    def target(self) -> Target:
        url = f"http://127.0.0.1:{self.number}"
        return Target(self.name, url, "http", "127.0.0.1", self.number)


class _OriginConnection(Protocol):
    def __init__(self, origin: Origin) -> None:
        self.origin = origin
        self.received = b""

    def connectionMade(self) -> None:
        self.origin.connections.add(self)

    def connectionLost(self, reason: Any = None) -> None:
        self.origin.connections.discard(self)

    def dataReceived(self, data: bytes) -> None:
        self.received += data
        while b"\r\n\r\n" in self.received:
            head, _, self.received = self.received.partition(b"\r\n\r\n")
            if b"/health" not in head:
                self.origin.served += 1
            name = self.origin.name.encode()
            self.transport.write(  # type: ignore[union-attr]  # connected
                b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(name), name)
            )


class Case(SteppingTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.origins = {
            name: Origin(self.reactor, name) for name in ("one", "two", "three")
        }
        for origin in self.origins.values():
            origin.come_up()
            self.addCleanup(origin.die)
        self.diary = Diary()
        self.pool = pool_of(
            *(origin.target for origin in self.origins.values()), events=self.diary
        )
        self.endpoint = BalancedEndpoint(
            self.pool,
            TargetEndpoints(self.reactor, timeout=None),
            self.reactor,
            time.monotonic,
        )

    def check_health(self) -> HealthChecker:
        settings = Health(interval=0.1, timeout=1.0)
        checker = HealthChecker(
            self.pool,
            health_check(self.reactor, settings, now=time.monotonic),
            settings,
            clock=self.reactor,
            now=time.monotonic,
            random=Random(1),
        )
        checker.start()
        self.addCleanup(checker.stop)
        return checker

    def result(self, waiting: Deferred[Any]) -> Any:
        """The result of `waiting`, or its Failure."""
        got: list[Any] = []
        waiting.addBoth(got.append)
        self.spin(lambda: got, "a result")
        return got[0]

    def get(self, client: HTTPClient) -> Any:
        """The name of the origin that answered, or the Failure."""
        response = self.result(client.get("http://shop/x"))
        if isinstance(response, Failure):
            return response
        self.assertEqual(response.code, 200)
        return self.result(response.text())

    def assertIdle(self) -> None:
        """No lease is left once the connections have ended."""
        self.spin(
            lambda: not any(n.in_flight for n in self.pool.nodes.values()),
            "the leases to end",
        )


class AgentTests(Case):
    """treq over a BalancedAgent: per request, with kept connections."""

    def setUp(self) -> None:
        super().setUp()
        self.agent = BalancedAgent(self.reactor, {"shop": self.endpoint})
        self.addCleanup(self.agent.close)
        self.client = HTTPClient(self.agent)

    def many(self, count: int) -> Counter[str]:
        return Counter(self.get(self.client) for _ in range(count))

    def test_balanced_over_kept_connections(self) -> None:
        """Thirty requests go to three targets in equal parts, over three connections."""
        self.assertEqual(self.many(30), {"one": 10, "two": 10, "three": 10})
        for origin in self.origins.values():
            self.assertEqual(len(origin.connections), 1)
        self.assertIdle()

    def test_targets_die_and_come_back(self) -> None:
        """No request fails while a target dies and comes back, and it serves again."""
        self.check_health()
        self.many(6)
        two = self.origins["two"]
        two.die()
        answers = self.many(20)
        self.assertEqual(sum(answers.values()), 20)
        self.assertEqual(answers["two"], 0)
        node = self.pool.nodes["two"]
        self.spin(lambda: not node.health.up, "the checks to see it down")
        two.come_up()
        self.spin(lambda: node.available, "the target to be up")
        self.assertEqual(self.many(30), {"one": 10, "two": 10, "three": 10})
        self.assertEqual(
            self.diary.words("health"), ["two: up -> down", "two: down -> up"]
        )
        self.assertIdle()

    def test_all_die_and_come_back(self) -> None:
        """With all targets down a request fails at once; it works again when they do."""
        self.check_health()
        self.many(3)
        for origin in self.origins.values():
            origin.die()
        self.spin(
            lambda: not self.pool.available(time.monotonic()), "all targets to be down"
        )
        failure = self.get(self.client)
        self.assertTrue(failure.check(AllDown), failure)
        for origin in self.origins.values():
            origin.come_up()
        self.spin(
            lambda: len(self.pool.available(time.monotonic())) == 3,
            "all targets to be up",
        )
        self.assertEqual(sum(self.many(9).values()), 9)
        self.assertIdle()


class EndpointFactoryTests(Case):
    """treq over a stock Agent with BalancedEndpointFactory: per connection."""

    def setUp(self) -> None:
        super().setUp()
        factory = BalancedEndpointFactory({"shop": self.endpoint})
        # Without a persistent pool every request has a connection of its own.
        self.client = HTTPClient(Agent.usingEndpointFactory(self.reactor, factory))

    def test_failover_without_checks(self) -> None:
        """Dead targets are found by connecting; the passive record learns from it."""
        self.assertEqual(
            Counter(self.get(self.client) for _ in range(9)),
            {"one": 3, "two": 3, "three": 3},
        )
        self.origins["one"].die()
        answers = Counter(self.get(self.client) for _ in range(12))
        self.assertEqual(set(answers), {"two", "three"})
        self.assertEqual(self.diary.words("ejection"), ["one: up -> ejected"])
        for name in ("two", "three"):
            self.origins[name].die()
        failures = [self.get(self.client) for _ in range(8)]
        for failure in failures:
            self.assertTrue(failure.check(ConnectFailed, AllDown), failure)
        self.assertTrue(failures[-1].check(AllDown))
        self.assertIdle()

    def test_one_target(self) -> None:
        """A target's id as the host connects to that one."""
        for _ in range(3):
            response = self.result(self.client.get("http://three/x"))
            self.assertEqual(self.result(response.text()), "three")


class StringTests(Case):
    """Any Twisted program, by an endpoint string."""

    def test_lolly_string(self) -> None:
        """`lolly:pool=NAME` connects to the pool's targets, in turn."""
        RUNNING.publish(self.endpoint)
        self.addCleanup(RUNNING.withdraw, self.endpoint)
        endpoint = clientFromString(self.reactor, "lolly:pool=p")
        self.origins["two"].die()
        names: Counter[str] = Counter()
        for _ in range(6):
            protocol = self.result(endpoint.connect(RecorderFactory()))
            protocol.transport.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            received = protocol.received
            self.spin(partial(received.endswith, (b"e", b"o")), "an answer")
            names[protocol.received.rpartition(b"\n")[2].decode()] += 1
            protocol.transport.loseConnection()
        self.assertEqual(sum(names.values()), 6)
        self.assertEqual(names["two"], 0)
        self.assertIdle()
