"""Tests of lolly_tx.net.sockets.tls and tls_contexts: the handshake, records and their ends."""

from __future__ import annotations

import functools
import os
import shutil
import socket
import ssl
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, cast

import trustme
import twisted.protocols.tls
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from OpenSSL import SSL
from twisted.internet import error, protocol
from twisted.internet.endpoints import (
    TCP4ClientEndpoint,
    serverFromString,
    wrapClientTLS,
)
from twisted.internet.interfaces import (
    IOpenSSLClientConnectionCreator,
    ISSLTransport,
    IStreamServerEndpoint,
)
from twisted.internet.ssl import PrivateCertificate
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import LogLevel, globalLogPublisher
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from lolly_tx.net.deadlines import Deadlines
from lolly_tx.net.sockets.eager import eager
from lolly_tx.net.sockets.handshakes import Handshakes
from lolly_tx.net.sockets.records import RECORD_BYTES
from lolly_tx.net.sockets.target_tls import client_options
from lolly_tx.net.sockets.tls import (
    OneContext,
    TLSServer,
    TLSUNIXServer,
)
from lolly_tx.net.sockets.tls_contexts import server_context
from lolly_tx.net.sockets.tls_names import TLSSettingsError
from lolly_tx.net.sockets.tls_ports import TLSServerEndpoint, listen_tls, secure
from lolly_tx.net.sockets.transports import PlainClient, is_secure
from tests.net.fakes import (
    HalfCloseRecorder,
    Recorder,
    RecordingFactory,
    RecordingProducer,
    SteppingTestCase,
    reset,
)
from tests.proxy.world import World

MUCH = os.urandom(3 << 20)
NAME = "site.test"


class TLSTestCase(SteppingTestCase):
    """Certificates of an authority of our own, and clients that do not block."""

    folder: ClassVar[Path]
    authority: ClassVar[trustme.CA]
    context: ClassVar[SSL.Context]

    @classmethod
    def setUpClass(cls) -> None:
        """Make the certificates."""
        cls.folder = Path(tempfile.mkdtemp())
        cls.authority = trustme.CA()
        issued = cls.authority.issue_cert(NAME, "127.0.0.1")
        issued.private_key_and_cert_chain_pem.write_to_path(cls.folder / "site.pem")
        cls.authority.cert_pem.write_to_path(cls.folder / "ca.pem")
        cls.context = server_context(cls.folder / "site.pem")

    @classmethod
    def tearDownClass(cls) -> None:
        """Remove them."""
        shutil.rmtree(cls.folder)

    def tls_pair(
        self, proto: Any = None, shake: bool = True, **settings: Any
    ) -> tuple[Any, Any, ssl.SSLSocket]:
        """A TLSServer, its protocol, and a client in Python's own TLS."""
        transport, proto, raw = self.accepted(
            proto, TLSServer, send_buffer=65536, credentials=OneContext(self.context)
        )
        client = self.client_on(raw, **settings)
        if shake:
            self.attempt(client.do_handshake)
            self.spin(lambda: not transport._handshaking)
        return transport, proto, client

    def client_on(self, raw: socket.socket, **settings: Any) -> ssl.SSLSocket:
        """A client in Python's own TLS on a connected socket."""
        context = ssl.create_default_context(cafile=str(self.folder / "ca.pem"))
        for name, value in settings.items():
            if callable(getattr(context, name)):
                getattr(context, name)(value)
            else:
                setattr(context, name, value)
        raw.setblocking(False)
        client = context.wrap_socket(
            raw,
            server_hostname=NAME,
            do_handshake_on_connect=False,
            suppress_ragged_eofs=False,
        )
        self.addCleanup(client.close)
        return client

    def attempt(self, call: Callable[[], Any]) -> Any:
        """The result of a non-blocking call of the client, made until it has one."""
        results: list[Any] = []

        def step() -> bool:
            try:
                results.append(call())
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return False
            return True

        self.spin(step, str(call))
        return results[0]

    def send_all(self, client: ssl.SSLSocket, data: bytes) -> None:
        """Send all of `data`."""
        sent = 0
        while sent < len(data):
            part = data[sent : sent + 65536]
            sent += self.attempt(functools.partial(client.send, part))

    def receive(self, client: ssl.SSLSocket, size: int) -> bytes:
        """Receive exactly `size` bytes."""
        got = bytearray()
        while len(got) < size:
            data = self.attempt(lambda: client.recv(1 << 18))
            self.assertTrue(data, "the server closed")
            got += data
        return bytes(got)


