"""Streams of a tunnel, from a client at the server to a service at the connector."""

from __future__ import annotations

from twisted.internet.error import (
    ConnectionDone,
    ConnectionLost,
    ConnectionRefusedError,
)
from twisted.python.failure import Failure

from lolly_tx.domain.errors import ConnectFailed
from lolly_tx.net.tunnels.errors import (
    ConnectorAbsent,
    NoRoom,
    ServiceRefused,
    SessionLost,
)
from lolly_tx.net.tunnels.streams import SessionSettings
from lolly_tx.wire.http2 import frames as fr
from lolly_tx.wire.http2_errors import CANCEL
from tests.net.fakes import RecordingProducer
from tests.net.tunnels.pair import TunnelTestCase

BULK = 3 << 20


class StreamTests(TunnelTestCase):
    def test_both_ways(self) -> None:
        """Bytes go to the service and back."""
        self.dial()
        peer, link, service = self.joined()
        peer.transport.write(b"hello")
        self.pump()
        self.assertEqual(link.value(), b"hello")
        service.dataReceived(b"world")
        self.pump()
        self.assertEqual(bytes(peer.received), b"world")

    def test_bulk(self) -> None:
        """Megabytes go through windows of kilobytes, and arrive as they were, each way."""
        self.dial()
        peer, link, service = self.joined()
        data = bytes(range(256)) * (BULK // 256)
        for at in range(0, BULK, 65536):
            peer.transport.write(data[at : at + 65536])
            service.dataReceived(data[at : at + 65536])
            self.pump()
        self.assertEqual(link.value(), data)
        self.assertEqual(bytes(peer.received), data)

    def test_slow_reader(self) -> None:
        """Who reads nothing stops its own sender, holds its window and no more, and holds up nobody else."""
        line = self.dial()
        peer, _, service = self.joined()
        other, other_link, other_service = self.joined()
        peer.stop()
        link = self.service.links[0]
        link.producerState = "producing"
        for _ in range(100):
            if link.producerState != "producing":
                break
            service.dataReceived(b"x" * 65536)
            self.pump()
        self.assertEqual(link.producerState, "paused")
        session = line.door.session
        assert session is not None
        [stream] = [
            one for one in session.streams.open.values() if one.protocol is peer
        ]
        self.assertLessEqual(stream.received, session.given.first_window)
        for _ in range(40):
            other_service.dataReceived(b"y" * 65536)
            self.pump()
        self.assertEqual(len(other.received), 40 * 65536)
        peer.go()
        self.pump()
        self.assertEqual(link.producerState, "producing")
        self.assertGreater(len(peer.received), session.given.first_window)

    def test_memory(self) -> None:
        """However many read nothing, what waits for them is bounded by `memory`."""
        line = self.dial()
        peers = [self.joined() for _ in range(self.settings.streams)]
        for peer, _, service in peers:
            for _ in range(10):  # each is seen to read, so that its window may grow
                service.dataReceived(b"z" * 65536)
                self.pump()
            peer.stop()
        for _, _, service in peers:
            service.dataReceived(b"z" * (1 << 20))
            self.pump()
        session = line.door.session
        assert session is not None
        windows = [one.allowance.size for one in session.streams.open.values()]
        self.assertLessEqual(sum(windows), self.settings.memory)
        held = sum(sum(map(len, one._held)) for one in session.streams.open.values())
        self.assertLessEqual(held, self.settings.memory)
        self.assertGreater(held, 0)

    def test_growth(self) -> None:
        """A stream that is read gets a larger window, and gives it back with its end."""
        line = self.dial()
        peer, _, service = self.joined()
        session = line.door.session
        assert session is not None
        for _ in range(40):
            service.dataReceived(b"x" * 65536)
            self.pump()
        [stream] = session.streams.open.values()
        self.assertGreater(stream.allowance.size, session.given.first_window)
        peer.transport.abortConnection()
        self.pump()
        self.assertEqual(session.streams.granted, 0)

    def test_stuffed(self) -> None:
        """A connector that takes nothing stops who sends to it; nothing more is given to its connection meanwhile."""
        line = self.dial()
        peer, link, _ = self.joined()
        session = line.door.session
        assert session is not None
        session.pauseProducing()
        producer, written = RecordingProducer(), 0
        before = len(line.at_server.value())
        peer.transport.registerProducer(producer, True)
        while not producer.calls and written < 4 << 20:
            peer.transport.write(b"x" * 16384)
            written += 16384
            self.pump()
        self.assertEqual(producer.calls, ["pause"])
        self.assertLessEqual(written, 2 * session.given.first_window)
        self.assertEqual(len(line.at_server.value()), before)
        session.resumeProducing()
        self.pump()
        self.assertEqual(len(link.value()), written)
        self.assertEqual(producer.calls, ["pause", "resume"])

    def test_no_growth(self) -> None:
        """A window that takes many round trips to come is large enough: more would wait on the way, before others."""
        line = self.dial()
        peer, _, service = self.joined()
        session = line.door.session
        assert session is not None
        session.heart.shortest = 0.001
        for _ in range(40):
            self.clock.advance(0.01)
            service.dataReceived(b"x" * 65536)
            self.pump()
        [stream] = session.streams.open.values()
        self.assertEqual(len(peer.received), 40 * 65536)
        self.assertEqual(stream.allowance.size, session.given.first_window)
        session.heart.shortest = 0.1
        for _ in range(40):
            self.clock.advance(0.01)
            service.dataReceived(b"x" * 65536)
            self.pump()
        self.assertGreater(stream.allowance.size, session.given.first_window)

    def test_half_close_by_client(self) -> None:
        """A client that ends its side still gets what the service says then."""
        self.dial()
        peer, link, service = self.joined()
        peer.transport.write(b"question")
        peer.transport.loseWriteConnection()
        self.pump()
        self.assertEqual(link.value(), b"question")
        self.assertTrue(link.half_closed)
        self.assertFalse(link.closing)
        self.assertEqual(peer.halves, ["write"])
        service.dataReceived(b"answer")
        service.readConnectionLost()
        self.pump()
        self.assertEqual(bytes(peer.received), b"answer")
        self.assertEqual(peer.reason, ConnectionDone)
        self.assertTrue(link.closing)

    def test_half_close_by_service(self) -> None:
        """A service that ends its side still gets what the client says then."""
        self.dial()
        peer, link, service = self.joined()
        service.dataReceived(b"banner")
        service.readConnectionLost()
        self.pump()
        self.assertEqual(bytes(peer.received), b"banner")
        self.assertEqual(peer.halves, ["read"])
        peer.transport.write(b"last")
        self.pump()
        self.assertEqual(link.value(), b"last")
        peer.transport.loseConnection()
        self.pump()
        self.assertTrue(link.closing)
        self.assertFalse(link.aborted)
        self.assertEqual(peer.reason, ConnectionDone)

    def test_reset_by_client(self) -> None:
        """A client that is cut off cuts off its service: no truncated transfer looks complete."""
        self.dial()
        peer, link, _ = self.joined()
        peer.transport.write(b"half of it")
        peer.transport.abortConnection()
        self.pump()
        self.assertTrue(link.aborted)
        self.assertIsNotNone(peer.reason)

    def test_reset_by_service(self) -> None:
        """The same the other way round."""
        self.dial()
        peer, _, service = self.joined()
        service.dataReceived(b"half of it")
        service.connectionLost(Failure(ConnectionLost()))
        self.pump()
        self.assertEqual(peer.reason, ConnectionLost)

    def test_close_with_input(self) -> None:
        """A client that closes while its service still speaks has its last words delivered."""
        self.dial()
        peer, link, service = self.joined()
        peer.transport.write(b"bye")
        peer.transport.loseConnection()
        self.pump()
        self.assertEqual(link.value(), b"bye")
        self.assertEqual(peer.reason, ConnectionDone)
        service.dataReceived(b"too late")
        self.pump()
        self.assertEqual(bytes(peer.received), b"")
        self.wait(70)
        for line in self.lines:
            assert line.door.session is not None
            assert line.connection.session is not None
            self.assertEqual(line.door.session.streams.open, {})
            self.assertEqual(line.connection.session.streams.open, {})

    def test_early_data(self) -> None:
        """What is sent while the connector still connects arrives, with its end behind it."""
        self.dial()
        self.service.waits = True
        peer, waiting = self.connect()
        self.assertNoResult(waiting)
        waiting.cancel()
        self.failureResultOf(waiting)
        self.pump()
        self.assertEqual(self.service.cancelled, 1)
        self.assertIsNone(peer.reason)

    def test_refused(self) -> None:
        """A service that is down is a failed connect that says why, and the tunnel goes on."""
        self.dial()
        self.service.fails = ConnectionRefusedError()
        _, waiting = self.connect()
        failure = self.failureResultOf(waiting, ServiceRefused)
        self.assertIn("refused", str(failure.value))
        self.assertTrue(failure.value.blames)
        self.service.fails = None
        self.joined()

    def test_unknown(self) -> None:
        """A service that the connector does not have is refused here."""
        self.dial()
        _, waiting = self.connect("ssh")
        self.failureResultOf(waiting, ConnectorAbsent)
        del self.services["web"]
        _, waiting = self.connect()
        self.assertIn("no such", str(self.failureResultOf(waiting).value))

    def test_nobody(self) -> None:
        """Without a connector nothing is tried, and nobody is blamed."""
        _, waiting = self.connect()
        failure = self.failureResultOf(waiting, ConnectorAbsent)
        self.assertFalse(failure.value.blames)

    def test_cap(self) -> None:
        """At the most of streams one more fails at once, until one of them ends."""
        self.dial()
        peers = [self.joined()[0] for _ in range(self.settings.streams)]
        _, waiting = self.connect()
        self.failureResultOf(waiting, NoRoom)
        peers[0].transport.abortConnection()
        self.pump()
        self.joined()

    def test_several(self) -> None:
        """Two connectors of one name share the streams; when one is cut, its streams are lost and the other serves."""
        first, second = self.dial(), self.dial()
        peers = [self.joined()[0] for _ in range(4)]
        for line in (first, second):
            assert line.door.session is not None
            self.assertEqual(len(line.door.session.streams.open), 2)
        first.lose()
        self.assertEqual([p.reason for p in peers].count(SessionLost), 2)
        for _ in range(4):
            self.joined()
        assert second.door.session is not None
        self.assertEqual(len(second.door.session.streams.open), 6)

    def test_moves_on(self) -> None:
        """A connect that one connector refuses is tried at the other."""
        self.dial()
        down = self.services
        self.services = {"web": self.service}
        self.dial()
        down.clear()
        line = self.lines[0]
        line.connection._owner = type("Owner", (), {"services": {}})()
        for _ in range(4):
            self.joined()

    def test_again(self) -> None:
        """A connector that connects again replaces its old connection at once."""
        first = self.dial()
        self.lines.clear()
        second = self.dial()  # the same number, so the same instance
        self.assertTrue(first.at_server.aborted)
        assert second.door.session is not None
        self.assertEqual(len(self.site.connectors.named("home")), 1)

    def test_producers(self) -> None:
        """A push producer is stopped and told to go on; a pull producer is asked piece by piece."""
        self.dial()
        peer, link, _ = self.joined()
        push = RecordingProducer()
        peer.transport.registerProducer(push, True)
        self.service.protocols[-1].transport.producerState = "producing"
        for _ in range(30):
            peer.transport.write(b"x" * 65536)
        self.assertEqual(push.calls, ["pause"])
        self.pump()
        self.assertEqual(push.calls, ["pause", "resume"])
        peer.transport.unregisterProducer()
        left = [b"1", b"2", b"3"]
        pull = RecordingProducer(
            lambda: peer.transport.write(left.pop(0)) if left else None
        )
        peer.transport.registerProducer(pull, False)
        self.pump()
        self.assertTrue(link.value().endswith(b"123"))
        peer.transport.loseConnection()
        self.pump()
        self.assertIsNone(peer.reason)
        peer.transport.unregisterProducer()
        self.pump()
        self.assertEqual(peer.reason, ConnectionDone)


class SessionTests(TunnelTestCase):
    def test_heartbeat(self) -> None:
        """Silence is asked about after one interval; who answers stays."""
        line = self.dial()
        self.wait(35)
        self.assertFalse(line.cut)
        assert line.door.session is not None
        self.assertIsNotNone(line.door.session.heart.round_trip)

    def test_dead(self) -> None:
        """Who is silent for two intervals is gone, and its streams with it."""
        line = self.dial()
        peer, _, _ = self.joined()
        line.carry = lambda: False  # type: ignore[method-assign]  # a network that swallows all
        self.wait(19)
        self.assertIsNone(peer.reason)
        self.wait(2)
        self.assertEqual(peer.reason, SessionLost)
        self.assertTrue(line.at_server.aborted)
        self.assertIn("no heartbeat", self.site.said[-1])
        self.assertEqual(self.site.connectors.named("home"), [])
        _, waiting = self.connect()
        self.failureResultOf(waiting, ConnectorAbsent)

    def test_drain_by_server(self) -> None:
        """A server that stops takes what goes on to its end, and lets its connector know at once."""
        line = self.dial()
        peer, _, service = self.joined()
        self.acceptor.drain()
        self.pump()
        self.assertEqual(self.said[-1], "leaving")
        self.assertFalse(line.cut)
        late, _, _ = self.joined()  # a client of the server may still need one
        late.transport.abortConnection()
        service.dataReceived(b"last")
        self.pump()
        self.assertEqual(bytes(peer.received), b"last")
        peer.transport.loseConnection()
        service.readConnectionLost()
        self.pump()
        self.assertFalse(line.cut)
        self.wait(4)
        self.assertTrue(line.cut)
        self.assertFalse(line.at_server.aborted)

    def test_drain_by_connector(self) -> None:
        """A connector that leaves gets no new streams, and ends after the last one."""
        line = self.dial()
        peer, _, _ = self.joined()
        line.connection.leave()
        self.pump()
        _, waiting = self.connect()
        self.failureResultOf(waiting, ConnectorAbsent)
        self.assertIsNone(peer.reason)
        peer.transport.abortConnection()
        self.pump()
        self.assertTrue(line.cut)

    def test_broken(self) -> None:
        """A peer that breaks the rules is told so, and cut."""
        for frame in (
            fr.frame(fr.PUSH_PROMISE, 0, 1, b"0000"),
            fr.frame(fr.DATA, 0, 99, b"x"),
            fr.frame(fr.HEADERS, fr.END_HEADERS, 2, b"\x88"),
            fr.frame(fr.HEADERS, fr.END_HEADERS, 1, b"\xff\xff\xff\xff\xff\xff"),
            b"\xff" * 9,
        ):
            line = self.dial()
            line.door.dataReceived(frame)
            self.assertTrue(line.door.session is not None and line.door.session.closed)
            self.assertIn("broken", self.site.said[-1])
            self.pump()

    def test_broken_by_server(self) -> None:
        """The same at the connector; a stream that breaks its rules costs itself only."""
        line = self.dial()
        session = line.connection.session
        assert session is not None
        line.connection.dataReceived(fr.frame(fr.HEADERS, fr.END_HEADERS, 1, b"\x82"))
        self.assertFalse(session.closed)
        self.pump()
        line.connection.dataReceived(fr.frame(fr.HEADERS, fr.END_HEADERS, 1, b"\x82"))
        self.assertTrue(session.closed)
        line = self.dial()
        line.at_connector.clear()

    def test_no_preface(self) -> None:
        """What does not begin as HTTP/2 does is no server of ours."""
        line = self.dial()
        session = line.connection.session
        assert session is not None
        session._preface = fr.PREFACE
        line.connection.dataReceived(b"HTTP/1.1 200 OK\r\n")
        self.assertTrue(session.closed)

    def test_resets_of_the_past(self) -> None:
        """Frames of a stream that is over are the past, and no error."""
        line = self.dial()
        peer, _, _ = self.joined()
        peer.transport.abortConnection()
        self.pump()
        line.door.dataReceived(
            fr.frame(fr.DATA, 0, 1, b"late")
            + fr.rst_stream(1, CANCEL)
            + fr.window_update(1, 5)
        )
        assert line.door.session is not None
        self.assertFalse(line.door.session.closed)


class SettingsTests(TunnelTestCase):
    settings = SessionSettings(heartbeat=10.0, streams=4, memory=1 << 16)

    def test_small(self) -> None:
        """With little memory windows are small, and all goes through them."""
        self.dial()
        peer, _, service = self.joined()
        service.dataReceived(b"x" * 500000)
        self.pump()
        self.assertEqual(len(peer.received), 500000)

    def test_refusals_are_connects(self) -> None:
        """All that a connect through a tunnel may end with is a failed connect, but for a lost tunnel."""
        for kind in (NoRoom, ServiceRefused, ConnectorAbsent):
            self.assertTrue(issubclass(kind, ConnectFailed))
