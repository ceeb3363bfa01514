"""Tests of lolly_tx.net.library.agent: a pool as an Agent, balanced per request."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import (
    ConnectionAborted,
    ConnectionDone,
    ConnectionLost,
    ConnectionRefusedError,
)
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import FileBodyProducer, ResponseDone, readBody
from twisted.web.http_headers import Headers
from twisted.web.iweb import (
    UNKNOWN_LENGTH,
    IAgent,
    IAgentEndpointFactory,
    IBodyProducer,
    IResponse,
)
from zope.interface import implementer
from zope.interface.verify import verifyObject

from lolly_tx.domain.errors import (
    AllDown,
    AllTried,
    ConnectFailed,
    ConnectionReset,
    ResponseTimedOut,
)
from lolly_tx.domain.retries.retry import RetryPolicy
from lolly_tx.net.library.agent import BalancedAgent, _Attempt
from lolly_tx.net.library.balanced import BalancedEndpoint, UnknownPool
from lolly_tx.net.library.bodies import TrackedBody
from lolly_tx.net.library.tracker import Tracker
from tests.domain.pools import BAD, fail, pool_of
from tests.net.connects import Attempt, FakeNetwork
from tests.net.fakes import Recorder

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
EMPTY = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


class AgentTransport(StringTransport):
    """A transport the web client can abort."""

    def abortConnection(self) -> None:
        self.disconnected = True


class Case(SynchronousTestCase):
    names: tuple[str, ...] = ("a", "b")

    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        self.network = FakeNetwork()
        self.pool = pool_of(*self.names)
        self.balanced = BalancedEndpoint(
            self.pool, self.network, self.reactor, self.reactor.seconds
        )
        self.make_agent()

    def make_agent(self, **settings: Any) -> None:
        self.agent = BalancedAgent(self.reactor, {"api": self.balanced}, **settings)

    def request(
        self, method: bytes = b"GET", uri: bytes = b"http://api/x?y", **named: Any
    ) -> Deferred[IResponse]:
        return self.agent.request(method, uri, **named)

    def accept(self) -> Attempt:
        attempt = self.network.last
        attempt.accept(AgentTransport())
        return attempt

    def body(self, response: IResponse) -> bytes:
        return self.successResultOf(readBody(response))

    def get(self) -> bytes:
        """A whole request over a new connection."""
        requesting = self.request()
        self.accept().protocol.dataReceived(OK)
        return self.body(self.successResultOf(requesting))

    def node(self, name: str = "a") -> Any:
        return self.pool.nodes[name]

    def assertIdle(self) -> None:
        """No lease is left."""
        self.assertEqual([n.in_flight for n in self.pool.nodes.values()], [0, 0])


class RequestTests(Case):
    def test_interface(self) -> None:
        """It can be used wherever an Agent can."""
        verifyObject(IAgent, self.agent)
        attempt = _Attempt(self.balanced, self.node())
        verifyObject(IAgentEndpointFactory, attempt)

    def test_balanced_per_request(self) -> None:
        """Requests go round although connections are kept, one for each target."""
        for _ in range(2):
            self.assertEqual(self.get(), b"ok")
        for name in "abab":
            requesting = self.request()
            kept = self.network.endpoints[name].last
            self.assertEqual(self.node(name).in_flight, 1)
            kept.protocol.dataReceived(OK)
            self.body(self.successResultOf(requesting))
        self.assertEqual(self.network.asked, ["a", "b"])
        self.assertEqual(self.node().stats.requests, 3)
        self.assertIdle()

    def test_keyed(self) -> None:
        """Over a keyed endpoint all requests go to the node of its key, and other keys to others."""
        self.pool = pool_of(*"abcdefgh", balance="ip_hash")
        plain = BalancedEndpoint(
            self.pool, self.network, self.reactor, self.reactor.seconds
        )
        nodes = set()
        for i in range(8):
            self.balanced = plain.keyed(b"10.1.2.%d" % i)
            self.make_agent()
            self.network.asked.clear()
            for _ in range(3):
                self.request()
                self.accept()
            self.assertEqual(len(self.network.asked), 3)
            self.assertEqual(len(set(self.network.asked)), 1)
            nodes.update(self.network.asked)
        self.assertGreater(len(nodes), 3)

    def test_no_time_at_all(self) -> None:
        """A timeout that is not more than 0 is refused when the agent is made."""
        for timeout in (0, -1.0):
            with self.assertRaises(ValueError):
                self.make_agent(timeout=timeout)

    def test_host_is_the_callers(self) -> None:
        """The target sees the name the caller used, or the Host it set."""
        self.request(uri=b"http://api:8080/x?y")
        sent = self.accept().transport.value()
        self.assertTrue(sent.startswith(b"GET /x?y HTTP/1.1\r\n"))
        self.assertIn(b"Host: api:8080\r\n", sent)
        headers = Headers({b"host": [b"app.example"]})
        self.request(headers=headers)
        sent = self.accept().transport.value()
        self.assertIn(b"Host: app.example\r\n", sent)
        self.assertEqual(sent.count(b"Host"), 1)

    def test_the_callers_headers_stay_as_they_are(self) -> None:
        """The caller's Headers object is not changed."""
        headers = Headers({b"x-a": [b"b"]})
        self.request(headers=headers)
        self.assertFalse(headers.hasHeader(b"host"))

    def test_unknown_pool(self) -> None:
        """A host that names no pool is a named error."""
        self.failureResultOf(self.request(uri=b"http://other/"), UnknownPool)

    def test_all_down(self) -> None:
        """With nobody available there is a named error, and no connect at all."""
        for name in self.names:
            self.pool.observe(name, BAD, 0.0)
        self.failureResultOf(self.request(), AllDown)
        self.assertEqual(self.network.asked, [])

    def test_close(self) -> None:
        """Kept connections can be closed."""
        self.get()
        closing = self.agent.close()
        kept = self.network.last
        self.assertTrue(kept.transport.disconnecting)
        kept.lose()
        self.successResultOf(closing)


