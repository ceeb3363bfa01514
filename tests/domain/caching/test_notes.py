"""Tests of `lolly_tx.domain.caching.notes`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.domain.caching.notes import (
    PASS_SECONDS,
    Notes,
    seconds_until_asked_again,
)


class NotesTests(SynchronousTestCase):
    def test_passes(self) -> None:
        """What could not be stored is remembered for a while, or until something could."""
        notes = Notes()
        self.assertFalse(notes.passes(b"a", 0.0))
        notes.let_pass(b"a", 0.0)
        self.assertTrue(notes.passes(b"a", PASS_SECONDS - 1))
        self.assertFalse(notes.passes(b"b", 0.0))
        self.assertFalse(notes.passes(b"a", PASS_SECONDS))
        notes.let_pass(b"a", 0.0)
        notes.stored(b"a")
        self.assertFalse(notes.passes(b"a", 0.0))

    def test_uses(self) -> None:
        """Requests are counted, from the beginning again once something was stored."""
        notes = Notes()
        self.assertEqual(
            [notes.asked(b"a"), notes.asked(b"b"), notes.asked(b"a")], [1, 1, 2]
        )
        notes.stored(b"a")
        self.assertEqual(notes.asked(b"a"), 1)

    def test_bounded(self) -> None:
        """However many there are, so many are remembered, the latest."""
        notes = Notes(most=3)
        for number in range(10):
            notes.let_pass(number, 0.0)
            notes.asked(number)
        self.assertEqual([n for n in range(10) if notes.passes(n, 0.0)], [7, 8, 9])
        self.assertEqual(notes.asked(9), 2)
        self.assertEqual(notes.asked(0), 1)


class BackoffTests(SynchronousTestCase):
    def test_grows(self) -> None:
        """Later and later, and not for ever."""
        self.assertEqual(
            [seconds_until_asked_again(n) for n in (1, 2, 3, 6, 1000)],
            [1.0, 2.0, 4.0, 30.0, 30.0],
        )
