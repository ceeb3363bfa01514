"""Tests of what the second signal does."""

from __future__ import annotations

import signal
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.service.signals import end_at_next_signal


class SecondSignalTests(SynchronousTestCase):
    def test_ends_at_once(self) -> None:
        """SIGTERM and SIGINT end the process with the status a shell would show."""
        installed: dict[int, Any] = {}
        left: list[int] = []
        end_at_next_signal(install=installed.__setitem__, leave=left.append)
        self.assertEqual(set(installed), {signal.SIGTERM, signal.SIGINT})
        for number in (signal.SIGTERM, signal.SIGINT):
            installed[number](number, None)
        self.assertEqual(left, [143, 130])
