"""The factory behind a listener: makes a door for each client, within the limits.

What is spoken on a connection is no matter here: `net.http1.listening` says it for HTTP/1.1.

Imports: domain, domain.access, net, net.sockets, wire, Twisted. Used by: net.datagrams,
net.forward, net.http1, net.http2, net.streams, net.tunnels, proxy, service,
service.forwards, service.metrics, simulate.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter
from typing import Any, Final, Protocol

from twisted.internet.address import UNIXAddress
from twisted.internet.interfaces import (
    IAddress,
    IProtocol,
    IProtocolFactory,
    IProtocolNegotiationFactory,
)
from zope.interface import classImplements

from lolly_tx.domain.access.forwarded import UNIX, canonical
from lolly_tx.domain.native import mypyc_attr
from lolly_tx.net.deadlines import Deadlines
from lolly_tx.net.sockets.parting import (
    DRAIN_SECONDS,
    TURNED_AWAY_MOST,
    TurnedAway,
    Words,
)
from lolly_tx.net.sockets.proxied import Proxied
from lolly_tx.wire.proxyline import ProxyLine


class Door(Protocol):
    """A client's connection, as who made it sees it.

    `address`: the client's. `idle`: it is waited for, and nothing is owed to it.
    """

    deadline: float

    @property
    def address(self) -> str:
        """The client's, in its one spelling."""

    @property
    def idle(self) -> bool:
        """Nothing is owed to the client, and nothing of it is under way."""

    def expired(self, now: float) -> None:
        """Its deadline has passed."""

    def shed(self) -> bool:
        """Close it, idle, at once, to make room; False: its client has yet to take an answer."""

    def shut(self) -> None:
        """The proxy stops now: what is going on is cut."""

    def drain(self, until: float) -> None:
        """The proxy stops: close when what is going on is done, or nothing was until then."""


