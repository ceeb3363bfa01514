"""Tests of the factory behind a listener, and of its limits."""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.interfaces import (
    IHalfCloseableProtocol,
    IProtocolFactory,
    IProtocolNegotiationFactory,
)
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from lolly_tx.net.deadlines import NEVER, Deadlines
from lolly_tx.net.sockets.acceptor import SHED_PART, Acceptor, Census
from lolly_tx.net.sockets.parting import (
    CLOSE_SECONDS,
    LOOK_SECONDS,
    TURNED_AWAY_MOST,
    TURNED_AWAY_SECONDS,
    TurnedAway,
)
from tests.proxy.world import GET, OK, Line, WorldTestCase, get


class Stream(Protocol):
    """A door of a protocol that has no requests."""

    deadline = NEVER
    idle = False

    def __init__(self, acceptor: Acceptor, address: str) -> None:
        self.acceptor = acceptor
        self.address = address
        self.told: list[str] = []

    def connectionMade(self) -> None:
        self.acceptor.connected(self)

    def expired(self, now: float) -> None:
        self.told.append("expired")

    def shed(self) -> bool:
        self.told.append("shed")
        return True

    def shut(self) -> None:
        self.told.append("shut")

    def drain(self, until: float) -> None:
        self.told.append(f"drain until {until:g}")


class OtherProtocolTests(SynchronousTestCase):
    def setUp(self) -> None:
        """A listener for two streams, at second 0."""
        self.clock = clock = Clock()
        self.acceptor = Acceptor(
            "raw",
            Stream,
            alpn=[b"raw"],
            overloaded=lambda transport, data: b"full\n",
            idle_seconds=60.0,
            deadlines=Deadlines(clock, clock.seconds),
            census=Census(0, 0),
            most=2,
        )

    def arrive(self) -> tuple[Any, Line]:
        """A client connects."""
        door: Any = self.acceptor.buildProtocol(IPv4Address("TCP", "192.0.2.1", 4000))
        line = Line(self.clock)
        door.makeConnection(line)
        return door, line

    def test_limits(self) -> None:
        """Who is behind it is no matter to the limits: idle ones make room, others are told in its own words."""
        one, _ = self.arrive()
        two, _ = self.arrive()
        self.assertEqual(one.address, "192.0.2.1")
        self.assertEqual(self.arrive()[1].take(), b"full\n")
        two.idle = True
        self.assertIsInstance(self.arrive()[0], Stream)
        self.assertEqual((one.told, two.told), ([], ["shed"]))
        self.assertEqual(self.acceptor.acceptableProtocols(), [b"raw"])

    def test_drain(self) -> None:
        """At a stop each is told until when it may be idle."""
        door, _ = self.arrive()
        self.acceptor.drain()
        self.assertEqual(door.told, ["drain until 2"])


