"""Tests of lolly_tx.net.library.balanced: a pool as an endpoint."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError
from twisted.internet.error import (
    ConnectBindError,
    ConnectingCancelledError,
    ConnectionRefusedError,
)
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import URI
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface.verify import verifyObject

from lolly_tx.domain.errors import (
    AllDown,
    AllFull,
    ConnectFailed,
    ConnectTimedOut,
    ProxyError,
    TargetDown,
)
from lolly_tx.domain.pool import Pool
from lolly_tx.domain.retries.budget import RetryBudget
from lolly_tx.net.library.balanced import (
    BalancedEndpoint,
    BalancedEndpointFactory,
    UnknownPool,
)
from tests.domain.pools import BAD, GOOD, pool_of, target
from tests.net.connects import FakeNetwork, RecorderFactory

REFUSED = ConnectionRefusedError()


class Case(SynchronousTestCase):
    names: tuple[str, ...] = ("a", "b", "c")

    def setUp(self) -> None:
        self.clock = Clock()
        self.network = FakeNetwork()
        self.factory = RecorderFactory()
        self.pool = pool_of(*self.names)
        self.endpoint = self.endpoint_of(self.pool)

    def endpoint_of(self, pool: Pool, **settings: Any) -> BalancedEndpoint:
        return BalancedEndpoint(
            pool, self.network, self.clock, self.clock.seconds, **settings
        )

    def in_flight(self) -> dict[str, int]:
        return {
            name: node.in_flight
            for name, node in self.pool.nodes.items()
            if node.in_flight
        }


class ConnectTests(Case):
    def test_interface(self) -> None:
        """It can be used wherever a client endpoint can."""
        verifyObject(IStreamClientEndpoint, self.endpoint)
        verifyObject(IStreamClientEndpoint, self.endpoint.exactly("a"))
        self.assertIn("p", repr(self.endpoint))
        self.assertIn("a of p", repr(self.endpoint.exactly("a")))

    def test_connections_are_balanced(self) -> None:
        """Connections go round, and the user's protocol has the real transport."""
        for _ in range(6):
            connecting = self.endpoint.connect(self.factory)
            self.network.last.accept()
            protocol = self.successResultOf(connecting)
            self.assertIs(protocol, self.factory.built[-1])
            self.assertIs(protocol.transport, self.network.last.transport)
        self.assertEqual(self.network.asked, ["a", "b", "c"] * 2)

    def test_the_lease_lasts_as_long_as_the_connection(self) -> None:
        """A node is in use until its connection has ended, and counts as good."""
        self.endpoint.connect(self.factory)
        attempt = self.network.last
        attempt.accept()
        self.assertEqual(self.in_flight(), {"a": 1})
        attempt.protocol.dataReceived(b"x")
        self.assertEqual(self.factory.built[0].received, b"x")
        attempt.lose()
        self.assertEqual(self.in_flight(), {})
        self.assertIsNotNone(self.factory.built[0].reason)
        self.assertEqual(self.pool.nodes["a"].stats.successes, 1)

    def test_failed_connects_go_elsewhere(self) -> None:
        """A refused connect is held against its node, and the next one is tried."""
        connecting = self.endpoint.connect(self.factory)
        self.network.last.refuse(REFUSED)
        self.assertNoResult(connecting)
        self.network.last.accept()
        self.successResultOf(connecting)
        self.assertEqual(self.network.asked, ["a", "b"])
        self.assertEqual(self.pool.nodes["a"].stats.connect_failures, 1)
        self.assertEqual(self.in_flight(), {"b": 1})

    def test_never_the_same_twice(self) -> None:
        """When every node was tried, the last failure is the answer."""
        connecting = self.endpoint.connect(self.factory)
        for _ in range(3):
            self.network.last.refuse(REFUSED)
        failure = self.failureResultOf(connecting, ConnectFailed)
        self.assertEqual(failure.value.detail, "connection refused")
        self.assertEqual(self.network.asked, ["a", "b", "c"])
        self.assertEqual(self.in_flight(), {})

    def test_all_down_is_refused_at_once(self) -> None:
        """With nobody available there is a named error, and no connect at all."""
        for name in self.names:
            self.pool.observe(name, BAD, 0.0)
        self.failureResultOf(self.endpoint.connect(self.factory), AllDown)
        self.assertEqual(self.network.asked, [])
        self.pool.observe("b", GOOD, 1.0)
        self.endpoint.connect(self.factory)
        self.assertEqual(self.network.asked, ["b"])

    def test_three_refused_connects_then_no_syn(self) -> None:
        """A single target is left alone after three failures, until its penalty ends."""
        pool = pool_of("a")
        endpoint = self.endpoint_of(pool)
        for _ in range(3):
            connecting = endpoint.connect(self.factory)
            self.network.last.refuse(REFUSED)
            self.failureResultOf(connecting, ConnectFailed)
        exact = endpoint.exactly("a").connect(self.factory)
        failure = self.failureResultOf(exact, TargetDown)
        self.assertEqual(failure.value.detail, "target a is ejected")
        self.failureResultOf(endpoint.connect(self.factory), AllDown)
        self.assertEqual(len(self.network.asked), 3)
        self.clock.advance(60)
        trial = endpoint.connect(self.factory)
        self.failureResultOf(endpoint.connect(self.factory), AllFull)
        self.network.last.accept()
        self.successResultOf(trial)
        self.assertEqual(pool.nodes["a"].ejection, "up")

    def test_timeout_counts(self) -> None:
        """A connect that takes too long is held against the node, and tried elsewhere."""
        connecting = self.endpoint.connect(self.factory)
        self.clock.advance(5)
        self.assertTrue(self.network.endpoints["a"].last.cancelled)
        self.assertEqual(self.pool.nodes["a"].stats.timeouts, 1)
        self.clock.advance(5)
        self.clock.advance(5)
        failure = self.failureResultOf(connecting, ConnectTimedOut)
        self.assertEqual(failure.value.detail, "no connection in 5 s")
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.in_flight(), {})

    def test_no_timeout(self) -> None:
        """Without a limit of ours the endpoint's own counts."""
        endpoint = self.endpoint_of(self.pool, timeout=None)
        endpoint.connect(self.factory)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_cancel_counts_for_nothing(self) -> None:
        """A cancel by the caller frees everything and blames nobody."""
        connecting = self.endpoint.connect(self.factory)
        connecting.cancel()
        self.failureResultOf(connecting, ConnectingCancelledError, CancelledError)
        self.assertTrue(self.network.last.cancelled)
        self.assertEqual(self.network.asked, ["a"])
        self.assertEqual(self.pool.nodes["a"].stats.failures, 0)
        self.assertEqual(self.in_flight(), {})
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_own_trouble_is_not_tried_elsewhere(self) -> None:
        """Without descriptors no other node helps, and none is to blame."""
        connecting = self.endpoint.connect(self.factory)
        self.network.last.refuse(ConnectBindError(24))
        failure = self.failureResultOf(connecting, ProxyError)
        self.assertEqual(failure.value.detail, "no file descriptor left")
        self.assertEqual(self.pool.nodes["a"].stats.failures, 0)
        self.assertEqual(self.network.asked, ["a"])

    def test_error_of_ours_stays_the_same(self) -> None:
        """An endpoint's error in our language arrives as it is."""
        mine = ProxyError("x")
        connecting = self.endpoint.connect(self.factory)
        self.network.last.refuse(mine)
        self.assertIs(self.failureResultOf(connecting).value, mine)

    def test_factory_that_builds_nothing(self) -> None:
        """That is the caller's doing: nobody is blamed."""
        self.factory.refuse = True
        connecting = self.endpoint.connect(self.factory)
        attempt = self.network.last
        with self.assertRaises(Exception) as caught:
            attempt.accept()
        attempt.refuse(caught.exception)
        self.failureResultOf(connecting, ProxyError)
        self.assertEqual(self.pool.nodes["a"].stats.failures, 0)

    def test_abandoned(self) -> None:
        """A connect that nobody waits for any more gives its lease back."""
        coroutine = self.endpoint._connect(self.factory)
        coroutine.send(None)
        self.assertEqual(self.in_flight(), {"a": 1})
        coroutine.close()
        self.assertEqual(self.in_flight(), {})

    def test_no_time_at_all(self) -> None:
        """A timeout that is not more than 0 is refused when the endpoint is made; None is no limit."""
        for timeout in (0, -1.0):
            with self.assertRaises(ValueError):
                self.endpoint_of(self.pool, timeout=timeout)
        self.assertIsNone(self.endpoint_of(self.pool, timeout=None)._timeout)

    def test_keyed(self) -> None:
        """Connections of one key go to one node."""
        self.pool = pool_of(*self.names, balance="ip_hash")
        endpoint = self.endpoint_of(self.pool).keyed(b"10.1.2.3")
        for _ in range(4):
            endpoint.connect(self.factory)
            self.network.last.accept().connectionLost()
        self.assertEqual(len(set(self.network.asked)), 1)

    def test_budget(self) -> None:
        """With a budget, further nodes are tried only while it lasts; connects for a key share it."""
        budget = RetryBudget(share=0.5, floor=0.0)
        endpoint = self.endpoint_of(self.pool, budget=budget)
        self.assertIs(endpoint.keyed(b"k").budget, budget)
        for attempts in (1, 2):
            asked = len(self.network.asked)
            connecting = endpoint.connect(self.factory)
            for _ in range(attempts):
                self.network.last.refuse(ConnectionRefusedError())
            self.failureResultOf(connecting, ConnectFailed)
            self.assertEqual(len(self.network.asked) - asked, attempts)
        self.assertEqual((budget.requests, budget.spent), (2, 1))