class ConversationTests(TLSTestCase):
    """Bytes to and fro."""

    def test_both_versions(self) -> None:
        """TLS 1.2 and 1.3 clients are served."""
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            transport, proto, client = self.tls_pair(maximum_version=version)
            self.send_all(client, b"ask")
            self.spin(functools.partial(proto.received.startswith, b"ask"))
            transport.write(b"answer")
            self.assertEqual(self.receive(client, 6), b"answer")
            self.assertNotIn(transport, self.reactor.getWriters())

    def test_what_it_is(self) -> None:
        """The transport says that it is encrypted and what was negotiated."""
        transport, _, client = self.tls_pair(set_alpn_protocols=["h2", "http/1.1"])
        self.assertTrue(transport.secure and is_secure(transport))
        self.assertTrue(ISSLTransport.providedBy(transport))
        self.assertIsNone(transport.getPeerCertificate())
        self.assertEqual(transport.negotiatedProtocol, b"http/1.1")
        self.assertEqual(client.selected_alpn_protocol(), "http/1.1")
        self.assertIsInstance(transport.getHandle(), SSL.Connection)

    def test_no_common_protocol(self) -> None:
        """A client that offers only what we lack is served without ALPN."""
        transport, _, client = self.tls_pair(set_alpn_protocols=["h2"])
        self.assertIsNone(client.selected_alpn_protocol())
        self.assertIsNone(transport.negotiatedProtocol)

    def test_protocol_before_handshake(self) -> None:
        """The protocol is connected at accept and gets no byte before the handshake."""
        transport, proto, client = self.tls_pair(shake=False)
        self.assertIs(proto.transport, transport)
        transport.write(b"early")
        transport.write(b" bird")
        self.rounds()
        self.assertEqual(transport.pending_bytes(), 10)
        self.attempt(client.do_handshake)
        self.assertEqual(self.receive(client, 10), b"early bird")
        self.assertEqual(proto.received, b"")

    def test_download(self) -> None:
        """A large write is queued, counted, pauses its producer, and arrives whole."""
        transport, _, client = self.tls_pair()
        producer = RecordingProducer()
        transport.registerProducer(producer, True)
        transport.write(b"")
        transport.write(MUCH)
        self.assertGreater(transport.pending_bytes(), 0)
        transport.writeSequence([b"la", b"st"])
        self.assertEqual(self.receive(client, len(MUCH) + 4), MUCH + b"last")
        self.spin(lambda: producer.calls[-1] == "resume")
        self.assertEqual(producer.calls[0], "pause")
        self.assertEqual(transport.pending_bytes(), 0)
        transport.unregisterProducer()

    def test_pull_producer(self) -> None:
        """A pull producer is asked for each piece."""
        transport, _, client = self.tls_pair()
        left = [50]

        def more() -> None:
            left[0] -= 1
            transport.write(b"x" * 10)
            if not left[0]:
                transport.unregisterProducer()

        transport.registerProducer(RecordingProducer(more), False)
        self.assertEqual(self.receive(client, 500), b"x" * 500)

    def test_upload(self) -> None:
        """A large upload arrives whole, through pauses in the middle of it."""
        transport, proto, client = self.tls_pair()
        calls: list[int] = []

        def pause(data: bytes) -> None:
            calls.append(len(data))
            transport.pauseProducing()
            self.reactor.callLater(0, transport.resumeProducing)

        proto.on_data = pause
        self.send_all(client, MUCH[: 1 << 20])
        self.spin(lambda: len(proto.received) == 1 << 20)
        self.assertEqual(proto.received, MUCH[: 1 << 20])
        self.assertLessEqual(max(calls), RECORD_BYTES)

    def test_paused(self) -> None:
        """A paused connection delivers nothing until it is resumed."""
        transport, proto, client = self.tls_pair()
        self.rounds()
        transport.pauseProducing()
        self.send_all(client, b"x" * 40000)
        self.rounds()
        self.assertEqual(proto.received, b"")
        transport.resumeProducing()
        self.spin(lambda: len(proto.received) == 40000)

    def test_text_is_refused(self) -> None:
        """Only bytes can be written."""
        transport, _, _client = self.tls_pair()
        self.assertRaises(TypeError, transport.write, "text")


