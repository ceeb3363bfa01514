"""Tests of lolly_tx.net.sockets.transports: the stock rules, kept, and the eager write."""

from __future__ import annotations

import errno
import os
import shutil
import socket
import stat
import tempfile
import time
from types import SimpleNamespace
from typing import Any

from twisted.internet import error, protocol, tcp
from twisted.internet.endpoints import clientFromString, serverFromString
from twisted.internet.interfaces import IReactorFDSet, IReactorTCP
from twisted.internet.ssl import CertificateOptions
from twisted.internet.testing import MemoryReactorClock
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.net.sockets import eager as eager_module
from lolly_tx.net.sockets.eager import eager
from lolly_tx.net.sockets.transports import (
    PlainClient,
    PlainServer,
    PlainUNIXClient,
    PlainUNIXServer,
    is_secure,
    pending_bytes,
    untaken_bytes,
)
from tests.net.fakes import (
    PATIENCE_SECONDS,
    HalfCloseRecorder,
    MemoryTransport,
    Recorder,
    RecordingFactory,
    RecordingProducer,
    SteppingTestCase,
    reset,
)

MUCH = os.urandom(4 << 20)


class StockRulesMixin:
    """What Twisted's transports promise; run on theirs and on ours."""

    kind: Any

    def connected(self: Any, proto: Any = None) -> Any:
        return self.accepted(proto, self.kind, send_buffer=65536)

    def test_writes_arrive_in_order(self: Any) -> None:
        """Small and large writes reach the peer in the order they were made."""
        transport, _, peer = self.connected()
        for part in (b"a", b"b" * 70000, b"c"):
            transport.write(part)
        transport.writeSequence([b"d", b"e" * 70000, b"f"])
        wanted = b"a" + b"b" * 70000 + b"cd" + b"e" * 70000 + b"f"
        self.assertEqual(self.drain(peer, len(wanted)), wanted)

    def test_large_write_is_flushed_before_close(self: Any) -> None:
        """The connection closes only when every queued byte has been sent."""
        transport, proto, peer = self.connected()
        transport.write(MUCH)
        transport.loseConnection()
        transport.loseConnection()
        self.assertEqual(self.drain(peer), MUCH)
        self.spin_until_lost(proto)
        self.assertIs(proto.reason, error.ConnectionDone)

    def test_write_while_closing_is_sent(self: Any) -> None:
        """A write after loseConnection, before the flush, still goes out."""
        transport, _, peer = self.connected()
        transport.write(MUCH)
        transport.loseConnection()
        transport.write(b"last")
        self.assertEqual(self.drain(peer), MUCH + b"last")

    def test_write_while_closing_with_nothing_queued_is_sent(self: Any) -> None:
        """The same when there was nothing to flush: the close waits for what comes before it."""
        transport, proto, peer = self.connected()
        transport.loseConnection()
        self.assertIsNone(proto.reason)
        transport.write(b"last")
        self.assertEqual(self.drain(peer), b"last")
        self.spin_until_lost(proto)
        self.assertIs(proto.reason, error.ConnectionDone)

    def test_close_then_abort(self: Any) -> None:
        """A close that is followed by an abort ends the connection once."""
        transport, proto, peer = self.connected()
        transport.loseConnection()
        transport.abortConnection()
        self.spin_until_lost(proto)
        self.assertIsNotNone(proto.reason)
        self.spin_until_lost(proto)

    def test_write_after_close_is_ignored(self: Any) -> None:
        """Writing to a connection that is gone does nothing."""
        transport, proto, _peer = self.connected()
        transport.loseConnection()
        self.spin_until_lost(proto)
        transport.write(b"late")
        transport.writeSequence([b"too", b"late"])
        transport.loseConnection()
        transport.abortConnection()

    def test_half_close_with_nothing_queued(self: Any) -> None:
        """The same at once; a close that follows ends the connection."""
        transport, proto, peer = self.connected(HalfCloseRecorder())
        transport.write(b"x")
        transport.loseWriteConnection()
        transport.loseWriteConnection()
        self.assertEqual(self.drain(peer), b"x")
        self.spin(lambda: proto.halves == ["write"])
        self.rounds()
        self.assertEqual(proto.halves, ["write"])
        transport.loseConnection()
        self.spin_until_lost(proto)
        self.assertIs(proto.reason, error.ConnectionDone)

    def test_text_is_refused(self: Any) -> None:
        """Only bytes can be written."""
        transport, _, _peer = self.connected()
        self.assertRaises(TypeError, transport.write, "text")
        self.assertRaises(TypeError, transport.writeSequence, ["text"])

    def test_empty_writes(self: Any) -> None:
        """Empty writes send nothing and keep the connection."""
        transport, proto, peer = self.connected()
        transport.write(b"")
        transport.writeSequence([])
        transport.write(b"x")
        self.assertEqual(self.drain(peer, 1), b"x")
        self.assertIsNone(proto.reason)

    def test_push_producer(self: Any) -> None:
        """A push producer is paused over 64 KiB queued, resumed when all is sent."""
        transport, _, peer = self.connected()
        producer = RecordingProducer()
        transport.registerProducer(producer, True)
        transport.write(b"small")
        self.assertEqual(producer.calls, [])
        transport.write(MUCH)
        self.assertEqual(producer.calls, ["pause"])
        self.drain(peer, len(MUCH) + 5)
        self.spin(lambda: "resume" in producer.calls)
        self.assertEqual(producer.calls, ["pause", "resume"])
        transport.unregisterProducer()

    def test_pull_producer(self: Any) -> None:
        """A pull producer is asked for each piece, without ever recursing."""
        transport, _, peer = self.connected()
        left = [3000]

        def more() -> None:
            left[0] -= 1
            transport.write(b"x" * 10)
            if not left[0]:
                transport.unregisterProducer()
                transport.loseConnection()

        transport.registerProducer(RecordingProducer(more), False)
        self.assertEqual(len(self.drain(peer)), 30000)

    def test_producer_of_lost_connection(self: Any) -> None:
        """A producer is stopped with its connection, or when it comes too late."""
        transport, proto, _peer = self.connected()
        producer, late = RecordingProducer(), RecordingProducer()
        transport.registerProducer(producer, True)
        transport.abortConnection()
        self.spin_until_lost(proto)
        transport.registerProducer(late, True)
        self.assertEqual((producer.calls, late.calls), (["stop"], ["stop"]))

    def test_pause_and_resume(self: Any) -> None:
        """A paused connection delivers nothing; resumed, it delivers all."""
        transport, proto, peer = self.connected()
        transport.pauseProducing()
        peer.sendall(b"hello")
        self.rounds()
        self.assertEqual(proto.received, b"")
        transport.resumeProducing()
        self.spin(lambda: proto.received == b"hello")

    def test_peer_closes(self: Any) -> None:
        """A clean end of file is ConnectionDone."""
        _, proto, peer = self.connected()
        peer.sendall(b"bye")
        peer.close()
        self.spin_until_lost(proto)
        self.assertEqual(proto.received, b"bye")
        self.assertIs(proto.reason, error.ConnectionDone)

    def test_peer_half_closes(self: Any) -> None:
        """A half-closeable protocol can still answer after the peer's end."""
        transport, proto, peer = self.connected(HalfCloseRecorder())
        peer.shutdown(socket.SHUT_WR)
        self.spin(lambda: proto.halves)
        transport.write(b"answer")
        self.assertEqual(self.drain(peer, 6), b"answer")
        self.assertEqual((proto.halves, proto.reason), (["read"], None))

    def test_half_close(self: Any) -> None:
        """A half-close flushes, ends our half, and reading goes on."""
        transport, proto, peer = self.connected(HalfCloseRecorder())
        transport.write(MUCH)
        transport.loseWriteConnection()
        self.assertEqual(self.drain(peer), MUCH)
        self.spin(lambda: proto.halves)
        transport.write(b"ignored")
        peer.setblocking(True)
        peer.sendall(b"more")
        self.spin(lambda: proto.received == b"more")
        transport.loseConnection()
        self.assertIs(proto.reason, error.ConnectionDone)

    def test_abort(self: Any) -> None:
        """An abort drops what is queued and resets the connection."""
        transport, proto, peer = self.connected()
        transport.write(MUCH)
        transport.abortConnection()
        transport.abortConnection()
        transport.write(b"never")
        self.spin_until_lost(proto)
        self.assertIs(proto.reason, error.ConnectionAborted)
        with self.assertRaises(ConnectionResetError):
            while peer.recv(1 << 20):
                pass

    def test_reset_by_peer(self: Any) -> None:
        """A reset is ConnectionLost, not a clean end."""
        _, proto, peer = self.connected()
        reset(peer)
        self.spin_until_lost(proto)
        self.assertIs(proto.reason, error.ConnectionLost)

    def test_write_to_reset_connection(self: Any) -> None:
        """A write that meets a reset does not raise; ConnectionLost follows."""
        transport, proto, peer = self.connected()
        reset(peer)
        transport.write(b"x")
        transport.write(b"y")
        self.spin_until_lost(proto)
        self.assertIs(proto.reason, error.ConnectionLost)

    def test_no_delay(self: Any) -> None:
        """TCP_NODELAY can be switched and read."""
        transport, _, _peer = self.connected()
        transport.setTcpNoDelay(True)
        self.assertTrue(transport.getTcpNoDelay())