class ExactTests(Case):
    """One target of a pool."""

    def test_connects_to_that_one(self) -> None:
        """The id decides, whatever the balancer would say."""
        for name in ("c", "a", "c"):
            connecting = self.endpoint.exactly(name).connect(self.factory)
            self.network.last.accept()
            self.successResultOf(connecting)
        self.assertEqual(self.network.asked, ["c", "a", "c"])
        self.assertEqual(self.in_flight(), {"c": 2, "a": 1})

    def test_down(self) -> None:
        """A target that is down is refused at once, without a SYN."""
        self.pool.observe("b", BAD, 0.0)
        failure = self.failureResultOf(
            self.endpoint.exactly("b").connect(self.factory), TargetDown
        )
        self.assertEqual(failure.value.detail, "target b is unhealthy")
        self.assertFalse(failure.value.blames)
        self.assertEqual(self.network.asked, [])

    def test_full(self) -> None:
        """A target at its limit is full, not down."""
        self.pool = pool_of(target("a", max_conns=1))
        exact = self.endpoint_of(self.pool).exactly("a")
        exact.connect(self.factory)
        self.failureResultOf(exact.connect(self.factory), AllFull)

    def test_gone(self) -> None:
        """A target that left the pool is unknown."""
        exact = self.endpoint.exactly("b")
        self.pool.replace([target("a")], 0.0)
        self.failureResultOf(exact.connect(self.factory), UnknownPool)

    def test_no_other_is_tried(self) -> None:
        """A failure is final: nobody asked for another target."""
        connecting = self.endpoint.exactly("b").connect(self.factory)
        self.network.last.refuse(REFUSED)
        self.failureResultOf(connecting, ConnectFailed)
        self.assertEqual(self.network.asked, ["b"])


