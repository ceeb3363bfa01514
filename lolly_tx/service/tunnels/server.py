"""The server of one tunnel: who may connect, what each of them gets, and who is there.

    handshake --grant--> joined: its services can be connected to, its wishes are served --left--> gone

What a table says holds for who is connected already: a reload that takes a service away takes it away at once, and
who is not let in any more gets no new streams.

Imports: config, domain, domain.access, net, net.tunnels, service, wire, Twisted. Used
by: service, service.tunnels.running.
"""

from __future__ import annotations

from collections.abc import Callable
from secrets import token_bytes, token_hex
from typing import Any, ClassVar

from twisted.logger import Logger

from lolly_tx.config.model import Config
from lolly_tx.config.tunnels import Permitted, Tunnel
from lolly_tx.domain.access.forwarded import UNIX
from lolly_tx.domain.events import (
    CONNECTED_WORD,
    GONE_WORD,
    Event,
    connector_event,
)
from lolly_tx.net.tunnels.directory import CONNECTED, Connectors, Joined
from lolly_tx.net.tunnels.streams import SessionSettings
from lolly_tx.net.turn import Turn
from lolly_tx.service.commons import Commons
from lolly_tx.wire.tunnel import NONCE_BYTES, HandshakeFailed, Offer, Welcome

QUIET_SECONDS = 1.0
"""Between two lines about those who were refused: anybody can have himself refused."""


class TunnelCounters:
    """What became of connectors, by name, whatever the settings were. `denied`: refused, by the word for why."""

    def __init__(self) -> None:
        self.joined: dict[str, int] = {}
        self.denied: dict[str, int] = {}
        self.received: dict[str, int] = {}
        self.sent: dict[str, int] = {}
        self.lost: dict[str, str] = {}
        """Why the last one of each name has gone."""