class LeaseTests(Case):
    """A node is in use until the end of the body."""

    def test_end_of_body(self) -> None:
        """Not the head but the end of the body ends the lease."""
        requesting = self.request()
        attempt = self.accept()
        attempt.protocol.dataReceived(OK[:-1])
        response = self.successResultOf(requesting)
        self.assertEqual((response.code, response.length), (200, 2))
        reading = readBody(response)
        self.assertEqual(self.node().in_flight, 1)
        attempt.protocol.dataReceived(OK[-1:])
        self.assertEqual(self.successResultOf(reading), b"ok")
        self.assertIdle()
        self.assertEqual(self.node().stats.successes, 1)

    def test_no_body(self) -> None:
        """A response without a body ends it at once, read or not."""
        requesting = self.request()
        self.accept().protocol.dataReceived(EMPTY)
        self.successResultOf(requesting)
        self.assertIdle()

    def test_until_close(self) -> None:
        """A body without a length that ends with the connection is a good one."""
        requesting = self.request()
        attempt = self.accept()
        attempt.protocol.dataReceived(b"HTTP/1.1 500 X\r\n\r\nok")
        reader = Recorder()
        self.successResultOf(requesting).deliverBody(reader)
        attempt.lose()
        self.assertEqual(reader.received, b"ok")
        self.assertIdle()
        stats = self.node().stats
        self.assertEqual((stats.successes, stats.errors), (1, 1))

    def test_body_cut_short(self) -> None:
        """A body that breaks off is held against the node."""
        requesting = self.request()
        attempt = self.accept()
        attempt.protocol.dataReceived(OK[:-1])
        reading = readBody(self.successResultOf(requesting))
        attempt.lose(ConnectionLost())
        self.failureResultOf(reading)
        self.assertIdle()
        self.assertEqual(self.node().stats.failures, 1)

    def test_reader_gives_up(self) -> None:
        """A reader that wants no more says nothing about the node."""
        requesting = self.request()
        attempt = self.accept()
        attempt.protocol.dataReceived(OK[:-1])
        reading = readBody(self.successResultOf(requesting))
        reading.cancel()
        self.failureResultOf(reading)
        self.assertIdle()
        self.assertTrue(attempt.transport.disconnecting)
        attempt.protocol.dataReceived(b"k")
        attempt.lose()
        self.assertEqual(self.node().stats.failures, 0)

    def test_reader_may_pause(self) -> None:
        """The reader's transport does what the web client's does, and an end is final."""
        requesting = self.request()
        attempt = self.accept()
        attempt.protocol.dataReceived(OK[:-1])
        reader = Recorder()
        self.successResultOf(requesting).deliverBody(reader)
        transport: Any = reader.transport
        transport.pauseProducing()
        self.assertEqual(attempt.transport.producerState, "paused")
        transport.resumeProducing()
        attempt.protocol.dataReceived(OK[-1:])
        transport.loseConnection()
        self.assertIs(reader.reason, ResponseDone)

    def test_caller_cancels(self) -> None:
        """Nor does a caller that cancels, before or after the connection is made."""
        for accept in (False, True):
            requesting = self.request()
            if accept:
                self.accept()
            requesting.cancel()
            if accept:
                self.network.last.lose(ConnectionAborted())
            self.failureResultOf(requesting)
            self.assertIdle()
        self.assertEqual(self.node("a").stats.failures, 0)
        self.assertEqual(self.node("b").stats.failures, 0)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_abandoned(self) -> None:
        """A request that nobody waits for any more gives its lease back."""
        coroutine = self.agent._request(b"GET", b"http://api/", None, None)
        coroutine.send(None)
        self.assertEqual(self.node().in_flight, 1)
        coroutine.close()
        self.assertIdle()


