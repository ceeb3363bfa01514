"""Tests of the tape."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.domain.tape import (
    CHECK,
    CODES,
    IDEMPOTENT,
    LAST,
    LEAST_BYTES,
    OK,
    RECORD_BYTES,
    Tape,
    key_of,
    records,
)


class TapeTests(SynchronousTestCase):
    def written(self, count: int, room: int) -> Tape:
        tape = Tape(bytearray(8 + room * RECORD_BYTES))
        for at in range(count):
            tape.write(float(at), 7, at, 0.5, 1.5, 200, 404, LAST, IDEMPOTENT)
        return tape

    def test_as_written(self) -> None:
        """A record is read as it was written."""
        tape = self.written(1, 4)
        [one] = records(tape.copy())
        self.assertEqual(tuple(one), (0.0, 7, 0, 0.5, 1.5, 200, 404, LAST, 8, 0))
        self.assertTrue(one.idempotent)
        self.assertEqual((one.outcome, one.ok), ("", False))
        self.assertEqual(repr(tape), "<Tape of 4 records, 1 written>")

    def test_outcomes(self) -> None:
        """What came in place of an answer, and whether a check was passed, are flags."""
        tape = Tape(bytearray(200))
        tape.write(1.0, 7, 0, 0.0, 0.0, 0, 0, CHECK, OK)
        for word, code in CODES.items():
            tape.write(1.0, 7, 0, 0.0, 0.0, 0, 0, LAST, code | IDEMPOTENT)
            *_, last = records(tape.copy())
            self.assertEqual((last.outcome, last.idempotent), (word, True))
        self.assertFalse(last.ok)

    def test_wraps(self) -> None:
        """The oldest is written over; the one whose place is next is left out of a full tape."""
        for count, first in ((3, 0), (4, 1), (5, 2), (11, 8)):
            tape = self.written(count, 4)
            found = [one.exchange for one in records(tape.copy())]
            self.assertEqual(found, list(range(first, count)), count)
        self.assertEqual((tape.count, tape.size), (11, 4))

    def test_goes_on(self) -> None:
        """A tape in a memory that was written to before goes on there."""
        memory = bytearray(8 + 4 * RECORD_BYTES)
        Tape(memory).write(1.0, 7, 1, 0.0, 0.0, 0, 0, LAST, 0)
        tape = Tape(memory)
        tape.write(2.0, 7, 2, 0.0, 0.0, 0, 0, LAST, 0)
        self.assertEqual([one.at for one in records(tape.copy())], [1.0, 2.0])

    def test_too_small(self) -> None:
        """A memory that holds no record is none."""
        Tape(bytearray(LEAST_BYTES))
        self.assertRaises(ValueError, Tape, bytearray(LEAST_BYTES - 1))

    def test_keys(self) -> None:
        """Nodes of one id in two pools are two; a pool alone is another."""
        keys = {key_of("a", "n"), key_of("b", "n"), key_of("a"), key_of("an")}
        self.assertEqual(len(keys), 4)
