"""The factory behind a listener: makes a door for each client, within the limits.

May import: wire, net. Used by: proxy.resource (makes one for each listener), service.listeners.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import nsmallest
from operator import attrgetter
from typing import Protocol

import attrs
from twisted.internet.interfaces import (
    IAddress,
    IProtocol,
    IProtocolFactory,
    IProtocolNegotiationFactory,
)
from zope.interface import implementer

from lolly_tx.domain.forwarding import UNIX
from lolly_tx.net.deadlines import Deadlines
from lolly_tx.net.doors import Peer
from lolly_tx.net.http1.server import (
    HALF_CLOSE_SECONDS,
    Http1Server,
    address_text,
)
from lolly_tx.net.sockets.parting import DRAIN_SECONDS, TURNED_AWAY_MOST, TurnedAway
from lolly_tx.net.sockets.tls_contexts import ALPN_HTTP1
from lolly_tx.wire.errors import BadMessage
from lolly_tx.wire.http1 import HeadLimits, RequestHead, RequestReader


@attrs.frozen
class ClientTimeouts:
    """Seconds: `head` to its end, gap in a `body`, `keepalive` idle, `write` stalled.

    `body_rate`: bytes per second a body must average after a grace, 0 = none. `gone`: until
    an answer begins, after the client's last byte; NEVER = it may always be there.
    """

    head: float = 10.0
    body: float = 30.0
    keepalive: float = 60.0
    write: float = 30.0
    body_rate: int = 240
    gone: float = HALF_CLOSE_SECONDS


class Site(Protocol):
    """What a listener serves: the proxy."""

    def open_exchange(
        self,
        door: Http1Server,
        head: RequestHead,
        body: bytes,
        trailers: bytes,
        complete: bool,
    ) -> None:
        """Begin an exchange. `body`: what came with the head; `complete`: is all."""

    def refused(self, door: Http1Server, error: BadMessage, begun: bool) -> None:
        """Answer a request that is none. `begun`: its exchange has been recorded."""

    def introduce(self, peer: Peer, head: RequestHead) -> bytes:
        """The lines that tell a backend who sends `head`."""


class Census:
    """Counts open client connections: in all, and per client address."""

    def __init__(self, total: int, per_client: int) -> None:
        self.total = total
        self.per_client = per_client
        self.open = 0
        self.clients: dict[str, int] = {}

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


SHED_PART = 32
"""At the cap, one in so many of the idle connections is closed to make room."""


@implementer(IProtocolFactory, IProtocolNegotiationFactory)
class Acceptor:
    """Makes the doors of one listener.

    `draining`: no keep-alive any more. `idle_seconds`: what a connection has for its next
    request. `most`: connections of this listener, 0 = no limit.
    """

    noisy = False

    def __init__(
        self,
        name: str,
        site: Site,
        *,
        secure: bool,
        deadlines: Deadlines,
        census: Census,
        timeouts: ClientTimeouts,
        limits: HeadLimits,
        body_bytes: int = 0,
        requests_per_connection: int = 0,
        most: int = 0,
    ) -> None:
        self.name = name
        self.secure = secure
        self.deadlines = deadlines
        self.now: Callable[[], float] = deadlines.now
        self.census = census
        self.timeouts = timeouts
        self.idle_seconds = timeouts.keepalive
        self.reader = RequestReader(limits, secure)
        self.known_heads = self.reader.known
        self.body_bytes = body_bytes
        self.requests_per_connection = requests_per_connection
        self.most = most
        self.draining = False
        self.doors: set[Http1Server] = set()
        self._parting: set[TurnedAway] = set()
        self.accepted = 0
        self.turned_away = 0
        self.shed = 0
        self.open_exchange = site.open_exchange
        self.refused = site.refused
        self.introduce = site.introduce

    def doStart(self) -> None:
        """Listening has begun."""

    def doStop(self) -> None:
        """Listening has ended."""

    def acceptableProtocols(self) -> list[bytes]:
        """For the TLS of endpoint strings, which asks here what ALPN may agree on."""
        return [ALPN_HTTP1]

    def buildProtocol(self, addr: IAddress | None) -> IProtocol | None:
        """A door for a client at `addr`; None closes the connection at once."""
        client = address_text(addr)
        if not self._has_room(client) and not (
            self._make_room(client) and self._has_room(client)
        ):
            self.turned_away += 1
            if len(self._parting) >= TURNED_AWAY_MOST:
                return None
            away = TurnedAway(self.deadlines, self._parting.discard)
            self._parting.add(away)
            return away
        self.accepted += 1
        return Http1Server(self, client)

    def _has_room(self, client: str) -> bool:
        full = self.most and len(self.doors) >= self.most
        return not full and self.census.admit(client)

    def _make_room(self, client: str) -> int:
        """Close some of the connections that have been idle longest; how many.

        Several at a time, because finding them means looking at all. Who is over his own
        limit gives up connections of his own only.
        """
        alone = self.census.has_enough(client)
        idle = [
            d for d in self.doors if d.idle and (not alone or d.peer.address == client)
        ]
        shed = nsmallest(len(idle) // SHED_PART + 1, idle, attrgetter("deadline"))
        for door in shed:
            door.shed()
            # The room is there now; its deadline sees to it that it really goes.
            self._strike_off(door)
        self.shed += len(shed)
        return len(shed)

    def connected(self, door: Http1Server) -> None:
        """A door has its transport."""
        self.doors.add(door)
        self.census.enter(door.peer.address)
        self.deadlines.add(door)

    def lost(self, door: Http1Server) -> None:
        """A door is closed."""
        self._strike_off(door)
        self.deadlines.discard(door)

    def _strike_off(self, door: Http1Server) -> None:
        """Count a door no more."""
        if door in self.doors:
            self.doors.remove(door)
            self.census.leave(door.peer.address)

    def drain(self) -> None:
        """Let the doors close: each after its next answer, or when none is asked for in time."""
        self.draining = True
        self.idle_seconds = min(self.idle_seconds, DRAIN_SECONDS)
        until = self.now() + self.idle_seconds
        for door in self.doors:
            door.drain(until)
