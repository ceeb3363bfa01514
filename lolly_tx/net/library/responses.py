"""Responses of the `twisted.web` client whose lease ends with their body.

Imports: net.library, Twisted. Used by: net.library.agent.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionAborted
from twisted.internet.interfaces import IProtocol
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.components import proxyForInterface
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone, ResponseFailed
from twisted.web.http import PotentialDataLoss
from twisted.web.iweb import IResponse

from lolly_tx.net.library.tracker import Tracker


class TrackedResponse(proxyForInterface(IResponse, "original")):  # type: ignore[misc]  # made at run time
    """A response whose body's end ends the lease."""

    def __init__(self, original: IResponse, tracker: Tracker) -> None:
        super().__init__(original)
        self._tracker = tracker

    def deliverBody(self, protocol: IProtocol) -> None:
        """Deliver the body to `protocol`."""
        self.original.deliverBody(
            _TrackedBody(protocol, self.original.code, self._tracker)
        )


class _TrackedBody(Protocol):
    """Passes a body on and ends the lease with it."""

    def __init__(self, inner: IProtocol, status: int, tracker: Tracker) -> None:
        self._inner = inner
        self._status = status
        self._tracker = tracker
        self._over = False
        self.dataReceived = inner.dataReceived  # type: ignore[method-assign]  # straight through

    def connectionMade(self) -> None:
        """The reader gets the body's transport, and can abort it."""
        transport: Any = _BodyTransport(self.transport, self)
        self._inner.makeConnection(transport)

    def abort(self) -> None:
        """The reader wants no more."""
        if self._over:
            return
        assert self.transport is not None  # only a connected body has a reader
        self.transport.loseConnection()
        self.connectionLost(Failure(ResponseFailed([Failure(ConnectionAborted())])))
        self.dataReceived = _ignore  # type: ignore[method-assign]  # what still comes

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The body has ended: well, badly, or because the reader did not want more."""
        if self._over:
            return
        self._over = True
        if reason.check(ResponseDone, PotentialDataLoss):
            self._tracker.completed(self._status)
        else:
            self._tracker.failed(reason, connecting=False)
        self._inner.connectionLost(reason)


def _ignore(data: bytes) -> None:
    """Bytes for a reader that has gone."""


class _BodyTransport:
    """What a body's reader sees as its transport.

    The web client's own cannot abort, so a reader that gives up (`readBody`, cancelled)
    would hold its connection until the target closes it, and would be told of its end twice.
    """

    def __init__(self, transport: Any, body: _TrackedBody) -> None:
        self._transport = transport
        self._body = body

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def abortConnection(self) -> None:
        """Give up the body, and with it the connection."""
        self._body.abort()

    loseConnection = stopProducing = abortConnection
