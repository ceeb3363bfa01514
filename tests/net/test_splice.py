"""Tests of lolly_tx.net.sockets.splice: bytes moved inside the kernel, and every way it ends."""

from __future__ import annotations

import errno
import hashlib
import os
import socket
from typing import Any

from twisted.internet import error

from lolly_tx.net.sockets.splice import (
    EVENT_BYTES,
    LEAST_SHARE_BYTES,
    ROUND_BYTES,
    SINK,
    SINK_LOST,
    SOURCE,
    SOURCE_EOF,
    SOURCE_RESET,
    Pipe,
    PipePool,
    Relay,
    can_splice,
)
from lolly_tx.net.sockets.transports import PlainUNIXServer
from tests.net.fakes import (
    HalfCloseRecorder,
    MemoryTransport,
    Recorder,
    SteppingTestCase,
    open_descriptors,
    reset,
)

MUCH = os.urandom(4 << 20)


class RelayTestCase(SteppingTestCase):
    """A source and a sink, and the test's ends of both."""

    def setUp(self) -> None:
        """Two connections."""
        super().setUp()
        self.pipes = PipePool(keep=2)
        self.addCleanup(self.pipes.close)
        self.source, self.source_proto, self.origin = self.accepted(send_buffer=65536)
        self.sink, self.sink_proto, self.client = self.accepted(send_buffer=65536)
        self.ended: list[str] = []
        self.progress: list[int] = []

    def relay(self, remaining: int | None, **named: Any) -> Relay:
        """A relay whose end is noted in `ended`."""
        named.setdefault("on_done", lambda: self.ended.append("done"))
        return Relay(
            self.source,
            self.sink,
            remaining,
            on_error=self.ended.append,
            on_progress=self.progress.append,
            pipes=self.pipes,
            **named,
        )

    def send(self, data: bytes) -> None:
        """Send from the origin without blocking; what fits."""
        self.origin.setblocking(False)
        self.origin.send(data)

    def pump(self, data: bytes, size: int | None = None) -> bytes:
        """Send all of `data` and read `size` bytes at the client, side by side."""
        self.origin.setblocking(False)
        self.client.setblocking(False)
        wanted = len(data) if size is None else size
        got, sent = bytearray(), [0]

        def step() -> bool:
            try:
                while sent[0] < len(data):
                    sent[0] += self.origin.send(data[sent[0] : sent[0] + 300000])
            except BlockingIOError:
                pass
            try:
                while len(got) < wanted:
                    got.extend(self.client.recv(1 << 18))
            except BlockingIOError:
                pass
            return sent[0] == len(data) and len(got) == wanted

        self.spin(step, "the bytes")
        return bytes(got)


