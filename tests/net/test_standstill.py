"""Tests of `lolly_tx.net.sockets.standstill`."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.net.sockets.splice import SINK, SOURCE
from lolly_tx.net.sockets.standstill import LOOK_SECONDS, Standstill


class FakeRelay:
    """A relay whose sink has 3 s."""

    def __init__(self) -> None:
        self.moved = 0
        self.waiting_for = SOURCE
        self.patience = 3.0
        self.untaken = 0


class StandstillTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.relay = FakeRelay()
        relay: Any = self.relay
        self.watch = Standstill(relay, 10.0, 100.0)

    def test_each_side_has_its_own_limit(self) -> None:
        """The source has its time, the sink another, each from the change of turns on."""
        self.assertTrue(self.watch.by_source)
        self.assertEqual(self.watch.left(104.0), 6.0)
        self.relay.waiting_for = SINK
        self.assertFalse(self.watch.by_source)
        self.assertEqual(self.watch.left(109.0), 3.0)
        self.assertEqual(self.watch.left(112.0), 0.0)
        self.relay.waiting_for = SOURCE
        self.assertEqual(self.watch.left(113.0), 10.0)

    def test_whatever_moves_starts_it_anew(self) -> None:
        """Slow is not stalled."""
        for i in range(1, 30):
            self.relay.moved += 1
            self.assertEqual(self.watch.left(100.0 + 9.0 * i), 10.0)

    def test_what_leaves_the_kernel_has_moved(self) -> None:
        """A slow sink is none that stands still, though its kernel takes no more of ours."""
        self.relay.waiting_for = SINK
        for i in range(1, 30):
            self.relay.untaken = 10**6 - i
            self.assertEqual(self.watch.left(100.0 + 2.0 * i), 3.0)
        self.assertEqual(self.watch.left(161.0), 0.0)

    def test_restart(self) -> None:
        """So does a reason to move that was not there before."""
        self.watch.restart(109.0)
        self.assertEqual(self.watch.left(110.0), 9.0)

    def test_looks(self) -> None:
        """Looks are close enough to see turns change, and the last one is when the time is over."""
        self.assertEqual(self.watch.next_look(100.0), 100.0 + LOOK_SECONDS)
        self.assertEqual(self.watch.next_look(109.5), 110.0)

    def test_how_long_the_sink_was_waited_for(self) -> None:
        """Time between two looks that both saw the sink's turn is its own, moving or not."""
        self.watch.left(101.0)
        self.relay.waiting_for = SINK
        self.watch.left(102.0)
        self.relay.moved += 1
        self.watch.left(103.0)
        self.watch.left(104.5)
        self.assertEqual(self.watch.sink_seconds, 2.5)
