"""Tests of connections joined after an upgrade; relays are tested with real sockets."""

from __future__ import annotations

from lolly_tx.net import tunnel
from lolly_tx.net.sockets.parting import (
    CLOSE_SECONDS,
    LINGER_IDLE_SECONDS,
    LOOK_SECONDS,
)
from lolly_tx.net.tunnel import GOODBYE_SECONDS
from lolly_tx.net.upstreams import UpstreamLimits
from lolly_tx.wire.websocket import GOING_AWAY
from tests.proxy.world import WorldTestCase, answer, get

ASK = get(
    "/ws", "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k\r\n"
)
AGREED = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"
    b"Upgrade: websocket\r\nSec-WebSocket-Accept: a\r\n\r\n"
)


class TunnelTestCase(WorldTestCase):
    def opened(self, **settings):
        """A tunnel: (world, client, backend)."""
        world = self.world(**settings)
        client = world.client()
        client.send(ASK)
        backend = world.accept()
        backend.take()
        backend.send(AGREED)
        client.take()
        return world, client, backend

    def assert_over(self, world, sent: int, received: int) -> None:
        """The exchange was recorded once, with these bytes."""
        [exchange] = world.ended
        self.assertEqual(exchange.status, 101)
        self.assertEqual((exchange.bytes_in, exchange.bytes_out), (sent, received))
        self.assertEqual(world.in_flight, {})
        self.assert_nobody_blamed(world)


