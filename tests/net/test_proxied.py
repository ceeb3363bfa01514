"""Tests of listeners whose clients are spoken for by a PROXY header."""

from __future__ import annotations

from functools import partial
from ipaddress import ip_network
from typing import Any

from twisted.internet.address import IPv4Address, UNIXAddress
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.domain.access.forwarded import TrustedPeers
from lolly_tx.net.deadlines import NEVER, Deadlines
from lolly_tx.net.sockets.acceptor import Acceptor, Census
from lolly_tx.net.sockets.parting import TurnedAway
from lolly_tx.net.sockets.proxied import QUIET_SECONDS, Expected, Proxied, Screened
from lolly_tx.net.sockets.tls import OneContext, TLSServer
from lolly_tx.net.sockets.tls_ports import secure
from lolly_tx.wire.proxyline import ProxyLine, render_v2
from tests.net.fakes import HalfCloseRecorder
from tests.net.test_tls import TLSTestCase
from tests.proxy.world import Line

V1 = b"PROXY TCP4 192.0.2.77 198.51.100.7 4000 443\r\n"
TOLD = ProxyLine("192.0.2.77", 4000, "198.51.100.7", 443)
V2 = render_v2(TOLD)
LOCAL = render_v2(ProxyLine())
BALANCER = "10.0.0.9"
STRANGER = "192.0.2.1"


class Spoken(HalfCloseRecorder):
    """A door that keeps what it is told."""

    deadline = NEVER
    idle = False

    def __init__(self, acceptor: Acceptor, address: str) -> None:
        super().__init__()
        self.acceptor = acceptor
        self.address = address
        self.peer = self
        self.told: ProxyLine | None = None

    def connectionMade(self) -> None:
        self.acceptor.connected(self)  # type: ignore[arg-type]  # as much as is asked of it

    def connectionLost(self, reason: Any = None) -> None:
        super().connectionLost(reason)
        self.acceptor.lost(self)  # type: ignore[arg-type]


def acceptor_of(
    clock: Any, deadlines: Deadlines, peers: Any, *, total: int = 0, most: int = 0
) -> Acceptor:
    """A listener whose `peers` have 3 s for their header."""
    proxied = Proxied(
        "web", TrustedPeers(peers), seconds=3.0, deadlines=deadlines, most=most
    )
    return Acceptor(
        "web",
        Spoken,
        alpn=[],
        overloaded=lambda transport, data: b"full\n",
        idle_seconds=60.0,
        deadlines=deadlines,
        census=Census(total, 0),
        proxied=proxied,
    )


class ProxiedTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        """A listener that load balancers of 10.0.0.0/8 and of UNIX sockets connect to, at second 0."""
        self.clock = clock = Clock()
        self.deadlines = Deadlines(clock, clock.seconds)
        self.deadlines.start()
        self.addCleanup(self.deadlines.stop)
        self.make()

    def make(self, **limits: int) -> None:
        """Another listener."""
        peers = (ip_network("10.0.0.0/8"), "unix")
        self.acceptor = acceptor_of(self.clock, self.deadlines, peers, **limits)

    @property
    def refused(self) -> dict[str, int]:
        """What was refused, by reason."""
        assert self.acceptor.proxied is not None
        return dict(self.acceptor.proxied.refused)

    def arrive(self, client: str = BALANCER) -> tuple[Any, Line]:
        """Somebody connects."""
        address: Any = IPv4Address("TCP", client, 4000)
        if client == "unix":
            address = UNIXAddress(None)
        proto: Any = self.acceptor.buildProtocol(address)
        line = Line(self.clock)
        line.protocol = proto
        proto.makeConnection(line)
        return proto, line