class RelayTests(RelayTestCase):
    """What a relay moves and how it ends."""

    def test_counted_bytes(self) -> None:
        """Exactly `remaining` bytes go through, unchanged; then normal mode."""
        relay = self.relay(len(MUCH))
        got = self.pump(MUCH + b"next", len(MUCH))
        self.assertEqual(got, MUCH)
        self.spin(lambda: self.ended)
        self.assertEqual((self.ended, relay.moved), (["done"], len(MUCH)))
        self.assertEqual(sum(self.progress), len(MUCH))
        self.spin(lambda: self.source_proto.received == b"next")
        self.sink.write(b"after")
        self.assertEqual(self.drain(self.client, 5), b"after")
        self.assertIn("over", repr(relay))

    def test_until_end(self) -> None:
        """Without a count the source's end is the end, reported once."""
        self.relay(None)
        self.assertEqual(self.pump(MUCH), MUCH)
        self.origin.close()
        self.spin(lambda: self.ended)
        self.rounds()
        self.assertEqual((self.ended, self.source_proto.reason), (["done"], None))
        self.source.resumeProducing()
        self.spin(lambda: self.source_proto.reason)
        self.assertIs(self.source_proto.reason, error.ConnectionDone)

    def test_64_mebibytes(self) -> None:
        """A long body arrives with the same digest."""
        relay = self.relay(64 << 20)
        digest = hashlib.sha256()
        for _ in range(16):
            digest.update(self.pump(MUCH))
        self.spin(lambda: self.ended)
        self.assertEqual(relay.moved, 64 << 20)
        self.assertEqual(digest.digest(), hashlib.sha256(MUCH * 16).digest())

    def test_queued_bytes_go_first(self) -> None:
        """What the sink had queued (a response's head) is sent before the body."""
        head = b"h" * (1 << 20)
        self.sink.write(head)
        self.assertTrue(self.sink.pending_bytes())
        relay = self.relay(4)
        self.assertEqual(relay.waiting_for, SINK)
        self.send(b"body")
        self.assertEqual(self.drain(self.client, len(head) + 4), head + b"body")
        self.spin(lambda: self.ended)

    def test_slow_reader(self) -> None:
        """A client that does not read stops the reading of the source, idly."""
        relay = self.relay(None)
        self.send(MUCH)
        self.spin(lambda: relay.waiting_for == SINK)
        self.assertNotIn(self.source, self.reactor.getReaders())
        moved, calls = relay.moved, []
        self.patch(os, "splice", lambda *a, **k: calls.append(a))
        self.rounds(20)
        self.assertEqual((relay.moved, calls), (moved, []))

    def test_slow_reader_goes_on(self) -> None:
        """When the client reads again, the rest follows; nothing is lost."""
        relay = self.relay(len(MUCH))
        self.send(MUCH[:300000])
        self.spin(lambda: relay.waiting_for == SINK)
        rest = self.pump(MUCH, len(MUCH))
        self.assertEqual(len(rest), len(MUCH))

    def test_idle_relay_holds_no_pipe(self) -> None:
        """A tunnel in which nothing moves costs no descriptors."""
        before = open_descriptors()
        relay = self.relay(None)
        self.assertEqual(open_descriptors(), before)
        self.assertEqual(self.pump(b"ping"), b"ping")
        self.pipes.close()
        self.assertEqual(open_descriptors(), before)
        self.assertEqual(relay.waiting_for, SOURCE)

    def test_early_end(self) -> None:
        """A source that ends too soon is told from one that fails."""
        relay = self.relay(10)
        self.send(b"12345")
        self.origin.close()
        self.spin(lambda: self.ended)
        self.assertEqual((self.ended, relay.moved), ([SOURCE_EOF], 5))
        self.assertEqual(self.drain(self.client, 5), b"12345")
        self.assertIsNone(self.sink_proto.reason)

    def test_source_reset(self) -> None:
        """A reset source is reported and lost in the ordinary way; the sink stays."""
        self.relay(10)
        reset(self.origin)
        self.spin(lambda: self.source_proto.reason)
        self.assertEqual(self.ended, [SOURCE_RESET])
        self.assertIs(self.source_proto.reason, error.ConnectionLost)
        self.sink.write(b"still here")
        self.assertEqual(self.drain(self.client, 10), b"still here")

    def test_source_reset_met_while_writing(self) -> None:
        """A reset met when the sink drains loses the source, not the sink."""
        relay = self.relay(None)
        self.send(MUCH)
        self.spin(lambda: relay.waiting_for == SINK)
        reset(self.origin)
        self.client.setblocking(False)

        def read() -> bool:
            try:
                self.client.recv(1 << 20)
            except BlockingIOError:
                pass
            return self.source_proto.reason is not None

        self.spin(read)
        self.assertEqual(self.ended, [SOURCE_RESET])
        self.assertIs(self.source_proto.reason, error.ConnectionLost)
        self.assertIsNone(self.sink_proto.reason)

    def test_sink_reset_while_waiting_for_it(self) -> None:
        """A client that resets in mid-body is the sink's fault; the pipe is closed."""
        before = open_descriptors()
        relay = self.relay(None)
        self.sink.pauseProducing()
        self.send(MUCH)
        self.spin(lambda: relay.waiting_for == SINK)
        self.assertEqual(open_descriptors(), before + 2)
        reset(self.client)
        self.spin(lambda: self.sink_proto.reason)
        self.assertEqual(self.ended, [SINK_LOST])
        self.assertIs(self.sink_proto.reason, error.ConnectionLost)
        self.assertIsNone(self.source_proto.reason)
        self.assertEqual(open_descriptors(), before - 2)

    def test_sink_reset_met_while_reading(self) -> None:
        """A dead sink found when the source is read is lost in the next round."""
        self.relay(None)
        self.sink.pauseProducing()
        reset(self.client)
        self.send(b"x")
        self.spin(lambda: self.sink_proto.reason)
        self.assertEqual(self.ended, [SINK_LOST])
        self.assertIs(self.sink_proto.reason, error.ConnectionLost)
        self.assertIsNone(self.source_proto.reason)

    def test_sink_is_closed_by_its_client(self) -> None:
        """A client that closes while we wait for the source is noticed by its reading."""
        self.relay(None)
        self.client.close()
        self.spin(lambda: self.sink_proto.reason)
        self.assertEqual(self.ended, [SINK_LOST])

    def test_abort_of_either_side(self) -> None:
        """Aborting a transport ends its relay with the right reason, once."""
        self.relay(None)
        self.source.abortConnection()
        self.spin(lambda: self.source_proto.reason)
        self.assertEqual(self.ended, [SOURCE_RESET])
        self.sink.abortConnection()
        self.spin(lambda: self.sink_proto.reason)
        self.assertEqual(self.ended, [SOURCE_RESET])

    def test_owner_closes_when_done(self) -> None:
        """The usual end: both connections closed in the callback, all delivered."""

        def close() -> None:
            self.sink.loseConnection()
            self.source.abortConnection()

        self.relay(len(MUCH), on_done=close)
        self.assertEqual(self.pump(MUCH), MUCH)
        self.assertEqual(self.drain(self.client), b"")
        self.spin(lambda: self.source_proto.reason and self.sink_proto.reason)

    def test_pause_when_done(self) -> None:
        """A source paused in the callback stays paused."""
        self.relay(4, on_done=self.source.pauseProducing)
        self.send(b"bodynext")
        self.assertEqual(self.drain(self.client, 4), b"body")
        self.rounds()
        self.assertEqual(self.source_proto.received, b"")

    def test_nothing_to_move(self) -> None:
        """A relay of no bytes is a mistake of the caller."""
        self.assertRaises(ValueError, self.relay, 0)

    def test_reactor_wakes_a_waiting_relay(self) -> None:
        """Readiness of the source while the sink is awaited is put aside."""
        relay = self.relay(None)
        self.send(MUCH)
        self.spin(lambda: relay.waiting_for == SINK)
        self.source.resumeProducing()
        self.rounds()
        self.assertNotIn(self.source, self.reactor.getReaders())
        self.assertIn("waiting for sink", repr(relay))


