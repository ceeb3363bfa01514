"""Tests of what a standstill of the proxy says of its targets: nothing."""

from __future__ import annotations

from tests.proxy.configured import configured
from tests.proxy.world import OK, WorldTestCase, get

STANDSTILL = 3.5


class StandstillTests(WorldTestCase):
    def test_answers_that_wait_are_delivered(self) -> None:
        """An answer that came in the meantime is passed on, though its time is over."""
        world = configured(self, "[pool.app.timeout]\nread = 2\ntotal = 3\n", "ab")
        client = world.client()
        client.send(get())
        backend = world.accept("a")
        world.clock.advance(STANDSTILL)
        self.assertEqual(client.take(), b"")
        backend.send(OK)
        self.assertEqual(client.take(), OK)
        self.assert_nobody_blamed(world)

    def test_clients_that_have_sent_are_read(self) -> None:
        """So is a request that came in the meantime, on a connection kept alive or new."""
        world = configured(self, targets="a")
        client, new = world.client(), world.client()
        client.send(get())
        backend = world.accept("a")
        backend.send(OK)
        client.take()
        world.clock.advance(100.0)
        self.assertFalse(client.disconnecting or new.disconnecting)
        client.send(get())
        backend.send(OK)
        self.assertEqual(client.take(), OK)
        new.send(get())
        backend.send(OK)
        self.assertEqual(new.take(), OK)

    def test_nobody_is_slow(self) -> None:
        """The time of the standstill is not that of the targets: they are not slow for it."""
        text = (
            "[pool.app.passive.latency]\nover = 1.0\nshare = 0.1\nat_least = 2\n"
            "[pool.app.connections]\nidle = 10\n"
        )
        world = configured(self, text, "ab")
        clients = [world.client() for _ in range(8)]
        for client in clients:
            client.send(get())
        backends = [world.accept(node) for node in "abababab"]
        world.pass_time(0.5)
        world.clock.advance(STANDSTILL)
        for backend in backends:
            backend.send(OK)
        for client in clients:
            self.assertEqual(client.take(), OK)
        for node in world.pool.nodes.values():
            self.assertEqual(node.ejection, "up")
            self.assertLess(node.stats.latency_sum, 4 * 0.7)

    def test_slow_all_the_same(self) -> None:
        """Who was slow before it is slow."""
        text = "[pool.app.passive.latency]\nover = 1.0\nshare = 0.1\nat_least = 1\n"
        world = configured(self, text, "ab")
        client = world.client()
        client.send(get())
        backend = world.accept("a")
        world.pass_time(1.5)
        world.clock.advance(STANDSTILL)
        backend.send(OK)
        self.assertEqual(client.take(), OK)
        self.assertEqual(world.pool.nodes["a"].ejection, "ejected")

    def test_an_upload_goes_on(self) -> None:
        """While the client has to send nobody's time runs, and a standstill starts none."""
        world = configured(self, targets="a")
        client = world.client()
        client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\na")
        backend = world.accept("a")
        world.clock.advance(STANDSTILL)
        client.send(b"b")
        world.pass_time(0.1)
        backend.send(OK)
        self.assertEqual(client.take(), OK)
        self.assertLess(world.pool.nodes["a"].stats.latency_sum, 0.2)
