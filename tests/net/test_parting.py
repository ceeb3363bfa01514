"""Tests of how a client's connection ends when it is still sending: TLS, with real sockets.

Without encryption the same rules are tested in `test_server` and `test_acceptor`.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock, StringTransport

from lolly_tx.net.deadlines import Deadlines
from lolly_tx.net.http1.listening import OVERLOADED
from lolly_tx.net.http1.shared import Http1Settings
from lolly_tx.net.http2.listening import OVERLOADED_HTTP2, http_acceptor
from lolly_tx.net.http2.shared import Http2Settings
from lolly_tx.net.sockets.acceptor import Census
from lolly_tx.net.sockets.parting import end_writing
from lolly_tx.net.sockets.tls import OneContext, TLSServer
from lolly_tx.net.sockets.tls_contexts import server_context
from lolly_tx.net.sockets.tls_names import ALPN_HTTP1, ALPN_HTTP2
from lolly_tx.net.sockets.tls_ports import secure
from lolly_tx.wire.http2 import frames as fr
from lolly_tx.wire.websocket import GOING_AWAY
from tests.net.fakes import MemoryTransport, RecordingFactory, RecordingProducer
from tests.net.test_tls import MUCH, NAME, TLSTestCase
from tests.net.test_tunnel import AGREED, ASK
from tests.proxy.world import Line, World


def frames_of(data: bytes) -> list[tuple[int, int, bytes]]:
    """Kind, stream, and what is said in each frame; of a GOAWAY the debug data."""
    found = []
    while data:
        end = 9 + int.from_bytes(data[:3])
        payload = data[9:end]
        said = payload[8:] if data[3] == fr.GOAWAY else payload
        found.append((data[3], int.from_bytes(data[5:9]), said))
        data = data[end:]
    return found


class PartingTests(TLSTestCase):
    """Answers to clients that are still sending, and the ends that follow them."""

    def door(self, most: int = 0, http2: Any = None, tls: bool = True) -> Any:
        """A door that answers any request with 413 before its end; with `most` = 1, a full listener."""
        clock = Clock()

        class Full:
            """Refuses everybody."""

            def open_exchange(self, door: Any, head: Any, start: Any) -> None:
                door.answer(413, b"No", b"\r\nContent-Length: 2\r\n\r\n", b"no")

            refused = introduce = open_exchange

        acceptor = http_acceptor(
            "web",
            Full(),  # type: ignore[arg-type]  # a Site as far as it is used
            secure=tls,
            http2=http2,
            deadlines=Deadlines(clock, clock.seconds),
            census=Census(0, 0),
            settings=Http1Settings(),
            most=most,
        )
        if most:
            taken: Any = acceptor.buildProtocol(None)
            taken.makeConnection(MemoryTransport())
        return acceptor.buildProtocol(None)

    def test_early_answer(self) -> None:
        """A TLS client that sends all before it reads finds the answer, and a close_notify."""
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            self.early_answer(version)

    def early_answer(self, version: ssl.TLSVersion) -> None:
        """One client, with this version of TLS at most."""
        _, door, client = self.tls_pair(self.door(), maximum_version=version)
        head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3145728\r\n\r\n"
        self.send_all(client, head)
        self.send_all(client, MUCH)
        got = self.attempt(lambda: client.recv(1 << 18))
        self.assertIn(b"HTTP/1.1 413", got)
        self.assertTrue(got.endswith(b"no"))
        self.assertEqual(self.attempt(lambda: client.recv(1)), b"")
        self.attempt(client.unwrap)
        self.spin(lambda: not door.acceptor.doors)

    def test_turned_away(self) -> None:
        """At the cap a TLS client gets its handshake, the 503 and a close_notify."""
        transport, _, client = self.tls_pair(self.door(most=1), shake=False)
        self.attempt(client.do_handshake)
        self.send_all(client, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        got = self.receive(client, len(OVERLOADED))
        self.assertEqual(got, OVERLOADED)
        self.assertEqual(self.attempt(lambda: client.recv(1)), b"")
        self.attempt(client.unwrap)
        self.spin(lambda: not transport.connected)

    def test_turned_away_in_http2(self) -> None:
        """Where HTTP/2 is spoken they are told in what they speak: GOAWAY, or the 503, when they have begun."""
        calm = [(fr.SETTINGS, 0, b""), (fr.GOAWAY, 0, b"too many connections")]
        for protocols, first in (
            (["h2"], fr.PREFACE),
            (["http/1.1"], b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
        ):
            door = self.door(most=1, http2=Http2Settings())
            _, _, raw = self.accepted(
                door,
                TLSServer,
                send_buffer=65536,
                credentials=OneContext(
                    server_context(
                        self.folder / "site.pem", alpn=(ALPN_HTTP2, ALPN_HTTP1)
                    )
                ),
            )
            client = self.client_on(raw, set_alpn_protocols=protocols)
            self.attempt(client.do_handshake)
            self.send_all(client, first)
            if protocols == ["h2"]:
                got = self.receive(client, len(OVERLOADED_HTTP2))
                self.assertEqual(frames_of(got), calm)
                self.assertEqual(got[9 + 13 : 9 + 17], b"\0\0\0\x0b")
            else:
                got = self.receive(client, len(OVERLOADED))
                self.assertEqual(got, OVERLOADED)
            self.assertEqual(self.attempt(partial(client.recv, 1)), b"")
            self.attempt(client.unwrap)
            self.spin(partial(self.is_closed, door))

    def is_closed(self, door: Any) -> bool:
        """Whether its connection is."""
        return not door.transport.connected

    def test_turned_away_without_tls(self) -> None:
        """With prior knowledge it is the preface that says so; who says nothing is closed in the end."""
        for first, told in (
            (fr.PREFACE[:10], OVERLOADED_HTTP2),
            (b"POST /", OVERLOADED),
        ):
            away, line = self.turned_away()
            self.assertEqual(line.take(), b"")
            away.dataReceived(first)
            away.dataReceived(b"more")
            self.assertEqual(line.take(), told)
            self.assertTrue(line.half_closed)
        away, silent = self.turned_away()
        away.expired(10.0)
        self.assertTrue(silent.aborted)

    def turned_away(self) -> tuple[Any, Line]:
        """A client beyond the limits of a listener without TLS."""
        away = self.door(most=1, http2=Http2Settings(), tls=False)
        line = Line(Clock())
        away.makeConnection(line)
        return away, line

    def test_half_closed_tunnel(self) -> None:
        """A backend's end is a close_notify for the client, which may go on sending."""
        world = World(secure=True)
        _, door, client = self.tls_pair(world.acceptor.buildProtocol(None))
        self.send_all(client, ASK)
        self.spin(world.connects)
        backend = world.accept()
        backend.send(AGREED)
        self.assertIn(b" 101 ", self.attempt(lambda: client.recv(1 << 16)))
        backend.take()
        backend.end()
        self.assertEqual(self.attempt(lambda: client.recv(1)), b"")
        self.send_all(client, b"more")
        self.spin(lambda: backend.value() == b"more")
        self.assertEqual(world.ended, [])
        self.attempt(client.unwrap)
        self.spin(lambda: not world.acceptor.doors)
        self.assertEqual([e.bytes_in for e in world.ended], [4])
        self.assertTrue(backend.closed)
        world.deadlines.stop()

    def test_going_away(self) -> None:
        """At a stop a client with TLS gets the Close, and after its own a close_notify."""
        world = World(secure=True)
        _, _, client = self.tls_pair(world.acceptor.buildProtocol(None))
        self.send_all(client, ASK)
        self.spin(world.connects)
        backend = world.accept()
        backend.send(AGREED)
        self.attempt(lambda: client.recv(1 << 16))
        world.acceptor.drain()
        self.assertEqual(self.receive(client, len(GOING_AWAY)), GOING_AWAY)
        backend.end()
        self.assertEqual(self.attempt(lambda: client.recv(1)), b"")
        self.attempt(client.unwrap)
        self.spin(lambda: not world.acceptor.doors)
        world.deadlines.stop()

    def test_foreign_tls(self) -> None:
        """Twisted's own TLS says goodbye as well, and reads on: a half-close would bypass it."""
        reactor = MemoryReactorClock()
        factory = RecordingFactory()
        secure(reactor, self.context).listenTCP(8443, factory)
        wire = StringTransport()
        listener: Any = reactor.tcpServers[0][1]
        server = listener.buildProtocol(None)
        server.makeConnection(wire)
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        context = ssl.create_default_context(cafile=str(self.folder / "ca.pem"))
        client = context.wrap_bio(incoming, outgoing, server_hostname=NAME)

        def pump(call: Callable[[], Any]) -> Any:
            """The result of a call of the client, once the bytes it needs have gone round."""
            for _ in range(5):
                try:
                    return call()
                except ssl.SSLWantReadError:
                    server.dataReceived(outgoing.read())
                    incoming.write(wire.value())
                    wire.clear()
            return self.fail("waited in vain")

        pump(client.do_handshake)
        client.write(b"early")
        server.dataReceived(outgoing.read())
        server.registerProducer(RecordingProducer(), True)
        server.write(b"answer")
        end_writing(server)
        client.write(b"late")
        self.assertEqual(pump(lambda: client.read(100)), b"answer")
        self.assertEqual(pump(lambda: client.read(100)), b"")
        self.assertEqual(factory.served[0].received, b"earlylate")