class CrowdTests(RelayTestCase):
    """Many relays in one round of the reactor."""

    def test_less_at_a_time(self) -> None:
        """One of a crowd moves less at a time, so that others are served in between."""
        self.pipes.relays = 2 * ROUND_BYTES // EVENT_BYTES - 1
        self.relay(len(MUCH))
        self.assertEqual(self.pump(MUCH), MUCH)
        self.assertLessEqual(max(self.progress), EVENT_BYTES // 2)

    def test_least_share(self) -> None:
        """However many there are, each moves enough to be worth its event."""
        self.pipes.relays = 10**6
        self.relay(len(MUCH))
        self.assertEqual(self.pump(MUCH), MUCH)
        self.assertLessEqual(max(self.progress), LEAST_SHARE_BYTES)

    def test_counted_while_at_work(self) -> None:
        """A relay counts from its start to its end, however it ends."""
        self.relay(3)
        self.assertEqual(self.pipes.relays, 1)
        self.pump(b"abc")
        self.spin(lambda: self.ended)
        self.assertEqual(self.pipes.relays, 0)
        relay = self.relay(3)
        relay.cancel()
        relay.cancel()
        self.assertEqual(self.pipes.relays, 0)


class CancelTests(RelayTestCase):
    """Stopping a relay."""

    def test_with_nothing_in_the_pipe(self) -> None:
        """Cancelled between two pieces, nothing is lost and both can go on."""
        relay = self.relay(None)
        self.pump(b"one")
        self.assertEqual((relay.cancel(), relay.cancel()), (0, 0))
        self.source.resumeProducing()
        self.send(b"two")
        self.spin(lambda: self.source_proto.received == b"two")
        self.assertEqual(self.ended, [])

    def test_with_bytes_in_the_pipe(self) -> None:
        """Cancelled in mid-flight, the loss is counted and the pipe not reused."""
        before = open_descriptors()
        relay = self.relay(None)
        self.send(MUCH)
        self.spin(lambda: relay.waiting_for == SINK)
        self.assertGreater(relay.cancel(), 0)
        self.assertEqual(open_descriptors(), before)
        self.assertIn("0 idle", repr(self.pipes))
        self.rounds()
        self.assertEqual(self.ended, [])

    def test_in_the_progress_callback(self) -> None:
        """Cancelled while it reports, a relay that was done says no more."""
        relay = self.relay(4)
        relay._on_progress = lambda count: relay.cancel()
        self.send(b"body")
        self.assertEqual(self.drain(self.client, 4), b"body")
        self.rounds()
        self.assertEqual(self.ended, [])


class TunnelTests(RelayTestCase):
    """Two relays over the same two transports, one for each direction."""

    def test_both_directions(self) -> None:
        """Both directions carry their bytes at once, and end one after the other."""
        self.source.protocol = HalfCloseRecorder()
        self.sink.protocol = HalfCloseRecorder()
        ends: list[str] = []
        for name, one, two in (
            ("down", self.source, self.sink),
            ("up", self.sink, self.source),
        ):

            def done(name: str = name, two: Any = two) -> None:
                ends.append(name)
                two.loseWriteConnection()

            Relay(one, two, None, on_done=done, on_error=ends.append, pipes=self.pipes)
        got = {self.origin: bytearray(), self.client: bytearray()}
        sent = {self.origin: 0, self.client: 0}
        for peer in got:
            peer.setblocking(False)

        def step() -> bool:
            for peer in got:
                try:
                    while sent[peer] < len(MUCH):
                        sent[peer] += peer.send(MUCH[sent[peer] :][:100000])
                except BlockingIOError:
                    pass
                try:
                    while True:
                        data = peer.recv(1 << 18)
                        if not data:
                            break
                        got[peer].extend(data)
                except BlockingIOError:
                    pass
            return all(len(one) == len(MUCH) for one in got.values())

        self.spin(step, "both bodies")
        self.assertEqual(set(map(bytes, got.values())), {MUCH})
        self.origin.shutdown(socket.SHUT_WR)
        self.spin(lambda: ends == ["down"])
        self.assertEqual(self.drain(self.client), b"")
        self.client.setblocking(True)
        self.client.sendall(b"one way still open")
        self.assertEqual(self.drain(self.origin, 18), b"one way still open")
        self.client.close()
        self.spin(lambda: ends == ["down", "up"])
        self.assertEqual(self.drain(self.origin), b"")


class WithoutPipesTests(RelayTestCase):
    """Out of descriptors, the relay copies."""

    def setUp(self) -> None:
        """A pool that has none."""
        super().setUp()

        def fail(flags: int) -> Any:
            raise OSError(errno.EMFILE, "too many open files")

        self.patch(os, "pipe2", fail)

    def test_copy(self) -> None:
        """Every byte arrives, no more than asked for is taken."""
        relay = self.relay(len(MUCH))
        self.assertEqual(self.pump(MUCH + b"next", len(MUCH)), MUCH)
        self.spin(lambda: self.ended)
        self.assertEqual((self.ended, relay.moved), (["done"], len(MUCH)))
        self.spin(lambda: self.source_proto.received == b"next")

    def test_copy_until_end(self) -> None:
        """The end of the source ends it here too."""
        self.relay(None)
        self.pump(b"all")
        self.origin.close()
        self.spin(lambda: self.ended)
        self.assertEqual(self.ended, ["done"])


class PipeTests(RelayTestCase):
    """Pipes and their pool."""

    def test_pool_keeps_a_few(self) -> None:
        """Empty pipes are kept up to the limit, the others closed."""
        before = open_descriptors()
        taken = [self.pipes.take() for _ in range(3)]
        self.assertGreaterEqual(taken[0].size, 65536)
        for pipe in taken:
            self.pipes.give_back(pipe)
        self.assertEqual(open_descriptors(), before + 4)
        self.assertIs(self.pipes.take(), taken[1])
        taken[1].close()

    def test_pipe_with_bytes_is_never_pooled(self) -> None:
        """A pipe that holds bytes is closed: they are somebody's."""
        pipe = self.pipes.take()
        pipe.held = 1
        self.pipes.give_back(pipe)
        self.assertIn("0 idle", repr(self.pipes))

    def test_size_refused(self) -> None:
        """Where the wanted capacity is refused, the pipe's own will do."""
        pipe = Pipe(1 << 30)
        self.addCleanup(pipe.close)
        self.assertGreaterEqual(pipe.size, 4096)


class CanSpliceTests(RelayTestCase):
    """Which transports can be relayed."""

    def test_which(self) -> None:
        """Two plain connected transports of ours, and no other."""
        self.assertTrue(can_splice(self.source, self.sink))
        self.assertFalse(can_splice(self.source, MemoryTransport()))
        self.sink.TLS = True
        self.assertFalse(can_splice(self.source, self.sink))
        self.sink.TLS = False
        self.source.secure = True
        self.assertFalse(can_splice(self.source, self.sink))
        self.source.secure = False
        self.source.loseConnection()
        self.spin(lambda: self.source_proto.reason)
        self.assertFalse(can_splice(self.source, self.sink))

    def test_unix(self) -> None:
        """UNIX sockets can be relayed like TCP ones."""
        ours, theirs = socket.socketpair()
        self.addCleanup(theirs.close)
        proto = Recorder()
        port = type("Port", (), {"_realPortNumber": 0})
        self.source = PlainUNIXServer(ours, proto, "", port, 0, self.reactor)
        proto.makeConnection(self.source)
        self.origin = theirs
        self.assertTrue(can_splice(self.source, self.sink))
        self.relay(len(MUCH))
        self.assertEqual(self.pump(MUCH), MUCH)
        self.spin(lambda: self.ended == ["done"])


class SharedPoolTests(RelayTestCase):
    """Relays that were given no pool share one."""

    def test_shared(self) -> None:
        """A relay without a pool works."""
        Relay(
            self.source,
            self.sink,
            4,
            on_done=lambda: self.ended.append("done"),
            on_error=self.ended.append,
        )
        self.send(b"body")
        self.assertEqual(self.drain(self.client, 4), b"body")
        self.spin(lambda: self.ended == ["done"])
