"""OCSP responders asked over HTTP (RFC 6960 appendix A): one question, an answer of bounded size, in bounded time.

Imports: net, service.certificates, Twisted. Used by: service.upkeep.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.interfaces import (
    IReactorTime,
    IStreamClientEndpoint,
)
from twisted.web.client import URI, Agent
from twisted.web.error import SchemeNotSupported
from twisted.web.http_headers import Headers
from twisted.web.iweb import (
    IAgent,
    IAgentEndpointFactory,
    IResponse,
)
from zope.interface import implementer

from lolly_tx.net.bounded import Bounded, Sent
from lolly_tx.net.failures import BadAnswer
from lolly_tx.net.quiet import Quietly
from lolly_tx.service.certificates.stapling import Ask

ANSWER_SECONDS = 10.0
"""For all of it: the name, the connection, the question and the answer."""
LARGEST_ANSWER = 64 << 10
"""Bytes. Answers have 500 to 5,000, with the certificate of who signed them."""


def _late(result: object, timeout: float) -> bytes:
    raise BadAnswer(f"it has not answered within {timeout:g} s")


def responders(clock: IReactorTime, agent: IAgent) -> Ask:
    """Asks by way of `agent`."""

    async def asked(url: str, question: bytes) -> bytes:
        request: Deferred[IResponse] = agent.request(
            b"POST",
            url.encode("ascii"),
            Headers({"Content-Type": ["application/ocsp-request"]}),
            Sent(question),
        )
        response = await request
        body = Bounded(LARGEST_ANSWER)
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
