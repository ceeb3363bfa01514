"""Tests of peers that take bytes slowly, and of those that take none.

A kernel keeps megabytes for a slow reader and takes no more of ours before a third of them
has left, so that what waits here says nothing of progress for a long time.
"""

from __future__ import annotations

from lolly_tx.net.http1.shared import ClientTimeouts
from lolly_tx.net.upstreams import UpstreamLimits
from tests.proxy.world import GET, OK, Line, World, WorldTestCase, chunked, post

WRITE = 3.0
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
