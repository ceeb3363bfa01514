"""A tunnel without sockets: both ends, a service, and a clock that the test moves."""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from lolly_tx.net.deadlines import Deadlines
from lolly_tx.net.sockets.acceptor import Census
from lolly_tx.net.tunnels.connection import (
    Circumstances,
    ConnectorConnection,
    Identity,
)
from lolly_tx.net.tunnels.directory import Connectors, Joined, ServiceEndpoint
from lolly_tx.net.tunnels.door import TunnelDoor, tunnel_acceptor
from lolly_tx.net.tunnels.streams import SessionSettings
from lolly_tx.net.turn import Turn
from lolly_tx.wire.tunnel import HandshakeFailed, Offer, Welcome
from tests.net.fakes import HalfCloseRecorder

SECRET = "a secret of sixteen"


class Link(StringTransport):
    """One end of a connection: what is written waits until the test carries it. `full`: it is told to be so."""

    peer_host = "127.0.0.1"

    def __init__(self) -> None:
        super().__init__()
        self.closing = self.aborted = self.half_closed = False
        self.carried = 0

    def getPeer(self) -> IPv4Address:
        return IPv4Address("TCP", self.peer_host, 1)

    def take(self) -> bytes:
        """What was written since the last time."""
        data: bytes = self.value()[self.carried :]
        self.carried += len(data)
        return data

    def abortConnection(self) -> None:
        self.aborted = self.closing = True

    def loseConnection(self) -> None:
        self.closing = True

    def loseWriteConnection(self) -> None:
        self.half_closed = True

    def unregisterProducer(self) -> None:
        self.producer = None


@implementer(IHalfCloseableProtocol)
class Peer(HalfCloseRecorder):
    transport: Any

    """A protocol that keeps what happens to it, and can be stopped."""

    def stop(self) -> None:
        """Read no more for now."""
        self.transport.pauseProducing()

    def go(self) -> None:
        """Read on."""
        self.transport.resumeProducing()


class Service:
    """What a connector connects to: its side of each connection is kept, with the link that the test plays."""

    def __init__(self) -> None:
        self.links: list[Link] = []
        self.protocols: list[Any] = []
        self.fails: Exception | None = None
        self.waits = False
        self.cancelled = 0

    def connect(self, factory: Any) -> Deferred[Any]:
        """Connected at once, unless told otherwise."""

        def cancelled(_: object) -> None:
            self.cancelled += 1

        made: Deferred[Any] = Deferred(cancelled)
        if self.fails is not None:
            made.errback(Failure(self.fails))
        elif not self.waits:
            self.finish(made, factory)
        return made

    def finish(self, made: Deferred[Any], factory: Any) -> None:
        """It is connected."""
        protocol = factory.buildProtocol(None)
        self.links.append(Link())
        self.protocols.append(protocol)
        protocol.makeConnection(self.links[-1])
        made.callback(protocol)


class Site:
    """A server with one connector, "home", and the services it may offer."""

    name = "edge"
    handshake_seconds = 5.0

    def __init__(self, clock: Clock, settings: SessionSettings) -> None:
        self.settings = settings
        self.turn = Turn(clock)
        self.connectors = Connectors()
        self.secrets = {"home": SECRET}
        self.said: list[str] = []
        self.nonces = 0

    def nonce(self) -> bytes:
        self.nonces += 1
        return self.nonces.to_bytes(32, "big")

    def decoy(self) -> str:
        return "nobody knows this one"

    def secret_of(self, name: str, certified: str | None) -> str | None:
        return self.secrets.get(name)

    def grant(
        self, name: str, offer: Offer
    ) -> tuple[Welcome, frozenset[str], dict[str | int, str]]:
        published: dict[str | int, str] = {
            one.host or one.port: one.service for one in offer.wishes
        }
        welcome = Welcome(offer.services, {}, self.settings.heartbeat)
        return welcome, frozenset(offer.services), published

    def joined(self, joined: Joined) -> None:
        self.said.append("joined")

    def leaving(self, joined: Joined) -> None:
        self.said.append("leaving")

    def left(self, joined: Joined, why: str) -> None:
        self.said.append(why)

    def denied(self, client: str, name: str, failed: HandshakeFailed) -> None:
        self.said.append(f"{name}: {failed}")