class ListedTests(ProxiedTestCase):
    def test_both_versions(self) -> None:
        """The client that the header names has the door, and the door what is behind the header."""
        for header in (V1, V2):
            proto, _ = self.arrive()
            self.assertEqual(self.acceptor.accepted, 0)
            proto.dataReceived(header + b"GET / ")
            door = proto.inner
            self.assertEqual((door.address, door.told), ("192.0.2.77", TOLD))
            self.assertEqual(bytes(door.received), b"GET / ")
            proto.dataReceived(b"HTTP/1.1")
            self.assertEqual(bytes(door.received), b"GET / HTTP/1.1")
            self.acceptor.accepted = 0
        self.assertEqual(self.refused, {})

    def test_split_anywhere(self) -> None:
        """It does not matter in which pieces it comes."""
        for header in (V1, V2):
            for at in range(1, len(header)):
                proto, _ = self.arrive()
                proto.dataReceived(header[:at])
                self.assertIsNone(proto.inner)
                proto.dataReceived(header[at:] + b"x")
                self.assertEqual(bytes(proto.inner.received), b"x", at)

    def test_says_nothing(self) -> None:
        """Behind LOCAL or UNKNOWN is the balancer itself."""
        for header in (LOCAL, b"PROXY UNKNOWN\r\n"):
            proto, _ = self.arrive()
            proto.dataReceived(header)
            self.assertEqual((proto.inner.address, proto.inner.told), (BALANCER, None))

    def test_unix(self) -> None:
        """A balancer may come by a UNIX socket."""
        proto, _ = self.arrive("unix")
        proto.dataReceived(V1)
        self.assertEqual(proto.inner.address, "192.0.2.77")

    def test_missing(self) -> None:
        """Whoever has to send one and does not is closed, and counted."""
        _, line = self.arrive()
        line.protocol.dataReceived(b"GET / HTTP/1.1\r\n\r\n")
        self.assertTrue(line.aborted)
        self.assertEqual(line.value(), b"")
        self.assertEqual(self.refused, {"missing": 1})
        line.protocol.dataReceived(b"more that was on its way")
        self.assertEqual(self.acceptor.accepted, 0)

    def test_bad(self) -> None:
        """A bad one is closed with its own reason."""
        for data in (
            b"PROXY x\r\n",
            b"PROXY " + b"x" * 107,
            V2[:13] + b"\xff" + V2[14:],
        ):
            _, line = self.arrive()
            line.protocol.dataReceived(data)
            self.assertTrue(line.aborted)
        self.assertEqual(self.refused, {"malformed": 2, "too_long": 1})

    def test_late(self) -> None:
        """The whole header has 3 s, however it drips."""
        proto, line = self.arrive()
        for byte in V1[:29]:
            self.clock.advance(0.1)
            proto.dataReceived(bytes([byte]))
        self.assertFalse(line.aborted)
        self.clock.pump([0.1] * 3)
        self.assertTrue(line.aborted)
        self.assertEqual(self.refused, {"late": 1})

    def test_time_ends_with_the_header(self) -> None:
        """Behind it the door minds the time."""
        proto, line = self.arrive()
        proto.dataReceived(V1)
        self.clock.pump([0.1] * 60)
        self.assertFalse(line.aborted)

    def test_closed(self) -> None:
        """Closing without a byte is how balancers look whether we listen; within the header it is a refusal."""
        _, line = self.arrive()
        line.lose()
        self.assertEqual(self.refused, {})
        proto, line = self.arrive()
        proto.dataReceived(V1[:5])
        line.lose()
        self.assertEqual(self.refused, {"cut_short": 1})
        assert self.acceptor.proxied is not None
        self.assertEqual(self.acceptor.proxied.waiting, 0)

    def test_half_closed(self) -> None:
        """A balancer that says its last byte too early is closed; later its client's door is told."""
        proto, line = self.arrive()
        proto.readConnectionLost()
        self.assertTrue(line.aborted)
        proto, line = self.arrive()
        proto.dataReceived(V1)
        proto.readConnectionLost()
        proto.writeConnectionLost()
        self.assertEqual(proto.inner.halves, ["read", "write"])
        line.lose()
        self.assertIsNotNone(proto.inner.reason)

    def test_limits_of_clients(self) -> None:
        """The client that is named is told when there are too many, behind the header."""
        self.make(total=1)
        first, _ = self.arrive()
        first.dataReceived(V1)
        second, line = self.arrive()
        second.dataReceived(V2)
        self.assertIsInstance(second.inner, TurnedAway)
        self.assertEqual(line.value(), b"full\n")

    def test_limit_of_waiting(self) -> None:
        """Only so many connections may wait for a header."""
        self.make(most=1)
        first, _ = self.arrive()
        address = IPv4Address("TCP", BALANCER, 4001)
        self.assertIsNone(self.acceptor.buildProtocol(address))
        self.assertEqual(self.refused, {"too_many": 1})
        first.dataReceived(V1)
        self.assertIsNotNone(self.acceptor.buildProtocol(address))

    def test_no_door(self) -> None:
        """A client that is not even told that there are too many is closed."""
        self.make(total=2)
        lines = []
        for _ in range(4):
            proto, line = self.arrive()
            proto.dataReceived(V1)
            lines.append(line.aborted)
        self.assertEqual(lines, [False, False, False, True])