class TunnelTests(TunnelTestCase):
    def test_handshake(self):
        """The handshake's fields go through, Connection and Upgrade are ours."""
        world = self.world()
        client = world.client()
        client.send(ASK)
        backend = world.accept()
        asked = backend.take()
        self.assertIn(b"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n", asked)
        self.assertIn(b"\r\nSec-WebSocket-Key: k\r\n", asked)
        backend.send(AGREED)
        agreed = client.take()
        self.assertTrue(agreed.startswith(b"HTTP/1.1 101 Switching Protocols\r\n"))
        self.assertIn(b"\r\nSec-WebSocket-Accept: a\r\n", agreed)
        self.assertEqual(agreed.lower().count(b"upgrade: websocket"), 1)
        self.assertEqual(world.in_flight, {"a": 1})

    def test_both_ways(self):
        """Bytes go both ways untouched, whatever they look like."""
        world, client, backend = self.opened()
        client.send(b"GET / HTTP/1.1\r\n\r\n")
        backend.send(b"\x00\xff")
        self.assertEqual(backend.take(), b"GET / HTTP/1.1\r\n\r\n")
        self.assertEqual(client.take(), b"\x00\xff")
        client.reset()
        self.assert_over(world, 18, 2)

    def test_early_bytes(self):
        """Bytes sent with the handshake arrive after it, in either direction."""
        world = self.world()
        client = world.client()
        client.send(ASK + b"early ")
        backend = world.accept()
        self.assertTrue(backend.take().endswith(b"\r\n\r\n"))
        client.send(b"bird")
        self.assertEqual(backend.take(), b"")
        backend.send(AGREED + b"worm")
        self.assertEqual(backend.take(), b"early bird")
        self.assertTrue(client.take().endswith(b"\r\n\r\nworm"))
        client.lose()
        self.assert_over(world, 10, 4)

    def test_many_early_bytes(self):
        """A client that sent too much too early is read on when the tunnel opens."""
        world = self.world()
        client = world.client()
        client.send(ASK)
        client.send(b"x" * 70000)
        client.send(b"y")
        self.assertTrue(client.paused)
        backend = world.accept()
        backend.take()
        backend.send(AGREED)
        world.pass_time()
        self.assertEqual(len(backend.take()), 70001)

    def test_early_bytes_and_a_slow_backend(self):
        """If the backend does not take them, the client is paused again."""
        world = self.world()
        client = world.client()
        client.send(ASK)
        client.send(b"x" * 70000)
        backend = world.accept()
        backend.stop_reading()
        backend.send(AGREED)
        self.assertTrue(client.paused)
        backend.read_on()
        self.assertFalse(client.paused)

    def test_half_close_of_the_client(self):
        """The end of one direction is passed on; the other stays open."""
        world, client, backend = self.opened()
        client.send(b"bye")
        client.end()
        self.assertTrue(backend.half_closed)
        self.assertFalse(backend.disconnecting)
        backend.send(b"so long")
        self.assertEqual(client.take(), b"so long")
        backend.end()
        self.assertTrue(client.closed)
        self.assertTrue(backend.closed)
        self.assert_over(world, 3, 7)

    def test_half_close_of_the_backend(self):
        """The same the other way round."""
        world, client, backend = self.opened()
        backend.end()
        self.assertTrue(client.half_closed)
        client.send(b"more")
        self.assertEqual(backend.take(), b"more")
        client.end()
        self.assertTrue(client.closed)
        self.assert_over(world, 4, 0)

    def test_end_before_the_handshake(self):
        """A client that was done before the backend agreed is done in the tunnel."""
        world = self.world()
        client = world.client()
        client.send(ASK)
        client.end()
        backend = world.accept()
        backend.send(AGREED)
        self.assertTrue(backend.half_closed)
        backend.send(b"x")
        self.assertTrue(client.take().endswith(b"x"))

    def test_end_reported_twice(self):
        """An end of file counts once."""
        world, client, backend = self.opened()
        client.end()
        client.protocol.readConnectionLost()
        self.assertFalse(client.disconnecting)

    def test_encrypted_client(self):
        """A backend that ends its direction leaves a TLS client's open (RFC 8446 section 6.1)."""
        world, client, backend = self.opened(secure=True)
        client.secure = True
        backend.end()
        self.assertTrue(client.half_closed)
        client.send(b"more")
        self.assertEqual(backend.take(), b"more")
        client.end()
        self.assertTrue(client.closed and backend.closed)
        self.assert_over(world, 4, 0)

    def test_backend_ends_client_idles(self):
        """A client that says nothing after the backend's end keeps its lease for a while only."""
        world, client, backend = self.opened()
        backend.end()
        world.pass_time(59.5)
        self.assertEqual(world.in_flight, {"a": 1})
        world.pass_time(1.0)
        self.assertTrue(backend.closed)
        self.assert_over(world, 0, 0)
        world.pass_time(LINGER_IDLE_SECONDS + 0.2)
        self.assertTrue(client.closed)

    def test_client_ends_backend_idles(self):
        """The same the other way round."""
        world, client, backend = self.opened()
        client.end()
        world.pass_time(61.0)
        self.assertTrue(client.closed and backend.closed)
        self.assert_over(world, 0, 0)

    def test_half_closed_and_busy(self):
        """A half-closed tunnel in which bytes still move stays open."""
        world, client, backend = self.opened()
        client.end()
        for _ in range(5):
            world.pass_time(50.0)
            backend.send(b"x")
        self.assertFalse(client.disconnecting)
        world.pass_time(61.0)
        self.assert_over(world, 0, 5)

    def test_half_closed_and_gone(self):
        """A side that has ended is not read; that it is gone altogether is seen all the same."""
        world, client, backend = self.opened()
        gone = []
        self.patch(tunnel, "has_hung_up", lambda transport: transport in gone)
        client.end()
        world.pass_time(5.0)
        self.assertEqual(world.ended, [])
        gone.append(backend)  # it is read: the reactor would tell
        world.pass_time(5.0)
        self.assertEqual(world.ended, [])
        gone.append(client)
        world.pass_time(2.2)
        self.assertTrue(backend.closed)
        self.assert_over(world, 0, 0)

    def test_half_closed_with_bytes_queued(self):
        """What a slow side has yet to take when the other ends is not lost."""
        for name in ("client", "backend"):
            world, client, backend = self.opened()
            reader, writer = (
                (client, backend) if name == "client" else (backend, client)
            )
            reader.stop_reading()
            writer.send(b"x" * 70000)
            writer.end()
            for _ in range(3):
                world.pass_time(20.0)
                reader.read_some(10)
                reader.send(b"y")
            self.assertFalse(reader.disconnecting)
            reader.read_on()
            world.pass_time(100.0)
            self.assertFalse(reader.aborted)
            self.assertEqual(len(world.ended), 1)

    def test_client_resets(self):
        """A client that is gone ends the backend's connection at once."""
        world, client, backend = self.opened()
        client.reset()
        self.assertTrue(backend.aborted)
        self.assert_over(world, 0, 0)

    def test_backend_resets(self):
        """And the reverse."""
        world, client, backend = self.opened()
        backend.reset()
        self.assertTrue(client.aborted)
        self.assert_over(world, 0, 0)

    def test_closed_in_good_order(self):
        """A connection that closes altogether closes the other after what is queued."""
        world, client, backend = self.opened()
        client.lose()
        self.assertTrue(backend.closed)
        self.assert_over(world, 0, 0)

    def test_backend_closes_client_sends(self):
        """A client that is still sending then is not reset: it reads the end first."""
        world, client, backend = self.opened()
        backend.lose()
        self.assert_over(world, 0, 0)
        self.assertTrue(client.half_closed)
        client.send(b"x" * 100_000)
        self.assertFalse(client.disconnecting)
        client.end()
        self.assertTrue(client.closed)

    def test_back_pressure(self):
        """Whoever does not read pauses the other, for as long as that lasts."""
        world, client, backend = self.opened()
        for reader, writer in ((client, backend), (backend, client)):
            reader.stop_reading()
            writer.send(b"x" * 70000)
            self.assertTrue(writer.paused)
            world.pass_time(1.0)
            reader.read_on()
            self.assertFalse(writer.paused)
        world.pass_time(100.0)
        self.assertFalse(client.disconnecting)

    def test_stalled(self):
        """Whoever takes nothing for the write time loses the tunnel."""
        for name in ("client", "backend"):
            world, client, backend = self.opened()
            reader, writer = (
                (client, backend) if name == "client" else (backend, client)
            )
            reader.stop_reading()
            writer.send(b"x" * 70000)
            world.pass_time(29.0)
            self.assertFalse(reader.aborted)
            world.pass_time(1.3)
            self.assertTrue(reader.aborted)
            self.assertTrue(writer.aborted)
            self.assertEqual(len(world.ended), 1)

    def test_pause_after_the_end(self):
        """Back-pressure of a tunnel that is over is nobody's."""
        world, client, backend = self.opened()
        ends = [line.protocol._end for line in (client, backend)]
        tunnel = ends[0]._tunnel
        client.reset()
        for end in ends:
            tunnel.pause(end)
            tunnel.resume(end)
            tunnel.ended(end)
        self.assert_over(world, 0, 0)

    def test_unknown_bytes_and_a_stop(self):
        """Where frames end is not known: the tunnel stays open until the end of the patience."""
        world, client, backend = self.opened()
        backend.send(b"no frame")
        world.acceptor.drain()
        self.assertEqual(client.take(), b"no frame")
        world.pass_time(20.0)
        self.assertFalse(client.disconnecting)
        client.protocol.shut()
        self.assertTrue(backend.closed)
        self.assertTrue(client.closed)
        self.assert_over(world, 0, 8)