class RetryTests(Case):
    def test_failed_connect(self) -> None:
        """A request that was not sent goes elsewhere, with its body."""
        import io

        requesting = self.request(
            b"POST",
            bodyProducer=FileBodyProducer(io.BytesIO(b"data"), cooperator=_Now()),
        )
        self.network.last.refuse(ConnectionRefusedError())
        attempt = self.accept()
        self.assertIn(b"data", attempt.transport.value())
        attempt.protocol.dataReceived(EMPTY)
        self.successResultOf(requesting)
        self.assertEqual(self.network.asked, ["a", "b"])
        self.assertEqual(self.node("a").stats.connect_failures, 1)

    def test_last_failure_when_all_were_tried(self) -> None:
        """With nobody left, the last failure is the answer."""
        self.make_agent(retry=RetryPolicy(tries=5))
        requesting = self.request()
        self.network.last.refuse(ConnectionRefusedError())
        self.network.last.refuse(ConnectionRefusedError())
        failure = self.failureResultOf(requesting, ConnectFailed)
        self.assertIsInstance(failure.value.__cause__, AllTried)
        self.assertIdle()

    def test_no_more_than_allowed(self) -> None:
        """The policy's number of tries is kept."""
        self.make_agent(retry=RetryPolicy(tries=1))
        requesting = self.request()
        self.network.last.refuse(ConnectionRefusedError())
        self.failureResultOf(requesting, ConnectFailed)
        self.assertEqual(self.network.asked, ["a"])

    def test_no_answer(self) -> None:
        """A GET whose connection breaks is tried elsewhere; a POST is not."""
        requesting = self.request()
        self.accept().lose(ConnectionLost())
        self.accept().protocol.dataReceived(EMPTY)
        self.successResultOf(requesting)
        self.assertEqual(self.node("a").stats.resets, 1)
        requesting = self.request(b"POST")
        self.accept().lose(ConnectionLost())
        self.failureResultOf(requesting, ConnectionReset)
        self.assertIdle()

    def test_no_answer_in_time(self) -> None:
        """A target that takes too long is blamed, and left for another."""
        self.make_agent(timeout=3.0)
        requesting = self.request()
        first = self.accept()
        self.reactor.advance(3)
        self.assertTrue(first.transport.disconnected)
        first.lose(ConnectionAborted())
        self.assertEqual(self.node("a").stats.timeouts, 1)
        self.accept()
        self.reactor.advance(3)
        self.network.last.lose(ConnectionAborted())
        failure = self.failureResultOf(requesting, ResponseTimedOut)
        self.assertEqual(failure.value.detail, "no answer in 3 s")
        self.assertIdle()

    def test_no_limit(self) -> None:
        """The limit can be turned off."""
        self.make_agent(timeout=None)
        self.request()
        self.accept()
        self.assertEqual(self.reactor.getDelayedCalls(), [])