class StrangerTests(ProxiedTestCase):
    def test_served(self) -> None:
        """Anybody else is a client, with a door from the start."""
        proto, _ = self.arrive(STRANGER)
        self.assertEqual(self.acceptor.accepted, 1)
        for piece in (b"P", b"OST", b" /"):
            proto.dataReceived(piece)
        self.assertEqual(bytes(proto.inner.received), b"POST /")
        self.assertEqual(proto.inner.address, STRANGER)

    def test_may_not_send_one(self) -> None:
        """A header of somebody else is closed, whatever it says, and no byte of it is read as a request."""
        for header in (V1, V2, LOCAL):
            for step in (1, len(header)):
                proto, line = self.arrive(STRANGER)
                for at in range(0, len(header), step):
                    if not line.aborted:
                        proto.dataReceived(header[at : at + step])
                self.assertTrue(line.aborted)
                self.assertEqual(bytes(proto.inner.received), b"")
        self.assertEqual(self.refused, {"not_allowed": 6})

    def test_half_closed(self) -> None:
        """Who ends within what could have begun a header has sent a strange request."""
        proto, _ = self.arrive(STRANGER)
        proto.dataReceived(b"PR")
        proto.readConnectionLost()
        self.assertEqual(bytes(proto.inner.received), b"PR")
        self.assertEqual(proto.inner.halves, ["read"])

    def test_no_door(self) -> None:
        """Beyond all limits a stranger is closed as ever."""
        self.make(total=2)
        for _ in range(3):
            self.arrive(STRANGER)
        address = IPv4Address("TCP", STRANGER, 4001)
        self.assertIsNone(self.acceptor.buildProtocol(address))

    def test_said_now_and_then(self) -> None:
        """Thousands of refusals are not thousands of lines, and each line tells how many there were."""
        assert self.acceptor.proxied is not None
        proxied = self.acceptor.proxied
        with capturedLogs() as said:
            for _ in range(3):
                proxied.refuse(STRANGER, "missing", "no PROXY header")
            self.clock.advance(QUIET_SECONDS)
            proxied.refuse(STRANGER, "late", "no")
        self.assertEqual(
            [(e["code"], e["total"]) for e in said], [("missing", 1), ("late", 4)]
        )


def _is_over(transport: Any) -> bool:
    return transport.disconnected or not transport.connected