class AcceptorTests(WorldTestCase):
    def idle(self, world, address="192.0.2.1"):
        """A client that has been served and keeps its connection."""
        client = world.client(address)
        client.send(GET)
        if world.connects():
            self.backend = world.accept()
        self.backend.send(OK)
        client.take()
        return client

    def busy(self, world, address="192.0.2.1"):
        """A client whose request is being answered."""
        client = world.client(address)
        client.send(GET)
        return client

    def turned_away(self, client):
        return client.take().startswith(b"HTTP/1.1 503") and client.half_closed

    def test_interface(self):
        """It is a protocol factory, silent when started and stopped."""
        acceptor = self.world().acceptor
        verifyObject(IProtocolFactory, acceptor)
        verifyObject(IProtocolNegotiationFactory, acceptor)
        self.assertEqual(acceptor.acceptableProtocols(), [b"http/1.1"])
        away = TurnedAway(b"no", acceptor.deadlines, lambda gone: None)
        verifyObject(IHalfCloseableProtocol, away)
        acceptor.doStart()
        acceptor.doStop()

    def test_total(self):
        """Over the limit of all connections a client gets 503 and a close."""
        world = self.world(census=Census(2, 0))
        clients = [self.busy(world) for _ in range(2)]
        more = world.client()
        self.assertTrue(self.turned_away(more))
        self.assertEqual(world.acceptor.turned_away, 1)
        self.assertEqual(world.acceptor.accepted, 2)
        clients[0].lose()
        self.assertFalse(self.turned_away(world.client()))

    def test_turned_away_in_good_order(self):
        """Who is turned away may send its request first, and has the 503 when it reads."""
        world = self.world(most=1)
        self.busy(world)
        more = world.client()
        more.send(get("/unread"))
        self.assertFalse(more.disconnecting)
        self.assertTrue(self.turned_away(more))
        more.end()
        self.assertTrue(more.closed)

    def test_turned_away_and_silent(self):
        """Who is turned away and does not go is cut, and so few at a time that it costs little."""
        world = self.world(most=1)
        self.busy(world)
        away = [world.client() for _ in range(TURNED_AWAY_MOST)]
        self.assertIsNone(world.acceptor.buildProtocol(None))
        world.pass_time(TURNED_AWAY_SECONDS + 0.2)
        self.assertTrue(all(client.aborted for client in away))
        self.assertTrue(self.turned_away(world.client()))

    def test_turned_away_leave_descriptors(self):
        """Where connections are few, so are those who are told: they take descriptors, too."""
        world = self.world(census=Census(8, 0))
        for _ in range(8):
            self.busy(world)
        for _ in range(6):
            world.client()
        self.assertIsNone(world.acceptor.buildProtocol(None))

    def test_per_listener(self):
        """So it does over the listener's limit."""
        world = self.world(most=1)
        client = self.busy(world)
        self.assertTrue(self.turned_away(world.client()))
        client.lose()
        self.assertFalse(self.turned_away(world.client()))

    def test_per_client(self):
        """Over the limit of one client only that client is turned away."""
        world = self.world(census=Census(0, 1))
        one = self.busy(world, "192.0.2.1")
        self.assertTrue(self.turned_away(world.client("192.0.2.1")))
        two = self.busy(world, "192.0.2.2")
        self.assertFalse(two.disconnecting)
        self.assertEqual(
            world.acceptor.census.clients, {"192.0.2.1": 1, "192.0.2.2": 1}
        )
        one.lose()
        two.lose()
        self.assertEqual(world.acceptor.census.clients, {})

    def test_several_per_client(self):
        """A client's connections are counted up and down."""
        census = Census(0, 2)
        census.enter("a")
        census.enter("a")
        self.assertFalse(census.admit("a"))
        census.leave("a")
        self.assertTrue(census.admit("a"))
        self.assertEqual((census.open, census.clients), (1, {"a": 1}))

    def test_unix_sockets_are_no_client(self):
        """Who comes by a UNIX socket has no address, so no limit of its own."""
        census = Census(3, 1)
        for _ in range(3):
            self.assertTrue(census.admit("unix:"))
            census.enter("unix:")
        self.assertFalse(census.admit("unix:"))

    def test_no_limits(self):
        """Without limits nobody is turned away."""
        world = self.world()
        for _ in range(50):
            self.assertFalse(world.client().disconnecting)

    def test_idle_make_room(self):
        """At the cap the connection that has been idle longest makes room."""
        world = self.world(census=Census(3, 0))
        old = self.idle(world)
        world.pass_time(1.0)
        young = self.idle(world)
        busy = self.busy(world)
        fresh = self.busy(world)
        self.assertFalse(self.turned_away(fresh))
        self.assertTrue(old.disconnecting)
        self.assertFalse(young.disconnecting)
        self.assertFalse(busy.disconnecting)
        self.assertEqual(world.acceptor.shed, 1)
        self.assertEqual(world.acceptor.census.open, 3)

    def test_idle_that_does_not_go(self):
        """One that makes room is closed in good order, and cut when that takes too long."""
        world = self.world(most=1)
        old = self.idle(world)
        old.loseConnection = lambda: None
        self.assertFalse(self.turned_away(self.busy(world)))
        self.assertFalse(old.aborted)
        world.pass_time(CLOSE_SECONDS + 0.2)
        self.assertTrue(old.aborted)

    def test_untaken_answer_makes_no_room(self):
        """Who has yet to take its answer is not idle: the next one makes room, or nobody does."""
        world = self.world(census=Census(2, 0))
        slow = self.idle(world)
        slow.in_kernel = 400_000
        world.pass_time(1.0)
        young = self.idle(world)
        self.assertFalse(self.turned_away(self.busy(world)))
        self.assertTrue(young.disconnecting)
        self.assertTrue(self.turned_away(world.client()))
        self.assertFalse(slow.disconnecting)
        slow.in_kernel = 0
        world.pass_time(LOOK_SECONDS + 0.2)
        self.assertFalse(self.turned_away(world.client()))
        self.assertTrue(slow.disconnecting)
        self.assertFalse(slow.aborted)

    def test_many_idle_make_room(self):
        """Of many idle connections several make room at a time."""
        world = self.world(census=Census(2 * SHED_PART, 0))
        clients = [self.idle(world) for _ in range(2 * SHED_PART)]
        world.client()
        self.assertEqual(sum(c.disconnecting for c in clients), 3)

    def test_one_client_sheds_no_others(self):
        """Who is over his own limit does not cost others their idle connections."""
        world = self.world(census=Census(0, 1))
        idle = self.idle(world, "192.0.2.9")
        self.busy(world, "192.0.2.1")
        self.assertTrue(self.turned_away(world.client("192.0.2.1")))
        self.assertFalse(idle.disconnecting)

    def test_own_idle_make_room(self):
        """His own idle connections do make room."""
        world = self.world(census=Census(0, 1))
        idle = self.idle(world)
        self.assertFalse(self.turned_away(world.client()))
        self.assertTrue(idle.disconnecting)

    def test_draining(self):
        """While draining, a new connection gets one answer."""
        world = self.world()
        world.acceptor.drain()
        client = world.client()
        client.send(get())
        world.accept().send(OK)
        self.assertIn(b"Connection: close\r\n", client.take())
        self.assertTrue(client.closed)