class StockTests(StockRulesMixin, SteppingTestCase):
    """The rules hold for Twisted's transport: they are the right rules."""

    kind = tcp.Server


class PlainServerTests(StockRulesMixin, SteppingTestCase):
    """The rules hold for ours."""

    kind = PlainServer

    def test_write_is_sent_at_once(self) -> None:
        """A write reaches the peer before the reactor does anything."""
        transport, _, peer = self.connected()
        transport.write(b"now")
        self.assertEqual(peer.recv(10), b"now")
        self.assertEqual(transport.pending_bytes(), 0)
        self.assertNotIn(transport, self.reactor.getWriters())

    def test_rest_is_queued(self) -> None:
        """What the kernel does not take is queued, counted, and sent later."""
        transport, _, peer = self.connected()
        transport.write(MUCH)
        queued = transport.pending_bytes()
        self.assertTrue(0 < queued < len(MUCH))
        transport.write(b"z")
        self.assertEqual(transport.pending_bytes(), queued + 1)
        self.assertEqual(self.drain(peer, len(MUCH) + 1), MUCH + b"z")
        self.assertEqual(transport.pending_bytes(), 0)

    def test_untaken_bytes(self) -> None:
        """What leaves the kernel's queue shows, also while nothing leaves our own."""
        transport, _, peer = self.connected()
        self.assertEqual(untaken_bytes(transport), 0)
        transport.write(MUCH)
        queued, untaken = transport.pending_bytes(), untaken_bytes(transport)
        self.assertGreater(untaken, queued)
        peer.setblocking(False)

        def take() -> bool:
            try:
                peer.recv(1 << 14)
            except BlockingIOError:
                pass
            return untaken_bytes(transport) < untaken

        deadline = time.monotonic() + PATIENCE_SECONDS
        while (
            not take()
        ):  # the reactor does not run: nothing refills the kernel's queue
            self.assertLess(time.monotonic(), deadline)
        self.assertEqual(transport.pending_bytes(), queued)

    def test_untaken_bytes_of_a_unix_socket(self) -> None:
        """The kernel tells of UNIX sockets as well."""
        ours, theirs = socket.socketpair()
        self.addCleanup(theirs.close)
        ours.setblocking(False)
        port = SimpleNamespace(_realPortNumber=0)
        transport = PlainUNIXServer(ours, Recorder(), "", port, 0, self.reactor)
        transport.write(b"x" * 1000)
        self.assertEqual(transport.pending_bytes(), 0)
        self.assertGreater(untaken_bytes(transport), 0)
        theirs.recv(1000)
        self.assertEqual(untaken_bytes(transport), 0)
        transport.abortConnection()
        self.rounds()

    def test_untaken_bytes_at_the_end(self) -> None:
        """Of a connection that is over there is nothing to ask."""
        transport, proto, _ = self.connected()
        transport.abortConnection()
        self.spin_until_lost(proto)
        self.assertEqual(untaken_bytes(transport), 0)

    def test_full_kernel_buffer(self) -> None:
        """A write that the kernel takes nothing of is queued whole."""
        transport, _, _peer = self.connected()
        while not transport.pending_bytes():
            transport.write(b"x" * 65536)
        transport.dataBuffer, transport._tempDataBuffer = b"", []
        transport._tempDataLen = 0
        while not transport.pending_bytes():
            transport.write(b"whole")
        self.assertEqual(transport.pending_bytes(), 5)

    def test_failed_send_is_not_mistaken_for_a_clean_end(self) -> None:
        """A send that used up the socket's error still ends as ConnectionLost."""
        transport, _, peer = self.connected()
        reset(peer)
        self.reactor.removeReader(transport)
        transport.write(b"x")
        self.assertIsInstance(transport.doRead(), error.ConnectionLost)

    def test_spurious_readiness(self) -> None:
        """Reading without data does nothing; on a dead socket it reports the loss."""
        transport, proto, peer = self.connected()
        self.assertIsNone(transport.doRead())
        reset(peer)
        self.assertIsInstance(transport.doRead(), error.ConnectionLost)
        self.assertEqual(proto.received, b"")

    def test_receive_bytes(self) -> None:
        """A protocol may have less read at a time, so that others have their turn."""
        transport, proto, peer = self.connected()
        transport.receive_bytes = 3
        peer.sendall(b"abcdef")
        transport.doRead()
        self.assertEqual(proto.received, b"abc")

    def test_started_tls(self) -> None:
        """After startTLS, writes go to Twisted's TLS protocol."""
        transport, _, _peer = self.connected()
        written = MemoryTransport()
        transport.TLS, transport.protocol = True, written
        transport.write(b"secret")
        self.assertEqual(written.value(), b"secret")
        transport.TLS = False
        transport.protocol = Recorder()

    def test_failed_by_another(self) -> None:
        """`fail` loses the connection in the next round, once."""
        transport, proto, _peer = self.connected()
        transport.fail()
        self.assertIsNone(proto.reason)
        self.spin_until_lost(proto)
        self.assertIs(proto.reason, error.ConnectionLost)