class AheadOfTLSTests(TLSTestCase):
    """The header is ahead of the handshake, and OpenSSL does not see it."""

    def setUp(self) -> None:
        """A listener on the reactor's time."""
        super().setUp()
        deadlines = Deadlines(self.reactor, self.reactor.seconds)
        peers = (ip_network("10.0.0.0/8"),)
        self.acceptor = acceptor_of(self.reactor, deadlines, peers)

    def raw(self, client: str) -> tuple[Any, Any, Any]:
        """A connection before its first byte."""
        proto = self.acceptor.buildProtocol(IPv4Address("TCP", client, 4000))
        return self.accepted(proto, TLSServer, credentials=OneContext(self.context))

    def shaken(self, client: str, *pieces: bytes) -> Any:
        """The protocol after `pieces` have come one by one, then a handshake and a byte."""
        transport, proto, peer = self.raw(client)
        for piece in pieces:
            peer.sendall(piece)
            self.rounds()
        encrypted = self.client_on(peer)
        self.attempt(encrypted.do_handshake)
        self.send_all(encrypted, b"x")
        self.spin(lambda: proto.inner.received, "the first byte")
        self.assertIs(proto.inner.transport, transport)
        return proto

    def test_listed(self) -> None:
        """The client behind the header has the connection, encrypted."""
        for header in (V1, V2):
            door = self.shaken(BALANCER, header).inner
            self.assertEqual(door.address, "192.0.2.77")
            self.assertEqual(bytes(door.received), b"x")

    def test_in_pieces(self) -> None:
        """A header that comes in pieces is waited for, and costs no turns of the reactor meanwhile."""
        transport, proto, peer = self.raw(BALANCER)
        peer.sendall(V2[:20])
        self.spin(lambda: proto._begun, "the first piece")
        reads: list[int] = []
        whole = transport.doRead

        def counted() -> Any:
            reads.append(1)
            return whole()

        transport.doRead = counted
        self.rounds(20)
        self.assertEqual(reads, [])
        del transport.doRead
        self.assertEqual(
            self.shaken(BALANCER, V2[:3], V2[3:17], V2[17:]).inner.told, TOLD
        )

    def test_stranger(self) -> None:
        """Anybody else shakes hands at once."""
        self.assertEqual(self.shaken(STRANGER).inner.address, STRANGER)

    def test_refused(self) -> None:
        """A handshake without a header, and a header that nobody is to send, are closed."""
        assert self.acceptor.proxied is not None
        for client, data in (
            (BALANCER, b"\x16\x03\x01"),
            (STRANGER, V1),
            (STRANGER, V2),
        ):
            transport, _, peer = self.raw(client)
            peer.sendall(data)
            self.spin(partial(_is_over, transport), "the end")
        self.assertEqual(
            dict(self.acceptor.proxied.refused), {"missing": 1, "not_allowed": 2}
        )

    def test_other_reactors(self) -> None:
        """Where TLS is not on the socket itself, such a listener is refused, not served without the rule."""
        view = secure(MemoryReactorClock(), self.context)
        self.assertRaises(ValueError, view.listenTCP, 0, self.acceptor)

    def test_closed_before(self) -> None:
        """An end ahead of the handshake is an end."""
        transport, _, peer = self.raw(BALANCER)
        peer.close()
        self.spin(lambda: not transport.connected, "the end")


class ReloadTests(ProxiedTestCase):
    def test_other_peers(self) -> None:
        """Other peers count for the connections to come; what was refused is counted on, and who waits goes on."""
        waiting, _ = self.arrive()
        stranger, line = self.arrive(STRANGER)
        stranger.dataReceived(V1)
        before = self.acceptor
        self.make_for(STRANGER)
        after, self.acceptor = self.acceptor, before
        self.acceptor.go_by(after)
        self.assertIsInstance(self.arrive(STRANGER)[0], Expected)
        self.assertIsInstance(self.arrive(BALANCER)[0], Screened)
        waiting.dataReceived(b"GET")
        self.assertEqual(self.refused, {"not_allowed": 1, "missing": 1})

    def test_another_place(self) -> None:
        """A listener that moves to another address counts on as well."""
        stranger, _ = self.arrive(STRANGER)
        stranger.dataReceived(V1)
        before = self.acceptor
        self.make_for(STRANGER)
        self.acceptor.follow(before)
        self.assertEqual(self.refused, {"not_allowed": 1})

    def test_nobody_any_more(self) -> None:
        """Without peers everybody is a client again."""
        before = self.acceptor
        self.make_for(STRANGER)
        self.acceptor.proxied = None
        before.go_by(self.acceptor)
        self.acceptor = before
        self.assertEqual(self.arrive()[0].address, BALANCER)

    def make_for(self, peer: str) -> None:
        """Another listener, for one peer."""
        self.acceptor = acceptor_of(self.clock, self.deadlines, (ip_network(peer),))


class KindsTests(ProxiedTestCase):
    def test_kinds(self) -> None:
        """Listed peers are waited for, others are looked at."""
        self.assertIsInstance(self.arrive()[0], Expected)
        self.assertIsInstance(self.arrive(STRANGER)[0], Screened)
