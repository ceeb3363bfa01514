"""Tests of the memory that a supervisor shares with its workers."""

from __future__ import annotations

import os

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.domain.tape import LAST, RECORD_BYTES, Tape, records
from lolly_tx.service.workers.sharedmemory import SharedMemory


class SharedMemoryTests(SynchronousTestCase):
    def test_parts(self) -> None:
        """Numbers and tapes are apart from each other, and seen by who maps the same memory."""
        shared = SharedMemory(numbers=64, tape=10 * RECORD_BYTES + 5, workers=2)
        memory = shared.made()
        self.addCleanup(os.close, memory)
        one, other = shared.mapped(memory), shared.mapped(memory)
        cells = shared.cells(one)
        self.assertEqual(len(cells), 8)
        cells[7] = -1
        first, second = (Tape(tape) for tape in shared.tapes(one))
        self.assertEqual((first.size, second.size), (9, 9))
        first.write(1.0, 1, 1, 0.0, 0.0, 0, 0, LAST, 0)
        for _ in range(64):
            second.write(2.0, 2, 2, 0.0, 0.0, 0, 0, LAST, 0)
        seen = [records(bytes(tape)) for tape in shared.tapes(other)]
        self.assertEqual([len(each) for each in seen], [1, 9])
        self.assertEqual({each.who for each in seen[1]}, {2})
        self.assertEqual(shared.cells(other)[7], -1)

    def test_nothing_recorded(self) -> None:
        """Without a recorder there is no tape."""
        shared = SharedMemory(numbers=64, tape=0, workers=2)
        self.assertEqual(shared.size, 64)
        memory = shared.made()
        self.addCleanup(os.close, memory)
        self.assertEqual(shared.tapes(shared.mapped(memory)), [])
