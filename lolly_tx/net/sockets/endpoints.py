"""A target's address as a Twisted endpoint.

    http://127.0.0.1:9001     plain TCP
    http://name:9001          the addresses of the name that are not down, in turn (`net.sockets.health_map`)
    https://...               the same, wrapped in TLS: verified, with SNI, unless told otherwise
    tcp:..., ssl:...          the same; all other endpoint strings are what their parsers make, plug-ins included

What comes out connects in one sense everywhere: the Deferred fires when the connection
can carry data, TLS handshake and verification included, and fails with a `ProxyError`,
or with the cancellation if the caller cancelled.

It is long because every kind of address has to keep that sense, and its failures are told apart at one place.

Imports: config, domain, net, net.sockets, wire, Twisted. Used by: net.checks,
net.library, service, service.changes, service.checks, service.forwards, service.stores,
service.tunnels, tap.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import (
    SSL4ClientEndpoint,
    TCP4ClientEndpoint,
    clientFromString,
    wrapClientTLS,
)
from twisted.internet.interfaces import (
    IAddress,
    IHandshakeListener,
    IProtocol,
    IProtocolFactory,
    IReactorTime,
    ISSLTransport,
    IStreamClientEndpoint,
    IStreamClientEndpointStringParserWithReactor,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.plugin import getPlugins
from twisted.python.failure import Failure
from zope.interface import implementer

from lolly_tx.config.pools import SendProxy, UpstreamTLS
from lolly_tx.domain.addresses import DOWN
from lolly_tx.domain.errors import ConnectTimedOut, TLSFailed
from lolly_tx.domain.target import Target
from lolly_tx.net.failures import translated
from lolly_tx.net.loaded import loaded
from lolly_tx.net.sockets.dialing import Dialer, HostEndpoint, is_literal
from lolly_tx.net.sockets.handover import Handover, WrappedFactory
from lolly_tx.net.sockets.health_map import CONNECT_TIMEOUT, HealthMap
from lolly_tx.net.sockets.later_tls import with_tls
from lolly_tx.net.sockets.preceding import Preceding
from lolly_tx.net.timeout import within
from lolly_tx.wire.proxyline import NOBODY, RENDERERS, ProxyLine

if TYPE_CHECKING:
    from lolly_tx.net.sockets.target_tls import TargetContext

__all__ = [
    "CONNECT_TIMEOUT",
    "BadEndpoint",
    "TargetEndpoint",
    "TargetEndpoints",
    "client_endpoint",
]

_BUILT_IN = ("ssl", "tcp", "unix")


class BadEndpoint(ValueError):
    """A target whose address no endpoint can be made of. Raised when it is built."""


def client_endpoint(
    reactor: Any,
    target: Target,
    *,
    tls: UpstreamTLS | None = None,
    timeout: float | None = CONNECT_TIMEOUT,
    patience: float | None = None,
    dialer: Dialer | None = None,
    send_proxy: SendProxy = "",
    context: TargetContext | None = None,
) -> TargetEndpoint:
    """Make the endpoint that connects to `target`.

    `tls`: how an https target is verified; None = the defaults, which verify.
    `timeout`: seconds until connected, name lookup and TLS handshake included; None when
    the caller has a limit of its own, of `patience` seconds until there is a connection.
    `dialer`: what is known of names and addresses; None: nothing is yet, nobody else learns it, and nothing is refused
    because of it. `send_proxy`: the version of a PROXY header that each connection begins with. It says nothing: see
    `TargetEndpoint.told_of`. `context`: of `tls`, where others have it, too.

    Raises `BadEndpoint` for an address that cannot be meant.
    """
    dialer = dialer or HealthMap(reactor).dialer(worst=DOWN)
    timed = timeout is not None
    limit = timeout if timed else patience
    if target.endpoint:
        inner, place, options = _from_string(dialer, target, limit, timed)
        layers = Layers(inner, reactor, options, send_proxy)
        if send_proxy and target.endpoint.lower().startswith("tls:"):
            said = "does TLS itself, and send_proxy comes ahead of it; use https:// or ssl:"
            raise BadEndpoint(f'"{target.endpoint}" {said}')
        return TargetEndpoint(layers, reactor, timeout, may_be_tls=True, place=place)
    inner = place = _tcp(dialer, target, limit, timed)
    options = None
    secure = target.scheme == "https"
    if not secure:
        timeout = None  # it keeps to the limit itself
    else:
        from lolly_tx.net.sockets.target_tls import TargetContext, client_options

        try:
            context = context or TargetContext(tls or UpstreamTLS())
            options = client_options(target.host, context=context)
        except Exception as e:  # TLSSettingsError, and what the TLS library refuses
            raise BadEndpoint(f'"{target.address}": {e}') from e
    layers = Layers(inner, reactor, options, send_proxy)
    return TargetEndpoint(layers, reactor, timeout, may_be_tls=secure, place=place)


class Layers:
    """What a connection to a target is made of, from below: `inner`, a PROXY header, TLS by `options`."""

    def __init__(
        self,
        inner: IStreamClientEndpoint,
        reactor: Any,
        options: Any,
        send_proxy: SendProxy,
    ) -> None:
        self._inner = inner
        self._reactor = reactor
        self._options = options
        self._render = RENDERERS.get(send_proxy)

    def endpoint(self, line: ProxyLine) -> IStreamClientEndpoint:
        """All of them; `line`: for the header, if there is to be one."""
        made = self._inner
        if self._render is not None:
            made = Preceding(made, self._render(line))
        if self._options is not None:
            made = wrapClientTLS(self._options, made, self._reactor)
        return made

    def refusal(self, transport: Any) -> TLSFailed | None:
        """Why the target was not believed, if that is how its handshake ended."""
        if not self._is_ours():
            return None
        refusal: TLSFailed | None = self._options.refusal(transport.getHandle())
        return refusal

    def failed(self, error: BaseException) -> None:
        """A connect has failed. If by TLS, the session it may have gone on with is not tried again."""
        if isinstance(error, TLSFailed) and self._is_ours():
            self._options.forget()

    def _is_ours(self) -> bool:
        """Whether it is our own TLS."""
        ours = loaded("lolly_tx.net.sockets.target_tls", "TargetTLS")
        return isinstance(self._options, ours)


class TargetEndpoints:
    """Makes the endpoints of targets, each once: `endpoints(target)`.

    A TLS context and a string parser are too expensive to make for every connection. An
    endpoint is kept as long as its target exists. The parameters are `client_endpoint`'s; `alpn`: what to agree on with
    targets that speak TLS.
    All endpoints share what is known of addresses; with a `dialer` others do, too.
    """

    def __init__(
        self,
        reactor: Any,
        *,
        tls: UpstreamTLS | None = None,
        timeout: float | None = CONNECT_TIMEOUT,
        patience: float | None = None,
        dialer: Dialer | None = None,
        send_proxy: SendProxy = "",
        alpn: tuple[bytes, ...] = (),
    ) -> None:
        self.send_proxy: SendProxy = send_proxy
        self._alpn = alpn
        self.dialer = dialer or HealthMap(reactor).dialer(worst=DOWN)
        self.tls = tls
        self._reactor = reactor
        self._patience = patience
        self._timeout = timeout
        self._context: TargetContext | None = None
        self._made: WeakKeyDictionary[Target, TargetEndpoint] = WeakKeyDictionary()

    def __call__(self, target: Target) -> TargetEndpoint:
        """The endpoint of `target`. Raises `BadEndpoint`."""
        endpoint = self._made.get(target)
        if endpoint is None:
            endpoint = client_endpoint(
                self._reactor,
                target,
                tls=self.tls,
                timeout=self._timeout,
                patience=self._patience,
                dialer=self.dialer,
                send_proxy=self.send_proxy,
                context=self._context_for(target),
            )
            self._made[target] = endpoint
        return endpoint

    def _context_for(self, target: Target) -> TargetContext | None:
        """One for all targets; made when the first of them speaks TLS."""
        if target.endpoint or target.scheme != "https":
            return None
        if self._context is None:
            from lolly_tx.net.sockets.target_tls import TargetContext

            try:
                settings = self.tls or UpstreamTLS()
                self._context = TargetContext(settings, alpn=self._alpn)
            except Exception as e:  # TLSSettingsError, and what the TLS library refuses
                raise BadEndpoint(f'"{target.address}": {e}') from e
        return self._context


def _tcp(
    dialer: Dialer, target: Target, limit: float | None, timed: bool
) -> HostEndpoint:
    """Connect to a host and port."""
    host, port = target.host, target.port
    if not 1 <= port <= 65535:
        raise BadEndpoint(f'"{target.address}": {port} is no port')
    if not is_literal(host):
        try:
            known = bool(host.encode("idna"))
        except UnicodeError:
            known = False
        if not known:
            raise BadEndpoint(f'"{target.address}": "{host}" is no host name')
    return HostEndpoint(dialer, host, port, limit, timed)


def _from_string(
    dialer: Dialer, target: Target, limit: float | None, timed: bool
) -> tuple[IStreamClientEndpoint, HostEndpoint | None, Any]:
    """Let the string's own parser make the endpoint; those to a plain host and port become ours: the second value.

    The third: the options of the TLS that is to be added.
    """
    text = target.endpoint
    kind = text.partition(":")[0]
    try:
        endpoint: Any = clientFromString(dialer.map.reactor, with_tls(text))
    except Exception as e:
        # Parsers raise whatever their argument handling raises: ValueError, TypeError,
        # KeyError, OSError for a missing certificate.
        if not _is_known(kind):
            known = ", ".join(sorted({*_BUILT_IN, *_plugin_kinds()}))
            raise BadEndpoint(
                f'"{text}": no endpoint is called "{kind}"; known: {known}'
            ) from e
        raise BadEndpoint(
            f'"{text}" is no client endpoint: {type(e).__name__}: {e}'
        ) from e
    if not isinstance(endpoint, (TCP4ClientEndpoint, SSL4ClientEndpoint)):
        return endpoint, None, None
    host = HostEndpoint(
        dialer,
        endpoint._host,
        endpoint._port,
        min(endpoint._timeout, limit or endpoint._timeout),
        timed,
        endpoint._bindAddress,
    )
    if isinstance(endpoint, TCP4ClientEndpoint):
        return host, host, None
    return host, host, endpoint._sslContextFactory


def _is_known(kind: str) -> bool:
    return kind.lower() in _BUILT_IN or kind in _plugin_kinds()


def _plugin_kinds() -> list[str]:
    return [
        plugin.prefix
        for plugin in getPlugins(IStreamClientEndpointStringParserWithReactor)
    ]


@implementer(IStreamClientEndpoint)
class TargetEndpoint:
    """Those of a target, with the promises of this module's docstring.

    `line`: for the header that connections begin with, if there is to be one.
    `clock`: for the limit. `may_be_tls`: wait for a handshake if there is one. `place`: the part of it that
    knows of addresses, if there is one.
    """

    def __init__(
        self,
        layers: Layers,
        clock: IReactorTime,
        timeout: float | None,
        may_be_tls: bool,
        place: HostEndpoint | None = None,
        line: ProxyLine = NOBODY,
    ) -> None:
        self._layers = layers
        self._inner = layers.endpoint(line)
        self._clock = clock
        self._timeout = timeout
        self._may_be_tls = may_be_tls
        self._place = place

    def __repr__(self) -> str:
        return f"<TargetEndpoint {self._inner!r}>"

    def ask_again(self) -> None:
        """There is reason to believe that the target is back: its next connect is to find out."""
        if self._place is not None:
            self._place.ask_again()

    def told_of(self, line: ProxyLine) -> TargetEndpoint:
        """The same, whose connections begin with `line`; only where there is to be a header."""
        return TargetEndpoint(
            self._layers,
            self._clock,
            self._timeout,
            self._may_be_tls,
            self._place,
            line,
        )

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        """Connect.

        Fires with the protocol; errbacks with a `ProxyError`, or with the cancellation if the caller cancelled.
        """
        connecting: Deferred[Any]
        if self._may_be_tls:
            waiting: Deferred[Any] = self._inner.connect(
                _HandshakeFactory(protocolFactory, self._layers.refusal)
            )
            connecting = waiting.addCallback(_HandshakeWait.when_ready)
        else:
            connecting = self._inner.connect(protocolFactory)
        if self._timeout is not None:
            seconds = self._timeout
            within(
                connecting,
                seconds,
                self._clock,
                lambda: ConnectTimedOut(f"no connection in {seconds:g} s"),
            )
        return connecting.addErrback(self._eb_translate)

    def _eb_translate(self, failure: Failure) -> Failure:
        found = translated(failure)
        assert found.value is not None  # typed Optional, never None
        self._layers.failed(found.value)
        return found


class _HandshakeFactory(WrappedFactory):
    """Builds the protocol that waits for the handshake in front of another's.

    `refusal(transport)`: why the target was not believed.
    """

    def __init__(
        self, inner: IProtocolFactory, refusal: Callable[[Any], TLSFailed | None]
    ) -> None:
        super().__init__(inner)
        self.refusal = refusal

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        return _HandshakeWait(self, addr)


@implementer(IHandshakeListener)
class _HandshakeWait(Handover):
    """Holds a connection until its TLS handshake is done, then hands it over.

    A TLS transport calls itself connected as soon as TCP is. The real protocol is built
    only when there is a connection it can use, so a failed handshake is a failed connect
    to everybody above, and can be tried elsewhere.
    """

    def __init__(self, factory: _HandshakeFactory, addr: IAddress | None) -> None:
        self._factory = factory
        self._addr = addr
        self._ready: Deferred[IProtocol] = Deferred(lambda _: self._abort())

    def when_ready(self) -> Deferred[IProtocol]:
        """Fires with the real protocol."""
        return self._ready

    def _abort(self) -> None:
        transport = self.transport
        if transport is not None:
            getattr(transport, "abortConnection", transport.loseConnection)()

    def connectionMade(self) -> None:
        if not ISSLTransport.providedBy(self.transport):
            self.handshakeCompleted()

    def handshakeCompleted(self) -> None:
        """Build the real protocol and give it the connection."""
        if self._ready.called:
            return  # cancelled meanwhile
        try:
            protocol = self._factory.build_inner(self._addr)
        except Exception:
            self._ready.errback()
            self._abort()
            return
        self.hand_over(protocol)
        self._ready.callback(protocol)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if not self._ready.called:
            self._ready.errback(self._factory.refusal(self.transport) or reason)
        super().connectionLost(reason)
