"""What a server grants to connectors, and what of it holds when the settings change."""

from __future__ import annotations

from functools import partial
from typing import Any

import attrs

from lolly_tx.commands.status import _tunnel_lines
from lolly_tx.config.tunnels import Permitted, Tunnel
from lolly_tx.domain.events import Event
from lolly_tx.net.tunnels.directory import ServiceEndpoint
from lolly_tx.net.tunnels.door import TunnelDoor
from lolly_tx.net.tunnels.siblings import told_of_connectors
from lolly_tx.service.metrics.readings import of_tunnels
from lolly_tx.service.tunnels.server import TunnelServer
from lolly_tx.wire.tunnel import BUSY, HandshakeFailed, Offer, Wish
from tests.net.tunnels.pair import SECRET, TunnelTestCase

HOME = Permitted("home", SECRET, ("web", "ssh"), ("home.example.com",), (22,))
DIALING: dict[str, Any] = {
    "state": "waiting",
    "why": "refused",
    "up_seconds": 5.0,
    "streams": 2,
    "refused": {"port 1": "no"},
}
TUNNEL = Tunnel("edge", "tcp:7000", connectors={"home": HOME})


class ServerTests(TunnelTestCase):
    def setUp(self) -> None:
        """A server by its settings, in place of the fake."""
        super().setUp()
        self.renewed: list[str] = []
        self.events: list[Event] = []
        self.server = TunnelServer(
            TUNNEL,
            self.site.connectors,
            self.site.turn,
            self.clock.seconds,
            5.0,
            self.renewed.append,
            self.events.append,
        )
        fake: Any = self.server
        self.site = fake
        self.acceptor._make = partial(TunnelDoor, self.server)

    def change(self, **permitted: Any) -> None:
        """A reload, after which home may have this."""
        home = attrs.evolve(HOME, **permitted)
        self.server.go_by(attrs.evolve(TUNNEL, connectors={"home": home}), 5.0)
        self.pump()

    def test_granted(self) -> None:
        """What is permitted is granted, the rest is refused by its name."""
        wishes = (
            Wish("web", "home.example.com"),
            Wish("web", "home.example.com"),
            Wish("web", "other.example.com"),
            Wish("ssh", port=22),
            Wish("ssh", port=23),
            Wish("db", port=22),
        )
        self.dial(offer=Offer(("web", "ssh", "db"), wishes))
        welcome = self.said[0]
        self.assertEqual(
            welcome.granted,
            ("service web", "service ssh", "host home.example.com", "port 22"),
        )
        self.assertEqual(
            sorted(welcome.refused),
            [
                "host home.example.com",
                "host other.example.com",
                "port 22",
                "port 23",
                "service db",
            ],
        )
        shown = self.server.shown()["home"]
        [one] = shown["connected"]
        self.assertEqual(one["services"], ["ssh", "web"])
        self.assertEqual(one["published"], ["22", "home.example.com"])

    def test_events(self) -> None:
        """That a connector has come and gone are events, with what it was granted and why it went."""
        line = self.dial()
        line.lose()
        told = [(e.pool, e.node, e.fact, e.old, e.new, e.cause) for e in self.events]
        at = "tunnel edge, from unix:: "
        come = ("", "home", "connector", "gone", "connected", at + "service web")
        went = ("", "home", "connector", "connected", "gone", at + "connection lost")
        self.assertEqual(told, [come, went])

    def test_watched(self) -> None:
        """Who asks what can be reached hears of each change of it, once its event is told."""
        endpoint = ServiceEndpoint("home", "web", connectors=self.site.connectors)
        heard: list[tuple[int, str, str]] = []
        self.site.connectors.watchers.append(
            lambda name: heard.append((len(self.events), name, endpoint.absence))
        )
        nobody = 'no connector "home" with service web is connected'
        line = self.dial()
        self.assertEqual(heard, [(1, "home", "")])
        self.change(services=("ssh",))
        self.assertEqual(heard[-1], (1, "home", nobody))
        self.change()
        self.assertEqual(heard[-1], (1, "home", ""))
        line.lose()
        self.assertEqual(heard[-1], (2, "home", nobody))
        self.dial()
        self.server.end()
        self.assertEqual(heard[-1][2], nobody)

    def test_siblings_told(self) -> None:
        """What other processes hear when one has come has its tunnel in it: the supervisor makes the event of that."""
        connectors = self.site.connectors
        heard: list[str] = []
        connectors.changed = lambda: heard.extend(
            one["tunnel"] for one in told_of_connectors(connectors)
        )
        self.dial()
        self.assertEqual(heard, ["edge"])

    def test_certificates(self) -> None:
        """A certificate has to be of the name; where there is no secret there has to be one."""
        self.assertEqual(self.server.secret_of("home", None), SECRET)
        self.assertEqual(self.server.secret_of("home", "home"), SECRET)
        self.assertIsNone(self.server.secret_of("home", "other"))
        self.assertIsNone(self.server.secret_of("other", "other"))
        self.change(secret="")
        self.assertIsNone(self.server.secret_of("home", None))
        self.assertEqual(self.server.secret_of("home", "home"), "")

    def test_withdrawn(self) -> None:
        """A service that is taken away is not to be had any more, by who is connected either."""
        line = self.dial()
        self.joined()
        self.change(services=("ssh",))
        _, waiting = self.connect()
        self.failureResultOf(waiting)
        self.assertEqual(self.renewed, ["home"])
        self.assertFalse(line.cut)
        self.change()
        self.joined()

    def test_let_out(self) -> None:
        """Who is not let in any more gets no new streams; those that go on are let end."""
        for change in ({"secret": "another one of sixteen"}, None):
            line = self.dial()
            peer, _, _ = self.joined()
            if change is None:
                self.server.go_by(attrs.evolve(TUNNEL, connectors={}), 5.0)
            else:
                self.change(**change)
            self.pump()
            _, waiting = self.connect()
            self.failureResultOf(waiting)
            self.wait(1.5)
            self.assertIn("home", self.renewed)
            self.assertIsNone(peer.reason)
            peer.transport.abortConnection()
            self.pump()
            self.assertTrue(line.cut)
            self.change()

    def test_end(self) -> None:
        """A tunnel that is no more lets its streams end."""
        line = self.dial()
        self.server.end()
        self.pump()
        self.assertTrue(line.cut)

    def test_counted(self) -> None:
        """Bytes are counted on when a connector is gone, with why; those who are refused by the word for it."""
        line = self.dial()
        peer, _, service = self.joined()
        peer.transport.write(b"12345")
        service.dataReceived(b"123")
        self.pump()
        for _ in range(2):
            shown = self.server.shown()["home"]
            self.assertEqual((shown["bytes_out"], shown["bytes_in"]), (5, 3))
            if not line.cut:
                line.lose()
        self.assertEqual(shown["lost"], "connection lost")
        self.assertEqual((shown["joined"], shown["connected"]), (1, []))
        for _ in range(3):
            self.server.denied("192.0.2.1", "x", HandshakeFailed(BUSY, "later"))
        self.assertEqual(self.server.counters.denied, {"busy": 3})
        self.assertEqual(self.server._unsaid, 2)

    def test_metrics(self) -> None:
        """The numbers are metrics, and `lolly status` has a line for each connector."""
        self.dial()
        self.joined()
        self.server.denied("192.0.2.1", "x", HandshakeFailed(BUSY, "later"))
        told = {
            "tunnels": {
                "tunnels": {"edge": self.server.shown()},
                "denied": {"edge": self.server.counters.denied},
                "connectors": {"away": [{**DIALING, "state": "up"}, DIALING]},
            }
        }
        text = "".join("".join(lines) for _, lines in of_tunnels(told))
        of = '{tunnel="edge",connector="home"}'
        for line in (
            f"lolly_tunnel_connections{of} 1",
            f"lolly_tunnel_streams{of} 1",
            f"lolly_tunnel_joined_total{of} 1",
            'lolly_tunnel_refusals_total{tunnel="edge",reason="busy"} 1',
            'lolly_connector_up{connector="away"} 1',
        ):
            self.assertIn(line, text)
        self.assertEqual("".join("".join(x) for _, x in of_tunnels({})), "")
        lines = [*_tunnel_lines(told["tunnels"])]
        self.assertIn("tunnel edge: connector home: from a UNIX socket for", lines[0])
        self.assertIn("connector away: up for 5.0 s", lines[1])
        self.assertIn("not permitted: port 1: no", lines[2])
        self.assertEqual(lines[3], "connector away: NOT CONNECTED: refused")
        self.lines[0].lose()
        told["tunnels"]["tunnels"] = {"edge": self.server.shown()}
        [line] = [one for one in _tunnel_lines(told["tunnels"]) if "home" in one]
        self.assertTrue(line.endswith("NOT CONNECTED: connection lost"))

    def test_random(self) -> None:
        """No nonce and no decoy comes twice."""
        self.assertNotEqual(self.server.nonce(), self.server.nonce())
        self.assertEqual(len(self.server.nonce()), 32)
        self.assertNotEqual(self.server.decoy(), self.server.decoy())
