"""Tests of `lolly_tx.domain.respite`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.domain.respite import KEPT, LONGEST, Respites
from tests.domain.pools import pool_of


class RespitesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.a, self.b = pool_of("a", "b").nodes.values()
        self.respites = Respites()

    def test_of_one_path(self) -> None:
        """A node is left alone with the path it was asked for, until the time is over."""
        self.respites.grant(self.a, b"/x", 5.0, 10.0)
        self.respites.grant(self.b, b"/x", 7.0, 10.0)
        self.assertEqual(self.respites.resting(b"/x", 14.9), (self.a, self.b))
        self.assertEqual(self.respites.resting(b"/y", 14.9), ())
        self.assertEqual(self.respites.resting(b"/x", 15.0), (self.b,))
        self.assertEqual(self.respites.resting(b"/x", 17.0), ())
        self.assertEqual(len(self.respites), 0)

    def test_times(self) -> None:
        """No time is none, and a long one is cut."""
        for seconds in (0.0, -1.0):
            self.respites.grant(self.a, b"/x", seconds, 0.0)
        self.assertEqual(len(self.respites), 0)
        self.respites.grant(self.a, b"/x", 1e9, 0.0)
        self.assertEqual(self.respites.resting(b"/x", LONGEST - 1), (self.a,))
        self.assertEqual(self.respites.resting(b"/x", LONGEST), ())

    def test_bound(self) -> None:
        """However many paths are asked for, only so many are remembered, the newest."""
        for i in range(KEPT + 10):
            self.respites.grant(self.a, b"/%d" % i, 60.0, 0.0)
        self.assertEqual(len(self.respites), KEPT)
        self.assertEqual(self.respites.resting(b"/9", 0.0), ())
        self.assertEqual(self.respites.resting(b"/10", 0.0), (self.a,))