class SlowBodyTests(Case):
    """A body whose producer takes its time."""

    def setUp(self) -> None:
        super().setUp()
        self.make_agent(timeout=3.0)
        self.producer = SlowProducer()
        self.requesting = self.request(b"POST", bodyProducer=self.producer)
        self.attempt = self.accept()

    def drip(self, seconds: int) -> None:
        """One byte a second."""
        for _ in range(seconds):
            self.reactor.advance(1)
            self.producer.consumer.write(b"x")

    def test_interface(self) -> None:
        """It can be sent by any Agent."""
        tracker = Tracker(self.pool.acquire(0.0), self.reactor.seconds)
        body = TrackedBody(SlowProducer(), tracker)
        verifyObject(IBodyProducer, body)
        tracker.ended()
        self.drip(1)

    def test_longer_than_the_timeout(self) -> None:
        """The time of the answer runs from its end on."""
        self.drip(9)
        self.producer.done.callback(None)
        self.reactor.advance(2)
        self.attempt.protocol.dataReceived(OK)
        self.body(self.successResultOf(self.requesting))
        stats = self.node().stats
        self.assertEqual((stats.failures, stats.latency_sum), (0, 2.0))
        self.assertIdle()

    def test_no_answer_after_it(self) -> None:
        """Then the node is out of time as after any request."""
        self.drip(9)
        self.producer.done.callback(None)
        self.reactor.advance(3)
        self.attempt.lose(ConnectionAborted())
        self.failureResultOf(self.requesting, ResponseTimedOut)
        self.assertEqual(self.node().stats.timeouts, 1)

    def test_node_takes_no_more(self) -> None:
        """A node that takes nothing of it is out of time, too; one that goes on is not."""
        transport_side: Any = self.attempt.transport.producer
        transport_side.pauseProducing()
        self.assertTrue(self.producer.paused)
        self.reactor.advance(2)
        transport_side.resumeProducing()
        self.assertFalse(self.producer.paused)
        self.drip(9)
        transport_side.pauseProducing()
        self.reactor.advance(3)
        self.assertTrue(self.producer.done.called, "it goes on")
        self.attempt.lose(ConnectionAborted())
        self.failureResultOf(self.requesting, ResponseTimedOut)
        self.assertEqual(self.node().stats.timeouts, 1)

    def test_node_hangs_up(self) -> None:
        """A node that hangs up on it is blamed if it did not wait, and not if it did."""
        self.drip(2)
        self.attempt.lose(ConnectionLost())
        self.failureResultOf(self.requesting, ConnectionReset)
        self.assertEqual(self.node("a").stats.failures, 0)
        requesting = self.request(b"POST", bodyProducer=SlowProducer())
        self.accept().lose(ConnectionLost())
        self.failureResultOf(requesting, ConnectionReset)
        self.assertEqual(self.node("b").stats.failures, 1)

    def test_trial(self) -> None:
        """An answer that never ends brings a node back with its head."""
        fail(self.pool, 0.0, 6)
        self.reactor.advance(60)
        node = self.node()
        self.make_agent()
        requesting = self.request()
        endless = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        self.accept().protocol.dataReceived(endless)
        self.successResultOf(requesting)
        self.assertIn("up", {node.ejection, self.node("b").ejection})


@implementer(IBodyProducer)
class SlowProducer:
    """A producer that does what the test says."""

    length = UNKNOWN_LENGTH
    paused = stopped = False

    def __init__(self) -> None:
        self.done: Deferred[None] = Deferred()
        self.consumer: Any = None

    def startProducing(self, consumer: Any) -> Deferred[None]:
        self.consumer = consumer
        return self.done

    def pauseProducing(self) -> None:
        self.paused = True

    def resumeProducing(self) -> None:
        self.paused = False

    def stopProducing(self) -> None:
        self.stopped = True


class StaleTests(Case):
    """Kept connections that died while idle."""

    names = ("a",)

    def assertIdle(self) -> None:
        self.assertEqual(self.node().in_flight, 0)

    def test_sent_again_on_a_new_one(self) -> None:
        """A GET that meets a dead connection succeeds, and blames nobody."""
        self.get()
        requesting = self.request()
        self.network.last.lose(ConnectionDone())
        self.assertEqual(len(self.network.asked), 2)
        self.accept().protocol.dataReceived(EMPTY)
        self.successResultOf(requesting)
        self.assertEqual(self.node().stats.failures, 0)
        self.assertIdle()

    def test_post_is_not_repeated(self) -> None:
        """A POST may have been executed: it fails, but blames nobody."""
        self.get()
        requesting = self.request(b"POST")
        self.network.last.lose(ConnectionDone())
        self.failureResultOf(requesting, ConnectionReset)
        self.assertEqual(self.node().stats.failures, 0)
        self.assertIdle()

    def test_timeout_on_a_kept_connection(self) -> None:
        """A timeout is the node's failure on any connection."""
        self.get()
        requesting = self.request()
        self.reactor.advance(30)
        self.network.last.lose(ConnectionAborted())
        self.failureResultOf(requesting, ResponseTimedOut)
        self.assertEqual(self.node().stats.timeouts, 1)
        self.assertIdle()


class _Now:
    """A cooperator that does all of it at once."""

    def cooperate(self, iterator: Any) -> Any:
        from twisted.internet.defer import succeed

        for _ in iterator:
            pass

        class Done:
            def whenDone(self) -> Any:
                return succeed(None)

            def stop(self) -> None:
                pass

            pause = resume = stop

        return Done()
