"""Connectors: connections from here to tunnels, made again whenever they end.

    waiting --its time--> connecting --handshake--> up --leaving--> waiting, while its last streams go on
       ^------failed, refused, lost------------------+

Times between tries are drawn at random up to a limit that doubles with each failure: at most 4 seconds where the
server is not to be had, so that it is found soon after it is back, and 30 where it has refused us, which does not heal
by itself. A connection that has lasted puts the limit back.

Imports: config, config.rules, domain, net, net.sockets, net.tunnels, service, wire,
Twisted. Used by: service.tunnels.running.
"""

from __future__ import annotations

from collections.abc import Mapping
from secrets import token_bytes, token_hex
from typing import TYPE_CHECKING, Any, ClassVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from twisted.python.failure import Failure

from lolly_tx.config.rules.tunnels import endpoint_of_forward
from lolly_tx.config.tunnels import FORWARD, Connector
from lolly_tx.domain.addresses import DOWN
from lolly_tx.domain.target import Target, target_id
from lolly_tx.net.failures import translate
from lolly_tx.net.sockets.endpoints import TargetEndpoint, client_endpoint
from lolly_tx.net.tunnels.connection import (
    Circumstances,
    ConnectorConnection,
    Identity,
)
from lolly_tx.net.tunnels.streams import SessionSettings
from lolly_tx.net.turn import Turn
from lolly_tx.service.commons import Commons
from lolly_tx.wire.tunnel import (
    DENIED,
    NONCE_BYTES,
    HandshakeFailed,
    Offer,
    Welcome,
    Wish,
)

if TYPE_CHECKING:  # pragma: no cover
    from lolly_tx.config.model import Config

FIRST_SECONDS = 0.5
AGAIN_SECONDS = 0.1
"""Behind a server that says that it leaves: its successor is there already, or soon."""
MOST_SECONDS = 4.0
REFUSED_SECONDS = 30.0
LASTED_SECONDS = 30.0
"""A connection that was up so long was no failure."""
CONNECT_SECONDS = 10.0