class EndTests(TLSTestCase):
    """How connections end."""

    def test_we_close(self) -> None:
        """Everything queued is sent, then close_notify, and nobody is waited for."""
        transport, proto, client = self.tls_pair()
        transport.write(MUCH)
        transport.loseConnection()
        self.assertEqual(self.receive(client, len(MUCH)), MUCH)
        self.assertEqual(self.attempt(lambda: client.recv(1)), b"")
        self.assertIs(proto.reason, error.ConnectionDone)
        transport.write(b"late")

    def test_client_closes(self) -> None:
        """close_notify from the client is a clean end, and is answered."""
        _, proto, client = self.tls_pair()
        self.send_all(client, b"bye")
        self.attempt(client.unwrap)
        self.spin_until_lost(proto)
        self.assertEqual(proto.received, b"bye")
        self.assertIs(proto.reason, error.ConnectionDone)

    def test_truncated(self) -> None:
        """An end without close_notify is a loss: somebody may have cut the stream."""
        _, proto, client = self.tls_pair()
        self.send_all(client, b"half of")
        socket.socket.shutdown(client, socket.SHUT_WR)
        self.spin_until_lost(proto)
        self.assertEqual(proto.received, b"half of")
        self.assertIs(proto.reason, error.ConnectionLost)

    def test_reset(self) -> None:
        """A reset is a loss, also when a write meets it first."""
        for write in (b"", b"x" * 100000):
            transport, proto, client = self.tls_pair()
            reset(client)
            transport.write(write)
            transport.write(write)
            self.spin_until_lost(proto)
            self.assertIs(proto.reason, error.ConnectionLost)

    def test_abort(self) -> None:
        """AbortConnection sends no close_notify: the client sees the cut."""
        transport, proto, client = self.tls_pair()
        transport.abortConnection()
        transport.write(b"never")
        self.spin_until_lost(proto)
        self.assertIs(proto.reason, error.ConnectionAborted)
        self.assertRaises(OSError, self.attempt, lambda: client.recv(1))

    def test_half_close(self) -> None:
        """LoseWriteConnection sends close_notify and goes on reading."""
        transport, proto, client = self.tls_pair(HalfCloseRecorder())
        transport.write(b"all")
        transport.loseWriteConnection()
        self.assertEqual(self.receive(client, 3), b"all")
        self.assertEqual(self.attempt(lambda: client.recv(1)), b"")
        self.spin(lambda: proto.halves == ["write"])
        transport.loseConnection()
        self.assertIs(proto.reason, error.ConnectionDone)

    def test_exception_in_the_protocol(self) -> None:
        """A protocol's exception is logged once and ends its connection alone."""
        _, proto, client = self.tls_pair()
        _, other, other_client = self.tls_pair()
        proto.on_data = lambda data: 1 / 0
        self.send_all(client, b"x")
        self.spin_until_lost(proto)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.send_all(other_client, b"x")
        self.spin(lambda: other.received == b"x")


