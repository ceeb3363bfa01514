"""Tests of `lolly_tx.domain.admission`."""

from __future__ import annotations

from random import Random

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.domain.admission import Admission, refusal_odds


class AdmissionTests(SynchronousTestCase):
    def test_golden(self) -> None:
        """The fewer requests succeed, the more are refused."""
        odds = [round(refusal_odds(100, s), 3) for s in (95, 80, 50, 0)]
        self.assertEqual(odds, [0.0, 0.156, 0.469, 0.990])

    def test_all_well(self) -> None:
        """While all goes well nobody is refused."""
        admission = Admission(window=10.0)
        for i in range(100):
            self.assertTrue(admission.admit(i / 10, Random(1)))
            admission.finished(True, i / 10)
        self.assertEqual(admission.refused, 0)

    def test_failing(self) -> None:
        """A backend that fails is left a part of the requests, and all of them again some time after it recovers."""
        admission, random = Admission(window=12.0), Random(1)
        for i in range(1200):
            if admission.admit(i / 100, random):
                admission.finished(False, i / 100)
        self.assertEqual(admission.odds(11.99), 0.8)
        self.assertGreater(admission.refused, 500)
        for i in range(2400):
            admission.finished(True, 12 + i / 100)
        self.assertEqual(admission.odds(36.0), 0.0)

    def test_little_traffic(self) -> None:
        """Below the floor of traffic everybody is let in."""
        admission = Admission(window=10.0)
        admission.finished(False, 0.0)
        self.assertTrue(admission.admit(0.0, Random(1)))

    def test_long_pause(self) -> None:
        """After a pause longer than the window the past is forgotten."""
        admission = Admission(window=10.0)
        for _ in range(100):
            admission.finished(False, 0.0)
        self.assertGreater(admission.odds(1.0), 0)
        self.assertEqual(admission.odds(1000.0), 0.0)
