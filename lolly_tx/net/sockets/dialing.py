"""Connecting to one name or address: which of its addresses are tried, in which order and when, and none that is down.

The addresses of a name are tried as RFC 8305 has it (happy eyeballs): both families in turn, the next one after
`ATTEMPT_DELAY` without a connection, at once after a failure. Those known to fail or to be slow come last, those that
are down not at all; when all are, the connect fails at once, without a SYN. So a dead address costs the first few
connections a moment, and the others nothing.

What counts is told by the network: refused, unreachable, no answer for at least half of the time allowed. A cancel
before that time is over counts for nothing.

Imports: domain, net, net.sockets, Twisted. Used by: net.checks, net.forward,
net.sockets.endpoints, net.sockets.health_map, proxy.streams, service.forwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import Any, Protocol

from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.interfaces import (
    IDelayedCall,
    IProtocolFactory,
    IStreamClientEndpoint,
)
from twisted.python.failure import Failure
from zope.interface import implementer

from lolly_tx.domain.addresses import DOWN, AddressHealth, AddressRecords
from lolly_tx.domain.errors import (
    AddressDown,
    ConnectTimedOut,
    NoNameServer,
    ProxyError,
)
from lolly_tx.net.alarm import Alarm
from lolly_tx.net.failures import translate
from lolly_tx.net.sockets.eager import EagerReactor
from lolly_tx.net.sockets.resolver import Lane, Resolver

ATTEMPT_DELAY = 0.25
"""Seconds without a connection after which the next address is tried as well (RFC 8305 section 8)."""

ALMOST = 0.95
"""The part of its time after which a cancel by whoever connects is the end of that time, and no hang-up."""

Place = tuple[str, int]
"""An address: IP and port."""


class Known(Protocol):
    """What a process knows of names and addresses (`HealthMap`).

    `sockets`: the reactor. `reactor`: the same with our resolver as its own.
    """

    records: AddressRecords
    resolver: Resolver
    sockets: Any
    reactor: Any

    @property
    def now(self) -> Any:
        """Seconds, monotonic: called without arguments."""


class Dialer:
    """A `HealthMap` as one pool or its checks see it. The parameters are those of `HealthMap.dialer`."""

    def __init__(
        self, health_map: Known, judge: AddressHealth, lane: Lane | None, worst: int
    ) -> None:
        self.map = health_map
        self.records = health_map.records
        self.resolver = health_map.resolver
        self.judge = judge
        self.lane = lane
        self.worst = worst

    def for_checks(self) -> Dialer:
        """The same as checks see it: they are there to ask those that are down as well."""
        return Dialer(self.map, self.judge, None, DOWN)

    def order(self, addresses: Sequence[str], port: int) -> list[Place]:
        """Those of `addresses` worth a try, best first. Raises `ProxyError` where none may be tried."""
        if len(addresses) == 1 and not len(self.judge):
            return [(addresses[0], port)]
        now = self.map.now()
        ranked = [
            (self.judge.rank((one, port), now), (one, port))
            for one in interleaved(addresses)
        ]
        ranked.sort(key=lambda pair: pair[0])
        return [place for rank, place in ranked if rank <= self.worst]

    def succeeded(self, place: Place) -> None:
        """A connect came about."""
        self.records.succeeded(place, self.map.now())

    def failed(self, place: Place, error: ProxyError) -> None:
        """A connect failed; held against the address if it is to blame."""
        if error.blames:
            self.records.failed(place, self.map.now())

    def beaten(self, place: Place) -> None:
        """A connect was overtaken by one that was begun later."""
        self.records.beaten(place, self.map.now())


def interleaved(addresses: Sequence[str]) -> list[str]:
    """The families in turn, each in its order, beginning with that of the first address (RFC 8305 section 4)."""
    if not addresses:
        return []
    first = ":" in addresses[0]
    mine = [one for one in addresses if (":" in one) is first]
    others = [one for one in addresses if (":" in one) is not first]
    return [
        one for pair in zip_longest(mine, others) for one in pair if one is not None
    ]


def is_literal(host: str) -> bool:
    """Whether `host` is an address and no name."""
    return isIPAddress(host) or isIPv6Address(host)


@implementer(IStreamClientEndpoint)
class HostEndpoint:
    """Connects to `port` of `host`, a name or an address.

    `limit`: seconds until there is a TCP connection, the lookup included; None: no limit. `timed`: kept to here, and
    not by a cancel of whoever connects. `bind`: the local address, as for Twisted's endpoints.
    """

    def __init__(
        self,
        dialer: Dialer,
        host: str,
        port: int,
        limit: float | None,
        timed: bool = True,
        bind: Any = None,
    ) -> None:
        self.dialer = dialer
        self.host = host
        self.port = port
        self.limit = limit
        self.timed = timed
        self._bind = bind
        self.literal = is_literal(host)
        if not self.literal and dialer.lane is not None:
            dialer.resolver.claim(host, dialer.lane)

    def __repr__(self) -> str:
        return f"<HostEndpoint {self.host}:{self.port}>"

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        """Connect. Errbacks with AddressDown or NameNotResolved, with what Twisted's endpoints say, or cancelled."""
        return _Race(self, protocolFactory).start()

    def attempt(self, place: Place, factory: IProtocolFactory) -> Deferred[Any]:
        """Connect to one address."""
        sockets = self.dialer.map.sockets
        if isinstance(sockets, EagerReactor):
            return sockets.dial(*place, factory, self._bind)
        kind: Any = TCP6ClientEndpoint if ":" in place[0] else TCP4ClientEndpoint
        # Twisted's own limit would not read first after a standstill.
        endpoint: IStreamClientEndpoint = kind(
            sockets, *place, timeout=None, bindAddress=self._bind
        )
        return endpoint.connect(factory)

    def ask_again(self) -> None:
        """Whoever knows more has reason to try: let the next connect decide about addresses that are down."""
        dialer = self.dialer
        known = (self.host,) if self.literal else dialer.resolver.known(self.host)
        for address in known:
            dialer.judge.reprieve((address, self.port), dialer.map.now())

    def all_down(self) -> AddressDown:
        """There is nobody to try."""
        which = "" if self.literal else "every address of "
        return AddressDown(f"{which}{self.host}:{self.port} is known to be down")

    def late(self) -> ConnectTimedOut:
        """Nobody has answered."""
        return ConnectTimedOut(f"no connection in {self.limit:g} s")


