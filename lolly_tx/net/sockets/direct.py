"""A TCP connection to one address, with nothing between its protocol and the reactor.

Twisted's endpoints make a connector, a factory and a protocol of their own for each connection, wait a turn before they
begin, and ask the kernel twice to connect. Here the socket is told to connect at once, and looked at when it says that
it has. What comes of it is the same, and never comes before the next turn.

Imports: net.sockets, Twisted. Used by: net.sockets.eager.
"""

from __future__ import annotations

import os
import socket
from errno import EINPROGRESS
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.error import (
    ConnectingCancelledError,
    NoProtocol,
    UserError,
    getConnectError,
)
from twisted.internet.interfaces import IAddress, IProtocol, IProtocolFactory
from twisted.python.failure import Failure

from lolly_tx.net.sockets.transports import PlainClient


class DirectClient(PlainClient):
    """See the module. `connector`: told of its connect, and of its end."""

    def _finishInit(self, whenDone: Any, skt: Any, error: Any, reactor: Any) -> None:
        self.reactor = reactor
        if whenDone is None:  # there is no socket, or it could not be bound
            reactor.callLater(0, self.failIfNotConnected, error)
            return
        none: Any = None  # as stock: the protocol comes with the connection
        self._commonConnection.__init__(self, skt, none, reactor)
        self._setRealAddress(self.addr)

    def doConnect(self) -> None:
        """Have the kernel connect."""
        self.doWrite = self._settled  # type: ignore[method-assign]  # as stock
        number = self.socket.connect_ex(self.realAddress)
        if number in (0, EINPROGRESS):
            self.startWriting()
        else:
            self.reactor.callLater(  # type: ignore[attr-defined]  # IReactorTime as well
                0, self.failIfNotConnected, _refusal(number)
            )

    def _settled(self) -> None:
        """It has connected, or has not."""
        number = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number:
            self.failIfNotConnected(_refusal(number))
            return
        del self.doWrite
        self.stopWriting()
        connector: _Connector = self.connector
        self._connectDone()
        connector.done()

    def connectionLost(self, reason: Failure) -> None:
        """It is over, or has not connected: the socket knows why."""
        if self.connected or not hasattr(self, "connector"):
            super().connectionLost(reason)
            return
        if self.disconnected:
            return  # it was over before: an abort is a turn late
        number = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        self.failIfNotConnected(_refusal(number) if number else reason.value)


def _refusal(number: int) -> Exception:
    error: Exception = getConnectError((number, os.strerror(number)))
    return error


class _Connector:
    """What a transport tells of its connect. `result`: the protocol, or why there is none."""

    __slots__ = ("_factory", "_protocol", "result", "transport")

    def __init__(self, factory: IProtocolFactory) -> None:
        self._factory = factory
        self._protocol: IProtocol | None = None
        self.transport: Any = None
        self.result: Deferred[Any] = Deferred(self._cancelled)

    def buildProtocol(self, addr: IAddress) -> IProtocol | None:
        """It has connected."""
        try:
            self._protocol = self._factory.buildProtocol(addr)
        except Exception:
            self._fail(Failure())
        return self._protocol

    def done(self) -> None:
        """The protocol has its connection, if there is one."""
        self.transport = None
        if self._protocol is None:
            self._fail(Failure(NoProtocol()))
        elif not self.result.called:
            self.result.callback(self._protocol)
        self._protocol = None

    def connectionFailed(self, reason: Failure) -> None:
        """It has not connected."""
        self.transport = None
        self._factory.doStop()
        self._fail(reason)

    def connectionLost(self, reason: Failure) -> None:
        """It was connected, and is over."""
        self._factory.doStop()

    def _fail(self, reason: Failure) -> None:
        if not self.result.called:
            self.result.errback(reason)

    def _cancelled(self, result: Deferred[Any]) -> None:
        transport = self.transport
        host, port = transport.addr[:2]
        address = IPv6Address if ":" in host else IPv4Address
        result.errback(ConnectingCancelledError(address("TCP", host, port)))
        transport.failIfNotConnected(UserError())


def dial(
    reactor: Any, host: str, port: int, factory: IProtocolFactory, bind: Any = None
) -> Deferred[Any]:
    """Connect to `port` of the address `host`; as `IStreamClientEndpoint.connect`. `bind`: the local address."""
    connector = _Connector(factory)
    factory.doStart()
    connector.transport = DirectClient(host, port, bind, connector, reactor)
    return connector.result