class HandshakeTests(TLSTestCase):
    """Handshakes that fail, stall or are cut short."""

    def setUp(self) -> None:
        """Keep what is logged above debug."""
        super().setUp()
        self.logged: list[Any] = []
        observer: Any = self._observe
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

    def _observe(self, event: Any) -> None:
        if event["log_level"] > LogLevel.debug:
            self.logged.append(event)

    def raw_pair(self) -> tuple[Any, Any, socket.socket]:
        """A TLSServer and a peer that speaks no TLS."""
        return self.accepted(None, TLSServer, credentials=OneContext(self.context))

    def test_plain_bytes(self) -> None:
        """Plain HTTP on a TLS port ends the connection without a word in the log."""
        _, proto, peer = self.raw_pair()
        peer.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        self.spin_until_lost(proto)
        self.assertIs(proto.reason, error.ConnectionLost)
        self.assertEqual((proto.received, self.logged), (b"", []))

    def test_client_leaves(self) -> None:
        """A client that connects and leaves, or resets, is a quiet end."""
        for leave in (socket.socket.close, reset):
            _, proto, peer = self.raw_pair()
            leave(peer)
            self.spin_until_lost(proto)
            self.assertIs(proto.reason, error.ConnectionLost)
        self.assertEqual(self.logged, [])

    def test_distrusted(self) -> None:
        """A client that does not trust us goes, and that is no error of ours."""
        transport, proto, client = self.tls_pair(
            shake=False, load_default_certs=ssl.Purpose.SERVER_AUTH
        )
        client.context = ssl.create_default_context()
        try:
            self.attempt(client.do_handshake)
        except ssl.SSLError:
            client.close()
        self.spin_until_lost(proto)
        self.assertEqual(self.logged, [])
        self.assertFalse(transport.connected)

    def test_old_version(self) -> None:
        """TLS 1.1 is refused."""
        _, proto, client = self.tls_pair(
            shake=False,
            set_ciphers="DEFAULT:@SECLEVEL=0",
            minimum_version=ssl.TLSVersion.TLSv1,
            maximum_version=ssl.TLSVersion.TLSv1_1,
        )
        self.assertRaises(ssl.SSLError, self.attempt, client.do_handshake)
        self.spin_until_lost(proto)
        self.assertEqual(self.logged, [])

    def test_others_go_on(self) -> None:
        """Failing and stalled handshakes do not touch the connections beside them."""
        _, good, client = self.tls_pair()
        stalled = [self.raw_pair() for _ in range(3)]
        for _, _, peer in stalled:
            peer.sendall(b"\x16\x03\x01\x02\x00\x01")
        for junk in (b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x00\x05junk!", b""):
            for _ in range(5):
                _, bad, peer = self.raw_pair()
                peer.sendall(junk)
                peer.close()
                self.send_all(client, b"x")
                self.spin_until_lost(bad)
        self.spin(lambda: good.received == b"x" * 15)
        self.assertEqual([proto.reason for _, proto, _ in stalled], [None] * 3)
        self.assertIsNone(good.reason)
        self.assertEqual(self.logged, [])

    def test_handshake_too_slow(self) -> None:
        """A handshake that does not get on ends in time, with an alert, and is counted; the others are, too."""
        clock = Clock()
        deadlines = Deadlines(clock, clock.seconds)
        deadlines.start()
        self.addCleanup(deadlines.stop)
        source = OneContext(self.context)
        source.handshakes = Handshakes(5.0, deadlines)
        _, proto, peer = self.accepted(None, TLSServer, credentials=source)
        peer.sendall(b"\x16\x03\x01\x02\x00\x01")
        self.rounds()
        clock.pump([0.1] * 48)
        self.assertIsNone(proto.reason)
        clock.pump([0.1] * 3)
        self.spin_until_lost(proto)
        self.assertEqual(self.drain(peer), b"\x15\x03\x03\x00\x02\x02\x28")
        _, plain, peer = self.accepted(None, TLSServer, credentials=source)
        peer.sendall(b"GET / HTTP/1.1\r\n\r\n")
        self.spin_until_lost(plain)
        _, left, peer = self.accepted(None, TLSServer, credentials=source)
        peer.close()
        self.spin_until_lost(left)
        self.assertEqual(
            dict(source.handshakes.failures),
            {"timeout": 1, "not_tls": 1, "client_left": 1},
        )
        self.assertEqual(len(deadlines), 0)

    def test_close_in_the_handshake(self) -> None:
        """LoseConnection in a stalled handshake closes at once; what was written goes."""
        transport, proto, peer = self.raw_pair()
        peer.sendall(b"\x16\x03\x01\x02\x00\x01")
        self.rounds()
        transport.write(b"never")
        transport.loseConnection()
        self.spin_until_lost(proto)
        self.assertIs(proto.reason, error.ConnectionDone)

    def test_abort_in_the_handshake(self) -> None:
        """AbortConnection in a stalled handshake ends it: the head deadline's way."""
        transport, proto, peer = self.raw_pair()
        peer.sendall(b"\x16\x03\x01\x02\x00\x01")
        self.rounds()
        transport.abortConnection()
        self.spin_until_lost(proto)
        self.assertIs(proto.reason, error.ConnectionAborted)


class ScriptedSSL:
    """An OpenSSL connection that wants what the test says, then gets it."""

    def __init__(self, **script: list[Any]) -> None:
        self.script = script
        self.calls: list[str] = []

    def _play(self, name: str) -> Any:
        self.calls.append(name)
        step = self.script[name].pop(0)
        if isinstance(step, type):
            raise step()
        return step

    def do_handshake(self) -> Any:
        return self._play("do_handshake")

    def recv(self, size: int) -> Any:
        return self._play("recv")

    def send(self, data: Any) -> Any:
        return self._play("send")

    def shutdown(self) -> Any:
        return self._play("shutdown") if "shutdown" in self.script else False


class CrossedInterestTests(TLSTestCase):
    """OpenSSL that must write to read, or read to write."""

    def scripted(self, **script: list[Any]) -> tuple[Any, Any, ScriptedSSL, Any]:
        """A transport on a script."""
        transport, proto, peer = self.accepted(
            None, TLSServer, credentials=OneContext(self.context)
        )
        transport._ssl = played = ScriptedSSL(**script)
        return transport, proto, played, peer

    def test_handshake_waits_for_room(self) -> None:
        """A handshake that cannot write waits for writability, not spinning."""
        transport, proto, played, peer = self.scripted(
            do_handshake=[SSL.WantWriteError, SSL.WantWriteError, None],
            recv=[b"hello", SSL.WantReadError],
        )
        peer.sendall(b"x")
        transport.doRead()
        self.assertIn(transport, self.reactor.getWriters())
        self.assertNotIn(transport, self.reactor.getReaders())
        self.spin(lambda: proto.received == b"hello")
        self.assertNotIn(transport, self.reactor.getWriters())
        self.assertEqual(played.calls[:4], ["do_handshake"] * 3 + ["recv"])

    def test_read_waits_for_room(self) -> None:
        """A read that must write first waits for writability; queued bytes follow."""
        transport, proto, _, _peer = self.scripted(
            do_handshake=[None],
            recv=[SSL.WantWriteError, b"hello", SSL.WantReadError],
            send=[SSL.WantWriteError, 5],
        )
        transport.doRead()
        self.assertNotIn(transport, self.reactor.getReaders())
        transport.write(b"reply")
        self.spin(lambda: proto.received == b"hello" and not transport.pending_bytes())
        self.assertIn(transport, self.reactor.getReaders())

    def test_write_waits_for_bytes(self) -> None:
        """A write that must read first waits for the peer, not spinning."""
        transport, _, played, peer = self.scripted(
            do_handshake=[None],
            recv=[SSL.WantReadError, SSL.WantReadError, SSL.WantReadError],
            send=[SSL.WantReadError, 5],
        )
        transport.doRead()
        transport.write(b"reply")
        self.rounds()
        self.assertNotIn(transport, self.reactor.getWriters())
        self.assertEqual(played.calls.count("send"), 1)
        peer.sendall(b"x")
        self.spin(lambda: not transport.pending_bytes())

    def test_broken_while_sending(self) -> None:
        """An error of OpenSSL in a queued write is a loss; nothing more is tried."""
        transport, proto, played, _peer = self.scripted(
            do_handshake=[None],
            recv=[SSL.WantReadError],
            send=[SSL.WantWriteError, SSL.Error],
        )
        transport.doRead()
        transport.write(b"reply")
        self.spin_until_lost(proto)
        self.assertIs(proto.reason, error.ConnectionLost)
        self.assertNotIn("shutdown", played.calls)

    def test_clean_end_after_failed_write(self) -> None:
        """An end of file after a write that failed is a loss all the same."""
        transport, proto, _, _peer = self.scripted(
            do_handshake=[None],
            recv=[SSL.WantReadError, SSL.ZeroReturnError],
            send=[SSL.Error],
        )
        transport.doRead()
        transport.write(b"reply")
        self.assertIsInstance(transport.doRead(), error.ConnectionLost)
        self.spin_until_lost(proto)
        self.assertIs(proto.reason, error.ConnectionLost)

    def test_no_room_for_close_notify(self) -> None:
        """A close_notify for which there is no room leaves when there is, then we close."""
        transport, proto, played, _peer = self.scripted(
            do_handshake=[None],
            recv=[SSL.WantReadError],
            shutdown=[SSL.WantWriteError, SSL.WantWriteError, False],
        )
        transport.doRead()
        transport.loseConnection()
        self.spin_until_lost(proto)
        self.assertIs(proto.reason, error.ConnectionDone)
        self.assertEqual(played.calls.count("shutdown"), 3)

    def test_no_room_for_close_notify_in_half_close(self) -> None:
        """The same when it ends our direction only."""
        transport, proto, played, _peer = self.scripted(
            do_handshake=[None],
            recv=[SSL.WantReadError],
            shutdown=[SSL.WantWriteError, False],
        )
        halves = HalfCloseRecorder()
        transport.protocol = halves
        transport.doRead()
        transport.loseWriteConnection()
        self.spin(lambda: halves.halves == ["write"])
        self.assertEqual(played.calls.count("shutdown"), 2)
        self.assertIsNone(proto.reason)


class CountingContext:
    """One context (`net.sockets.tls.ContextSource`). `asked`: the connections it was asked for."""

    challenges: Any = None

    def __init__(self, context: SSL.Context) -> None:
        self.handshakes = Handshakes()
        self.asked = 0
        self._context = context

    @property
    def context(self) -> SSL.Context:
        """Of the next connection."""
        self.asked += 1
        return self._context

    def admits(self, connection: SSL.Connection) -> bool:
        """Always."""
        return True


class ListenerTests(TLSTestCase):
    """Ways to listen, with Twisted's own client at the other end."""

    def setUp(self) -> None:
        """A factory whose protocols are kept."""
        super().setUp()
        # The client of these tests is Twisted's, which asks for the global reactor.
        self.patch(twisted.protocols.tls, "_get_default_clock", lambda: self.reactor)
        self.factory = RecordingFactory()
        self.served: list[Any] = self.factory.served

    def stop(self, port: Any) -> None:
        """Close a port, and wait for it."""
        closed: list[Any] = []
        port.stopListening().addBoth(closed.append)
        self.spin(lambda: closed)

    def ask(self, port: Any, options: Any) -> Any:
        """Connect with TLS and exchange a few bytes: the client, or its reason."""
        self.addCleanup(self.stop, port)
        made: list[Any] = []
        endpoint = wrapClientTLS(
            options,
            TCP4ClientEndpoint(
                eager(self.reactor), "127.0.0.1", port.getHost().port, timeout=5
            ),
        )
        factory: Any = protocol.Factory.forProtocol(Recorder)
        factory.noisy = False
        endpoint.connect(factory).addBoth(made.append)
        self.spin(lambda: made)
        client = made[0]
        client.transport.write(b"ask")
        wrapped = (
            client.wrappedProtocol if hasattr(client, "wrappedProtocol") else client
        )
        self.spin(lambda: self.served[-1].received or wrapped.reason)
        return wrapped

    def trusting(self, **named: Any) -> Any:
        """Client options that trust our authority."""
        return client_options("127.0.0.1", ca=self.folder / "ca.pem", **named)

    def test_listen_tls(self) -> None:
        """listen_tls serves a verifying client over our transport."""
        port = listen_tls(self.reactor, 0, self.factory, self.context, "127.0.0.1")
        client = self.ask(port, self.trusting())
        self.assertEqual(self.served[0].received, b"ask")
        self.assertIsInstance(self.served[0].transport, TLSServer)
        self.assertTrue(is_secure(client.transport))
        self.assertGreaterEqual(port.backlog, 1024)

    def test_endpoint(self) -> None:
        """TLSServerEndpoint is a server endpoint."""
        endpoint = TLSServerEndpoint(self.reactor, 0, self.context, "127.0.0.1")
        verifyObject(IStreamServerEndpoint, endpoint)
        port = self.successResultOf(endpoint.listen(self.factory))
        self.ask(port, self.trusting())
        self.assertEqual(self.served[0].received, b"ask")
        busy = TLSServerEndpoint(
            self.reactor, port.getHost().port, self.context, "127.0.0.1"
        )
        self.failureResultOf(busy.listen(self.factory), error.CannotListenError)

    def test_string(self) -> None:
        """Any "tcp:" string listens for TLS on a secure view; a name can be sent."""
        view = secure(self.reactor, self.context)
        port = self.successResultOf(
            serverFromString(view, "tcp:0:interface=127.0.0.1").listen(self.factory)
        )
        self.ask(port, self.trusting(server_name=NAME))
        self.assertEqual(self.served[0].received, b"ask")

    def agreed(self, port: Any, offered: list[str]) -> str | None:
        """What a client that offers this in ALPN agrees on."""
        context = ssl.create_default_context(cafile=str(self.folder / "ca.pem"))
        context.set_alpn_protocols(offered)
        raw = socket.create_connection(("127.0.0.1", port.getHost().port))
        raw.setblocking(False)
        client = context.wrap_socket(
            raw, server_hostname=NAME, do_handshake_on_connect=False
        )
        self.addCleanup(client.close)
        self.attempt(client.do_handshake)
        return client.selected_alpn_protocol()

    def test_alpn_of_endpoint_strings(self) -> None:
        """An "ssl:" string takes clients that offer ALPN, whether or not they offer HTTP/1.1."""
        pem = str(self.folder / "site.pem")
        for before in ("", "haproxy:"):
            text = f"{before}ssl:0:privateKey={pem}:certKey={pem}:interface=127.0.0.1"
            listening = serverFromString(eager(self.reactor), text)
            port = self.successResultOf(listening.listen(self.factory))
            self.addCleanup(self.stop, port)
            self.assertEqual("http/1.1", self.agreed(port, ["h2", "http/1.1"]))
            self.assertIsNone(self.agreed(port, ["h2"]))

    def test_alpn_of_other_tls(self) -> None:
        """TLS that is not ours asks the listener what it speaks, as plugins' endpoints do."""
        text = (self.folder / "site.pem").read_bytes()
        options = PrivateCertificate.loadPEM(text).options()
        world = World()
        wrapped = TLSMemoryBIOFactory(options, False, world.acceptor, self.reactor)
        port = self.reactor.listenTCP(0, wrapped, interface="127.0.0.1")
        self.addCleanup(self.stop, port)
        self.assertEqual("http/1.1", self.agreed(port, ["h2", "http/1.1"]))
        [door] = cast(Any, world.acceptor.doors)
        self.assertTrue(door.peer.secure)

    def test_unix(self) -> None:
        """A "unix:" string on a secure view speaks TLS too, never plain text."""
        path = str(self.folder / "s")
        view = secure(eager(self.reactor), self.context)
        port = view.listenUNIX(path, self.factory)
        self.addCleanup(self.stop, port)
        peer = socket.socket(socket.AF_UNIX)
        self.addCleanup(peer.close)
        peer.connect(path)
        self.spin(lambda: self.served)
        self.assertIsInstance(self.served[0].transport, TLSUNIXServer)

    def test_wrong_name(self) -> None:
        """A certificate for another name is refused by the client."""
        port = listen_tls(self.reactor, 0, self.factory, self.context, "127.0.0.1")
        client = self.ask(port, self.trusting(server_name="other.test"))
        self.assertIsNotNone(client.reason)
        self.assertEqual(self.served[0].received, b"")

    def test_unknown_authority(self) -> None:
        """A certificate of an authority not trusted is refused by default."""
        port = listen_tls(self.reactor, 0, self.factory, self.context, "127.0.0.1")
        self.assertIs(self.ask(port, client_options(NAME)).reason, SSL.Error)

    def test_unverified(self) -> None:
        """With verify off any certificate will do; the name is still sent."""
        names: list[bytes | None] = []
        context = server_context(self.folder / "site.pem")
        context.set_tlsext_servername_callback(
            lambda connection: names.append(connection.get_servername())
        )
        for name, sent in ((NAME, NAME.encode()), ("127.0.0.1", None)):
            port = listen_tls(self.reactor, 0, self.factory, context, "127.0.0.1")
            options = client_options(name, verify=False)
            verifyObject(IOpenSSLClientConnectionCreator, options)
            self.ask(port, options)
            self.assertEqual(self.served[-1].received, b"ask")
            self.assertEqual(names[-1], sent)

    def test_too_many_at_once(self) -> None:
        """A connection beyond the rate is closed before anything of OpenSSL or of ours is made for it."""
        clock = Clock()
        source = CountingContext(self.context)
        source.handshakes = Handshakes(5.0, Deadlines(clock, clock.seconds), 2)
        view = secure(self.reactor, source)
        port = view.listenTCP(0, self.factory, interface="127.0.0.1")
        self.addCleanup(self.stop, port)

        def connect() -> bool:
            """Whether it was taken."""
            before = len(self.served)
            refused = source.handshakes.failures["rate"]
            peer = socket.create_connection(("127.0.0.1", port.getHost().port), 5)
            self.addCleanup(peer.close)
            self.spin(
                lambda: (
                    len(self.served) > before
                    or source.handshakes.failures["rate"] > refused
                )
            )
            if len(self.served) > before:
                return True
            self.assertEqual(peer.recv(1), b"")
            return False

        self.assertEqual([connect() for _ in range(4)], [True, True, False, False])
        self.assertEqual(
            (source.asked, dict(source.handshakes.failures)), (2, {"rate": 2})
        )
        clock.advance(0.5)
        self.assertEqual([connect() for _ in range(2)], [True, False])
        self.assertEqual((source.asked, source.handshakes.failures["rate"]), (3, 3))

    def test_too_many_for_other_tls(self) -> None:
        """Where our transports cannot be had, the rate holds all the same."""
        clock = Clock()
        source = OneContext(self.context)
        source.handshakes = Handshakes(5.0, Deadlines(clock, clock.seconds), 1)
        reactor = MemoryReactorClock()
        secure(reactor, source).listenTCP(8443, self.factory)
        factory: Any = reactor.tcpServers[0][1]
        built = [factory.buildProtocol(None) for _ in range(2)]
        self.assertEqual([one is None for one in built], [False, True])
        self.assertEqual(len(self.served), 1)

    def test_other_reactors(self) -> None:
        """Where our transports cannot be had, Twisted's TLS is used."""
        reactor = MemoryReactorClock()
        view = secure(reactor, self.context)
        view.listenTCP(8443, self.factory, backlog=7, interface="::1")
        factory: Any
        port, factory, backlog, interface = reactor.tcpServers[0]
        factory = factory.factory  # behind the limit of their rate
        self.assertIsInstance(factory, TLSMemoryBIOFactory)
        self.assertEqual((port, backlog, interface), (8443, 7, "::1"))
        self.assertEqual(view.seconds(), reactor.seconds())
        made = factory._creatorCallable(None)
        self.assertIsInstance(made, SSL.Connection)

    def test_client_transport_is_eager(self) -> None:
        """The client endpoint of the tests above used our transport as well."""
        self.assertFalse(PlainClient.secure)


class SettingsTests(SynchronousTestCase):
    """What is said about files that cannot be used."""

    def setUp(self) -> None:
        """A folder with good and bad files."""
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        authority = trustme.CA()
        for name in ("one", "two"):
            issued = authority.issue_cert(NAME)
            issued.private_key_pem.write_to_path(self.folder / f"{name}.key")
            issued.cert_chain_pems[0].write_to_path(self.folder / f"{name}.pem")
        (self.folder / "junk.pem").write_text("not PEM\n")

    def refused(self, *names: str) -> str:
        """The error of a server context, without the folder."""
        paths = [self.folder / name for name in names]
        wrong = self.assertRaises(TLSSettingsError, server_context, *paths)
        self.assertIn(str(wrong.path), [str(path) for path in paths])
        return str(wrong).replace(f"{self.folder}/", "")

    def test_good(self) -> None:
        """A certificate with its key in a file of its own is accepted."""
        made = server_context(self.folder / "one.pem", self.folder / "one.key")
        self.assertIsInstance(made, SSL.Context)

    def test_missing(self) -> None:
        """A missing file is named, whichever it is."""
        self.assertEqual(self.refused("no.pem"), "no.pem: No such file or directory")
        self.assertEqual(
            self.refused("one.pem", "no.key"), "no.key: No such file or directory"
        )

    def test_not_pem(self) -> None:
        """A file without the right PEM block is named."""
        self.assertIn("junk.pem: holds no PEM certificate", self.refused("junk.pem"))
        self.assertIn(
            "one.pem: holds no PEM private key", self.refused("one.pem", "one.pem")
        )

    def test_wrong_key(self) -> None:
        """A key of another certificate is named with it."""
        self.assertEqual(
            self.refused("one.pem", "two.key"),
            "two.key: is not the private key of one.pem (key values mismatch)",
        )

    def test_encrypted_key(self) -> None:
        """An encrypted key is refused without asking for a passphrase."""
        key = load_pem_private_key((self.folder / "one.key").read_bytes(), None)
        (self.folder / "one.key").write_bytes(
            key.private_bytes(
                Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")
            )
        )
        self.assertIn("encrypted", self.refused("one.pem", "one.key"))

    def test_authorities(self) -> None:
        """A file of authorities that cannot be used is named."""
        for name, text, reason in (
            ("none.pem", None, "No such file or directory"),
            ("junk.pem", None, "holds no PEM certificate"),
            ("bad.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n", "holds no PEM"),
        ):
            if text is not None:
                (self.folder / name).write_text(text)
            wrong = self.assertRaises(
                TLSSettingsError, client_options, NAME, ca=self.folder / name
            )
            self.assertIn(f"{name}: {reason}", str(wrong))
