"""Which targets are behind a tunnel, and whether anybody is at its end."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.domain.target import Target
from lolly_tx.service.tunnels.absence import absence, is_behind


def target(endpoint: str) -> Target:
    """A target at that endpoint."""
    return Target(id="t", address=endpoint or "http://t.example", endpoint=endpoint)


class AbsenceTests(SynchronousTestCase):
    def test_behind(self) -> None:
        """Its connector is named in the endpoint; Twisted takes the first word in any case."""
        for text in ("tunnel:nobody-9:web", "Tunnel:nobody-9:host=a.example"):
            self.assertTrue(is_behind(target(text), "nobody-9"), text)
            self.assertTrue(is_behind(target(text), ""), text)
            self.assertFalse(is_behind(target(text), "nobody"), text)
            self.assertIn('no connector "nobody-9" with', absence(target(text)))

    def test_others(self) -> None:
        """All others are there to be tried, and so is what means nothing, which is an error elsewhere."""
        for text in ("", "tcp:127.0.0.1:80", "unix:/tunnel:x", "tunnel:", "tunnel:a"):
            self.assertEqual(absence(target(text)), "", text)
            self.assertFalse(is_behind(target(text), ""), text)
