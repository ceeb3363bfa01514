"""What the tests of discoveries share: what a factory is given, and an HTTP service whose answers the test gives."""

from __future__ import annotations

import json
from random import Random
from typing import Any

from twisted.internet.defer import Deferred, execute
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent
from zope.interface import implementer

from lolly_tx.net.discovery.deps import DiscoveryDeps


def deps(clock: Clock, interval: float = 30.0) -> DiscoveryDeps:
    """With threads that do their work at once."""
    return DiscoveryDeps(
        pool="app",
        interval=interval,
        reactor=clock,
        clock=clock,
        now=clock.seconds,
        random=Random(1),
        log=Logger(),
        in_thread=lambda work: execute(work),
    )


class Response:
    """An answer whose body the test delivers."""

    def __init__(self, code: int, **fields: str) -> None:
        self.code = code
        self.headers = Headers({k.replace("_", "-"): [v] for k, v in fields.items()})
        self.transport = StringTransport()
        self.body: Any = None

    def deliverBody(self, protocol: Any) -> None:
        """To this one."""
        self.body = protocol
        protocol.makeConnection(self.transport)

    def end(self) -> None:
        """The body is complete."""
        self.body.connectionLost(Failure(ResponseDone()))


@implementer(IAgent)
class FakeAgent:
    """Remembers what it was asked: method, URL, fields, and what the JSON of the body says."""

    def __init__(self) -> None:
        self.asked: list[tuple[bytes, bytes, Headers, Any]] = []
        self.answers: list[Deferred[Any]] = []

    def request(
        self, method: bytes, uri: bytes, headers: Any = None, bodyProducer: Any = None
    ) -> Any:
        """As IAgent.request."""
        question = None
        if bodyProducer is not None:
            sent = StringTransport()
            bodyProducer.startProducing(sent)
            question = json.loads(sent.value())
        self.asked.append((method, uri, headers, question))
        self.answers.append(Deferred())
        return self.answers[-1]

    def answer(self, value: Any, code: int = 200, **fields: str) -> None:
        """Answer the latest question whole."""
        response = self.begin(code, **fields)
        response.body.dataReceived(json.dumps(value).encode())
        response.end()

    def begin(self, code: int = 200, **fields: str) -> Response:
        """Begin to answer it."""
        response = Response(code, **fields)
        self.answers[-1].callback(response)
        return response