class Diverted:
    """A relay that only notes what it is told."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def source_ready(self) -> None:
        self.calls.append("source")

    def sink_ready(self) -> None:
        self.calls.append("sink")

    def transport_lost(self, transport: Any, reason: Any) -> None:
        self.calls.append("lost")


class DiversionTests(SteppingTestCase):
    """Handing a transport's reading or writing to a relay and taking it back."""

    def test_reads(self) -> None:
        """Diverted, readiness goes to the relay; restored, bytes to the protocol."""
        transport, proto, peer = self.accepted()
        relay = Diverted()
        transport.divert_reads(relay)
        peer.sendall(b"x")
        self.spin(lambda: relay.calls)
        self.assertEqual((set(relay.calls), proto.received), ({"source"}, b""))
        transport.restore_reads()
        self.spin(lambda: proto.received == b"x")

    def test_writes(self) -> None:
        """The relay's turn to write comes after the queued bytes are gone."""
        transport, _, peer = self.accepted(send_buffer=65536)
        relay = Diverted()
        transport.write(MUCH)
        transport.divert_writes(relay)
        self.rounds()
        self.assertEqual(relay.calls, [])
        self.assertEqual(self.drain(peer, len(MUCH)), MUCH)
        self.spin(lambda: relay.calls)
        self.assertEqual(relay.calls, ["sink"])
        transport.restore_writes()
        self.assertNotIn(transport, self.reactor.getWriters())

    def test_restore_with_bytes_left(self) -> None:
        """Restored with bytes still queued, the transport goes on sending them."""
        transport, _, peer = self.accepted(send_buffer=65536)
        transport.divert_writes(Diverted())
        transport.write(MUCH)
        transport.restore_writes()
        self.assertEqual(self.drain(peer, len(MUCH)), MUCH)

    def test_close_while_diverted(self) -> None:
        """A close is obeyed though a relay has the writing."""
        transport, proto, _peer = self.accepted()
        relay = Diverted()
        transport.divert_writes(relay)
        transport.loseConnection()
        self.spin_until_lost(proto)
        self.assertIs(proto.reason, error.ConnectionDone)
        self.assertEqual(relay.calls, ["lost"])

    def test_relay_gone_while_draining(self) -> None:
        """A producer resumed by the last queued byte may end the relay."""
        transport, _, peer = self.accepted(send_buffer=65536)
        relay = Diverted()
        transport.registerProducer(RecordingProducer(transport.restore_writes), True)
        transport.write(MUCH)
        transport.divert_writes(relay)
        self.drain(peer, len(MUCH))
        self.rounds()
        self.assertEqual(relay.calls, [])
        transport.unregisterProducer()

    def test_abort_while_diverted(self) -> None:
        """An aborted transport stays silent through divert and restore."""
        transport, proto, peer = self.accepted()
        relay = Diverted()
        transport.divert_reads(relay)
        transport.divert_writes(relay)
        transport.abortConnection()
        transport.restore_reads()
        transport.restore_writes()
        transport.divert_reads(relay)
        transport.divert_writes(relay)
        peer.sendall(b"x")
        self.spin_until_lost(proto)
        self.assertIs(proto.reason, error.ConnectionAborted)
        self.assertEqual(relay.calls, ["lost", "lost"])


