"""Tests of lolly_tx.service.certificates.responders: one question over HTTP, an answer bounded in size and time."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import URI, ResponseDone, ResponseFailed
from twisted.web.error import SchemeNotSupported
from twisted.web.iweb import IAgent, IAgentEndpointFactory, IBodyProducer
from zope.interface import implementer
from zope.interface.verify import verifyObject

from lolly_tx.net.failures import BadAnswer
from lolly_tx.service.certificates.responders import (
    ANSWER_SECONDS,
    LARGEST_ANSWER,
    PlainHTTP,
    over_http,
    responders,
)
from lolly_tx.service.surroundings import Surroundings


class Response:
    """An answer whose body the test delivers."""

    def __init__(self, code: int) -> None:
        self.code = code
        self.transport = StringTransport()
        self.body: Any = None

    def deliverBody(self, protocol: Any) -> None:
        """To this one."""
        self.body = protocol
        protocol.makeConnection(self.transport)


@implementer(IAgent)
class FakeAgent:
    """Remembers what it was asked. `answering`: fires with the response."""

    def __init__(self) -> None:
        self.answering: Deferred[Any] = Deferred()
        self.asked: list[Any] = []

    def request(
        self, method: bytes, uri: bytes, headers: Any = None, bodyProducer: Any = None
    ) -> Any:
        """As IAgent.request."""
        sent = StringTransport()
        bodyProducer.startProducing(sent)
        verifyObject(IBodyProducer, bodyProducer)
        self.asked.append((method, uri, headers, sent.value(), bodyProducer.length))
        return self.answering


class ResponderTests(SynchronousTestCase):
    def setUp(self) -> None:
        """A question that is under way."""
        self.clock = Clock()
        self.agent = FakeAgent()
        ask = responders(self.clock, self.agent)
        self.asking = ask("http://ocsp.test/x", b"question")

    def answered(self, code: int = 200) -> Response:
        """The head of the answer has come."""
        response = Response(code)
        self.agent.answering.callback(response)
        return response

    def refused(self) -> str:
        """Why there is no answer."""
        return str(self.failureResultOf(self.asking, BadAnswer).value)

    def test_answer(self) -> None:
        """A POST with the question; the body is the answer, and no timer is left."""
        [(method, uri, headers, body, length)] = self.agent.asked
        self.assertEqual((method, uri), (b"POST", b"http://ocsp.test/x"))
        self.assertEqual(
            headers.getRawHeaders("content-type"), ["application/ocsp-request"]
        )
        self.assertEqual((body, length), (b"question", 8))
        response = self.answered()
        for part in (b"ans", b"wer"):
            response.body.dataReceived(part)
        response.body.connectionLost(Failure(ResponseDone()))
        self.assertEqual(self.successResultOf(self.asking), b"answer")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_status(self) -> None:
        """Any other status than 200 is no answer, and its body is not waited for."""
        response = self.answered(503)
        self.assertEqual(self.refused(), "it answers with status 503")
        self.assertTrue(response.transport.disconnecting)

    def test_too_large(self) -> None:
        """An answer without end is cut."""
        response = self.answered()
        response.body.dataReceived(bytes(LARGEST_ANSWER))
        self.assertNoResult(self.asking)
        response.body.dataReceived(b"x")
        self.assertIn("more than 65536 bytes", self.refused())
        self.assertTrue(response.transport.disconnecting)
        response.body.dataReceived(b"x")
        response.body.connectionLost(Failure(ResponseDone()))

    def test_cut(self) -> None:
        """Half of an answer is none."""
        response = self.answered()
        response.body.dataReceived(b"x")
        response.body.connectionLost(Failure(ResponseFailed([])))
        self.assertEqual(self.refused(), "its answer is not complete")

    def test_too_slow(self) -> None:
        """A responder that does not answer in time, or not to the end, has not answered."""
        response = self.answered()
        self.clock.advance(ANSWER_SECONDS - 0.1)
        response.body.dataReceived(b"x")
        self.assertNoResult(self.asking)
        self.clock.advance(0.2)
        self.assertEqual(self.refused(), "it has not answered within 10 s")
        self.assertTrue(response.transport.disconnecting)

    def test_address(self) -> None:
        """What is no address of a responder is a failure, too."""
        ask = over_http(Surroundings(Clock()).reactor)
        for url in ("http://[/", "http://\u00fc/", "https://x/"):
            self.failureResultOf(ask(url, b"question"))

    def test_where(self) -> None:
        """Only plain HTTP is spoken, and no line of the log is about each connection."""
        where = PlainHTTP(Clock())
        verifyObject(IAgentEndpointFactory, where)
        verifyObject(
            IStreamClientEndpoint, where.endpointForURI(URI.fromBytes(b"http://x/"))
        )
        https = URI.fromBytes(b"https://x/")
        self.assertRaises(SchemeNotSupported, where.endpointForURI, https)
