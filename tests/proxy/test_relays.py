"""Tests of long bodies and tunnels that the kernel moves, with sockets of this process."""

from __future__ import annotations

import socket
import threading

from lolly_tx.net.http1.shared import ClientTimeouts
from lolly_tx.net.sockets.transports import PlainServer
from lolly_tx.net.tunnel import WATCH_SECONDS
from lolly_tx.net.upstreams import UpstreamLimits
from lolly_tx.proxy.owner import RELAY_BYTES
from lolly_tx.wire.websocket import GOING_AWAY
from tests.net.fakes import SteppingTestCase, reset
from tests.net.test_tunnel import AGREED, ASK
from tests.proxy.world import GET, OK, World, answer, post

BIG = 1 << 20
BODY = bytes(range(256)) * (BIG // 256)
LONG = 1 << 20


class NoisyTransport(PlainServer):
    """Counts what passes through Python."""

    copied = 0

    def write(self, data):
        self.copied += len(data)
        super().write(data)


class RelayTestCase(SteppingTestCase):
    def setUp(self):
        super().setUp()
        self.addCleanup(self._check)
        self.limit()

    def limit(self, read=5.0, pool_write=5.0, body=5.0, write=5.0):
        """A fresh world: `pool.timeout.read` and `write`, `timeouts.body` and `write`."""
        self.world = World(
            upstream=UpstreamLimits(read=read, write=pool_write),
            timeouts=ClientTimeouts(body=body, write=write, body_rate=0),
        )

    def _check(self):
        for client in list(self.world.acceptor.doors):
            client.transport.abortConnection()
        self.rounds()
        self.assertEqual(self.world.in_flight, {})
        self.assertEqual(self.world.forwarder.in_flight, 0)
        self.assertEqual(len(self.world.ended), len(set(map(id, self.world.ended))))
        self.world.deadlines.stop()

    def client(self, send_buffer: int | None = None) -> socket.socket:
        door = self.world.acceptor.buildProtocol(None)
        self.near, _, far = self.accepted(door, NoisyTransport, send_buffer)
        return far

    def backend(self) -> socket.socket:
        """Accept the connect that is waiting."""
        self.spin(self.world.connects, "a connect")
        attempt = self.world.connects()[0]
        attempt.protocol = attempt.factory.buildProtocol(None)
        self.far, _, sock = self.accepted(attempt.protocol, NoisyTransport)
        attempt.result.callback(attempt.protocol)
        return sock

    def opened(self, request: bytes = GET, **settings):
        """A request has reached the backend: the peers' sockets."""
        client = self.client(**settings)
        client.sendall(request)
        return client, self.backend()

    def head(self, sock: socket.socket) -> bytes:
        """Read up to the end of a head."""
        sock.setblocking(False)
        got = bytearray()

        def step() -> bool:
            try:
                while not got.endswith(b"\r\n\r\n"):
                    got.extend(sock.recv(1))
            except BlockingIOError:
                return False
            return True

        self.spin(step, "a head")
        return bytes(got)

    def push(self, sock: socket.socket, data: bytes, until=None) -> int:
        """Send all of `data`, or until it is so; how much was sent."""
        sock.setblocking(False)
        view = memoryview(data)
        sent = 0

        def step() -> bool:
            nonlocal sent
            try:
                while sent < len(view):
                    sent += sock.send(view[sent:])
            except BlockingIOError:
                return bool(until and until())
            except OSError:
                return True
            return True

        self.spin(step, "the other end to take bytes")
        return sent

    def ended(self, count: int = 1):
        self.spin(lambda: len(self.world.ended) >= count, "the end of an exchange")
        return self.world.ended[-1]

    def relaying(self, which: str = "download"):
        """Wait until an exchange relays."""
        door = next(iter(self.world.acceptor.doors))
        self.spin(
            lambda: getattr(getattr(door.exchange, which, None), "relay", None),
            "a relay",
        )
        return getattr(door.exchange, which).relay

    def stall(self, seconds: float = 5.4) -> None:
        for _ in range(int(seconds / 0.1)):
            self.world.clock.advance(0.1)
            self.reactor.iterate(0)


class DownTests(RelayTestCase):
    def both(self, head: bytes, **settings):
        client, backend = self.opened(**settings)
        self.head(backend)
        backend.sendall(head)
        self.head(client)
        return client, backend

    def answered(self, **settings):
        return self.both(
            b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % BIG, **settings
        )

    def test_length(self):
        """A long body arrives whole, hardly a byte of it seen by Python."""
        client, backend = self.answered()
        relay = self.relaying()
        backend.setblocking(False)
        sent = 0
        got = bytearray()
        client.setblocking(False)

        def step() -> bool:
            nonlocal sent
            try:
                sent += backend.send(BODY[sent:])
            except BlockingIOError:
                pass
            try:
                got.extend(client.recv(1 << 18))
            except BlockingIOError:
                pass
            return len(got) == BIG

        self.spin(step, "the body")
        self.assertEqual(bytes(got), BODY)
        exchange = self.ended()
        self.assertEqual(exchange.bytes_out, BIG)
        self.assertEqual(relay.moved, BIG)
        self.assertLess(self.near.copied, 1000)
        self.assertEqual(self.world.upstreams["a"].idle, 1)
        # Both connections serve on.
        client.sendall(GET)
        self.head(backend)
        backend.sendall(OK)
        self.assertEqual(self.drain(client, len(OK)), OK)

    def test_until_close(self):
        """So does one that ends with the connection."""
        client, backend = self.both(b"HTTP/1.1 200 OK\r\n\r\n")
        self.relaying()
        backend.sendall(BODY[:100000])
        backend.close()
        self.assertEqual(self.drain(client), BODY[:100000])
        self.assertIsNone(self.ended().error)

    def test_short(self):
        """A short body is not worth it."""
        client, backend = self.both(
            b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (RELAY_BYTES - 1)
        )
        self.assertIsNone(next(iter(self.world.acceptor.doors)).exchange.download)

    def test_chunked(self):
        """Chunks are read by us."""
        client, backend = self.both(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        backend.sendall(b"3\r\nabc\r\n0\r\n\r\n")
        self.assertEqual(self.drain(client, 13), b"3\r\nabc\r\n0\r\n\r\n")

    def test_cut_short(self):
        """A backend that ends too early makes the client see a reset."""
        client, backend = self.answered()
        self.relaying()
        backend.sendall(BODY[:5000])
        backend.close()
        exchange = self.ended()
        self.assertEqual(exchange.bytes_out, 5000)
        self.assertEqual(exchange.error.token, "connection_terminated")
        with self.assertRaises(ConnectionResetError):
            self.drain(client)
        self.assertEqual(self.world.pool.nodes["a"].stats.failures, 1)

    def test_backend_resets(self):
        """A reset of the backend's does, too."""
        client, backend = self.answered()
        self.relaying()
        reset(backend)
        self.ended()
        with self.assertRaises(ConnectionResetError):
            self.drain(client)
        self.assertEqual(self.world.pool.nodes["a"].stats.failures, 1)

    def test_client_resets(self):
        """A client that is gone ends the backend's work, and nobody is blamed."""
        client, backend = self.answered()
        self.relaying()
        backend.sendall(BODY[:5000])
        self.drain(client, 5000)
        reset(client)
        exchange = self.ended()
        self.assertEqual(exchange.status, 200)
        self.assertEqual(exchange.bytes_out, 5000)
        self.assertEqual(self.world.pool.nodes["a"].stats.failures, 0)
        with self.assertRaises(ConnectionResetError):
            self.drain(backend)

    def test_backend_stalls(self):
        """A backend that stops sending is given up after the read time."""
        client, backend = self.answered()
        self.relaying()
        backend.sendall(BODY[:5000])
        self.drain(client, 5000)
        self.stall(4.0)
        backend.sendall(BODY[:5000])
        self.drain(client, 5000)
        self.stall(4.0)
        self.assertEqual(self.world.ended, [])
        self.stall(7.0)
        self.assertEqual(self.ended().error.token, "connection_read_timeout")

    def test_client_stalls(self):
        """A client that stops reading loses its connection; nobody is blamed."""
        client, backend = self.answered(send_buffer=4096)
        relay = self.relaying()
        self.push(backend, BODY, until=lambda: relay.waiting_for == "sink")
        self.stall(11.0)
        exchange = self.ended()
        self.assertEqual(exchange.error.source, "downstream")
        self.assertEqual(self.world.pool.nodes["a"].stats.failures, 0)

    def test_shutdown(self):
        """The end of the proxy's patience ends a relay."""
        client, backend = self.answered()
        self.relaying()
        for door in list(self.world.acceptor.doors):
            door.shut()
        self.assertEqual(self.ended().error.source, "internal")


class UpTests(RelayTestCase):
    def upload(self, size: int = BIG):
        client, backend = self.opened(post(size, b"x"))
        self.head(backend)
        self.assertEqual(self.drain(backend, 1), b"x")
        return client, backend

    def test_upload(self):
        """A long body is moved by the kernel, and the connections serve on."""
        client, backend = self.upload()
        self.relaying("upload")
        client.setblocking(False)
        backend.setblocking(False)
        sent = 1
        got = bytearray()

        def step() -> bool:
            nonlocal sent
            try:
                sent += client.send(BODY[sent:])
            except BlockingIOError:
                pass
            try:
                got.extend(backend.recv(1 << 18))
            except BlockingIOError:
                pass
            return len(got) == BIG - 1

        self.spin(step, "the body")
        self.assertEqual(bytes(got), BODY[1:])
        self.assertLess(self.far.copied, 1000)
        backend.sendall(OK)
        self.assertEqual(self.drain(client, len(OK)), OK)
        self.assertEqual(self.ended().bytes_in, BIG)
        client.sendall(GET)
        self.assertIn(b"GET", self.head(backend))
        backend.sendall(OK)
        self.assertEqual(self.drain(client, len(OK)), OK)

    def test_early_answer(self):
        """An answer within the upload is passed on, and the connection closed."""
        client, backend = self.upload()
        self.relaying("upload")
        client.sendall(b"x" * 1000)
        backend.sendall(answer(b"no", 413))
        self.assertTrue(self.drain(client).endswith(b"no"))
        exchange = self.ended()
        self.assertEqual((exchange.status, exchange.error), (413, None))
        # What the client goes on sending is swallowed, within limits.
        client.sendall(b"x" * 1000)
        client.close()
        self.spin(lambda: not self.world.acceptor.doors, "the client's end")

    def test_refused_with_a_reset(self):
        """So is one from a backend that then closes with the upload unread."""
        client, backend = self.upload()
        self.relaying("upload")
        backend.sendall(answer(b"no", 413))
        backend.close()  # whatever comes now is answered with a reset
        self.push(client, BODY, until=lambda: self.world.ended)
        self.assertEqual(self.ended().status, 413)
        self.assertEqual(self.world.pool.nodes["a"].stats.failures, 0)

    def test_short_and_refused_with_a_reset(self):
        """The same with a body that is copied."""
        client, backend = self.upload(100000)
        client.sendall(b"x" * 1000)
        self.rounds()
        backend.sendall(answer(b"no", 413))
        backend.close()
        self.push(client, BODY[: 100000 - 1001], until=lambda: self.world.ended)
        self.assertEqual(self.ended().status, 413)
        self.assertEqual(self.world.pool.nodes["a"].stats.failures, 0)

    def test_client_resets(self):
        """A client that is gone ends the upload; nobody is blamed."""
        client, backend = self.upload()
        self.relaying("upload")
        client.sendall(b"x" * 1000)
        self.drain(backend, 1000)
        reset(client)
        exchange = self.ended()
        self.assertEqual(exchange.status, 499)
        self.assertEqual(exchange.bytes_in, 1001)
        with self.assertRaises(ConnectionResetError):
            self.drain(backend)
        self.assertEqual(self.world.pool.nodes["a"].stats.failures, 0)

    def test_client_ends(self):
        """So does one that sends less than it said."""
        client, backend = self.upload()
        self.relaying("upload")
        client.shutdown(socket.SHUT_WR)
        self.assertEqual(self.ended().status, 499)
        with self.assertRaises(ConnectionResetError):
            self.drain(backend)

    def test_backend_resets(self):
        """A backend that breaks off within an upload: 502."""
        client, backend = self.upload()
        self.relaying("upload")
        reset(backend)
        self.assertEqual(self.ended().status, 502)
        self.assertIn(b"HTTP/1.1 502 ", self.head(client))

    def test_client_stalls(self):
        """A client that stops sending is told 408."""
        client, backend = self.upload()
        self.relaying("upload")
        self.stall(11.0)
        self.assertEqual(self.ended().status, 408)
        self.assertIn(b"HTTP/1.1 408 ", self.head(client))

    def test_backend_stalls(self):
        """A backend that stops reading is given up."""
        client, backend = self.upload(64 * BIG)
        relay = self.relaying("upload")
        self.push(client, BODY * 30, until=lambda: relay.waiting_for == "sink")
        self.stall(12.0)
        self.assertEqual(self.ended().error.token, "connection_write_timeout")
        self.assertIn(b"HTTP/1.1 504 ", self.head(client))

    def steady(self, early: bytes = b""):
        """An upload that never pauses and takes 20 s, with `early` in its midst: the peers' sockets."""
        client, backend = self.upload(20 * 50000 + 1)
        self.relaying("upload")
        for i in range(20):
            client.sendall(BODY[:50000])
            self.drain(backend, 50000)
            if i == 3 and early:
                backend.sendall(early)
                self.head(client)
            self.stall(1.0)
        return client, backend

    def test_longer_than_the_read_time(self):
        """Such an upload may take longer than `timeout.read`."""
        client, backend = self.steady()
        self.stall(3.5)
        backend.sendall(OK)
        self.assertEqual(self.drain(client, len(OK)), OK)
        self.assertEqual(self.world.pool.nodes["a"].stats.failures, 0)

    def test_longer_than_the_read_time_after_an_early_head(self):
        """After a final head as well, be the answer short or long enough for a relay of its own."""
        for size in (2, BIG):
            self.limit()
            head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size
            client, backend = self.steady(head)
            self.stall(3.5)
            self.assertEqual(self.world.ended, [])
            backend.sendall(BODY[:size] if size == 2 else BODY[:5000])
            self.drain(client, min(size, 5000))
            self.assertEqual(self.world.pool.nodes["a"].stats.failures, 0)

    def test_the_rest_of_an_early_answer(self):
        """From the request's end on the rest of it is due, in a relay, too."""
        head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % BIG
        self.steady(head)
        self.stall(8.0)
        self.assertEqual(self.ended().error.token, "connection_read_timeout")

    def test_asked_before(self):
        """A body the client holds back is moved by the kernel once the target wants it."""
        client, backend = self.opened(post(BIG, extra="Expect: 100-continue\r\n"))
        self.head(backend)
        self.rounds()
        backend.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        self.head(client)
        self.relaying("upload")
        client.sendall(BODY[:5000])
        self.assertEqual(self.drain(backend, 5000), BODY[:5000])

    def test_not_waited_for(self):
        """So is one that the client does not hold back for long."""
        client, backend = self.opened(post(BIG, extra="Expect: 100-continue\r\n"))
        self.head(backend)
        client.sendall(BODY[:5000])
        self.assertEqual(self.drain(backend, 5000), BODY[:5000])
        self.relaying("upload")
        client.sendall(BODY[:5000])
        self.assertEqual(self.drain(backend, 5000), BODY[:5000])

    def test_hung_up_on(self):
        """A backend that hangs up on a client that stands still is not to blame."""
        self.limit(body=60.0)
        _, backend = self.upload()
        self.relaying("upload")
        self.stall(3.0)
        reset(backend)
        self.assertEqual(self.ended().status, 502)
        self.assertEqual(self.world.pool.nodes["a"].stats.failures, 0)


class WhoseLimitTests(RelayTestCase):
    """Whoever holds a relay up is cut by the limit that is his, and by no other."""

    def outcome(self, seconds: float):
        """Nothing moves for `seconds`; the error that was made of it, if any."""
        self.stall(seconds)
        return self.world.ended[-1].error if self.world.ended else None

    def long_but(self, **limit: float):
        self.limit(**{"read": 60, "pool_write": 60, "body": 60, "write": 60, **limit})

    def down(self):
        """A download is under way: the peers' sockets and the relay."""
        client, backend = self.opened(send_buffer=4096)
        self.head(backend)
        backend.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % BIG)
        self.head(client)
        return client, backend, self.relaying()

    def up(self):
        """An upload is."""
        client, backend = self.opened(post(64 * BIG, b"x"))
        self.head(backend)
        return client, backend, self.relaying("upload")

    def test_reader(self):
        """A client that takes nothing of an answer: `timeouts.write`."""
        for mine in (True, False):
            self.long_but(**{"write" if mine else "read": 3.0})
            _, backend, relay = self.down()
            self.push(backend, BODY, until=lambda r=relay: r.waiting_for == "sink")
            error = self.outcome(8.0)
            self.assertEqual(
                error.source if error else None, "downstream" if mine else None
            )

    def test_sender_of_an_answer(self):
        """A backend that sends no more of it: `pool.timeout.read`."""
        for mine in (True, False):
            self.long_but(**{"read" if mine else "write": 3.0})
            self.down()
            token = "connection_read_timeout" if mine else None
            self.assertEqual(getattr(self.outcome(8.0), "token", None), token)

    def test_uploader(self):
        """A client that sends no more of a request: `timeouts.body`."""
        for mine in (True, False):
            self.long_but(**{"body" if mine else "pool_write": 3.0})
            self.up()
            error = self.outcome(8.0)
            self.assertEqual(getattr(error, "status", None), 408 if mine else None)

    def test_receiver_of_a_request(self):
        """A backend that takes no more of it: `pool.timeout.write`."""
        for mine in (True, False):
            self.long_but(**{"pool_write" if mine else "body": 3.0})
            client, _, relay = self.up()
            self.push(client, BODY * 30, until=lambda r=relay: r.waiting_for == "sink")
            token = "connection_write_timeout" if mine else None
            self.assertEqual(getattr(self.outcome(8.0), "token", None), token)


class TunnelRelayTests(RelayTestCase):
    def tunnel(self):
        client, backend = self.opened(ASK)
        self.head(backend)
        backend.sendall(AGREED)
        self.head(client)
        return client, backend

    def test_both_ways(self):
        """A tunnel between plain sockets is moved by the kernel, either way."""
        client, backend = self.tunnel()
        backend.sendall(b"no frame")
        self.assertEqual(self.drain(client, 8), b"no frame")
        for one, other in ((client, backend), (backend, client)):
            one.setblocking(True)
            one.sendall(b"x" * 50000)
            self.assertEqual(self.drain(other, 50000), b"x" * 50000)
        self.assertLess(self.near.copied + self.far.copied, 1000)
        client.shutdown(socket.SHUT_WR)
        self.assertEqual(self.drain(backend), b"")
        backend.sendall(b"bye")
        backend.close()
        self.assertEqual(self.drain(client), b"bye")
        exchange = self.ended()
        self.assertEqual((exchange.bytes_in, exchange.bytes_out), (50000, 50011))

    def test_long_frames(self):
        """The kernel moves the payload of a server's long frames; what is between is copied."""
        client, backend = self.tunnel()
        long = b"\x82\x7f" + LONG.to_bytes(8) + b"x" * LONG
        data = long + b"\x81\x02hi" + long
        sender = threading.Thread(target=backend.sendall, args=(data,))
        backend.setblocking(True)
        sender.start()
        self.assertEqual(self.drain(client, len(data)), data)
        sender.join()
        self.assertLess(self.near.copied, 400_000)
        for door in list(self.world.acceptor.doors):
            door.drain(0.0)
        self.assertEqual(self.drain(client, 4), GOING_AWAY)
        client.close()
        self.assertEqual(self.ended().bytes_out, len(data))

    def test_stalled(self):
        """A side that takes nothing for the write time loses the tunnel; a slow one does not."""
        for name in ("client", "backend"):
            client, backend = self.tunnel()
            backend.sendall(b"no frame")
            self.drain(client, 8)
            reader, writer = (
                (client, backend) if name == "client" else (backend, client)
            )
            writer.setblocking(False)
            reader.setblocking(False)
            self.fill(writer)
            for _ in range(4):
                self.world.pass_time(WATCH_SECONDS)
                while True:
                    try:
                        reader.recv(1 << 20)
                    except BlockingIOError:
                        break
                self.fill(writer)
            self.assertEqual(self.world.ended, [])
            self.world.pass_time(2 * WATCH_SECONDS + 1)
            self.ended()
            self.world.forget()

    def fill(self, writer):
        """Send until nothing more is taken for some rounds."""
        quiet = 0
        while quiet < 20:
            try:
                writer.send(bytes(1 << 20))
                quiet = 0
            except BlockingIOError:
                quiet += 1
            self.rounds()

    def test_stop_within_a_long_frame(self):
        """A stop waits for the end of a frame that the kernel is moving."""
        client, backend = self.tunnel()
        backend.setblocking(True)
        backend.sendall(b"\x82\x7f" + LONG.to_bytes(8) + b"x" * 100)
        self.drain(client, 110)
        for door in list(self.world.acceptor.doors):
            door.drain(0.0)
        sender = threading.Thread(target=backend.sendall, args=(b"x" * LONG,))
        sender.start()
        got = self.drain(client, LONG - 100 + 4)
        sender.join()
        self.assertTrue(got.endswith(b"x" + GOING_AWAY))
        client.close()
        self.ended()

    def test_backend_ends_first(self):
        """A half-close of the backend leaves the other direction open."""
        client, backend = self.tunnel()
        backend.shutdown(socket.SHUT_WR)
        self.assertEqual(self.drain(client), b"")
        client.setblocking(True)
        client.sendall(b"more")
        self.assertEqual(self.drain(backend, 4), b"more")
        client.close()
        self.assertEqual(self.ended().bytes_in, 4)

    def test_resets(self):
        """A reset of either side is a reset of the other."""
        client, backend = self.tunnel()
        client.sendall(b"abc")
        self.drain(backend, 3)
        reset(client)
        self.assertEqual(self.ended().bytes_in, 3)
        with self.assertRaises(ConnectionResetError):
            self.drain(backend)

    def test_backend_resets(self):
        """Of the backend as well."""
        client, backend = self.tunnel()
        reset(backend)
        self.ended()
        with self.assertRaises(ConnectionResetError):
            self.drain(client)

    def test_shutdown(self):
        """The end of the proxy's patience ends it and records its bytes."""
        client, backend = self.tunnel()
        client.sendall(b"abc")
        self.drain(backend, 3)
        for door in list(self.world.acceptor.doors):
            door.shut()
        self.assertEqual(self.ended().bytes_in, 3)
