"""Endpoints for tests: nothing connects until the test says so."""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectingCancelledError, NoProtocol
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.main import CONNECTION_DONE
from twisted.internet.protocol import Factory
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from zope.interface import implementer

from lolly_tx.domain.target import Target
from tests.net.fakes import Recorder

ADDRESS = IPv4Address("TCP", "127.0.0.1", 80)


class RecorderFactory(Factory):
    """Builds `Recorder`s and keeps them. `refuse`: builds nothing."""

    noisy = False

    def __init__(self, refuse: bool = False) -> None:
        self.built: list[Recorder] = []
        self.refuse = refuse

    def buildProtocol(self, addr: Any) -> Any:
        if self.refuse:
            return None
        self.built.append(Recorder())
        return self.built[-1]


class Attempt:
    """One call of an endpoint's `connect`."""

    def __init__(self, factory: Any) -> None:
        self.factory = factory
        self.cancelled = False
        self.protocol: Any = None
        self.transport: Any = None
        self.result: Deferred[Any] = Deferred(self._cancel)

    def _cancel(self, result: Deferred[Any]) -> None:
        self.cancelled = True
        result.errback(ConnectingCancelledError(ADDRESS))

    def accept(self, transport: Any = None) -> Any:
        """The connection comes about."""
        self.transport = StringTransport() if transport is None else transport
        self.protocol = self.factory.buildProtocol(ADDRESS)
        if self.protocol is None:
            self.result.errback(NoProtocol())
            return None
        self.protocol.makeConnection(self.transport)
        self.result.callback(self.protocol)
        return self.protocol

    def refuse(self, exception: BaseException) -> None:
        """It does not."""
        self.result.errback(Failure(exception))

    def part(self) -> None:
        """The target agrees to the end of the connection, if that is still open."""
        if self.protocol is not None and self.protocol.transport is not None:
            self.protocol.connectionLost(Failure(CONNECTION_DONE))

    def lose(self, reason: BaseException = CONNECTION_DONE) -> None:
        """It ends."""
        self.protocol.connectionLost(Failure(reason))


@implementer(IStreamClientEndpoint)
class FakeEndpoint:
    """Keeps its attempts. `on_connect`: what happens to each at once."""

    def __init__(self, on_connect: Any = None) -> None:
        self.attempts: list[Attempt] = []
        self.on_connect = on_connect

    def connect(self, protocolFactory: Any) -> Deferred[Any]:
        attempt = Attempt(protocolFactory)
        self.attempts.append(attempt)
        if self.on_connect is not None:
            self.on_connect(attempt)
        return attempt.result

    @property
    def last(self) -> Attempt:
        return self.attempts[-1]


class FakeNetwork:
    """A `connect_to` with one fake endpoint per target; `asked`: in which order."""

    def __init__(self) -> None:
        self.endpoints: dict[str, FakeEndpoint] = {}
        self.asked: list[str] = []

    def __call__(self, target: Target) -> FakeEndpoint:
        endpoint = self.endpoints.setdefault(target.id, FakeEndpoint())
        self.asked.append(target.id)
        return endpoint

    @property
    def last(self) -> Attempt:
        """The attempt made last."""
        return self.endpoints[self.asked[-1]].last
