"""The way of a forward proxy's clients through another proxy, or through a pool of them.

    tunnel                       a connection behind the proxy, by CONNECT or SOCKS5, for each
    a URL, the proxy speaks HTTP    the request in absolute-form, on connections that all hosts share
    a URL, it speaks SOCKS5         connections behind the proxy, kept for each host

What the proxy is not is told from what it could not reach: only the first is held against it, and where there are
several the next one is tried. It knows us by a login of our own; that of a client never gets there.

Imports: config, domain, domain.access, domain.retries, net, net.forward, net.http1,
net.proxies, net.sockets, proxy, proxy.forwards, service.forwards, wire, Twisted. Used
by: service.forwards.places.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import attrs
from twisted.internet.interfaces import IStreamClientEndpoint

from lolly_tx.config.parents import Parent, ProxyAddress
from lolly_tx.domain.access.login import Login, login_of
from lolly_tx.domain.pool import Pool
from lolly_tx.domain.retries.policy import Policy
from lolly_tx.domain.target import Target
from lolly_tx.net.doors import BodyStart, DoorIn
from lolly_tx.net.forward.way_out import WayOut
from lolly_tx.net.http1.client import Http1Client
from lolly_tx.net.proxies.endpoints import password_in
from lolly_tx.net.proxies.through import ThroughProxy
from lolly_tx.net.sockets.endpoints import client_endpoint
from lolly_tx.net.upstreams import Upstream
from lolly_tx.proxy.forwarder import Forwarder
from lolly_tx.proxy.forwards.destined import Destined
from lolly_tx.proxy.proxy import RouteEnd
from lolly_tx.proxy.route import ToPool
from lolly_tx.service.forwards.ways import Making
from lolly_tx.wire.asking import asking
from lolly_tx.wire.credentials import basic_line
from lolly_tx.wire.errors import BadMessage
from lolly_tx.wire.forwardform import ForwardHead, by_proxy
from lolly_tx.wire.http1 import ResponseReader
from lolly_tx.wire.message import RequestHead, ResponseHead
from lolly_tx.wire.trail import longer, told_by


def login_of_parent(parent: Parent) -> Login | None:
    """Who we are there. Raises OSError and ValueError."""
    if not parent.pool and parent.address.user:
        return login_of(parent.address.user, parent.address.password)
    password = parent.password
    if parent.password_file:
        password = password_in(parent.password_file)
    return login_of(parent.user, password)


class Proxies(Protocol):
    """Those that a rule leads to: a running pool (`service.pools.RunningPool`), or one that is known by its URL."""

    @property
    def pool(self) -> Pool:
        """Which of them is next."""

    @property
    def forwarder(self) -> Forwarder | None:
        """Whose policy holds, and who hears of the pool's nodes; None: nobody does."""

    @property
    def endpoint(self) -> Any:
        """`connect_to(target)`: the endpoint of one of them."""


@attrs.frozen
class _Only:
    """One that is known by its URL."""

    pool: Pool
    endpoint: Any
    forwarder: None = None


@attrs.frozen
class _OneEndpoint:
    """Leads to it. `endpoint`: the same for each target, as there is one."""

    endpoint: IStreamClientEndpoint

    def connect_to(self, target: Target) -> IStreamClientEndpoint:
        """It."""
        return self.endpoint


def only(making: Making, address: ProxyAddress) -> Callable[[], Proxies]:
    """The proxy at `address`. What is known of its address is the forward proxy's own. Raises ValueError."""
    target = Target(
        id="parent",
        address=address.place,
        scheme="https" if address.scheme == "https" else "http",
        host=address.host,
        port=address.port,
    )
    forward = making.forward
    endpoint = client_endpoint(
        forward.commons.surroundings.reactor,
        target,
        timeout=making.settings.timeout.connect,
        dialer=forward.health_map.dialer(making.limits),
    )
    found = _Only(making.pool(target), _OneEndpoint(endpoint))
    return lambda: found