class _Race:
    """One connect: the lookup if there is a name, then the attempts at its addresses."""

    __slots__ = (
        "_alarm",
        "_clock",
        "_delay",
        "_dialer",
        "_endpoint",
        "_factory",
        "_left",
        "_looking",
        "_next",
        "_over",
        "_result",
        "_running",
        "_started",
    )

    def __init__(self, endpoint: HostEndpoint, factory: IProtocolFactory) -> None:
        self._endpoint = endpoint
        self._factory = factory
        self._dialer = endpoint.dialer
        self._clock = endpoint.dialer.map.sockets
        self._result: Deferred[Any] = Deferred(lambda _: self._cancelled())
        self._over = False
        self._looking: Deferred[Any] | None = None
        self._left: list[Place] = []
        self._running: dict[Place, tuple[Deferred[Any], float]] = {}
        self._alarm: Alarm | None = None
        self._started = endpoint.dialer.map.now()
        self._next: IDelayedCall | None = None
        self._delay = ATTEMPT_DELAY

    def start(self) -> Deferred[Any]:
        """Begin; the result is the connect's."""
        endpoint = self._endpoint
        if endpoint.literal:
            self._cb_resolved((endpoint.host,))
        else:
            self._looking = looking = self._dialer.resolver.resolve(endpoint.host)
            looking.addCallbacks(self._cb_resolved, self._eb_not_resolved)
            looking.addErrback(self._eb_not_resolved)
        if endpoint.limit is not None and endpoint.timed and not self._over:
            self._alarm = Alarm(self._clock, endpoint.limit, self._expired)
        return self._result

    def _cb_resolved(self, addresses: Sequence[str]) -> None:
        self._looking = None
        endpoint = self._endpoint
        try:
            self._left = self._dialer.order(addresses, endpoint.port)
        except ProxyError as refused:
            self._fail(Failure(refused))
            return
        if not self._left:
            self._fail(Failure(endpoint.all_down()))
            return
        if endpoint.limit is not None and len(self._left) > 1:
            # Even a short limit is to leave the last address its part.
            share = endpoint.limit / (len(self._left) + 1)
            self._delay = min(ATTEMPT_DELAY, share)
        self._try_next()

    def _eb_not_resolved(self, failure: Failure) -> None:
        self._looking = None
        if not self._over:
            self._fail(failure)

    def _try_next(self) -> None:
        waiting, self._next = self._next, None
        if waiting is not None and waiting.active():
            waiting.cancel()
        place = self._left.pop(0)
        attempt = self._endpoint.attempt(place, self._factory)
        self._running[place] = (attempt, self._dialer.map.now())
        if self._left:
            self._next = self._clock.callLater(self._delay, self._try_next)
        attempt.addCallbacks(
            self._cb_connected,
            self._eb_attempt,
            callbackArgs=(place,),
            errbackArgs=(place,),
        )

    def _cb_connected(self, protocol: Any, place: Place) -> None:
        if self._over:
            return
        self._dialer.succeeded(place)
        for earlier in self._running:
            if earlier == place:
                break
            self._dialer.beaten(earlier)
        del self._running[place]
        self._end()
        self._result.callback(protocol)

    def _eb_attempt(self, failure: Failure, place: Place) -> None:
        if self._over:
            return
        del self._running[place]
        error = translate(failure, connecting=True)
        self._dialer.failed(place, error)
        if self._left:
            self._try_next()
        elif not self._running:
            self._fail(failure)

    def _expired(self) -> None:
        endpoint = self._endpoint
        if self._looking is not None:
            late = NoNameServer(f"name not resolved in {endpoint.limit:g} s")
            self._fail(Failure(late))
            return
        self._blame_silent()
        self._fail(Failure(endpoint.late()))

    def _cancelled(self) -> None:
        limit = self._endpoint.limit
        if limit is not None and not self._endpoint.timed:
            if self._dialer.map.now() - self._started >= ALMOST * limit:
                self._blame_silent()
        self._end()

    def _blame_silent(self) -> None:
        """The time is over. One that had little of it is not shown to be dead."""
        since = self._dialer.map.now() - (self._endpoint.limit or 0.0) / 2
        for place, (_, started) in self._running.items():
            if started <= since:
                self._dialer.failed(place, self._endpoint.late())

    def _fail(self, failure: Failure) -> None:
        self._end()
        self._result.errback(failure)

    def _end(self) -> None:
        """Leave nothing behind: no timer, no attempt."""
        self._over = True
        if self._alarm is not None:
            self._alarm.cancel()
        if self._next is not None and self._next.active():
            self._next.cancel()
        looking, self._looking = self._looking, None
        if looking is not None:
            looking.cancel()
        running, self._running = self._running, {}
        for attempt, _ in running.values():
            attempt.cancel()
