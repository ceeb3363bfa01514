"""Connectors of sibling processes: two servers in one test, with a line between them in place of a socket pair."""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure

from lolly_tx.net.tunnels.directory import Connectors, ServiceEndpoint
from lolly_tx.net.tunnels.errors import ConnectorAbsent, ServiceRefused, SessionLost
from lolly_tx.net.tunnels.siblings import Hop, Siblings, told_of_connectors
from lolly_tx.wire.tunnel import Offer, Wish
from tests.net.tunnels.pair import Link, Peer, TunnelTestCase


class Joint:
    """A line between two processes."""

    def __init__(self, one: Hop, other: Hop) -> None:
        self.ends = (one, Link()), (other, Link())
        self.cut = False
        for hop, link in self.ends:
            hop.makeConnection(link)

    def carry(self) -> bool:
        """Carry what waits; whether there was anything."""
        if self.cut:
            return False
        (one, at_one), (other, at_other) = self.ends
        moved = False
        for link, protocol in ((at_one, other), (at_other, one)):
            data = link.take()
            if data:
                moved = True
                protocol.dataReceived(data)
        if (at_one.closing or at_other.closing) and not moved:
            self.lose()
            return True
        return moved

    def lose(self) -> None:
        """One of the processes is gone."""
        self.cut = True
        for hop, _ in self.ends:
            hop.connectionLost(Failure(ConnectionLost()))


