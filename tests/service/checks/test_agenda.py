"""Tests of lolly_tx.service.checks.agenda: who is asked when."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.service.checks.agenda import Agenda


class AgendaTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.agenda = Agenda()
        for node_id, at in (("b", 2.0), ("a", 1.0), ("c", 1.0)):
            self.agenda.set(node_id, at, at - 10.0)

    def taken(self, until: float) -> list[str]:
        """Everybody who is due."""
        seen = []
        while self.agenda.is_due(until):
            seen.append(self.agenda.take().node_id)
        return seen

    def test_order(self) -> None:
        """Who is due first comes first; of equals the one who was entered first."""
        self.assertEqual(self.taken(2.0), ["a", "c", "b"])
        self.assertEqual(len(self.agenda), 0)

    def test_not_yet(self) -> None:
        """Nobody comes before the time."""
        self.assertEqual(self.taken(1.5), ["a", "c"])
        self.assertEqual(self.agenda.times(), {"b": 2.0})

    def test_moved(self) -> None:
        """The newest time of a target counts, whether sooner or later."""
        self.agenda.set("a", 3.0, 3.0)
        self.agenda.set("b", 0.5, 0.5)
        self.assertEqual(self.agenda.time_of("a"), 3.0)
        self.assertEqual(self.taken(2.0), ["b", "c"])

    def test_struck(self) -> None:
        """Who was struck off is not due, and may be entered again."""
        self.agenda.strike("a")
        self.agenda.strike("nobody")
        self.assertNotIn("a", self.agenda)
        self.assertIsNone(self.agenda.time_of("a"))
        self.assertEqual(self.taken(1.0), ["c"])

    def test_keep(self) -> None:
        """Those who are no members are forgotten."""
        self.agenda.keep({"b", "d"})
        self.assertEqual(self.taken(9.0), ["b"])

    def test_clear(self) -> None:
        """After a clear nobody is due."""
        self.agenda.clear()
        self.assertFalse(self.agenda.is_due(9.0))
