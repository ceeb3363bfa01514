"""Tests of who is not listened to for a while."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.domain.access.lockout import ADDRESSES, FAILURES, SECONDS, Lockout


class LockoutTests(SynchronousTestCase):
    def test_too_often(self) -> None:
        """Ten wrong tokens within a minute, and the address has to wait."""
        lockout = Lockout()
        for second in range(FAILURES):
            self.assertEqual(lockout.wait("a", second), 0.0)
            lockout.failed("a", float(second))
        self.assertEqual(lockout.wait("a", 10.0), SECONDS - 10.0)
        self.assertEqual(lockout.wait("b", 10.0), 0.0)
        self.assertEqual(lockout.wait("a", SECONDS), 0.0)

    def test_now_and_then(self) -> None:
        """Who mistypes now and then is always listened to."""
        lockout = Lockout()
        for minute in range(50):
            lockout.failed("a", minute * SECONDS)
            self.assertEqual(lockout.wait("a", minute * SECONDS), 0.0)

    def test_bounded(self) -> None:
        """A crowd of addresses costs no more than so much memory."""
        lockout = Lockout()
        for number in range(ADDRESSES + 10):
            lockout.failed(str(number), 0.0)
        self.assertEqual(len(lockout), ADDRESSES)
