"""Connectors: when they try again, what they keep while they do, and how they end."""

from __future__ import annotations

from random import Random
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionRefusedError
from twisted.python.failure import Failure

from lolly_tx.config import parse
from lolly_tx.config.model import Config
from lolly_tx.config.tunnels import Connector, Publish
from lolly_tx.domain.errors import ConnectFailed
from lolly_tx.service.commons import Commons
from lolly_tx.service.surroundings import Surroundings
from lolly_tx.service.tunnels.connectors import (
    LASTED_SECONDS,
    MOST_SECONDS,
    REFUSED_SECONDS,
    Dialing,
    _target,
    dialings,
)
from lolly_tx.service.tunnels.running import Tunnels
from tests.net.tunnels.pair import SECRET, Line, Link, TunnelTestCase

HOME = Connector(
    "home",
    "tcp:127.0.0.1:7000",
    secret=SECRET,
    services={"web": "tcp:127.0.0.1:80"},
    publish=(Publish("web", "home.example.com"),),
)


class Server:
    """What a connector connects to; `case` has the line then, unless it `fails`."""

    def __init__(self, case: DialingTests) -> None:
        self.case = case
        self.fails = False
        self.waits = False
        self.times: list[float] = []
        self.cancelled = 0

    def connect(self, factory: Any) -> Deferred[Any]:
        """See `IStreamClientEndpoint`."""

        def cancelled(_: object) -> None:
            self.cancelled += 1

        case = self.case
        self.times.append(case.clock.seconds())
        connecting: Deferred[Any] = Deferred(cancelled)
        if self.fails:
            connecting.errback(Failure(ConnectFailed("connection refused")))
        elif not self.waits:
            connection = factory.buildProtocol(None)
            door: Any = case.acceptor.buildProtocol(None)
            line = Line(door, connection)
            case.lines.append(line)
            door.makeConnection(line.at_server)
            connection.makeConnection(line.at_connector)
            connecting.callback(connection)
        return connecting


