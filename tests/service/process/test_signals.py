"""Tests of what the second signal does."""

from __future__ import annotations

import signal
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.service.process.signals import (
    end_at_next_signal,
    end_patiently_at_sigquit,
    end_well_at_sigterm,
)


class Reactor:
    """Runs and stops, as far as a signal is concerned."""

    running = True

    def __init__(self) -> None:
        self.started: list[Any] = []
        self.asked: list[Any] = []
        self.stops = 0

    def callWhenRunning(self, *call: Any) -> None:
        self.started.append(call)

    def callFromThread(self, call: Any) -> None:
        self.asked.append(call)

    def stop(self) -> None:
        self.stops += 1
        self.running = False


class FirstSignalTests(SynchronousTestCase):
    def test_stops(self) -> None:
        """SIGTERM stops the reactor once, from its own thread, when it runs."""
        reactor = Reactor()
        end_well_at_sigterm(reactor)
        [(install, number, asked)] = reactor.started
        self.assertEqual((install, number), (signal.signal, signal.SIGTERM))
        asked(number, None)
        asked(number, None)
        self.assertEqual(reactor.stops, 0)
        for call in reactor.asked:
            call()
        self.assertEqual(reactor.stops, 1)

    def test_patiently(self) -> None:
        """SIGQUIT is a stop, too, which is told to be patient before it begins."""
        reactor = Reactor()
        patient: list[bool] = []
        end_patiently_at_sigquit(reactor, lambda: patient.append(reactor.running))
        [(install, number, asked)] = reactor.started
        self.assertEqual((install, number), (signal.signal, signal.SIGQUIT))
        asked(number, None)
        asked(number, None)
        self.assertEqual(patient, [])
        for call in reactor.asked:
            call()
        self.assertEqual((patient, reactor.stops), ([True], 1))


class SecondSignalTests(SynchronousTestCase):
    def test_ends_at_once(self) -> None:
        """SIGTERM, SIGINT and SIGQUIT end the process with the status a shell would show."""
        installed: dict[int, Any] = {}
        left: list[int] = []
        end_at_next_signal(install=installed.__setitem__, leave=left.append)
        numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
        self.assertEqual(set(installed), set(numbers))
        for number in numbers:
            installed[number](number, None)
        self.assertEqual(left, [143, 130, 131])