class SlowEndTests(TunnelTestCase):
    """Tunnels that are over while much of what went through them is in a kernel's queue."""

    def test_client_is_slow(self):
        """A client has the time to take it all that it has for an answer."""
        world, client, backend = self.opened()
        client.in_kernel = 400_000
        backend.lose()
        self.assertTrue(client.half_closed)
        for _ in range(20):
            world.pass_time(1.0)
            client.in_kernel -= 20_000
        self.assertFalse(client.disconnecting)
        client.end()
        self.assertTrue(client.closed)

    def backend_is_slow(self):
        """A tunnel whose backend has 400,000 bytes to take when the client leaves."""
        world, client, backend = self.opened(upstream=UpstreamLimits(write=3.0))
        backend.loseConnection = lambda: None  # the kernel is full
        backend.in_kernel = 400_000
        client.lose()
        return world, backend

    def test_backend_is_slow(self):
        """So has a backend, by its own limit."""
        world, backend = self.backend_is_slow()
        for _ in range(20):
            world.pass_time(1.0)
            backend.in_kernel -= 20_000
        self.assertFalse(backend.aborted)
        world.pass_time(LOOK_SECONDS + CLOSE_SECONDS + 0.3)
        self.assertTrue(backend.aborted)

    def test_backend_takes_none(self):
        """One that takes none is cut."""
        world, backend = self.backend_is_slow()
        world.pass_time(CLOSE_SECONDS + 2.9)
        self.assertFalse(backend.aborted)
        world.pass_time(0.4)
        self.assertTrue(backend.aborted)