class DialingTests(TunnelTestCase):
    def setUp(self) -> None:
        """A connector that is not started yet."""
        super().setUp()
        around = Surroundings(self.clock, self.clock.seconds, random=Random(1))
        events: Any = None
        self.commons = Commons(around, self.deadlines, events)
        self.server = Server(self)
        server: Any = self.server
        self.dialing = Dialing(HOME, server, self.services, self.around, self.commons)

    def gaps(self) -> list[float]:
        """The times between tries."""
        times = self.server.times
        return [b - a for a, b in zip(times, times[1:], strict=False)]

    def test_up(self) -> None:
        """It connects within half a second, and shows what it was granted."""
        self.assertEqual(self.dialing.shown()["granted"], [])
        self.dialing.start()
        self.dialing.start()
        self.wait(0.6)
        self.assertEqual(self.dialing.state, "up")
        self.assertEqual(len(self.server.times), 1)
        shown = self.dialing.shown()
        self.assertEqual((shown["granted"], shown["refused"]), (["web"], {}))
        [joined] = self.site.connectors
        self.assertEqual(joined.published, {"home.example.com": "web"})

    def test_back_off(self) -> None:
        """Times between tries grow at random up to 4 s, so that it is back soon after its server is."""
        self.server.fails = True
        self.dialing.start()
        self.wait(60)
        gaps = self.gaps()
        self.assertLessEqual(max(gaps), MOST_SECONDS + 0.2)
        self.assertLessEqual(max(gaps[:2]), 1.2)
        self.assertGreater(len({round(gap, 1) for gap in gaps}), 5)
        self.assertGreater(sum(gaps) / len(gaps), 1.0)
        self.assertEqual(self.dialing.why, "connection refused")
        self.server.fails = False
        self.wait(4.2)
        self.assertEqual((self.dialing.state, self.dialing.why), ("up", ""))

    def test_refused(self) -> None:
        """Where it is not let in it comes less often: that does not heal by itself."""
        self.site.secrets.clear()
        self.dialing.start()
        self.wait(200)
        gaps = self.gaps()
        self.assertGreater(max(gaps), MOST_SECONDS)
        self.assertLessEqual(max(gaps), REFUSED_SECONDS + 0.3)
        self.assertIn("denied", self.dialing.why)

    def test_lost(self) -> None:
        """After a connection that has lasted it is back at once, as if nothing had been."""
        self.server.fails = True
        self.dialing.start()
        self.wait(60)
        self.server.fails = False
        self.wait(LASTED_SECONDS + 8)
        self.assertEqual(self.dialing.state, "up")
        self.lines[-1].lose()
        self.wait(0.6)
        self.assertEqual(self.dialing.state, "up")

    def test_server_leaves(self) -> None:
        """A server that stops is left at once for its successor; what goes on there goes on."""
        self.dialing.start()
        self.wait(0.6)
        peer, _, service = self.joined()
        self.acceptor.drain()
        self.pump()
        self.acceptor.resume()
        self.wait(0.3)
        self.assertEqual(len(self.server.times), 2)
        self.assertEqual(self.dialing.streams, 1)
        service.dataReceived(b"still here")
        self.pump()
        self.assertEqual(bytes(peer.received), b"still here")
        peer.transport.abortConnection()
        self.wait(5)
        self.assertTrue(self.lines[0].cut)
        self.assertEqual(self.dialing.state, "up")
        self.assertFalse(self.lines[1].cut)

    def test_stop(self) -> None:
        """A stop lets what goes on end, and connects no more; an abort cuts it."""
        self.dialing.start()
        self.wait(0.6)
        peer, _, _ = self.joined()
        self.dialing.stop()
        self.wait(10)
        self.assertIsNone(peer.reason)
        self.assertEqual(self.dialing.streams, 1)
        self.dialing.abort()
        self.pump()
        self.assertIsNotNone(peer.reason)
        self.assertEqual(self.dialing.streams, 0)
        self.assertEqual(len(self.server.times), 1)

    def test_stop_early(self) -> None:
        """The same before it has connected, or while it does."""
        self.dialing.start()
        self.dialing.stop()
        self.wait(1)
        self.assertEqual(self.server.times, [])
        self.server.waits = True
        self.dialing.start()
        self.wait(1)
        self.dialing.stop()
        self.wait(10)
        self.assertEqual(self.server.cancelled, 1)
        self.assertEqual(len(self.server.times), 1)

    def test_plain(self) -> None:
        """A server on another machine that is reached without TLS is not told anything."""
        Link.peer_host = "192.0.2.1"
        self.addCleanup(setattr, Link, "peer_host", "127.0.0.1")
        self.dialing.start()
        self.wait(0.6)
        self.assertIn("has no TLS", self.dialing.why)
        self.assertEqual(self.lines[0].at_connector.value(), b"")

    def test_targets(self) -> None:
        """A string "tls:HOST:PORT" is verified as the settings say; all else is what its parser makes."""
        for text, host in (
            ("tls:edge.example.com:7000", "edge.example.com"),
            ("tls:\\:\\:1:7000", "::1"),
        ):
            target = _target(text)
            self.assertEqual(
                (target.scheme, target.host, target.port), ("https", host, 7000)
            )
        self.assertEqual(_target("unix:/run/x").endpoint, "unix:/run/x")

    def test_service_down(self) -> None:
        """What its own services say goes to who asked."""
        self.service.fails = ConnectionRefusedError()
        self.dialing.start()
        self.wait(0.6)
        _, waiting = self.connect()
        self.assertIn("refused", str(self.failureResultOf(waiting).value))


class TunnelsTests(DialingTests):
    def test_reload(self) -> None:
        """A connector whose settings are the same stays; another is made anew, and one that is gone ends."""
        tunnels = Tunnels(
            self.commons, lambda name: None, lambda event: None, lambda name: None
        )
        config = Config("x", connectors={"home": HOME})
        tunnels.prepare(None, config)
        tunnels.commit()
        first = tunnels.connectors["home"]
        tunnels.prepare(config, config)
        tunnels.commit()
        self.assertIs(tunnels.connectors["home"], first)
        tunnels.start()
        other = Connector("home", "tcp:127.0.0.1:7000", secret=SECRET, connections=3)
        tunnels.prepare(config, Config("x", connectors={"home": other}))
        self.assertIs(tunnels.connectors["home"], first)
        tunnels.commit()
        self.assertEqual(first[0].state, "stopped")
        self.assertEqual(len(tunnels.connectors["home"]), 3)
        self.assertEqual(
            [one["state"] for one in tunnels.shown()["connectors"]["home"]],
            ["waiting"] * 3,
        )
        tunnels.prepare(Config("x", connectors={"home": other}), Config("x"))
        tunnels.commit()
        self.assertEqual((tunnels.connectors, tunnels.streams), ({}, 0))
        tunnels.stop()
        tunnels.abort()

    def test_made(self) -> None:
        """The endpoints of a connector are made when it is: what cannot be meant is said then."""
        [one] = dialings(HOME, Config("x"), self.commons)
        self.assertEqual(list(one.services), ["web"])
        text = '[forward.out]\nendpoint = "tcp:3128"\nallow = ["127.0.0.1"]\n'
        home = attrs.evolve(HOME, services={"out": "forward:out"})
        [one] = dialings(home, parse(text), self.commons)
        self.assertIn("127.0.0.1", repr(one.services["out"]))
