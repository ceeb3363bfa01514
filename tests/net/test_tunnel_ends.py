"""Tests of how the tunnel of any two connections ends, and whom it names for it."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.net.deadlines import Deadlines
from lolly_tx.net.streams.raw import RawConnection
from lolly_tx.net.tunnel import Tunnel
from tests.proxy.world import Line


class WhyTests(SynchronousTestCase):
    def setUp(self) -> None:
        """Two connections joined. `over`: what was told at the end."""
        self.clock = Clock()
        deadlines = Deadlines(self.clock, self.clock.seconds)
        deadlines.start()
        self.lines: list[Line] = []
        for address in ("192.0.2.1", "192.0.2.2"):
            line = Line(self.clock, address)
            line.protocol = RawConnection(deadlines, 10.0)
            line.protocol.makeConnection(line)
            self.lines.append(line)
        self.client, self.target = self.lines
        self.over: list[tuple[int, int]] = []
        self.tunnel = Tunnel(
            self.client.protocol.tunnel_end(),
            self.target.protocol.tunnel_end(),
            lambda sent, received: self.over.append((sent, received)),
            deadlines=deadlines,
            half_closed=60.0,
            idle=30.0,
            frames=False,
        )

    def pass_time(self, seconds: float) -> None:
        """In steps, as a reactor would."""
        for _ in range(int(seconds * 10)):
            self.clock.advance(0.1)

    def assert_over(self, why: str) -> None:
        """It is, once, for that reason."""
        self.assertEqual(self.tunnel.why, why)
        self.assertEqual(len(self.over), 1)

    def test_open(self) -> None:
        """While it is open nobody has ended it."""
        self.client.send(b"x")
        self.assertEqual(self.tunnel.why, "")

    def test_client_ends(self) -> None:
        """Who sends the last byte first has ended it."""
        self.client.end()
        self.assertEqual(self.tunnel.why, "")
        self.target.end()
        self.assert_over("client")

    def test_target_ends(self) -> None:
        """The same the other way round, and for a close in good order."""
        self.target.end()
        self.client.end()
        self.assert_over("target")

    def test_closed(self) -> None:
        """A close in good order, with nothing half closed before."""
        self.target.lose()
        self.assert_over("target")

    def test_resets(self) -> None:
        """A connection that breaks has broken the other."""
        self.client.reset()
        self.assertTrue(self.target.aborted)
        self.assert_over("client_reset")

    def test_target_resets(self) -> None:
        """The same the other way round."""
        self.target.reset()
        self.assertTrue(self.client.aborted)
        self.assert_over("target_reset")

    def test_stalled(self) -> None:
        """Who takes nothing for its time has ended it."""
        self.client.stop_reading()
        self.target.send(b"x" * 200000)
        self.pass_time(25)
        self.assertTrue(self.client.aborted and self.target.aborted)
        self.assert_over("client_stalled")

    def test_idle(self) -> None:
        """Nobody says anything."""
        self.pass_time(45)
        self.assert_over("idle")

    def test_half_closed(self) -> None:
        """One side has ended and the other says nothing."""
        self.client.end()
        self.pass_time(65)
        self.assert_over("half_closed")

    def test_stopped(self) -> None:
        """The proxy stops."""
        self.tunnel.shut()
        self.assert_over("stopped")