class GoingAwayTests(TunnelTestCase):
    """At a stop, a WebSocket client gets a Close with 1001."""

    def test_between_frames(self):
        """At once when no frame of the server is under way; then nothing of it follows."""
        world, client, backend = self.opened()
        backend.send(b"\x81\x02hi")
        world.acceptor.drain()
        self.assertEqual(client.take(), b"\x81\x02hi" + GOING_AWAY)
        backend.send(b"\x81\x02ho")
        self.assertEqual(client.take(), b"")
        client.send(b"\x88\x82....")
        self.assertEqual(backend.take(), b"\x88\x82....")
        backend.end()
        self.assertTrue(client.half_closed)
        self.assert_over(world, 6, 4)

    def test_within_a_frame(self):
        """Within a frame, as soon as it is complete."""
        world, client, backend = self.opened()
        backend.send(b"\x81\x04ab")
        world.acceptor.drain()
        self.assertEqual(client.take(), b"\x81\x04ab")
        backend.send(b"cd\x81\x02no")
        self.assertEqual(client.take(), b"cd" + GOING_AWAY)
        client.reset()
        self.assert_over(world, 0, 6)

    def test_client_does_not_answer(self):
        """A client that ignores it is closed then, and not waited for once more."""
        world, client, backend = self.opened()
        world.acceptor.drain()
        world.pass_time(GOODBYE_SECONDS - 0.2)
        self.assertFalse(backend.disconnecting)
        world.pass_time(0.4)
        self.assertTrue(backend.closed)
        self.assertTrue(client.closed)
        self.assert_over(world, 0, 0)

    def test_client_is_slow(self):
        """Nor is one reset that has yet to take what the server has said before."""
        world, client, _ = self.opened()
        client.loseConnection = lambda: None  # the kernel is full
        client.in_kernel = 400_000
        world.acceptor.drain()
        for _ in range(20):
            world.pass_time(1.0)
            client.in_kernel -= 20_000
        self.assertFalse(client.aborted)
        world.pass_time(LOOK_SECONDS + CLOSE_SECONDS + 0.3)
        self.assertTrue(client.aborted)

    def test_server_has_closed(self):
        """After the server's own Close no other is sent, nor after its end."""
        for end in (b"\x88\x02\x03\xe8", None):
            world, client, backend = self.opened()
            backend.end() if end is None else backend.send(end)
            world.acceptor.drain()
            self.assertEqual(client.take(), end or b"")
            client.lose()
            self.assertEqual(len(world.ended), 1)

    def test_opened_late(self):
        """A WebSocket that opens while the proxy stops is told so at once."""
        world = self.world()
        client = world.client()
        client.send(ASK)
        backend = world.accept()
        world.acceptor.drain()
        backend.send(AGREED)
        self.assertTrue(client.take().endswith(b"\r\n\r\n" + GOING_AWAY))
        client.reset()


class RefusalTests(WorldTestCase):
    def test_refused(self):
        """A backend that does not upgrade answers as usual, and the connections stay."""
        world = self.world()
        client = world.client()
        client.send(ASK)
        backend = world.accept()
        backend.send(answer(b"no", 403))
        self.assertTrue(client.take().endswith(b"no"))
        client.send(get("/2"))
        backend.take()
        backend.send(answer())
        self.assertEqual(client.take(), answer())

    def test_bytes_behind_a_refused_upgrade(self):
        """What follows a refused upgrade is the next request."""
        world = self.world()
        client = world.client()
        client.send(ASK + get("/2"))
        backend = world.accept()
        self.assertNotIn(b"/2", backend.take())
        backend.send(answer(b"no", 403))
        self.assertIn(b"GET /2 ", backend.take())
        backend.send(answer())
        self.assertTrue(client.take().endswith(answer()))

    def test_only_websocket(self):
        """Other upgrades are not asked for, nor those of HTTP/1.0."""
        for request in (
            get("/", "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"),
            ASK.replace(b"HTTP/1.1", b"HTTP/1.0"),
            get("/", "Upgrade: websocket\r\n"),
        ):
            world = self.world()
            client = world.client()
            client.send(request)
            backend = world.accept()
            self.assertNotIn(b"pgrade", backend.take())
            backend.send(AGREED)
            self.assertIn(b" 502 ", client.take())

    def test_with_a_body(self):
        """An upgrade with a body is refused: where it ends would be a guess."""
        for body in ("Content-Length: 2\r\n", "Transfer-Encoding: chunked\r\n"):
            world = self.world()
            client = world.client()
            client.send(ASK[:-2] + body.encode() + b"\r\n")
            self.assertIn(b"HTTP/1.1 400 ", client.take())
            self.assertEqual(world.connects(), [])

    def test_door_without_tunnels(self):
        """Where the client's side cannot tunnel, the backend is not asked to."""
        world = self.world()
        client = world.client()
        self.patch(type(client.protocol), "can_tunnel", False)
        client.send(ASK)
        self.assertNotIn(b"pgrade", world.accept().take())

    def test_door_that_changes_its_mind(self):
        """When it turns out that it cannot, the client gets a 502."""
        world = self.world()
        client = world.client()
        client.send(ASK)
        backend = world.accept()
        exchange = client.protocol.exchange
        door = exchange.door

        class Door:
            def __getattr__(self, name):
                return getattr(door, name)

            def tunnel_end(self):
                return None

        exchange.door = Door()
        backend.send(AGREED)
        self.assertIn(b"HTTP/1.1 502 ", client.take())
        self.assertTrue(backend.aborted)
        self.assertEqual(world.in_flight, {})