class Line:
    """A connection between a connector and the server."""

    def __init__(self, door: TunnelDoor, connection: ConnectorConnection) -> None:
        self.door = door
        self.connection = connection
        self.at_server, self.at_connector = Link(), Link()
        self.cut = False

    def carry(self) -> bool:
        """Carry what waits; whether there was anything."""
        ends: Any = (
            (self.at_connector, self.door, self.at_server),
            (self.at_server, self.connection, self.at_connector),
        )
        moved = False
        for link, protocol, _ in ends:
            data = link.take()
            if data and not self.cut:
                moved = True
                protocol.dataReceived(data)
        if not self.cut and any(each.closing for each in ends[0][::2]) and not moved:
            self.lose(aborted=any(each.aborted for each in ends[0][::2]))
            return True
        return moved

    def lose(self, aborted: bool = True) -> None:
        """The connection is gone."""
        self.cut = True
        error = ConnectionLost() if aborted else ConnectionDone()
        self.door.connectionLost(Failure(error))
        self.connection.connectionLost(Failure(error))


class TunnelTestCase(SynchronousTestCase):
    """`site`: the server. `service`: what the connector calls "web"."""

    settings = SessionSettings(heartbeat=10.0, streams=8, memory=1 << 20)

    def setUp(self) -> None:
        self.clock = Clock()
        self.deadlines = Deadlines(self.clock, self.clock.seconds)
        self.deadlines.start()
        self.site = Site(self.clock, self.settings)
        self.acceptor = tunnel_acceptor(
            "tunnel edge",
            self.site,
            deadlines=self.deadlines,
            census=Census(0, 0),
        )
        self.around = Circumstances(
            self.settings, self.deadlines, Turn(self.clock), half_closed=60.0
        )
        self.service = Service()
        self.services: Any = {"web": self.service}
        self.said: list[Any] = []
        self.lines: list[Line] = []

    # -- net.tunnels.connection.ConnectionOwner

    def welcomed(self, connection: Any, welcome: Welcome) -> None:
        self.said.append(welcome)

    def leaving(self, connection: Any) -> None:
        self.said.append("leaving")

    def ended(self, connection: Any, why: HandshakeFailed | str) -> None:
        self.said.append(str(why))

    # -- what tests do

    def dial(
        self, name: str = "home", secret: str = SECRET, offer: Offer | None = None
    ) -> Line:
        """A connector connects."""
        number = len(self.lines)
        connection = ConnectorConnection(
            self,
            Identity(name, secret, f"instance-{number}"),
            offer or Offer(("web",)),
            (1000 + number).to_bytes(32, "big"),
            self.around,
        )
        door: Any = self.acceptor.buildProtocol(None)
        line = Line(door, connection)
        self.lines.append(line)
        door.makeConnection(line.at_server)
        connection.makeConnection(line.at_connector)
        self.pump()
        return line

    def pump(self) -> None:
        """Carry until nothing is on its way."""
        for _ in range(2000):
            self.clock.advance(0)
            if not any([line.carry() for line in self.lines]):
                self.clock.advance(0)
                if not any([line.carry() for line in self.lines]):
                    return
        raise AssertionError("it never ends")

    def wait(self, seconds: float) -> None:
        """Let time pass in small steps."""
        for _ in range(round(seconds / 0.1)):
            self.clock.advance(0.1)
            self.pump()

    def connect(self, service: str = "web") -> tuple[Peer, Deferred[Any]]:
        """Somebody on the server's side connects to a service."""
        made: list[Peer] = []

        def build(_: object) -> Peer:
            made.append(Peer())
            return made[-1]

        factory: Any = Factory()
        factory.buildProtocol = build
        endpoint = ServiceEndpoint("home", service, connectors=self.site.connectors)
        waiting = endpoint.connect(factory)
        self.pump()
        return (made[0] if made else Peer()), waiting

    def joined(self) -> tuple[Peer, Link, Any]:
        """A client that is connected, the link of its service, and the protocol there."""
        peer, waiting = self.connect()
        self.successResultOf(waiting)
        return peer, self.service.links[-1], self.service.protocols[-1]
