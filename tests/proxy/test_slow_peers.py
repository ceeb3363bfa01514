"""Tests of peers that take bytes slowly, and of those that take none.

A kernel keeps megabytes for a slow reader and takes no more of ours before a third of them
has left, so that what waits here says nothing of progress for a long time.
"""

from __future__ import annotations

from lolly_tx.net.http1.shared import ClientTimeouts
from lolly_tx.net.sockets.parting import (
    CLOSE_SECONDS,
    DRAIN_SECONDS,
    LINGER_IDLE_SECONDS,
    LOOK_SECONDS,
)
from lolly_tx.net.upstreams import UpstreamLimits
from tests.proxy.world import GET, OK, Line, World, WorldTestCase, chunked, get, post

WRITE = 3.0
LAST = get(extra="Connection: close\r\n")
STREAM = b"HTTP/1.1 200 OK\r\nDate: d\r\nTransfer-Encoding: chunked\r\n\r\n"


class SlowReaderTests(WorldTestCase):
    """Clients, with an answer that is more than they have taken."""

    def reading(self, **settings: object) -> tuple[World, Line, Line]:
        """A client with 100,000 bytes here and 400,000 in the kernel."""
        world = self.world(timeouts=ClientTimeouts(write=WRITE), **settings)
        client = world.client()
        client.send(GET)
        backend = world.accept()
        client.stop_reading()
        client.in_kernel = 400_000
        backend.send(STREAM + b"%x\r\n%b\r\n" % (100_000, b"x" * 100_000))
        self.assertTrue(backend.paused)
        return world, client, backend

    def test_takes_bytes(self) -> None:
        """Who takes bytes is not cut, though none of them leaves our own queue."""
        world, client, backend = self.reading()
        for _ in range(20):
            world.pass_time(1.0)
            client.in_kernel -= 20_000
        self.assertFalse(client.disconnecting)
        client.read_on()
        backend.send(b"0\r\n\r\n")
        self.assertTrue(client.take().endswith(b"0\r\n\r\n"))

    def test_takes_none(self) -> None:
        """Who takes none for `timeouts.write` is reset then, and not before."""
        world, client, _ = self.reading()
        world.pass_time(WRITE)
        self.assertFalse(client.disconnecting)
        world.pass_time(0.4)
        self.assertTrue(client.aborted)
        self.assert_nobody_blamed(world)

    def test_stops_taking(self) -> None:
        """Who stops after a while is reset as well."""
        world, client, _ = self.reading()
        world.pass_time(WRITE / 2)
        client.in_kernel -= 1
        world.pass_time(2 * WRITE + 0.4)
        self.assertTrue(client.aborted)

    def test_last_answer(self) -> None:
        """The same while a connection ends with the answer that is taken slowly."""
        world, client, backend = self.reading()
        backend.lose()
        world.pass_time()
        self.assertTrue(client.aborted)  # cut short: there is nothing to wait for
        client = world.client()
        client.send(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        client.stop_reading()
        client.in_kernel = 400_000
        world.accept().send(OK)
        for _ in range(20):
            world.pass_time(1.0)
            client.in_kernel -= 20_000
        self.assertFalse(client.aborted)
        world.pass_time(2 * WRITE)
        self.assertTrue(client.aborted)


class LastAnswerTests(WorldTestCase):
    """Connections that end while all of the last answer is in the kernel's queue."""

    def ending(self, request: bytes = LAST) -> tuple[World, Line]:
        """A client with an answer that says the connection ends, 400,000 bytes of it in the kernel."""
        world = self.world(timeouts=ClientTimeouts(write=WRITE, keepalive=5.0))
        client = world.client()
        client.send(request)
        client.in_kernel = 400_000
        world.accept().send(OK)
        self.assertIn(b" 200 ", client.take())
        return world, client

    def take_slowly(self, world: World, client: Line) -> None:
        """Twenty seconds, in which it takes all."""
        for _ in range(20):
            self.assertFalse(client.disconnecting)
            world.pass_time(1.0)
            client.in_kernel -= 20_000

    def test_takes_bytes(self) -> None:
        """Who takes it slowly has it all, and the time for a close begins after that."""
        for request in (LAST, b"GET / HTTP/1.0\r\nHost: x\r\n\r\n"):
            world, client = self.ending(request)
            self.assertTrue(client.half_closed)
            self.take_slowly(world, client)
            world.pass_time(CLOSE_SECONDS - 0.1)
            self.assertFalse(client.disconnecting)
            world.pass_time(LOOK_SECONDS + 0.3)
            self.assertTrue(client.closed)
            self.assertFalse(client.aborted)

    def test_has_taken_all(self) -> None:
        """Who closes as well is gone at once."""
        world, client = self.ending()
        self.take_slowly(world, client)
        client.end()
        self.assertTrue(client.closed)

    def test_takes_none(self) -> None:
        """Who takes none of it for `timeouts.write` is reset then, and not before."""
        world, client = self.ending()
        world.pass_time(WRITE)
        self.assertFalse(client.disconnecting)
        world.pass_time(0.3)
        self.assertTrue(client.aborted)

    def test_sends_on(self) -> None:
        """What is sent meanwhile is thrown away: closing with it unread would be a reset."""
        world, client = self.ending()
        client.send(GET)
        self.take_slowly(world, client)
        client.send(GET)
        world.pass_time(LINGER_IDLE_SECONDS - 0.1)
        self.assertFalse(client.disconnecting)
        world.pass_time(LOOK_SECONDS + 0.4)
        self.assertTrue(client.closed)
        self.assertEqual(len(world.ended), 1)

    def test_has_sent_all(self) -> None:
        """The same after the client's last byte, where closing waits for room in the kernel."""
        world, client = self.ended()
        for _ in range(20):
            world.pass_time(1.0)
            client.in_kernel -= 20_000
        self.assertFalse(client.aborted)
        world.pass_time(CLOSE_SECONDS + LOOK_SECONDS + 0.3)
        self.assertTrue(client.aborted)

    def test_has_sent_all_and_takes_none(self) -> None:
        """So is the end of who takes none."""
        world, client = self.ended()
        world.pass_time(CLOSE_SECONDS + WRITE)
        self.assertFalse(client.aborted)
        world.pass_time(0.3)
        self.assertTrue(client.aborted)

    def ended(self) -> tuple[World, Line]:
        """As `ending`, of a client that has shut its side down."""
        world = self.world(timeouts=ClientTimeouts(write=WRITE))
        client = world.client()
        client.loseConnection = lambda: None  # type: ignore[method-assign]  # a full kernel
        client.send(LAST)
        client.end()
        client.in_kernel = 400_000
        world.accept().send(OK)
        return world, client

    def test_cut_at_a_stop(self) -> None:
        """At the end of a stop's patience a complete answer is left to the kernel, not reset."""
        for request in (GET, LAST):
            _, client = self.ending(request)
            client.protocol.shut()
            client.protocol.shut()
            self.assertTrue(client.disconnecting)
            self.assertFalse(client.aborted)

    def test_kept_alive(self) -> None:
        """A connection is idle from when the answer is taken."""
        world, client = self.ending(GET)
        self.take_slowly(world, client)
        world.pass_time(5.0 - 0.1)
        self.assertFalse(client.disconnecting)
        world.pass_time(LOOK_SECONDS + 0.4)
        self.assertTrue(client.closed)
        self.assertFalse(client.aborted)

    def test_kept_alive_and_asks_again(self) -> None:
        """Who takes its answer asks again on the same connection."""
        world, client = self.ending(GET)
        self.take_slowly(world, client)
        client.send(GET)
        world.pass_time(8.0)
        self.assertFalse(client.disconnecting)

    def test_drain(self) -> None:
        """A stop waits for who has yet to take its answer."""
        world, client = self.ending(GET)
        world.acceptor.drain()
        self.take_slowly(world, client)
        world.pass_time(LOOK_SECONDS + DRAIN_SECONDS + 0.4)
        self.assertTrue(client.closed)
        self.assertFalse(client.aborted)


class SlowTakerTests(WorldTestCase):
    """Backends, with a request's body."""

    LIMITS = UpstreamLimits(read=10.0, write=WRITE)

    def taking(self, request: bytes) -> tuple[World, Line, Line]:
        """A backend with a part of a body here and 400,000 bytes of it in the kernel."""
        world = self.world(upstream=self.LIMITS)
        client = world.client()
        client.send(request)
        backend = world.accept()
        backend.stop_reading()
        backend.in_kernel = 400_000
        return world, client, backend

    def test_takes_bytes(self) -> None:
        """Who takes bytes is not given up, though none of them leaves our own queue."""
        world, client, backend = self.taking(post(200_000))
        client.send(b"x" * 100_000)
        self.assertTrue(client.paused)
        for _ in range(20):
            world.pass_time(1.0)
            backend.in_kernel -= 20_000
        self.assertFalse(backend.disconnecting)
        backend.read_on()
        self.assertFalse(client.paused)
        client.send(b"x" * 100_000)
        backend.send(OK)
        self.assertIn(b" 200 ", client.take())

    def test_takes_none(self) -> None:
        """Who takes none for `timeout.write` is given up then, and not before."""
        world, client, backend = self.taking(post(200_000))
        client.send(b"x" * 100_000)
        world.pass_time(WRITE)
        self.assertFalse(backend.disconnecting)
        world.pass_time(0.4)
        self.assertTrue(backend.aborted)
        self.assertIn(b" 504 ", client.take())

    def test_takes_the_rest(self) -> None:
        """An answer is not due before the backend has the request: its kernel's queue counts."""
        for request, rest in (
            (post(50_000), b"x" * 50_000),
            (chunked(), b"1\r\nx\r\n0\r\n\r\n"),
        ):
            world, client, backend = self.taking(request)
            backend.stuck = False
            client.send(rest)
            for _ in range(20):
                world.pass_time(1.0)
                backend.in_kernel -= 20_000
            self.assertEqual((backend.in_kernel, backend.disconnecting), (0, False))
            world.pass_time(self.LIMITS.read - 1.0)
            self.assertFalse(backend.disconnecting)
            backend.send(OK)
            self.assertIn(b" 200 ", client.take())
            self.assert_nobody_blamed(world)

    def test_takes_the_rest_in_gulps(self) -> None:
        """A kernel confirms much at a time, and so seldom: nearly the whole limit may lie between."""
        self.LIMITS = UpstreamLimits(read=3.0, write=3.0)
        world, client, backend = self.taking(post(50_000))
        backend.stuck = False
        client.send(b"x" * 50_000)
        for _ in range(5):
            world.pass_time(2.7)
            backend.in_kernel -= 80_000
        world.pass_time(2.7)
        backend.send(OK)
        self.assertIn(b" 200 ", client.take())

    def test_has_it_all(self) -> None:
        """With the whole request taken, an answer is due within `timeout.read`."""
        world, client, backend = self.taking(post(50_000))
        backend.stuck = False
        client.send(b"x" * 50_000)
        backend.in_kernel = 0
        world.pass_time(self.LIMITS.read - 0.2)
        self.assertFalse(backend.disconnecting)
        world.pass_time(0.4)
        self.assertIn(b" 504 ", client.take())

    def test_is_gone(self) -> None:
        """A machine that has vanished confirms nothing, and gets no more than `timeout.read`."""
        world, client, _ = self.taking(post(50_000))
        client.send(b"x" * 50_000)
        world.pass_time(self.LIMITS.read + 0.3)
        self.assertIn(b" 504 ", client.take())

    def test_next_request(self) -> None:
        """What was asked of the kernel for one request is not carried over to the next."""
        world, client, backend = self.taking(post(50_000))
        backend.read_on()
        backend.in_kernel = 0
        client.send(b"x" * 50_000)
        backend.send(OK)
        client.take()
        client.send(GET)
        world.pass_time(self.LIMITS.read + 0.2)
        self.assertIn(b" 504 ", client.take())
