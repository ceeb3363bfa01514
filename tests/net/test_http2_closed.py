"""What a connection remembers of streams that are over."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.net.http2.closed import (
    REMEMBERED_GAPS,
    REMEMBERED_RESETS,
    ClosedStreams,
)


class ClosedStreamsTests(SynchronousTestCase):
    def test_cut(self):
        """A stream that we have reset is known until its peer has ended it, or many more were."""
        closed = ClosedStreams()
        closed.cut(1)
        closed.cut(3)
        closed.ended(3)
        closed.ended(5)
        self.assertEqual([closed.is_cut(n) for n in (1, 3, 5)], [True, False, False])
        for number in range(7, 7 + 2 * REMEMBERED_RESETS, 2):
            self.assertTrue(number == 7 or closed.is_cut(number - 2))
            closed.cut(number)
        self.assertEqual([closed.is_cut(n) for n in (1, 7)], [False, True])

    def test_skipped(self):
        """Numbers that were left out are known, with their ends, until many more were."""
        closed = ClosedStreams()
        closed.skip(3, 7)
        found = [closed.was_skipped(n) for n in (1, 3, 5, 7, 9)]
        self.assertEqual(found, [False, True, True, True, False])
        for first in range(11, 11 + 4 * REMEMBERED_GAPS, 4):
            closed.skip(first, first)
        found = [closed.was_skipped(n) for n in (3, 11, 13)]
        self.assertEqual(found, [False, True, False])