class Dialing(Factory):
    """One of the connections of a connector, and who makes it again (`net.tunnels.connection.ConnectionOwner`)."""

    log: ClassVar[Logger] = Logger()
    noisy = False

    def __init__(
        self,
        connector: Connector,
        server: TargetEndpoint,
        services: Mapping[str, Any],
        around: Circumstances,
        commons: Commons,
    ) -> None:
        self.connector = connector
        self.services = services
        self.state = "waiting"
        self.why = ""
        self.connection: ConnectorConnection | None = None
        self.welcome: Welcome | None = None
        self.tries = 0
        self._server = server
        self._around = around
        self._clock = commons.surroundings.reactor
        self._now = commons.surroundings.now
        self._random = commons.surroundings.random
        self._failures = 0
        self._instance = token_hex(8)
        self._later: IDelayedCall | None = None
        self._connecting: Deferred[Any] | None = None
        self._leaving: set[ConnectorConnection] = set()
        self._running = False

    def start(self) -> None:
        """Begin."""
        if not self._running:
            self._running = True
            self._wait(self._random.uniform(0.0, FIRST_SECONDS))

    def stop(self) -> None:
        """Connect no more; what goes on is waited for by who stops the reactor, or cut by `abort`."""
        self._running = False
        self.state = "stopped"
        later, self._later = self._later, None
        if later is not None:
            later.cancel()
        connecting, self._connecting = self._connecting, None
        if connecting is not None:
            connecting.cancel()
        if self.connection is not None:
            self._let_go(self.connection)
            self.connection.leave()
            self.connection = None

    def abort(self) -> None:
        """Cut what still goes on."""
        for connection in [*self._leaving]:
            connection.abort()

    @property
    def streams(self) -> int:
        """That are open, on connections that leave as well."""
        there = [*self._leaving, *([self.connection] if self.connection else [])]
        return sum(len(c.session.streams.open) for c in there if c.session is not None)

    def _wait(self, seconds: float) -> None:
        self.state = "waiting"
        self._later = self._clock.callLater(seconds, self._connect)

    def _connect(self) -> None:
        self._later = None
        self.state = "connecting"
        self.tries += 1
        self._connecting = connecting = self._server.connect(self)
        connecting.addCallbacks(self._cb_connected, self._eb_failed)

    def buildProtocol(self, addr: Any) -> Any:
        """The protocol of a connection."""
        one = self.connector
        wishes = tuple(Wish(each.service, each.host, each.port) for each in one.publish)
        return ConnectorConnection(
            self,
            Identity(one.known_as, one.secret, self._instance),
            Offer(tuple(one.services), wishes),
            token_bytes(NONCE_BYTES),
            self._around,
        )

    def _cb_connected(self, connection: ConnectorConnection) -> None:
        self._connecting = None
        self.connection = connection

    def _eb_failed(self, reason: Failure) -> None:
        self._connecting = None
        if self._running:
            self._failed(str(translate(reason, connecting=True)), MOST_SECONDS)

    def _failed(self, why: str, most: float) -> None:
        """It did not come about: again, after a while."""
        if why != self.why:
            self.log.warn(
                "connector {name}: {server}: {why}",
                name=self.connector.name,
                server=self.connector.server,
                why=why,
            )
        self.why = why
        limit = min(most, FIRST_SECONDS * 2.0 ** min(self._failures, 10))
        self._failures += 1
        self._wait(self._random.uniform(0.0, limit))

    # -- net.tunnels.connection.ConnectionOwner

    def welcomed(self, connection: ConnectorConnection, welcome: Welcome) -> None:
        """See `ConnectionOwner`."""
        self.connection = connection
        self.welcome, self.state, self.why = welcome, "up", ""
        self.log.info(
            "connector {name} is connected to {server}: {granted}",
            name=self.connector.name,
            server=self.connector.server,
            granted=", ".join(welcome.granted) or "nothing granted",
        )
        for what, why in welcome.refused.items():
            self.log.warn(
                "connector {name}: the server does not permit {what}: {why}",
                name=self.connector.name,
                what=what,
                why=why,
            )

    def _let_go(self, connection: ConnectorConnection) -> None:
        if connection.session is not None and not connection.session.closed:
            self._leaving.add(connection)

    def leaving(self, connection: ConnectorConnection) -> None:
        """See `ConnectionOwner`: a server that stops, or its successor, is looked for at once."""
        if connection is self.connection:
            self.connection = None
            self._let_go(connection)
            if self._running:
                # Another instance: what goes on there is not replaced by what comes.
                self._instance = token_hex(8)
                self._wait(self._random.uniform(0.0, AGAIN_SECONDS))

    def ended(
        self, connection: ConnectorConnection, why: HandshakeFailed | str
    ) -> None:
        """See `ConnectionOwner`."""
        self._leaving.discard(connection)
        if self.connection is not None and connection is not self.connection:
            return
        if self._later is not None or self._connecting is not None:
            return  # its successor is under way
        self.connection = None
        if not self._running:
            return
        session = connection.session
        if session is not None and self._now() - session.since >= LASTED_SECONDS:
            self._failures = 0
        most, text = MOST_SECONDS, str(why)
        if isinstance(why, HandshakeFailed) and why.word == DENIED:
            most = REFUSED_SECONDS
        self._failed(text, most)

    def shown(self) -> dict[str, Any]:
        """How it is, as JSON-able values."""
        connection, welcome = self.connection, self.welcome
        session = None if connection is None else connection.session
        up = session is not None
        return {
            "state": self.state,
            "why": self.why,
            "tries": self.tries,
            "up_seconds": round(self._now() - session.since, 3) if session else None,
            "round_trip_seconds": session.heart.round_trip if session else None,
            "streams": self.streams,
            "granted": [*welcome.granted] if welcome is not None and up else [],
            "refused": {**welcome.refused} if welcome is not None and up else {},
        }


def dialings(connector: Connector, config: Config, commons: Commons) -> list[Dialing]:
    """The connections that `connector`, one of `config`, keeps. Raises `BadEndpoint`."""
    around, deadlines = commons.surroundings, commons.deadlines
    reactor, timeouts = around.reactor, config.timeouts
    dialer = commons.health_map.dialer(
        worst=DOWN
    )  # how it went before is no reason not to try
    services = {
        name: client_endpoint(reactor, _target(_leading(text, config)), dialer=dialer)
        for name, text in connector.services.items()
    }
    server = client_endpoint(
        reactor,
        _target(connector.server),
        tls=connector.tls,
        timeout=CONNECT_SECONDS,
        dialer=dialer,
    )
    shared = Circumstances(
        SessionSettings(connector.heartbeat, connector.streams, connector.memory),
        deadlines,
        Turn(reactor),
        timeouts.half_closed,
        timeouts.write,
    )
    return [
        Dialing(connector, server, services, shared, commons)
        for _ in range(connector.connections)
    ]


def _leading(text: str, config: Config) -> str:
    """The endpoint of a service; a forward proxy is where it listens."""
    if text.startswith(FORWARD):
        return endpoint_of_forward(config, text.removeprefix(FORWARD))
    return text


def _target(text: str) -> Target:
    """What an endpoint string leads to; "tls:HOST:PORT" is verified by us."""
    kind, _, where = text.partition(":")
    host, _, port = where.rpartition(":")
    if kind.lower() == "tls" and host and port.isdigit() and "=" not in host:
        host = host.replace("\\:", ":").strip("[]")
        return Target(
            id=target_id(text),
            address=text,
            scheme="https",
            host=host,
            port=int(port),
        )
    return Target(
        id=target_id(text), address=text, scheme="http", host="", port=0, endpoint=text
    )
