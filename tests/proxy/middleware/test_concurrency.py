"""Tests of `type = "concurrency"`: how many at once, whatever becomes of them."""

from __future__ import annotations

from tests.proxy.middleware.behind import behind
from tests.proxy.world import GET, OK, WorldTestCase, get

ONE = 'type = "concurrency"\nlimit = 1\n'


class ConcurrencyTests(WorldTestCase):
    def test_one_at_once(self) -> None:
        """A second request at once is refused, and one after it is not."""
        world = behind(self, ONE)
        first, second, other = (
            world.client(),
            world.client(),
            world.client("198.51.100.1"),
        )
        first.send(GET)
        target = world.accept()
        second.send(GET)
        got = second.take()
        self.assertIn(b"HTTP/1.1 503 ", got)
        self.assertIn(b"Retry-After: 1\r\n", got)
        other.send(GET)
        world.accept().send(OK)
        self.assertEqual(other.take(), OK)
        target.send(OK)
        self.assertEqual(first.take(), OK)
        second.send(GET)
        self.assertTrue(world.in_flight)
        second.lose()
        first.send(GET)
        self.assertTrue(world.in_flight)

    def test_failures(self) -> None:
        """Requests that fail are over, too."""
        world = behind(self, ONE)
        client = world.client()
        for _ in range(3):
            client.send(GET)
            world.refuse()
            self.assertIn(b" 502 ", client.take())

    def test_all_together(self) -> None:
        """A key without variables counts all."""
        world = behind(self, f'{ONE}key = "all"')
        world.client().send(GET)
        other = world.client("198.51.100.1")
        other.send(get())
        self.assertIn(b" 503 ", other.take())
        world.accept().send(OK)