class TunnelServer:
    """See the module (`net.tunnels.door.TunnelSite`). `renew(connector)`: idle connections through it are closed.

    `emit`: takes an event for each that comes or goes.
    """

    log: ClassVar[Logger] = Logger()

    def __init__(
        self,
        tunnel: Tunnel,
        connectors: Connectors,
        turn: Turn,
        now: Callable[[], float],
        handshake_seconds: float,
        renew: Callable[[str], None],
        emit: Callable[[Event], None],
    ) -> None:
        self.name = tunnel.name
        self.connectors = connectors
        self.turn = turn
        self.now = now
        self.counters = TunnelCounters()
        self._renew = renew
        self._emit = emit
        self._said_at = -QUIET_SECONDS
        self._unsaid = 0
        self._take(tunnel, handshake_seconds)

    def _take(self, tunnel: Tunnel, handshake_seconds: float) -> None:
        self.tunnel = tunnel
        self.handshake_seconds = handshake_seconds
        self.settings = SessionSettings(tunnel.heartbeat, tunnel.streams, tunnel.memory)

    @property
    def joined_here(self) -> list[Joined]:
        """Those that are connected by this tunnel."""
        return [one for one in self.connectors if one.tunnel == self.name]

    def go_by(self, tunnel: Tunnel, handshake_seconds: float) -> None:
        """Other settings hold, for those who are connected, too."""
        before = self.tunnel.connectors
        self._take(tunnel, handshake_seconds)
        for joined in self.joined_here:
            name = joined.session.peer_name
            after = tunnel.connectors.get(name)
            if after is None or after.secret != before[name].secret:
                self.log.info("connector {name} is not let in any more", name=name)
                self._let_go(joined)
                continue
            _, services, published = self.grant(name, joined.offer)
            if (services, published) != (joined.services, joined.published):
                joined.services, joined.published = services, published
                self._renew(name)
                self.connectors.moved(name)

    def end(self) -> None:
        """The tunnel is no more: nobody there gets new streams."""
        for joined in self.joined_here:
            self._let_go(joined)

    def _let_go(self, joined: Joined) -> None:
        """It gets no new streams."""
        joined.session.drain()
        self.connectors.moved(joined.session.peer_name)

    # -- net.tunnels.door.TunnelSite

    def nonce(self) -> bytes:
        """Random bytes."""
        return token_bytes(NONCE_BYTES)

    def decoy(self) -> str:
        """A secret that nobody knows."""
        return token_hex(16)

    def secret_of(self, name: str, certified: str | None) -> str | None:
        """See `TunnelSite`. Who shows a certificate is who it says."""
        connector = self.tunnel.connectors.get(name)
        if connector is None or (certified is not None and certified != name):
            return None
        if not connector.secret and certified is None:
            return None
        return connector.secret

    def grant(
        self, name: str, offer: Offer
    ) -> tuple[Welcome, frozenset[str], dict[str | int, str]]:
        """See `TunnelSite`."""
        permitted = self.tunnel.connectors[name]
        services = [one for one in offer.services if one in permitted.services]
        refused = {
            f"service {one}": "not permitted to this connector"
            for one in offer.services
            if one not in services
        }
        granted = [f"service {one}" for one in services]
        published: dict[str | int, str] = {}
        for wish in offer.wishes:
            why = _why_not(permitted, wish.service, wish.host, wish.port, services)
            if not why and (wish.host or wish.port) in published:
                why = "asked for twice"
            if why:
                refused[wish.where] = why
            else:
                granted.append(wish.where)
                published[wish.host or wish.port] = wish.service
        welcome = Welcome(tuple(granted), refused, self.settings.heartbeat)
        return welcome, frozenset(services), published

    def joined(self, joined: Joined) -> None:
        """See `TunnelSite`."""
        name = joined.session.peer_name
        self.counters.joined[name] = self.counters.joined.get(name, 0) + 1
        welcome, _, _ = self.grant(name, joined.offer)
        granted = ", ".join(welcome.granted) or "nothing granted"
        cause = f"tunnel {self.name}, from {joined.client or UNIX}: {granted}"
        self._emit(connector_event(self.now(), name, CONNECTED_WORD, cause))
        self.connectors.moved(name)
        for what, why in welcome.refused.items():
            self.log.warn(
                "tunnel {tunnel}: connector {name} asked for {what}: {why}",
                tunnel=self.name,
                name=name,
                what=what,
                why=why,
            )

    def leaving(self, joined: Joined) -> None:
        """See `TunnelSite`."""
        self._renew(joined.session.peer_name)
        self.connectors.moved(joined.session.peer_name)

    def left(self, joined: Joined, why: str) -> None:
        """See `TunnelSite`."""
        name, counters, session = (
            joined.session.peer_name,
            self.counters,
            joined.session,
        )
        counters.lost[name] = why
        for counted, size in (
            (counters.received, session.streams.received),
            (counters.sent, session.streams.sent),
        ):
            counted[name] = counted.get(name, 0) + size
        cause = f"tunnel {self.name}, from {joined.client or UNIX}: {why}"
        self._emit(connector_event(self.now(), name, GONE_WORD, cause))
        self.connectors.moved(name)

    def denied(self, client: str, name: str, failed: HandshakeFailed) -> None:
        """See `TunnelSite`."""
        denied = self.counters.denied
        denied[failed.word] = denied.get(failed.word, 0) + 1
        now = self.now()
        if now - self._said_at < QUIET_SECONDS:
            self._unsaid += 1
            return
        self._said_at, unsaid, self._unsaid = now, self._unsaid, 0
        self.log.warn(
            "tunnel {tunnel}: refused {client}, which calls itself {name!r}: {why}{more}",
            tunnel=self.name,
            client=client,
            name=name,
            why=str(failed),
            more=f"; and {unsaid} others before" if unsaid else "",
        )

    def shown(self) -> dict[str, Any]:
        """Its connectors, connected or not, as JSON-able values."""
        return {name: self._connector(name) for name in self.tunnel.connectors}

    def _connector(self, name: str) -> dict[str, Any]:
        counters, now = self.counters, self.now()
        there = [one for one in self.joined_here if one.session.peer_name == name]
        received = counters.received.get(name, 0)
        sent = counters.sent.get(name, 0)
        return {
            "connected": [
                {
                    "client": one.client,
                    "up_seconds": round(now - one.session.since, 3),
                    "heard_seconds_ago": round(now - one.session.heart.heard, 3),
                    "round_trip_seconds": one.session.heart.round_trip,
                    "streams": len(one.session.streams.open),
                    "served": one.session.streams.served,
                    "leaving": one.session.leaving,
                    "services": sorted(one.services),
                    "published": sorted(map(str, one.published)),
                }
                for one in there
            ],
            "joined": counters.joined.get(name, 0),
            "bytes_in": received + sum(one.session.streams.received for one in there),
            "bytes_out": sent + sum(one.session.streams.sent for one in there),
            "lost": counters.lost.get(name),
        }


def server_of(
    tunnel: Tunnel,
    config: Config,
    commons: Commons,
    renew: Callable[[str], None],
    emit: Callable[[Event], None],
) -> TunnelServer:
    """The server of `tunnel`, one of `config`."""
    around = commons.surroundings
    turn, seconds = Turn(around.reactor), config.timeouts.handshake
    return TunnelServer(tunnel, CONNECTED, turn, around.now, seconds, renew, emit)


def _why_not(
    permitted: Permitted, service: str, host: str, port: int, services: list[str]
) -> str:
    if service not in services:
        return f"service {service} is not offered, or not permitted"
    if host and host not in permitted.hosts:
        return "this host is not permitted to this connector"
    if port and port not in permitted.ports:
        return "this port is not permitted to this connector"
    return ""
