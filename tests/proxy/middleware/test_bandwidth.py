"""Tests of `type = "bandwidth"`: how fast bodies pass."""

from __future__ import annotations

from tests.proxy.middleware.behind import behind
from tests.proxy.world import GET, OK, WorldTestCase

TEN = 'type = "bandwidth"\nrate = "10k"\n'
HEAD = b"HTTP/1.1 200 OK\r\nDate: d\r\nContent-Length: %d\r\n\r\n"


class BandwidthTests(WorldTestCase):
    def test_paced(self) -> None:
        """After a piece its target waits until it was due; the bytes are those that were sent."""
        world = behind(self, TEN)
        client = world.client()
        client.send(GET)
        target = world.accept()
        target.send(HEAD % 20480 + bytes(10240))
        self.assertEqual(client.take().count(b"\0"), 10240)
        target.send(bytes(10240))
        self.assertEqual(client.take(), b"")
        world.pass_time(0.9)
        self.assertEqual(client.take(), b"")
        world.pass_time(0.2)
        self.assertEqual(client.take(), bytes(10240))

    def test_burst(self) -> None:
        """The first bytes are free."""
        world = behind(self, f'{TEN}burst = "20k"')
        client = world.client()
        client.send(GET)
        target = world.accept()
        target.send(HEAD % 20480 + bytes(10240))
        target.send(bytes(10240))
        self.assertEqual(client.take().count(b"\0"), 20480)

    def test_gone(self) -> None:
        """Who goes leaves no timer behind."""
        world = behind(self, TEN)
        client = world.client()
        client.send(GET)
        world.accept().send(HEAD % 20480 + bytes(10240))
        client.lose()
        world.pass_time(0.1)
        timers = [repr(call) for call in world.clock.getDelayedCalls()]
        self.assertEqual([one for one in timers if "Pace" in one], [])

    def test_short(self) -> None:
        """A short answer is not held up."""
        world = behind(self, TEN)
        client = world.client()
        client.send(GET)
        world.accept().send(OK)
        self.assertEqual(client.take(), OK)