class FactoryTests(Case):
    """For Agent and treq: the host of a URI names a pool or a target."""

    def setUp(self) -> None:
        super().setUp()
        self.agents = BalancedEndpointFactory({"Api": self.endpoint})

    def test_interface(self) -> None:
        """An Agent takes it."""
        verifyObject(IAgentEndpointFactory, self.agents)

    def endpoint_for(self, uri: bytes) -> Any:
        return self.agents.endpointForURI(URI.fromBytes(uri))

    def test_pool(self) -> None:
        """A pool's name balances, in any case of letters, whatever scheme and port."""
        for uri in (b"http://Api/x", b"http://api:99/", b"https://API/"):
            endpoint = self.endpoint_for(uri)
            verifyObject(IStreamClientEndpoint, endpoint)
            endpoint.connect(self.factory)
        self.assertIn("BalancedEndpoint p", repr(endpoint))
        self.assertEqual(self.network.asked, ["a", "b", "c"])

    def test_target(self) -> None:
        """A target's id connects to that target."""
        self.endpoint_for(b"http://c/x").connect(self.factory)
        self.assertEqual(self.network.asked, ["c"])

    def test_unknown(self) -> None:
        """A name nobody knows fails when connecting, and names the known ones."""
        endpoint = self.endpoint_for(b"http://nobody/x")
        verifyObject(IStreamClientEndpoint, endpoint)
        failure = self.failureResultOf(endpoint.connect(self.factory), UnknownPool)
        self.assertEqual(failure.value.detail, 'no pool is called "nobody"; known: Api')
