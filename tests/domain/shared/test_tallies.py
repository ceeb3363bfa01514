"""Tests of counters of several processes."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.domain.shared.tallies import Tally, Totals


class TallyTests(SynchronousTestCase):
    """What one process says."""

    def test_only_changes_are_said(self) -> None:
        """What is as before, and what never was, costs nothing."""
        tally = Tally()
        self.assertEqual(tally.changes({"a": 1, "b": 0}), {"a": 1})
        self.assertEqual(tally.changes({"a": 1, "b": 2}), {"b": 2})
        self.assertEqual(tally.changes({"a": 0, "b": 2}), {"a": 0})

    def test_number_that_left_is_forgotten(self) -> None:
        """A target that comes back under the same name begins at 0."""
        tally = Tally()
        tally.changes({"a": 3})
        tally.changes({})
        self.assertEqual(tally.changes({"a": 3}), {"a": 3})


class TotalsTests(SynchronousTestCase):
    """The sums."""

    def test_processes_are_added_up(self) -> None:
        """Each says its own number."""
        totals = Totals(["in_flight"])
        totals.heard(1, {"x/requests": 5})
        totals.heard(2, {"x/requests": 7})
        totals.heard(1, {"x/requests": 6})
        self.assertEqual(totals["x/requests"], 13)
        self.assertEqual(totals["unheard of"], 0)
        self.assertEqual(totals.of(2), {"x/requests": 7})

    def test_counters_of_the_dead_stay_and_their_gauges_go(self) -> None:
        """No total falls when a process dies, and nothing it had in flight stays in flight."""
        totals = Totals(["in_flight"])
        totals.heard("old", {"x/requests": 5, "x/in_flight": 2})
        totals.heard("other", {"x/in_flight": 1})
        totals.ended("old")
        totals.ended("nobody")
        self.assertEqual((totals["x/requests"], totals["x/in_flight"]), (5, 1))
        totals.heard("new", {"x/requests": 1})
        self.assertEqual(totals["x/requests"], 6)
        self.assertEqual(totals.of("old"), {})

    def test_what_was_counted(self) -> None:
        """All but what somebody has just now."""
        totals = Totals(["in_flight"])
        totals.heard(1, {"x/requests": 5, "x/in_flight": 2})
        totals.heard(2, {"x/requests": 1})
        totals.ended(2)
        self.assertEqual(totals.counted(), {"x/requests": 6})
