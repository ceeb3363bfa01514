"""Protocols that stand in front of another one, for a while or for one purpose.

They hand the connection itself over: the other protocol gets the real transport, and data goes to it directly.

Imports: Twisted. Used by: net.library, net.proxies, net.sockets.endpoints,
net.sockets.preceding, net.sockets.proxied.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.error import NoProtocol
from twisted.internet.interfaces import (
    IAddress,
    IHalfCloseableProtocol,
    IHandshakeListener,
    IProtocol,
    IProtocolFactory,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer


class WrappedFactory(Factory):
    """A factory in front of `inner`, which is told when it starts and stops."""

    noisy = False

    def __init__(self, inner: IProtocolFactory) -> None:
        self.inner = inner

    def doStart(self) -> None:
        """Pass it on."""
        self.inner.doStart()

    def doStop(self) -> None:
        """Pass it on."""
        self.inner.doStop()

    def build_inner(self, addr: IAddress | None) -> IProtocol:
        """The real protocol. Raises NoProtocol where the factory refuses."""
        protocol = self.inner.buildProtocol(addr)  # type: ignore[arg-type]  # as in Factory
        if protocol is None:
            raise NoProtocol()
        return protocol


@implementer(IHalfCloseableProtocol, IHandshakeListener)
class Handover(Protocol):
    """Gives its connection to `inner`, once there is one, and hears of its end."""

    inner: IProtocol | None = None

    def hand_over(self, inner: IProtocol) -> None:
        """Let `inner` have the connection."""
        self.inner = inner
        self.dataReceived = inner.dataReceived  # type: ignore[method-assign]  # the point of it
        assert self.transport is not None  # connected, or nobody would call
        inner.makeConnection(self.transport)
        # It may have handed the connection over itself, there and then.
        self.dataReceived = inner.dataReceived  # type: ignore[method-assign]  # as above

    def handshakeCompleted(self) -> None:
        """TLS is up: for those who wait for that."""
        told = getattr(self.inner, "handshakeCompleted", None)
        if told is not None:
            told()

    def readConnectionLost(self) -> None:
        """Half of it: for those who can live with that. Others lose the whole."""
        half: Any = IHalfCloseableProtocol(self.inner, None)
        if half is not None:
            half.readConnectionLost()
        elif self.transport is not None:
            self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        """The other half."""
        half: Any = IHalfCloseableProtocol(self.inner, None)
        if half is not None:
            half.writeConnectionLost()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The connection has ended."""
        if self.inner is not None:
            self.inner.connectionLost(reason)