class _Reader(ResponseReader):
    """Reads answers that come by a proxy. That it does not know us is our business, and no client's."""

    __slots__ = ()

    def read(self, data: bytes, seen: int = 0) -> ResponseHead | None:
        """As `ResponseReader.read`."""
        head = super().read(data, seen)
        if head is not None and head.status == 407:
            raise BadMessage("the proxy on the way wants another login (407)")
        return head


@attrs.frozen
class Speech:
    """What is said to the proxies of a rule. `pseudonym`: ours in Via."""

    socks: bool
    login: Login | None
    pseudonym: str


class ThroughProxies:
    """See the module (`service.forwards.ways.Way`). `proxies()`: the ones that there are now."""

    def __init__(
        self, making: Making, proxies: Callable[[], Proxies], speech: Speech
    ) -> None:
        self._making = making
        self._proxies = proxies
        self._speech = speech
        self._line = basic_line(speech.login)
        self._make = partial(Http1Client, _Reader(making.heads))
        self._by: Proxies | None = None
        self._leaving: list[Destined] = []
        self._ends = Destined(self._end)

    def to(self, host: str, port: int, tunnel: bool, head: ForwardHead) -> RouteEnd:
        """See `Way`."""
        proxies = self._proxies()
        if proxies is not self._by:
            self._lead_by(proxies)
        if tunnel:
            trail = told_by(head.block.get_all(b"via"))
            return self._ends.of((host, port, True, trail))
        if self._speech.socks:
            # Its connection is for the requests of all; that they come back is seen at their own Via.
            return self._ends.of((host, port, False, b""))
        return _InAbsoluteForm(self._ends.of(None), self._line)

    def _lead_by(self, proxies: Proxies) -> None:
        """The pool has other settings, or other targets."""
        self._by = proxies
        self._ends.close()
        self._leaving = [one for one in self._leaving if one.in_flight]
        self._leaving.append(self._ends)
        self._ends = Destined(self._end)

    @property
    def in_flight(self) -> int:
        """Exchanges that are not over."""
        return sum(one.in_flight for one in (self._ends, *self._leaving))

    def close(self) -> None:
        """Close idle connections; what is going on goes on."""
        self._ends.close()

    def _end(self, place: Any) -> ToPool:
        proxies, making = self._by, self._making
        assert proxies is not None
        forwarder = proxies.forwarder
        policy: Policy = making.policy if forwarder is None else forwarder.policy

        def connect_to(target: Target) -> Upstream:
            endpoint = proxies.endpoint.connect_to(target)
            if place is None:
                return making.upstream(endpoint, self._make, target.address)
            host, port, tunnel, trail = place
            behind = self._behind(endpoint, host, port, trail)
            make = WayOut if tunnel else self._make
            return making.upstream(behind, make, f"{target.address} to {host}:{port}")

        return making.end(proxies.pool, connect_to, policy, forwarder is not None)

    def _behind(
        self, endpoint: IStreamClientEndpoint, host: str, port: int, trail: bytes
    ) -> ThroughProxy:
        speech, making = self._speech, self._making
        way = longer(trail, speech.pseudonym)
        return ThroughProxy(
            endpoint,
            lambda: asking(speech.socks, host, port, speech.login, way),
            making.forward.commons.surroundings.reactor,
            making.settings.timeout.connect,
            blames=False,
        )


class _InAbsoluteForm:
    """Has requests served by `end`, as a proxy gets them (`proxy.proxy.RouteEnd`)."""

    __slots__ = ("_end", "_line")

    def __init__(self, end: ToPool, line: bytes) -> None:
        self._end = end
        self._line = line

    def open_exchange(self, door: DoorIn, head: RequestHead, start: BodyStart) -> None:
        """Serve it."""
        self._end.open_exchange(door, by_proxy(head, self._line), start)
