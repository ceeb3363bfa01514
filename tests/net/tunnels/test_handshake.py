"""The handshake on a connection: what each end does with the other, and in which time."""

from __future__ import annotations

from lolly_tx.net.tunnels.connection import ConnectorConnection, Identity
from lolly_tx.net.tunnels.door import TunnelDoor
from lolly_tx.wire.tunnel import MOST_LINE_BYTES, Offer, Wish
from tests.net.tunnels.pair import SECRET, Link, TunnelTestCase


class HandshakeTests(TunnelTestCase):
    def test_joined(self) -> None:
        """Both ends are told, and the connector of what it was granted."""
        line = self.dial(offer=Offer(("web",), (Wish("web", "home.example.com"),)))
        self.assertEqual(self.site.said, ["joined"])
        self.assertEqual(self.said[0].granted, ("web",))
        [joined] = self.site.connectors
        self.assertEqual(joined.published, {"home.example.com": "web"})
        line.lose()
        self.assertEqual(self.said[-1], "connection lost")
        self.assertEqual([*self.site.connectors], [])

    def test_denied(self) -> None:
        """A wrong secret is told, with when to come again, and the connection is closed."""
        line = self.dial(secret="not the one it is")
        self.assertTrue(line.at_server.closing)
        self.assertIn("denied: name, secret or certificate", self.said[-1])
        self.assertIn("home: denied", self.site.said[-1])
        self.assertNotIn(SECRET, repr(self.site.said))
        self.assertEqual(len(self.acceptor.doors), 0)

    def test_silent(self) -> None:
        """Who says nothing is cut after a while; nothing was kept for it."""
        door, link = self.acceptor.buildProtocol(None), Link()
        assert door is not None
        door.makeConnection(link)
        self.wait(6)
        self.assertTrue(link.aborted)
        self.assertIn("no handshake in time", self.site.said[-1])

    def test_silent_server(self) -> None:
        """A connector does not wait for ever either."""
        other = self.dial_alone()
        self.wait(11)
        self.assertTrue(other.aborted)
        self.assertEqual(self.said[-1], "no handshake in time")

    def dial_alone(self) -> Link:
        """A connector whose server says nothing."""
        connection = ConnectorConnection(
            self, Identity("home", SECRET, "i"), Offer(()), b"n" * 32, self.around
        )
        link = Link()
        self.last = connection
        connection.makeConnection(link)
        return link

    def test_nonsense(self) -> None:
        """What is no connector is told so, and closed; what it still sends is not looked at."""
        door, link = self.acceptor.buildProtocol(None), Link()
        assert door is not None
        door.makeConnection(link)
        door.dataReceived(b"GET / HTTP/1.1\r\n\r\n")
        self.assertIn(b'"error":"malformed"', link.value())
        door.dataReceived(b"x" * MOST_LINE_BYTES * 2)
        self.assertTrue(link.closing)

    def test_full(self) -> None:
        """Beyond the limit a connector is told to come again."""
        self.acceptor.most = 1
        self.dial()
        line = self.dial()
        self.assertIn("busy: too many connections", self.said[-1])
        self.assertTrue(line.at_connector.closing)

    def test_stopping(self) -> None:
        """A server that stops takes nobody new."""
        self.acceptor.draining = True
        self.dial()
        self.assertIn("busy: the server stops", self.said[-1])

    def test_shut(self) -> None:
        """A stop that does not wait cuts, with a session and without one."""
        line = self.dial()
        line.door.shut()
        self.assertTrue(line.at_server.aborted)
        self.assertIn("the server stops", self.site.said[-1])
        door, link = TunnelDoor(self.site, self.acceptor, ""), Link()
        door.makeConnection(link)
        door.shut()
        self.assertTrue(link.aborted)

    def test_leave_early(self) -> None:
        """A connector that is told to go within its handshake goes."""
        link = self.dial_alone()
        self.assertFalse(link.aborted)
        line = self.dial()
        line.connection.abort()
        self.pump()
        self.assertTrue(line.cut)

    def test_replayed(self) -> None:
        """What a connector has said is worth nothing the next time, nor what the server has said to its other side."""
        line = self.dial()
        said = line.at_connector.value()
        door, link = self.acceptor.buildProtocol(None), Link()
        assert door is not None
        door.makeConnection(link)
        door.dataReceived(said)
        self.assertTrue(link.closing)
        self.assertIn(b'"error":"denied"', link.value())
        self.assertIn("home: denied", self.site.said[-1])
        other = self.dial_alone()
        self.assertNotEqual(other.value(), said)
        connection = self.last
        connection.dataReceived(line.at_server.value())
        self.assertTrue(other.aborted)
        self.assertIn("denied", self.said[-1])
        self.assertEqual(len([*self.site.connectors]), 1)

    def test_dribbled(self) -> None:
        """A handshake that comes byte by byte is one; one that takes for ever is not."""
        door, link = self.acceptor.buildProtocol(None), Link()
        assert door is not None
        door.makeConnection(link)
        for _ in range(200):
            door.dataReceived(b'{"lolly":1,' + b" ")
            self.wait(0.1)
        self.assertTrue(link.aborted)
        self.assertIn("silent", self.site.said[-1])
        line = self.dial()
        said = line.at_connector.value()
        hello = said[: said.index(b"\n") + 1]
        door, link = self.acceptor.buildProtocol(None), Link()
        assert door is not None
        door.makeConnection(link)
        for byte in hello:
            door.dataReceived(bytes([byte]))
        self.assertIn(b'"nonce"', link.value())

    def test_guessed(self) -> None:
        """A thousand wrong secrets are a thousand refusals; nothing is kept of them, and the right one still does."""
        for number in range(1000):
            line = self.dial(secret=f"not the right one {number}")
            self.lines.remove(line)
            self.assertIn("denied", self.said[-1])
        self.assertEqual(len(self.site.said), 1000)
        self.assertEqual(len(self.acceptor.doors), 0)
        self.assertEqual([*self.site.connectors], [])
        self.dial()
        self.assertEqual(self.site.said[-1], "joined")
