"""What a process knows of names and addresses, and the endpoints that go by it.

    HealthMap      of a process: its resolver, and the record of connects by address (`domain.addresses`)
      +-- Dialer   of a pool, or of its checks: the map seen with their limits (`net.sockets.dialing`)
            +-- HostEndpoint     to one name or address, and port: an IStreamClientEndpoint

Imports: domain, net, net.sockets, Twisted. Used by: lolly_tx, net.checks, net.forward,
net.library, net.sockets.endpoints, service, service.checks, service.forwards.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, fail
from twisted.internet.endpoints import (
    HostnameEndpoint,
    TCP4ClientEndpoint,
    TCP6ClientEndpoint,
    clientFromString,
)
from twisted.internet.interfaces import IProtocolFactory, IStreamClientEndpoint
from twisted.python.failure import Failure
from zope.interface import directlyProvides, implementer, providedBy

from lolly_tx.domain.addresses import (
    DOUBTFUL,
    RISING,
    AddressRecords,
    ConnectLimits,
)
from lolly_tx.domain.errors import AddressDown, ConnectTimedOut
from lolly_tx.domain.target import host_and_port
from lolly_tx.net.failures import translate, translated
from lolly_tx.net.sockets.dialing import Dialer, HostEndpoint, Place
from lolly_tx.net.sockets.eager import eager
from lolly_tx.net.sockets.later_tls import with_tls
from lolly_tx.net.sockets.resolver import (
    LOOKUPS_AT_ONCE,
    Lane,
    Lookup,
    NameResolver,
    Resolver,
    system_lookup,
)
from lolly_tx.net.timeout import within

CONNECT_TIMEOUT = 5.0
"""The default of `timeout.connect`, in seconds: a SYN is repeated after 1 s and 3 s."""

Where = Place | IPv4Address | IPv6Address | str | IStreamClientEndpoint
"""A host (name or address) and port, an address of Twisted's, an endpoint string, or an endpoint."""


class HealthMap:
    """Which addresses of all can be connected to. One for all pools of a process.

    `now`: seconds, monotonic. `lookup`: asks for the addresses of a name; the
    system, or the reactor's own resolver, if there is none. `lookups`: at once, of names that no pool claims.
    """

    def __init__(
        self,
        reactor: Any,
        *,
        now: Callable[[], float] = time.monotonic,
        lookup: Lookup | None = None,
        lookups: int = LOOKUPS_AT_ONCE,
    ) -> None:
        self.records = AddressRecords()
        self.now = now
        self.resolver = Resolver(lookup or system_lookup(reactor), self.now, lookups)
        self.sockets = eager(reactor)
        self.reactor = _Naming(self.sockets, NameResolver(self.resolver))
        """The reactor with our resolver as its own: for endpoint strings, datagrams and plugins."""

    def dialer(
        self,
        limits: ConnectLimits | None = None,
        lane: Lane | None = None,
        *,
        worst: int = RISING,
    ) -> Dialer:
        """The map for one pool.

        `lane`: where its names are looked up. `worst`: the worst addresses that are tried (`domain.addresses`):
        RISING for traffic, DOWN for checks, which are there to ask.
        """
        judge = self.records.under(limits or ConnectLimits())
        return Dialer(self, judge, lane, worst)

    def endpoint(
        self,
        where: Where,
        *,
        timeout: float | None = CONNECT_TIMEOUT,
        limits: ConnectLimits | None = None,
    ) -> IStreamClientEndpoint:
        """What connects to `where` and remembers how that went. Raises ValueError for a string that is no endpoint.

        A host and port, and Twisted's endpoints for these, are remembered by the addresses, whoever connects there. A
        string for anything else is remembered by its text, another endpoint as the object that it is, so keep it.
        """
        dialer = self.dialer(limits, worst=DOUBTFUL)
        if isinstance(where, (IPv4Address, IPv6Address)):
            where = where.host, where.port
        if isinstance(where, tuple):
            return HostEndpoint(dialer, *where, timeout)
        key: Hashable = where
        endpoint: Any = where
        if isinstance(where, str):
            endpoint = _from_string(self.reactor, where)
        bind = getattr(endpoint, "_bindAddress", None)
        if isinstance(endpoint, (TCP4ClientEndpoint, TCP6ClientEndpoint)):
            limit = min(timeout or endpoint._timeout, endpoint._timeout)
            place = endpoint._host, endpoint._port
            return HostEndpoint(dialer, *place, limit, bind=bind)
        if isinstance(endpoint, HostnameEndpoint):
            limit = min(timeout or endpoint._timeout, endpoint._timeout)
            place = endpoint._hostText, endpoint._port
            return HostEndpoint(dialer, *place, limit, bind=bind)
        return RememberedEndpoint(dialer, endpoint, key, timeout)

    def connect(
        self,
        where: Where,
        factory: IProtocolFactory,
        *,
        timeout: float | None = CONNECT_TIMEOUT,
        limits: ConnectLimits | None = None,
    ) -> Deferred[Any]:
        """Connect to the first address of `where` that is up and accepts; the parameters are those of `endpoint`.

        Fires with the protocol. Errbacks with AddressDown at once, without a SYN, when every address is down; with
        another `ProxyError`; or with the cancellation. Raises ValueError for a string that is no endpoint.
        """
        endpoint = self.endpoint(where, timeout=timeout, limits=limits)
        return endpoint.connect(factory).addErrback(translated)


@implementer(IStreamClientEndpoint)
class RememberedEndpoint:
    """Another endpoint, refused at once while it is known to be down.

    `key`: what it is remembered by. `timeout`: seconds until there is a connection; None: no limit but its own.
    """

    def __init__(
        self,
        dialer: Dialer,
        inner: IStreamClientEndpoint,
        key: Hashable,
        timeout: float | None,
    ) -> None:
        self._dialer = dialer
        self._inner = inner
        self._key = key
        self._timeout = timeout

    def __repr__(self) -> str:
        return f"<RememberedEndpoint {self._key!r}>"

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        """Connect. Errbacks with AddressDown, with what the endpoint says, or cancelled."""
        dialer = self._dialer
        if dialer.judge.is_down(self._key, dialer.map.now()):
            return fail(AddressDown(f"{self._key} is known to be down"))
        connecting = self._inner.connect(protocolFactory)
        if self._timeout is not None:
            seconds = self._timeout
            within(
                connecting,
                seconds,
                dialer.map.sockets,
                lambda: ConnectTimedOut(f"no connection in {seconds:g} s"),
            )
        return connecting.addCallbacks(self._cb_connected, self._eb_failed)

    def _cb_connected(self, protocol: Any) -> Any:
        dialer = self._dialer
        dialer.records.succeeded(self._key, dialer.map.now())
        return protocol

    def _eb_failed(self, failure: Failure) -> Failure:
        dialer = self._dialer
        if translate(failure, connecting=True).blames:
            dialer.records.failed(self._key, dialer.map.now())
        return failure


def _from_string(reactor: Any, text: str) -> Any:
    """The endpoint that a string means. Raises ValueError, whatever its parser raises."""
    try:
        return clientFromString(reactor, with_tls(text))
    except Exception as e:
        place = host_and_port(text)
        hint = f"; did you mean {place}?" if place and place[1] else ""
        raise ValueError(f'"{text}" is no client endpoint: {e}{hint}') from e


class _Naming:
    """A reactor with another resolver."""

    def __init__(self, reactor: Any, names: NameResolver) -> None:
        self._reactor = reactor
        self.nameResolver = names
        directlyProvides(self, providedBy(reactor))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)
