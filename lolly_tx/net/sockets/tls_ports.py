"""Listening for TLS: ports whose connections are `net.sockets.tls`, and a view of a reactor that makes them.

Imports: net.sockets, Twisted, pyOpenSSL. Used by: service.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from OpenSSL import SSL
from twisted.internet import defer
from twisted.internet.interfaces import (
    IAddress,
    IOpenSSLServerConnectionCreator,
    IStreamServerEndpoint,
)
from twisted.protocols.tls import TLSMemoryBIOFactory
from zope.interface import directlyProvides, implementer, providedBy

from lolly_tx.net.sockets.eager import EagerReactor, PlainPort, PlainUNIXPort, eager
from lolly_tx.net.sockets.tls import ContextSource, OneContext, TLSServer, TLSUNIXServer


class Rationed:
    """Before the factory of a listener: closes a connection whose handshake would be one too many.

    Nothing was made for it then, neither by OpenSSL nor by `factory`. `credentials()`: those in force.
    """

    noisy = False

    def __init__(self, credentials: Callable[[], ContextSource], factory: Any) -> None:
        self._credentials = credentials
        self.factory = factory

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """What `factory` makes; None closes the connection at once."""
        if self._credentials().handshakes.allowed():
            return self.factory.buildProtocol(addr)
        return None

    def doStart(self) -> None:
        """Listening has begun."""
        self.factory.doStart()

    def doStop(self) -> None:
        """Listening has ended."""
        self.factory.doStop()


class _Secured:
    """A port whose connections are secured by `credentials`; replace them for the connections to come."""

    credentials: ContextSource

    def __init__(self, place: Any, factory: Any, *rest: Any, **named: Any) -> None:
        rationed = Rationed(lambda: self.credentials, factory)
        # Mixed in before a stock port, whose arguments these are.
        super().__init__(place, rationed, *rest, **named)  # type: ignore[call-arg]

    @property
    def tls_context(self) -> SSL.Context:
        """Of the next connection."""
        return self.credentials.context


class TLSPort(_Secured, PlainPort):
    """A listening TCP socket that makes `TLSServer`s."""

    transport = TLSServer
    _type = "TLS"


class TLSUNIXPort(_Secured, PlainUNIXPort):
    """A listening UNIX socket that makes `TLSUNIXServer`s."""

    transport = TLSUNIXServer


class SecureReactor(EagerReactor):
    """The eager view of a reactor, whose listeners speak TLS."""

    secure = True
    _port = TLSPort
    _unix_port = TLSUNIXPort

    def __init__(self, reactor: Any, credentials: ContextSource) -> None:
        super().__init__(reactor)
        self.credentials = credentials

    def go_by(self, other: EagerReactor) -> None:
        """Have the certificates of `other`, for the listeners to come."""
        if isinstance(other, SecureReactor):
            other.credentials.handshakes.follow(self.credentials.handshakes)
            self.credentials = other.credentials

    def _listen(self, port: Any) -> Any:
        port.credentials = self.credentials
        return super()._listen(port)


@implementer(IOpenSSLServerConnectionCreator)
class _ContextInMemory:
    """What Twisted's own TLS asks for."""

    def __init__(self, credentials: ContextSource) -> None:
        self._credentials = credentials

    def serverConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        return SSL.Connection(self._credentials.context, None)


class _MemoryView:
    """Any other reactor, whose listeners speak Twisted's TLS: slower and right."""

    def __init__(self, reactor: Any, credentials: ContextSource) -> None:
        self._reactor = reactor
        self._credentials = credentials
        self._creator = _ContextInMemory(credentials)
        directlyProvides(self, providedBy(reactor))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    def listenTCP(self, port: int, factory: Any, *rest: Any, **named: Any) -> Any:
        if getattr(factory, "proxied", None) is not None:
            raise ValueError("proxy_protocol with TLS needs a reactor of POSIX sockets")
        wrapped = TLSMemoryBIOFactory(self._creator, False, factory, self._reactor)
        rationed = Rationed(lambda: self._credentials, wrapped)
        return self._reactor.listenTCP(port, rationed, *rest, **named)


def secure(reactor: Any, credentials: ContextSource | SSL.Context) -> Any:
    """A view of `reactor` on which any "tcp:" or "unix:" listener speaks TLS.

    `credentials`: `net.sockets.credentials.Credentials`, or the one context there is.

    `serverFromString(secure(reactor, server_context(...)), "tcp:8443")` is the whole
    use. Where our transports cannot be had it is Twisted's own TLS.
    """
    if isinstance(credentials, SSL.Context):
        credentials = OneContext(credentials)
    view = eager(reactor)
    if isinstance(view, EagerReactor):
        return SecureReactor(view._reactor, credentials)
    return _MemoryView(reactor, credentials)


def listen_tls(
    reactor: Any,
    port: int,
    factory: Any,
    context: SSL.Context,
    interface: str = "",
    backlog: int = 1024,
) -> Any:
    """Listen for TLS on a TCP port; the listening port. CannotListenError."""
    return secure(reactor, context).listenTCP(port, factory, backlog, interface)


@implementer(IStreamServerEndpoint)
class TLSServerEndpoint:
    """`listen_tls` as an endpoint."""

    def __init__(
        self,
        reactor: Any,
        port: int,
        context: SSL.Context,
        interface: str = "",
        backlog: int = 1024,
    ) -> None:
        self._reactor = reactor
        self._where = (context, interface, backlog)
        self._port = port

    def listen(self, protocolFactory: Any) -> defer.Deferred[Any]:
        """A Deferred of the listening port, or of CannotListenError."""
        return defer.execute(
            listen_tls, self._reactor, self._port, protocolFactory, *self._where
        )
