"""Tests of `lolly_tx.importing.listened`: what several addresses of one port come to."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.importing.listened import together


class TogetherTests(SynchronousTestCase):
    def test_families(self) -> None:
        """A port of both families is one of IPv6, in any order; the length of a queue stays."""
        six = r"tcp:80:interface=\:\:"
        for one, other, found in (
            ("tcp:80", "tcp:80", "tcp:80"),
            ("tcp:80", six, six),
            (six, "tcp:80", six),
            ("tcp:80:backlog=5", six, f"{six}:backlog=5"),
            (six, "tcp:80:backlog=5", f"{six}:backlog=5"),
            ("tcp:80", "tcp:80:backlog=5", "tcp:80:backlog=5"),
            ("tcp:80:backlog=5", "tcp:80:backlog=6", "tcp:80:backlog=6"),
            ("unix:/a", "unix:/a:backlog=6", "unix:/a:backlog=6"),
        ):
            self.assertEqual(together(one, other), found)
