"""Tests of lolly_tx.net.library.holders: what a stock Agent's targets are judged by."""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionAborted, ConnectionLost
from twisted.internet.interfaces import IConsumer, ITransport
from twisted.internet.main import CONNECTION_DONE
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import Agent
from twisted.web.iweb import IBodyProducer
from zope.interface import implementer

from lolly_tx.net.library.balanced import BalancedEndpoint, BalancedEndpointFactory
from tests.domain.pools import pool_of
from tests.net.connects import FakeNetwork
from tests.net.fakes import MemoryTransport

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Line(MemoryTransport):
    """A transport that an abort or a close ends at once."""

    def __init__(self) -> None:
        super().__init__(lenient=True)
        self.attempt: Any = None

    def abortConnection(self) -> None:
        self.attempt.lose(ConnectionAborted())

    def loseConnection(self) -> None:
        self.attempt.lose(CONNECTION_DONE)


@implementer(IBodyProducer)
class Upload:
    """A body that comes when the test says so."""

    length = 4

    def __init__(self) -> None:
        from twisted.internet.defer import Deferred

        self.done: Any = Deferred()
        self.consumer: Any = None

    def startProducing(self, consumer: Any) -> Any:
        self.consumer = consumer
        return self.done

    def pauseProducing(self) -> None:
        pass

    def resumeProducing(self) -> None:
        pass

    def stopProducing(self) -> None:
        pass


class AgentTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock: Any = Clock()
        self.network = FakeNetwork()
        self.pool = pool_of("a", "b")
        endpoint = BalancedEndpoint(
            self.pool, self.network, self.clock, self.clock.seconds
        )
        factory = BalancedEndpointFactory({"api": endpoint}, timeout=10.0)
        self.agent = Agent.usingEndpointFactory(self.clock, factory)

    def ask(self, url: bytes = b"http://a/x", body: Any = None) -> tuple[Any, Any]:
        """A request that has been sent, and the attempt it went by."""
        asking = self.agent.request(b"PUT" if body else b"GET", url, None, body)
        self.got: list[Any] = []
        asking.addBoth(self.got.append)
        attempt = self.network.last
        line = Line()
        line.attempt = attempt
        attempt.accept(line)
        self.assertIn(b"/x HTTP/1.1", line.value())
        return asking, attempt

    def counts(self, node: str = "a") -> tuple[int, int, int]:
        stats = self.pool.nodes[node].stats
        self.assertEqual(self.pool.nodes[node].in_flight, 0)
        return stats.successes, stats.failures, stats.timeouts

    def test_answer(self) -> None:
        """The first byte of an answer is what counts; the lease ends with the connection."""
        _, attempt = self.ask()
        self.assertEqual(self.pool.nodes["a"].stats.successes, 0)
        attempt.protocol.dataReceived(OK[:9])
        self.assertEqual(self.pool.nodes["a"].stats.successes, 1)
        attempt.protocol.dataReceived(OK[9:])
        self.assertEqual(self.got[0].code, 200)
        self.assertEqual(self.counts(), (1, 0, 0))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_silent_target_is_blamed(self) -> None:
        """One that accepts and stays silent fails after the limit, and is left alone after three times."""
        for _ in range(3):
            self.ask()
            self.clock.advance(9.9)
            self.assertEqual(self.got, [])
            self.clock.advance(0.1)
            self.assertIn("ConnectionAborted", str(self.got[0]))
        self.assertEqual(self.counts(), (0, 3, 3))
        self.assertEqual(self.pool.nodes["a"].ejection, "ejected")
        self.ask(b"http://api/x")
        self.assertEqual(self.network.asked, ["a", "a", "a", "b"])

    def test_by_pool(self) -> None:
        """That holds for connections that the pool picks as well."""
        self.ask(b"http://api/x")
        self.clock.advance(10)
        self.assertEqual(self.counts(), (0, 1, 1))

    def test_user_who_hangs_up(self) -> None:
        """A user who gives up before that blames nobody, by whatever time-out or cancel."""
        asking, _ = self.ask()
        self.clock.advance(9)
        asking.cancel()
        self.assertEqual(self.counts(), (0, 0, 0))
        self.assertEqual(self.clock.getDelayedCalls(), [])
        _, attempt = self.ask()
        attempt.protocol.inner.transport.loseConnection()
        self.assertEqual(self.counts(), (0, 0, 0))

    def test_target_that_hangs_up(self) -> None:
        """One that closes or resets in place of an answer is blamed."""
        for reason in (CONNECTION_DONE, ConnectionLost()):
            _, attempt = self.ask()
            attempt.lose(reason)
        self.assertEqual(self.counts(), (0, 2, 0))

    def test_slow_upload(self) -> None:
        """While the body is not sent the target owes nothing."""
        upload = Upload()
        self.ask(body=upload)
        self.clock.advance(50)
        upload.consumer.write(b"body")
        self.clock.advance(50)
        self.assertEqual(self.pool.nodes["a"].stats.failures, 0)
        upload.done.callback(None)
        self.clock.advance(9.9)
        self.assertEqual(self.pool.nodes["a"].stats.failures, 0)
        self.clock.advance(0.1)
        self.assertEqual(self.counts(), (0, 1, 1))

    def test_transport(self) -> None:
        """The user's protocol has all that the real transport offers."""
        _, attempt = self.ask()
        transport = attempt.protocol.inner.transport
        self.assertTrue(ITransport.providedBy(transport))
        self.assertTrue(IConsumer.providedBy(transport))
        self.assertEqual(transport.getPeer(), attempt.transport.getPeer())
        attempt.protocol.dataReceived(OK)
        transport.writeSequence([b"a", b"b"])
        self.assertTrue(attempt.transport.value().endswith(b"ab"))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_no_limit(self) -> None:
        """Without a limit nobody is blamed for silence."""
        endpoint = BalancedEndpoint(
            self.pool, self.network, self.clock, self.clock.seconds
        )
        factory = BalancedEndpointFactory({"api": endpoint}, timeout=None)
        self.agent = Agent.usingEndpointFactory(self.clock, factory)
        self.ask()
        self.assertEqual(self.clock.getDelayedCalls(), [])
