"""Tests of the tape."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.domain.tape import (
    CHECK,
    CODES,
    IDEMPOTENT,
    LAST,
    OK,
    RECORD_BYTES,
    Tape,
    key_of,
    records,
)


class TapeTests(SynchronousTestCase):
    def written(self, count: int, room: int) -> Tape:
        tape = Tape(bytearray((room + 1) * RECORD_BYTES))
        for at in range(count):
            tape.write(float(at + 1), 7, at, 0.5, 1.5, 200, 404, LAST, IDEMPOTENT)
        return tape

    def test_as_written(self) -> None:
        """A record is read as it was written."""
        tape = self.written(1, 4)
        [one] = records(tape.copy())
        self.assertEqual(tuple(one), (1.0, 7, 0, 0.5, 1.5, 200, 404, LAST, 8, 0))
        self.assertTrue(one.idempotent)
        self.assertEqual((one.outcome, one.ok), ("", False))
        self.assertEqual(repr(tape), "<Tape of 4 records, 1 written>")

    def test_outcomes(self) -> None:
        """What came in place of an answer, and whether a check was passed, are flags."""
        tape = Tape(bytearray(16 * RECORD_BYTES))
        tape.write(1.0, 7, 0, 0.0, 0.0, 0, 0, CHECK, OK)
        for word, code in CODES.items():
            tape.write(2.0 + code, 7, 0, 0.0, 0.0, 0, 0, LAST, code | IDEMPOTENT)
            last = records(tape.copy())[-1]
            self.assertEqual((last.outcome, last.idempotent), (word, True))
        self.assertFalse(last.ok)
        self.assertTrue(records(tape.copy())[0].ok)

    def test_wraps(self) -> None:
        """The oldest is written over."""
        for count, first in ((3, 0), (4, 0), (5, 1), (11, 7)):
            tape = self.written(count, 4)
            found = [one.exchange for one in records(tape.copy())]
            self.assertEqual(found, list(range(first, count)), count)
        self.assertEqual((tape.count, tape.size), (11, 4))

    def test_seen_elsewhere(self) -> None:
        """Who has the memory reads what was written, and about how much that was."""
        memory = bytearray(200 * RECORD_BYTES)
        tape, other = Tape(memory), Tape(memory)
        for at in range(1, 131):
            tape.write(float(at), 7, at, 0.0, 0.0, 0, 0, LAST, 0)
        self.assertEqual((tape.count, other.count), (130, 128))
        self.assertEqual(len(records(other.copy())), 130)

    def test_too_small(self) -> None:
        """A memory that holds no record is none."""
        Tape(bytearray(2 * RECORD_BYTES))
        self.assertRaises(ValueError, Tape, bytearray(2 * RECORD_BYTES - 1))

    def test_keys(self) -> None:
        """Nodes of one id in two pools are two; a pool alone is another."""
        keys = {key_of("a", "n"), key_of("b", "n"), key_of("a"), key_of("an")}
        self.assertEqual(len(keys), 4)