class Census:
    """Counts open client connections: in all, and per client address."""

    def __init__(self, total: int, per_client: int) -> None:
        self.total = total
        self.per_client = per_client
        self.open = 0
        self.clients: dict[str, int] = {}

    def go_by(self, total: int, per_client: int, addresses: Iterable[str]) -> None:
        """Have other limits; those who are there stay. `addresses`: theirs, one for each connection."""
        self.total = total
        if per_client and not self.per_client:
            self.clients = dict(Counter(addresses))
        elif not per_client:
            self.clients.clear()
        self.per_client = per_client

    @property
    def parting_most(self) -> int:
        """How many may be told that they are too many, at once: those who stay need descriptors, too."""
        return min(TURNED_AWAY_MOST, self.total * 3 // 4 or TURNED_AWAY_MOST)

    def admit(self, client: str) -> bool:
        """Whether one more is allowed from `client`."""
        if self.total and self.open >= self.total:
            return False
        return not self.has_enough(client)

    def has_enough(self, client: str) -> bool:
        """Whether `client` is at its own limit."""
        # Who comes by a UNIX socket has no address that could tell it from others.
        return bool(
            self.per_client
            and client != UNIX
            and self.clients.get(client, 0) >= self.per_client
        )

    def enter(self, client: str) -> None:
        """One more."""
        self.open += 1
        if self.per_client:
            self.clients[client] = self.clients.get(client, 0) + 1

    def leave(self, client: str) -> None:
        """One less."""
        self.open -= 1
        if self.per_client:
            left = self.clients.get(client, 1) - 1
            if left:
                self.clients[client] = left
            else:
                self.clients.pop(client, None)


SHED_PART: Final = 32
"""At the cap, one in so many of the idle connections is closed to make room."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Acceptor:
    """Makes the doors of one listener.

    `make(acceptor, address)`: a `Door` that is a protocol, before it has its transport; it tells of itself by
    `connected` and `lost`. `alpn`: what it speaks. `overloaded`: what clients beyond the limits are told.
    `proxied`: whose clients are spoken for by a PROXY header; None: nobody's.
    `draining`: no keep-alive any more; `patient`: and tunnels are not told yet. `idle_seconds`: what a connection has
    for its next request. `most`: connections of this listener, 0 = no limit.
    """

    noisy = False

    def __init__(
        self,
        name: str,
        make: Callable[[Acceptor, str], IProtocol],
        *,
        alpn: Sequence[bytes],
        overloaded: Words,
        idle_seconds: float,
        deadlines: Deadlines,
        census: Census,
        most: int = 0,
        proxied: Proxied | None = None,
    ) -> None:
        self.name = name
        self.proxied = proxied
        self.deadlines = deadlines
        self.now: Callable[[], float] = deadlines.now
        self.census = census
        self.idle_seconds = self._usual_idle = idle_seconds
        self.most = most
        self.draining = False
        self.patient = False
        self.doors: dict[Door, float] = {}
        """Those that are open, and since when; the oldest first."""
        self.accepted = 0
        self.turned_away = 0
        self.shed = 0
        self._make = make
        self._alpn = list(alpn)
        self._overloaded = overloaded
        self._parting: set[TurnedAway] = set()

    def go_by(self, other: Acceptor) -> None:
        """Make the doors to come as `other` would; those that are open stay as they are, and all are counted on."""
        self._make = other._make
        self._alpn = other._alpn
        self._overloaded = other._overloaded
        self._usual_idle = other._usual_idle
        self.idle_seconds = self._usual_idle
        if self.draining:
            self.idle_seconds = min(self._usual_idle, DRAIN_SECONDS)
        self.most = other.most
        self._speak_for(other.proxied, self.proxied)

    def _speak_for(self, proxied: Proxied | None, before: Proxied | None) -> None:
        self.proxied = proxied
        if proxied is not None and before is not None:
            proxied.follow(before)

    def follow(self, other: Acceptor) -> None:
        """Count on from where `other` is, which listened under this name before."""
        self.accepted += other.accepted
        self.turned_away += other.turned_away
        self.shed += other.shed
        self._speak_for(self.proxied, other.proxied)

    def doStart(self) -> None:
        """Listening has begun."""

    def doStop(self) -> None:
        """Listening has ended."""

    def acceptableProtocols(self) -> list[bytes]:
        """For the TLS of endpoint strings, which asks here what ALPN may agree on."""
        return self._alpn

    def buildProtocol(self, addr: IAddress | None) -> IProtocol | None:
        """A door for a client at `addr`, or what finds out whose it is; None closes the connection at once."""
        if self.proxied is not None:
            return self.proxied.meet(address_text(addr), self.door_for)
        return self.door_for(address_text(addr))

    def door_for(self, client: str, told: ProxyLine | None = None) -> IProtocol | None:
        """A door for `client`; None closes the connection at once. `told`: what its PROXY header said."""
        if not self._has_room(client) and not (
            self._make_room(client) and self._has_room(client)
        ):
            self.turned_away += 1
            if len(self._parting) >= self.census.parting_most:
                return None
            away = TurnedAway(self._overloaded, self.deadlines, self._parting.discard)
            self._parting.add(away)
            return away
        self.accepted += 1
        make = self._make
        door = make(self, client)
        if told is not None:
            # Who has no peer does not tell targets of it.
            peer = getattr(door, "peer", None)
            if peer is not None:
                peer.told = told
        return door

    def _has_room(self, client: str) -> bool:
        full = self.most and len(self.doors) >= self.most
        return not full and self.census.admit(client)

    def _make_room(self, client: str) -> int:
        """Close some of the connections that have been idle longest; how many.

        Several at a time, because finding them means looking at all. Who is over his own
        limit gives up connections of his own only.
        """
        alone = self.census.has_enough(client)
        idle = [d for d in self.doors if d.idle and (not alone or d.address == client)]
        wanted = len(idle) // SHED_PART + 1
        idle.sort(key=attrgetter("deadline"))
        shed = 0
        for door in idle:
            # One that says no is not idle any more: it is not asked again and again.
            if door.shed():
                # The room is there now; its deadline sees to it that it really goes.
                self._strike_off(door)
                shed += 1
                if shed == wanted:
                    break
        self.shed += shed
        return shed

    def connected(self, door: Door) -> None:
        """A door has its transport."""
        self.doors[door] = self.now()
        self.census.enter(door.address)
        self.deadlines.add(door)

    def lost(self, door: Door) -> None:
        """A door is closed."""
        self._strike_off(door)
        self.deadlines.discard(door)

    def _strike_off(self, door: Door) -> None:
        """Count a door no more."""
        if door in self.doors:
            del self.doors[door]
            self.census.leave(door.address)

    def drain(self, patient: bool = False) -> None:
        """Let the doors close: each after its next answer, or when none is asked for in time.

        `patient`: tunnels go on as if nothing were, until this is asked for again without it.
        """
        self.draining = True
        self.patient = patient
        self.idle_seconds = min(self.idle_seconds, DRAIN_SECONDS)
        until = self.now() + self.idle_seconds
        for door in [*self.doors]:
            door.drain(until)

    def resume(self) -> None:
        """Serve as ever again; who has been told already that his connection ends goes all the same."""
        self.draining = self.patient = False
        self.idle_seconds = self._usual_idle

    @property
    def oldest_seconds(self) -> float | None:
        """How long the oldest of the connections has been open; None without any."""
        since = next(iter(self.doors.values()), None)
        return None if since is None else max(0.0, self.now() - since)


classImplements(Acceptor, IProtocolFactory, IProtocolNegotiationFactory)


def address_text(address: IAddress | Any) -> str:
    """The peer's address in its one spelling: "unix:" for UNIX sockets, "" where nobody can tell."""
    if isinstance(address, UNIXAddress):
        return UNIX
    host = getattr(address, "host", "")
    if not isinstance(host, str):
        return ""
    # An IPv4 client of an IPv6 socket.
    return canonical(host) if host.startswith("::") else host