class SiblingTests(TunnelTestCase):
    """`site`: the process that has the connector, number 2. `connectors`: those of number 1, which has none."""

    def setUp(self) -> None:
        super().setUp()
        self.connectors = Connectors()
        self.renewed: list[str] = []
        self.joints: list[Joint] = []
        self.asking: list[Hop] = []
        self.siblings = Siblings(self.connectors, self.reach, self.renewed.append)
        self.connectors.elsewhere = self.siblings

    def reach(self, process: int) -> Hop | None:
        """Number 2 can be reached."""
        if process != 2:
            return None
        ours = Hop(self.connectors, self.around, opens=True, over=self.siblings.over)
        theirs = Hop(
            self.site.connectors, self.around, opens=False, over=self.asking.remove
        )
        self.asking.append(theirs)
        self.joints.append(Joint(ours, theirs))
        self.lines.append(self.joints[-1])  # type: ignore[arg-type]
        return ours

    def tell(self) -> None:
        """Number 2 says what it has."""
        self.siblings.take(2, told_of_connectors(self.site.connectors))

    def test_absence(self) -> None:
        """A service is at hand while some process has its connector; what a process asks in our place is ours only."""
        heard: list[str] = []
        connectors = self.connectors
        web = ServiceEndpoint("home", "web", connectors=connectors)
        ssh = ServiceEndpoint("home", "ssh", connectors=connectors)
        host = ServiceEndpoint("home", "", "home.example.com", connectors=connectors)
        self.connectors.watchers.append(lambda name: heard.append(web.absence))
        self.assertIn("no connector", web.absence)
        self.dial(offer=Offer(("web",), (Wish("web", "home.example.com"),)))
        self.tell()
        self.tell()  # the same again is no news
        self.assertEqual(heard, [""])
        self.assertEqual(host.absence, "")
        self.assertIn("service ssh", ssh.absence)
        here = ServiceEndpoint("home", "web", here=True, connectors=self.connectors)
        self.assertIn("no connector", here.absence)
        self.assertEqual(self.joints, [])
        self.siblings.gone(2)
        self.assertIn("no connector", heard[-1])

    def test_no_more_streams(self) -> None:
        """A connector that is told to go is not asked for anything, while what goes on there goes on."""
        self.dial()
        self.tell()
        peers, _ = self.ask("web")
        web = ServiceEndpoint("home", "web", connectors=self.connectors)
        self.assertEqual(web.absence, "")
        [joined] = self.site.connectors
        joined.session.drain()
        self.pump()
        self.tell()
        self.assertIn("no connector", web.absence)
        _, failed = self.ask("web")
        self.failureResultOf(failed, ConnectorAbsent)
        self.service.protocols[0].dataReceived(b"still here")
        self.pump()
        self.assertEqual(bytes(peers[0].received), b"still here")

    def ask(self, service: str, published: str | int = "") -> tuple[list[Peer], Any]:
        """Somebody at number 1 connects."""
        made: list[Peer] = []

        def build(_: object) -> Peer:
            made.append(Peer())
            return made[-1]

        factory: Any = Factory()
        factory.buildProtocol = build
        endpoint = ServiceEndpoint(
            "home", service, published, connectors=self.connectors
        )
        waiting = endpoint.connect(factory)
        self.pump()
        return made, waiting

    def opened(self) -> tuple[Peer, Link, Any]:
        """A client at number 1, the link of its service, and the protocol there."""
        made, waiting = self.ask("web")
        self.successResultOf(waiting)
        return made[0], self.service.links[-1], self.service.protocols[-1]

    def test_both_ways(self) -> None:
        """Bytes go both ways, over one connection between the processes for all streams."""
        self.dial()
        self.tell()
        for word in (b"one", b"two"):
            peer, link, service = self.opened()
            peer.transport.write(word)
            self.pump()
            self.assertEqual(link.value(), word)
            service.dataReceived(word * 2)
            self.pump()
            self.assertEqual(bytes(peer.received), word * 2)
        self.assertEqual(len(self.joints), 1)

    def test_published(self) -> None:
        """A host is a service there as well; what is not published, or of nobody, is absent."""
        self.dial()
        [told] = told_of_connectors(self.site.connectors)
        self.siblings.take(2, [{**told, "published": {"home.example.com": "web"}}])
        made, waiting = self.ask("", "home.example.com")
        self.successResultOf(waiting)
        for what in (("", "other.example.com"), ("", 22), ("ssh",)):
            _, waiting = self.ask(*what)
            self.failureResultOf(waiting, ConnectorAbsent)

    def test_ends(self) -> None:
        """Who ends first is heard as an end, and the other side goes on; a reset is one."""
        self.dial()
        self.tell()
        peer, link, service = self.opened()
        peer.transport.write(b"last")
        peer.transport.loseWriteConnection()
        self.pump()
        self.assertEqual((link.value(), link.half_closed), (b"last", True))
        service.dataReceived(b"more")
        self.pump()
        self.assertEqual(bytes(peer.received), b"more")
        service.connectionLost(Failure(ConnectionDone()))
        self.pump()
        self.assertIs(peer.reason, ConnectionDone)
        peer, link, service = self.opened()
        service.connectionLost(Failure(ConnectionLost()))
        self.pump()
        self.assertIs(peer.reason, ConnectionLost)
        self.assertEqual(peer.halves, [])
        peer, link, service = self.opened()
        peer.transport.abortConnection()
        self.pump()
        self.assertTrue(link.aborted)

    def test_slow_reader(self) -> None:
        """Who reads nothing holds up the service at the far end, and nobody else between the processes."""
        self.dial()
        self.tell()
        peer, link, service = self.opened()
        other, _, other_service = self.opened()
        peer.stop()
        link.producerState = "producing"
        for _ in range(200):
            if link.producerState != "producing":
                break
            service.dataReceived(b"x" * 65536)
            self.pump()
        self.assertEqual(link.producerState, "paused")
        for _ in range(40):
            other_service.dataReceived(b"y" * 65536)
            self.pump()
        self.assertEqual(len(other.received), 40 * 65536)

    def test_refused(self) -> None:
        """A service that is down is said to be, and one that is no longer permitted is not reached on old news."""
        self.dial()
        self.tell()
        self.service.fails = ConnectionRefusedError()
        _, waiting = self.ask("web")
        self.failureResultOf(waiting, ServiceRefused)
        self.service.fails = None
        [joined] = self.site.connectors
        joined.services = frozenset()
        _, waiting = self.ask("web")
        self.failureResultOf(waiting, ServiceRefused)

    def test_no_circles(self) -> None:
        """What a sibling asks for is not looked for in a third process."""
        self.dial()
        self.tell()
        self.site.connectors.elsewhere = self.siblings
        [joined] = self.site.connectors
        joined.services = frozenset()
        _, waiting = self.ask("web")
        self.failureResultOf(waiting, ServiceRefused)
        self.assertEqual(len(self.joints), 1)

    def test_process_gone(self) -> None:
        """With a process its streams are lost at once, and what is idle through its connectors let go."""
        self.dial()
        self.tell()
        peer, _, _ = self.opened()
        self.renewed.clear()
        self.siblings.gone(2)
        self.pump()
        self.assertIs(peer.reason, SessionLost)
        self.assertEqual(self.renewed, ["home"])
        self.assertEqual(self.asking, [])
        _, waiting = self.ask("web")
        self.failureResultOf(waiting, ConnectorAbsent)

    def test_line_lost(self) -> None:
        """A connection between processes that breaks costs its streams; the next one makes another."""
        self.dial()
        self.tell()
        peer, _, _ = self.opened()
        self.joints[0].lose()
        self.assertIs(peer.reason, SessionLost)
        peer, _, _ = self.opened()
        self.assertEqual(len(self.joints), 2)

    def test_failing_over(self) -> None:
        """Of connectors in several processes the next is asked when one cannot be reached."""
        self.dial()
        [told] = told_of_connectors(self.site.connectors)
        self.siblings.take(3, [{**told, "streams": 0, "instance": "other"}])
        self.siblings.take(2, [{**told, "streams": 5}])
        self.opened()
        self.siblings.stop()
        self.pump()
        self.assertEqual(self.asking, [])

    def test_own_first(self) -> None:
        """A connector of this process is asked before those of others."""
        self.dial()
        self.tell()
        self.connectors.add(next(iter(self.site.connectors)))
        self.opened()
        self.assertEqual(self.joints, [])

    def test_replaced(self) -> None:
        """A connector that has connected again, to another process, is cut off here; an older one is not news."""
        self.dial()
        [mine] = self.site.connectors
        [told] = told_of_connectors(self.site.connectors)
        there = Siblings(self.site.connectors, lambda _: None, self.renewed.append)
        there.take(1, [{**told, "since": told["since"] - 1}])
        self.assertFalse(mine.session.closed)
        there.take(1, [{**told, "since": told["since"] + 1, "instance": "another"}])
        self.assertFalse(mine.session.closed)
        there.take(1, [{**told, "since": told["since"] + 1}])
        self.assertTrue(mine.session.closed)

    def test_renewed(self) -> None:
        """What is idle is let go when a connector leaves, loses a service, or is gone, and not for any other news."""
        self.dial()
        [told] = told_of_connectors(self.site.connectors)
        self.siblings.take(2, [told])
        self.siblings.take(2, [{**told, "streams": 7}])
        self.assertEqual(self.renewed, [])
        self.siblings.take(2, [{**told, "services": []}])
        self.siblings.take(2, [{**told, "services": [], "leaving": True}])
        self.siblings.take(2, [])
        self.assertEqual(self.renewed, ["home"] * 3)

    def test_changed(self) -> None:
        """That a connector has come or gone is said at once."""
        said: list[int] = []
        connectors = self.site.connectors
        connectors.changed = lambda: said.append(len([*connectors]))
        line = self.dial()
        line.lose()
        self.assertEqual(said, [1, 0])

    def test_lost_while_waiting(self) -> None:
        """Who waits for a stream of a process that ends is told so."""
        self.service.waits = True
        self.dial()
        self.tell()
        _, waiting = self.ask("web")
        self.assertNoResult(waiting)
        self.siblings.gone(2)
        self.failureResultOf(waiting, SessionLost)