class EagerTests(SteppingTestCase):
    """The view of a reactor that makes our transports."""

    def setUp(self) -> None:
        """A listening factory on a view of the reactor."""
        super().setUp()
        self.view = eager(self.reactor)
        self.factory = RecordingFactory()
        self.served: list[Any] = self.factory.served

    def socket_path(self) -> str:
        """A path for a UNIX socket, short enough for one."""
        folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, folder)
        return os.path.join(folder, "s")

    def stop(self, port: Any) -> None:
        """Close a port, and wait for it."""
        closed: list[Any] = []
        port.stopListening().addBoth(closed.append)
        self.spin(lambda: closed)

    def both_ends(self, server: str, client: str) -> tuple[Any, Any, Any]:
        """Listen and connect by endpoint strings: port and both transports."""
        listening = serverFromString(self.view, server).listen(self.factory)
        port = self.successResultOf(listening)
        made: list[Any] = []
        if ":0:" in server:
            client += f":{port.getHost().port}"
        clientFromString(self.view, client).connect(
            protocol.Factory.forProtocol(Recorder)
        ).addBoth(made.append)
        self.spin(lambda: made and self.served)
        self.addCleanup(self.stop, port)
        return port, made[0].transport, self.served[-1].transport

    def test_tcp_endpoints(self) -> None:
        """TCP endpoint strings get our transports at both ends, without delay."""
        port, client, server = self.both_ends(
            "tcp:0:interface=127.0.0.1", "tcp:127.0.0.1"
        )
        self.assertIsInstance(client, PlainClient)
        self.assertIsInstance(server, PlainServer)
        self.assertTrue(client.getTcpNoDelay() and server.getTcpNoDelay())
        self.assertGreaterEqual(port.backlog, 1024)
        client.write(b"hello")
        self.spin(lambda: self.served[-1].received == b"hello")

    def test_unix_endpoints(self) -> None:
        """UNIX endpoint strings get our transports at both ends."""
        path = self.socket_path()
        _, client, server = self.both_ends(f"unix:{path}", f"unix:{path}")
        self.assertIsInstance(client, PlainUNIXClient)
        self.assertIsInstance(server, PlainUNIXServer)
        client.write(b"hello")
        self.spin(lambda: self.served[-1].received == b"hello")

    def test_unix_descriptor(self) -> None:
        """A descriptor waiting to be sent goes with the next write, as in Twisted."""
        path = self.socket_path()
        _, client, _server = self.both_ends(f"unix:{path}", f"unix:{path}")
        client.sendFileDescriptor(client.fileno())
        client.write(b"x")
        self.spin(lambda: self.served[-1].received == b"x")
        self.assertTrue(client.connected)

    def test_adopted_port(self) -> None:
        """A listening socket passed in from outside gets our transports."""
        for family, where in (
            (socket.AF_INET, ("127.0.0.1", 0)),
            (socket.AF_UNIX, self.socket_path()),
        ):
            passed = socket.socket(family)
            passed.bind(where)
            passed.listen(5)
            passed.setblocking(False)
            port = self.view.adoptStreamPort(passed.fileno(), family, self.factory)
            self.addCleanup(self.stop, port)
            peer = socket.socket(family)
            peer.connect(passed.getsockname())
            passed.close()
            self.spin(lambda: self.served)
            self.assertFalse(self.served.pop().transport.secure)
            peer.close()

    def test_adopted_unix_port_is_its_owners(self) -> None:
        """A UNIX socket passed in keeps its mode while we listen and its path when we stop."""
        path = self.socket_path()
        with socket.socket(socket.AF_UNIX) as passed:
            passed.bind(path)
            os.chmod(path, 0o600)
            passed.listen(5)
            passed.setblocking(False)
            port = self.view.adoptStreamPort(
                passed.fileno(), socket.AF_UNIX, self.factory
            )
            self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600)
            self.stop(port)
            with socket.socket(socket.AF_UNIX) as next_client:
                next_client.connect(path)
        self.assertEqual(self.served, [])

    def test_last_call(self) -> None:
        """Who waits to be accepted when a port stops is accepted first, not reset."""
        for listen in (
            lambda: self.view.listenTCP(0, self.factory, interface="127.0.0.1"),
            lambda: self.view.listenUNIX(self.socket_path(), self.factory),
        ):
            port = listen()
            where = port.socket.getsockname()
            with socket.socket(port.addressFamily) as peer:
                peer.connect(where)
                self.stop(port)
                self.assertEqual(len(self.served), 1)
                peer.sendall(b"x")
                self.spin(lambda: self.served[-1].received == b"x")
            self.spin(lambda: self.served[-1].reason)
            self.served.clear()

    def test_adopted_port_of_strange_family(self) -> None:
        """Another kind of socket is refused as the real reactor does."""
        self.assertRaises(
            error.UnsupportedAddressFamily,
            self.view.adoptStreamPort,
            0,
            9999,
            self.factory,
        )

    def test_twisted_tls_listener(self) -> None:
        """An "ssl:" listener keeps Twisted's TLS, over our transport."""
        options = CertificateOptions(verify=False)
        port = self.view.listenSSL(0, self.factory, options, interface="127.0.0.1")
        self.addCleanup(self.stop, port)
        self.assertIsInstance(port.factory, TLSMemoryBIOFactory)
        self.assertIs(port.transport, PlainServer)

    def test_view_is_a_reactor_to_others(self) -> None:
        """The view provides the reactor's interfaces and passes the rest on."""
        self.assertTrue(IReactorTCP.providedBy(self.view))
        self.assertTrue(IReactorFDSet.providedBy(self.view))
        self.assertEqual(self.view.running, self.reactor.running)
        self.assertIs(eager(self.view), self.view)

    def test_port_in_use(self) -> None:
        """A port in use is CannotListenError, as ever."""
        port = self.view.listenTCP(0, self.factory, interface="127.0.0.1")
        self.addCleanup(self.stop, port)
        self.assertRaises(
            error.CannotListenError,
            self.view.listenTCP,
            port.getHost().port,
            self.factory,
            interface="127.0.0.1",
        )

    def test_no_descriptors_left(self) -> None:
        """Out of descriptors, waiting connections are closed; no loop, no crash."""
        port = self.view.listenTCP(0, self.factory, interface="127.0.0.1")
        self.addCleanup(self.stop, port)
        peer = socket.create_connection(("127.0.0.1", port.getHost().port))
        self.addCleanup(peer.close)
        failed: list[int] = []
        real = port.socket

        class Full:
            """accept fails until a descriptor is released."""

            def accept(self) -> Any:
                if not failed:
                    failed.append(1)
                    raise OSError(errno.EMFILE, "too many open files")
                return real.accept()

            def __getattr__(self, name: str) -> Any:
                return getattr(real, name)

        port.socket = Full()
        self.spin(lambda: failed)
        port.socket = real
        peer.settimeout(5)
        self.assertEqual(peer.recv(1), b"")
        self.assertEqual(self.served, [])


