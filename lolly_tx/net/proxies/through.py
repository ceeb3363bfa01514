"""An endpoint behind a proxy: connected when the proxy says so.

    below --connected--> asking --done--> the protocol of whoever connects gets the connection itself
                            +--no, nonsense, closed, too late--> a failed connect

Whoever connects sees a connect like any other: it fires when bytes go through to what is behind the proxy, and fails
with a `ProxyError` that names what has failed; the lookup of a name is the proxy's.

Imports: domain, net, net.sockets, wire, Twisted. Used by: net.proxies.endpoints,
service.forwards.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import (
    ConnectionAborted,
    ConnectionDone,
    ConnectionLost,
)
from twisted.internet.interfaces import (
    IAddress,
    IProtocolFactory,
    IReactorTime,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from lolly_tx.domain.errors import (
    BeyondProxy,
    ConnectFailed,
    ConnectTimedOut,
    ProxyRefused,
)
from lolly_tx.net.failures import translate
from lolly_tx.net.sockets.handover import Handover, WrappedFactory
from lolly_tx.net.timeout import within
from lolly_tx.wire.asking import Asking, TurnedDown
from lolly_tx.wire.errors import BadMessage

HANDSHAKE_SECONDS = 10.0
"""For the connect to the proxy, and all that is said before there is a connection behind it."""


@implementer(IStreamClientEndpoint)
class ThroughProxy:
    """Connects by `below` to a proxy, which is asked by what `ask` makes.

    `timeout`: seconds until there is a connection behind it. `blames`: the target is what is behind the proxy, so that
    what the proxy says of it counts; else the target is the proxy.
    """

    def __init__(
        self,
        below: IStreamClientEndpoint,
        ask: Callable[[], Asking],
        clock: IReactorTime,
        timeout: float = HANDSHAKE_SECONDS,
        blames: bool = True,
    ) -> None:
        self._below = below
        self._ask = ask
        self._clock = clock
        self._timeout = timeout
        self._blames = blames

    def __repr__(self) -> str:
        return f"<ThroughProxy {self._below!r}>"

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        """Connect. Errbacks with a `ProxyError`, with what `below` says, or with the cancellation."""
        factory = _Asked(protocolFactory, self._ask, self._blames)
        connecting: Deferred[Any] = self._below.connect(factory)
        connecting.addCallback(_AskingProtocol.when_ready)
        seconds = self._timeout
        return within(
            connecting,
            seconds,
            self._clock,
            lambda: ConnectTimedOut(
                f"no connection through the proxy in {seconds:g} s"
            ),
        )


class _Asked(WrappedFactory):
    """Builds what asks, in front of the protocols of `inner`."""

    def __init__(
        self, inner: IProtocolFactory, ask: Callable[[], Asking], blames: bool
    ) -> None:
        super().__init__(inner)
        self._ask = ask
        self.blames = blames

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        return _AskingProtocol(self, self._ask(), addr)


class _AskingProtocol(Handover):
    """Asks, and hands the connection over."""

    def __init__(self, factory: _Asked, asking: Asking, addr: IAddress | None) -> None:
        self._factory = factory
        self._asking = asking
        self._addr = addr
        self._ready: Deferred[Any] = Deferred(lambda _: self._abort())

    def when_ready(self) -> Deferred[Any]:
        """Fires with the real protocol."""
        return self._ready

    def connectionMade(self) -> None:
        """There is a proxy."""
        assert self.transport is not None
        self.transport.write(self._asking.first)

    def dataReceived(self, data: bytes) -> None:
        """Bytes of the proxy."""
        if self._ready.called:
            return
        asking = self._asking
        try:
            answer = asking.receive(data)
        except TurnedDown as no:
            self._fail(self._meant(no))
            return
        except BadMessage as bad:
            self._fail(ProxyRefused(f"what the proxy answers makes no sense: {bad}"))
            return
        assert self.transport is not None
        if answer:
            self.transport.write(answer)
        if asking.done:
            self._open(asking.rest)

    def _meant(self, no: TurnedDown) -> ConnectFailed:
        words = f"the proxy refuses: {no.words}"
        if not no.token:
            return ProxyRefused(words)
        return BeyondProxy(words, no.token, self._factory.blames)

    def _open(self, rest: bytes) -> None:
        ready = self._ready
        try:
            inner = self._factory.build_inner(self._addr)
        except Exception:
            ready.errback()
            self._abort()
            return
        self.hand_over(inner)
        if rest:
            self.dataReceived(rest)  # the other's by now
        ready.callback(inner)

    def _fail(self, error: Exception) -> None:
        if not self._ready.called:
            self._ready.errback(error)
        self._abort()

    def _abort(self) -> None:
        transport = self.transport
        if transport is not None:
            getattr(transport, "abortConnection", transport.loseConnection)()

    def readConnectionLost(self) -> None:
        """The proxy has sent its last byte."""
        if self.inner is None:
            self._fail(ConnectFailed(_CLOSED))
        else:
            super().readConnectionLost()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The connection has ended."""
        if self.inner is None and not self._ready.called:
            # TLS below that fails does so after its connection is there.
            closed = reason.check(ConnectionDone, ConnectionLost, ConnectionAborted)
            self._ready.errback(
                ConnectFailed(_CLOSED) if closed else translate(reason, connecting=True)
            )
        super().connectionLost(reason)


_CLOSED = "closed by the proxy before there was a connection behind it"
