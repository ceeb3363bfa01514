"""WebSockets as connections, both ends without sockets."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import clientFromString, serverFromString
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.domain.errors import ConnectFailed
from lolly_tx.net.websockets.bridge import (
    CLOSING_SECONDS,
    OPENING_SECONDS,
    ClientBridge,
    ServerBridges,
)
from lolly_tx.net.websockets.endpoints import WebSocketClientEndpoint
from lolly_tx.wire.websocket_messages import CLOSE, PING, close, frame
from tests.net.fakes import Recorder, RecordingProducer
from tests.net.tunnels.pair import Link, Peer


class BridgeTests(SynchronousTestCase):
    def setUp(self) -> None:
        """A client and a server that are connected, but have not spoken."""
        self.clock = Clock()
        self.near, self.far = Peer(), Peer()
        self.start(self.near, self.far)

    def start(self, near: Any, far: Any, path: str = "/x") -> None:
        self.links = Link(), Link()
        bridges = ServerBridges(self.clock, self.factory(far), "/x", ())
        self.server = bridges.buildProtocol(None)
        self.client = ClientBridge(self.clock, "a:80", path, self.factory(near))
        self.server.makeConnection(self.links[1])
        self.client.makeConnection(self.links[0])

    def factory(self, protocol: Any) -> Any:
        factory: Any = Factory()
        factory.buildProtocol = lambda _: protocol
        return factory

    def pump(self) -> None:
        """Carry until nothing is on its way, and end what both or one have ended."""
        ends: Any = ((self.links[0], self.server), (self.links[1], self.client))
        moved = True
        while moved:
            moved = False
            for link, other in ends:
                data = link.take()
                if data:
                    moved = True
                    other.dataReceived(data)
        if any(link.closing for link in self.links):
            aborted = any(link.aborted for link in self.links)
            for bridge in (self.server, self.client):
                bridge.connectionLost(
                    Failure(ConnectionLost() if aborted else ConnectionDone())
                )

    def test_both_ways(self) -> None:
        """Bytes go both ways, in messages, masked from the client; a question is answered."""
        self.pump()
        self.assertIs(self.successResultOf(self.client.ready), self.near)
        self.near.transport.write(b"x" * 200000)
        self.far.transport.writeSequence([b"y", b"z"])
        self.pump()
        self.assertEqual(len(self.far.received), 200000)
        self.assertEqual(bytes(self.near.received), b"yz")
        self.server.dataReceived(frame(PING, b"?", b"1234"))
        self.assertTrue(self.links[1].value().endswith(b"\x8a\x01?"))

    def test_half_close(self) -> None:
        """Between two bridges an end passes one way, and the other goes on."""
        self.pump()
        self.near.transport.write(b"question")
        self.near.transport.loseWriteConnection()
        self.pump()
        self.assertEqual((self.far.halves, self.near.halves), (["read"], ["write"]))
        self.far.transport.write(b"answer")
        self.far.transport.loseConnection()
        self.pump()
        self.assertEqual(bytes(self.near.received), b"answer")
        self.assertEqual((self.near.reason, self.far.reason), (ConnectionDone,) * 2)

    def test_no_half_close(self) -> None:
        """Who knows no half-close closes then."""
        far = Recorder()
        self.clock = Clock()
        self.start(self.near, far)
        self.pump()
        self.near.transport.loseConnection()
        self.near.transport.loseConnection()
        self.pump()
        self.assertEqual((far.reason, self.near.reason), (ConnectionDone,) * 2)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_cut(self) -> None:
        """A connection that ends without a Close was cut, whatever is below it says."""
        self.pump()
        self.server.readConnectionLost()
        self.assertTrue(self.links[1].aborted)
        self.client.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.near.reason, ConnectionLost)

    def test_abort(self) -> None:
        """A reset is a reset."""
        self.pump()
        self.far.transport.abortConnection()
        self.pump()
        self.assertEqual((self.near.reason, self.far.reason), (ConnectionLost,) * 2)

    def test_silent_close(self) -> None:
        """Who does not answer a Close is cut."""
        self.pump()
        self.near.transport.loseConnection()
        self.clock.advance(CLOSING_SECONDS)
        self.assertTrue(self.links[0].aborted)

    def test_refused(self) -> None:
        """What the server does not serve is a failed connect."""
        self.start(self.near, self.far, path="/y")
        self.pump()
        failure = self.failureResultOf(self.client.ready, ConnectFailed)
        self.assertIn("404", str(failure.value))
        self.assertIsNone(self.far.transport)

    def test_silent(self) -> None:
        """Neither side waits for ever for the handshake."""
        self.clock.advance(OPENING_SECONDS)
        self.assertTrue(all(link.aborted for link in self.links))
        for bridge in (self.server, self.client):
            bridge.connectionLost(Failure(ConnectionLost()))
        self.failureResultOf(self.client.ready, ConnectFailed)

    def test_bad_frame(self) -> None:
        """Who breaks the rules is told, and cut."""
        self.pump()
        self.server.dataReceived(b"\x82\x00")
        self.assertTrue(self.links[1].aborted)
        self.assertTrue(self.links[1].value().endswith(b"\x88\x02\x03\xea"))

    def test_bad_close(self) -> None:
        """A Close that breaks the rules, or says that something went wrong, is a reset; others are an end."""
        for payload, code in (
            (b"\x03", 1002),
            (b"\x00\x00", 1002),
            (b"\x03\xed", 1002),
            (b"\x0b\xb7", 1002),
            (b"\x03\xe8\xff", 1007),
            (b"\x03\xf3down", 1011),
        ):
            self.start(Peer(), Peer())
            self.pump()
            self.server.dataReceived(frame(CLOSE, payload, b"abcd"))
            self.assertTrue(self.links[1].aborted, payload)
            self.assertIn(frame(CLOSE, close(code)), self.links[1].value())
        for payload in (b"", b"\x03\xe8", b"\x03\xe9bye", b"\x0f\xa0"):
            self.start(Peer(), Peer())
            self.pump()
            self.server.dataReceived(frame(CLOSE, payload, b"abcd"))
            self.assertFalse(self.links[1].aborted, payload)

    def test_back_pressure(self) -> None:
        """Producers are those of the connection below; reading is, too."""
        self.pump()
        producer = RecordingProducer()
        self.near.transport.registerProducer(producer, True)
        self.assertIs(self.links[0].producer, producer)
        self.near.transport.unregisterProducer()
        self.near.stop()
        self.assertEqual(self.links[0].producerState, "paused")
        self.near.go()
        self.assertEqual(self.links[0].producerState, "producing")
        self.near.transport.stopProducing()
        self.assertIn(frame(CLOSE, b"\x03\xe8")[:1], self.links[0].value()[-12:])


class EndpointTests(SynchronousTestCase):
    def test_strings(self) -> None:
        """Endpoint strings of both sides are made by their plug-ins, and wrong ones refused."""
        reactor: Any = MemoryReactorClock()
        server: Any = serverFromString(reactor, "ws:8090:interface=127.0.0.1:path=/x")
        self.assertEqual(server.path, "/x")
        self.successResultOf(server.listen(Factory.forProtocol(Recorder)))
        self.assertEqual(reactor.tcpServers[0][0], 8090)
        client: Any = clientFromString(reactor, "ws:127.0.0.1:8090:path=/x")
        self.assertIsInstance(client, WebSocketClientEndpoint)
        self.assertEqual((client.host, client.path), ("127.0.0.1:8090", "/x"))
        self.assertEqual(
            clientFromString(reactor, "wss:example.com:443").host,
            "example.com:443",
        )
        for text in ("ws:a:b", "ws:a:1:path=x", "ws:a:1:path=/ x"):
            self.assertRaises(ValueError, clientFromString, reactor, text)
        self.assertRaises(ValueError, serverFromString, reactor, "ws:x")

    def test_connect(self) -> None:
        """A connect that fails below fails."""
        below: Any = type("Below", (), {})()
        made: Deferred[Any] = Deferred()
        below.connect = lambda _: made
        endpoint = WebSocketClientEndpoint(Clock(), below, "a")
        waiting = endpoint.connect(Factory.forProtocol(Recorder))
        made.errback(Failure(ConnectFailed("refused")))
        self.failureResultOf(waiting, ConnectFailed)