class FallBackTests(SynchronousTestCase):
    """Where our transports cannot be had, Twisted's serve."""

    def test_memory_reactor(self) -> None:
        """A reactor without descriptors is returned as it is."""
        reactor = MemoryReactorClock()
        self.assertIs(eager(reactor), reactor)

    def test_missing_name(self) -> None:
        """With a name of Twisted missing, the reactor is returned as it is."""
        self.patch(eager_module, "_MISSING", ["Port.transport"])
        reactor = object()
        self.assertIs(eager(reactor), reactor)

    def test_missing_name_is_found(self) -> None:
        """The check names what is missing, and nothing with today's Twisted."""
        self.assertEqual(eager_module.missing_names(), [])
        changed = SimpleNamespace(
            Connection=tcp.Connection,
            Port=tcp.Port,
            Client=tcp.Client,
            Connector=object,
        )
        self.patch(eager_module, "tcp", changed)
        self.assertEqual(eager_module.missing_names(), ["object._makeTransport"])

    def test_pending_bytes(self) -> None:
        """Any transport can be asked for its queue; a strange one has none."""
        self.assertEqual(pending_bytes(MemoryTransport(queued=7)), 7)
        self.assertEqual(pending_bytes(object()), 0)

    def test_untaken_bytes(self) -> None:
        """Without a word on the kernel's queue it is what waits in our own."""
        self.assertEqual(untaken_bytes(MemoryTransport(queued=7)), 7)
        self.assertEqual(untaken_bytes(object()), 0)

    def test_untaken_bytes_below_tls(self) -> None:
        """Through Twisted's TLS the socket below it is asked."""
        below = MemoryTransport(queued=7)
        factory = WrappingFactory(RecordingFactory())
        wrapped = ProtocolWrapper(factory, Recorder())
        wrapped.transport = below
        self.assertEqual(untaken_bytes(wrapped), 7)

    def test_is_secure(self) -> None:
        """Any transport can be asked whether it is encrypted."""
        self.assertFalse(is_secure(MemoryTransport()))
        self.assertFalse(is_secure(object()))
