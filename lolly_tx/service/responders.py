"""OCSP responders asked over HTTP (RFC 6960 appendix A): one question, an answer of bounded size, in bounded time.

Imports: net, service, Twisted. Used by: service.upkeep.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.interfaces import (
    IConsumer,
    IReactorTime,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import URI, Agent, ResponseDone
from twisted.web.error import SchemeNotSupported
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import (
    IAgent,
    IAgentEndpointFactory,
    IBodyProducer,
    IResponse,
)
from zope.interface import implementer

from lolly_tx.net.quiet import Quietly
from lolly_tx.service.stapling import Ask, BadAnswer

ANSWER_SECONDS = 10.0
"""For all of it: the name, the connection, the question and the answer."""
LARGEST_ANSWER = 64 << 10
"""Bytes. Answers have 500 to 5,000, with the certificate of who signed them."""


@implementer(IBodyProducer)
class _Question:
    """The body of a request, written at once: Twisted's own asks for the global reactor."""

    def __init__(self, data: bytes) -> None:
        self.length = len(data)
        self._data = data

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        """Write it."""
        consumer.write(self._data)
        return succeed(None)

    def pauseProducing(self) -> None:
        """There is nothing more."""

    def resumeProducing(self) -> None:
        """There is nothing more."""

    def stopProducing(self) -> None:
        """There is nothing more."""


class _Bounded(Protocol):
    """Takes a body of at most LARGEST_ANSWER bytes. `done`: fires with it."""

    def __init__(self) -> None:
        self._data = bytearray()
        self.done: Deferred[bytes] = Deferred(lambda _: self._leave())

    def _leave(self) -> None:
        transport: Any = self.transport
        if transport is not None:
            transport.loseConnection()

    def dataReceived(self, data: bytes) -> None:
        """More of it."""
        self._data += data
        if len(self._data) > LARGEST_ANSWER and not self.done.called:
            said = f"its answer has more than {LARGEST_ANSWER} bytes"
            self.done.errback(BadAnswer(said))
            self._leave()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """All of it, or no more."""
        if self.done.called:
            return
        if reason.check(ResponseDone, PotentialDataLoss):
            self.done.callback(bytes(self._data))
        else:
            self.done.errback(BadAnswer("its answer is not complete"))


def _late(result: object, timeout: float) -> bytes:
    raise BadAnswer(f"it has not answered within {timeout:g} s")


def responders(clock: IReactorTime, agent: IAgent) -> Ask:
    """Asks by way of `agent`."""

    async def asked(url: str, question: bytes) -> bytes:
        request: Deferred[IResponse] = agent.request(
            b"POST",
            url.encode("ascii"),
            Headers({"Content-Type": ["application/ocsp-request"]}),
            _Question(question),
        )
        response = await request
        body = _Bounded()
        response.deliverBody(body)
        if response.code != 200:
            body.done.addErrback(lambda _: None)
            body.done.cancel()
            raise BadAnswer(f"it answers with status {response.code}")
        return await body.done

    def ask(url: str, question: bytes) -> Deferred[bytes]:
        asking: Deferred[bytes] = Deferred.fromCoroutine(asked(url, question))
        return asking.addTimeout(ANSWER_SECONDS, clock, _late)

    return ask


def over_http(reactor: Any) -> Ask:
    """Asks with connections of its own, one for each question."""
    return responders(reactor, Agent.usingEndpointFactory(reactor, PlainHTTP(reactor)))


@implementer(IAgentEndpointFactory)
class PlainHTTP:
    """Where responders are: "http:" only."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        """Where to connect to. Raises SchemeNotSupported."""
        if uri.scheme != b"http":
            raise SchemeNotSupported(f"not http: {uri.toBytes().decode('ascii')}")
        host: Any = uri.host
        return Quietly(
            HostnameEndpoint(self._reactor, host, uri.port, timeout=ANSWER_SECONDS)
        )
