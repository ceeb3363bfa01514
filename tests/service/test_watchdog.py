"""Tests of the watchdog of the event loop."""

from __future__ import annotations

import os
import threading
import time
from typing import Any
from unittest.mock import patch

from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.service.watchdog import (
    BEAT,
    RECENT,
    STACK_FRAMES,
    STALL,
    Stall,
    Watchdog,
    _ProcessorWait,
    stack_of,
)


class WatchdogTests(SynchronousTestCase):
    """With a clock of our own; the thread is only in the tests that say so."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.watchdog = Watchdog(self.clock, self.clock.seconds, sampling=False)
        self.addCleanup(self.watchdog.stop)

    def test_nothing_to_report(self) -> None:
        """A loop that is on time has no stalls, whatever the number of beats."""
        self.watchdog.start()
        self.clock.pump([BEAT] * 40)
        seen = self.watchdog.snapshot()
        self.assertEqual((seen.beats, seen.stalls, seen.longest), (40, 0, 0.0))
        self.assertIsNone(seen.last)
        self.assertEqual(seen.lateness[0], (0.001, 40))

    def test_a_stall(self) -> None:
        """A beat that comes 100 ms late is a stall; its length is known."""
        self.watchdog.start()
        with capturedLogs() as logged:
            self.clock.advance(BEAT + STALL + 0.2)
        seen = self.watchdog.snapshot()
        self.assertEqual(seen.stalls, 1)
        self.assertAlmostEqual(seen.longest, 0.3)
        assert seen.last is not None
        self.assertAlmostEqual(seen.last.seconds, 0.3)
        self.assertEqual(seen.lateness[-1], (float("inf"), 1))
        (event,) = logged
        self.assertEqual(event["log_level"], LogLevel.warn)
        self.assertEqual(event["stall"], seen.last)

    def test_recent(self) -> None:
        """The worst of the last minute is told, and forgotten after it; a loop that stands still now counts."""
        self.watchdog.start()
        self.clock.advance(BEAT + 0.4)
        self.assertAlmostEqual(self.watchdog.snapshot().recent, 0.4)
        self.clock.pump([BEAT] * round(RECENT * 0.9 / BEAT))
        self.assertAlmostEqual(self.watchdog.snapshot().recent, 0.4)
        self.clock.pump([BEAT] * round(RECENT * 0.4 / BEAT))
        self.assertAlmostEqual(self.watchdog.snapshot().recent, 0.0)
        self.clock.rightNow += BEAT + 2.0
        self.assertAlmostEqual(self.watchdog.snapshot().recent, 2.0)

    def test_just_not_a_stall(self) -> None:
        """A beat that is a little less late is counted among the late ones only."""
        self.watchdog.start()
        self.clock.advance(BEAT + STALL - 0.001)
        seen = self.watchdog.snapshot()
        self.assertEqual(seen.stalls, 0)
        self.assertEqual(dict(seen.lateness)[0.1], 1)

    def test_one_line_a_second(self) -> None:
        """Many stalls make one line a second, and each line says how many had none."""
        self.watchdog.start()
        with capturedLogs() as logged:
            self.clock.pump([0.2] * 4)
            self.clock.advance(0.9)
        self.assertEqual([each["unlogged"] for each in logged], [0, 3])
        self.assertEqual(self.watchdog.snapshot().stalls, 5)

    def test_start_and_stop_again(self) -> None:
        """Starting twice is starting once, as is stopping; the count goes on after."""
        self.watchdog.start()
        self.watchdog.start()
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.clock.advance(BEAT)
        self.watchdog.stop()
        self.watchdog.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.clock.advance(5)
        self.watchdog.start()
        self.clock.advance(BEAT)
        seen = self.watchdog.snapshot()
        self.assertEqual((seen.beats, seen.stalls), (2, 0))

    def test_waiting_for_a_processor_is_told_apart(self) -> None:
        """The time without a processor is no part of what we did ourselves."""
        self.assertAlmostEqual(Stall(9.0, 0.3, 0.2, ()).held, 0.1)
        waits = iter([1.0, 1.25])
        with patch.object(_ProcessorWait, "seconds", lambda self: next(waits)):
            self.watchdog.start()
            self.clock.advance(BEAT + 0.3)
        seen = self.watchdog.snapshot()
        assert seen.last is not None
        self.assertAlmostEqual(seen.last.waiting, 0.25)
        self.assertAlmostEqual(seen.longest_held, 0.05)
        self.assertEqual(seen.lateness[-1], (float("inf"), 0))

    def test_stack_of_what_held_it(self) -> None:
        """The stack of a stall names the function that did not come back."""
        watchdog = Watchdog(self.clock, time.monotonic)
        self.addCleanup(watchdog.stop)
        watchdog.start()
        until = time.monotonic() + BEAT + STALL
        _hold_until(lambda: bool(watchdog._stack) and time.monotonic() > until)
        self.clock.advance(BEAT)
        seen = watchdog.snapshot()
        assert seen.last is not None
        self.assertTrue(
            any("_hold_until" in call for call in seen.last.stack), seen.last.stack
        )

    def test_no_stack_of_an_earlier_stall(self) -> None:
        """A stall during which no sample was taken has no stack, not the last one's."""
        self.watchdog._stack = ("old.py:1 old",)
        self.watchdog._sampled_beat = -1.0
        self.watchdog.start()
        self.clock.advance(1)
        seen = self.watchdog.snapshot()
        assert seen.last is not None
        self.assertEqual(seen.last.stack, ())

    def test_thread_ends(self) -> None:
        """After stop there is no thread left."""
        before = threading.active_count()
        watchdog = Watchdog(self.clock, time.monotonic)
        watchdog.start()
        self.assertEqual(threading.active_count(), before + 1)
        watchdog.stop()
        self.assertEqual(threading.active_count(), before)


def _hold_until(ready: Any) -> None:
    """What a slow call looks like; gives up after five seconds."""
    until = time.monotonic() + 5
    while not ready() and time.monotonic() < until:
        time.sleep(0.001)


class StackTests(SynchronousTestCase):
    def test_bounded(self) -> None:
        """Of a deep stack only the innermost calls are kept."""
        import sys

        def deeper(depth: int) -> tuple[str, ...]:
            if depth:
                return deeper(depth - 1)
            return stack_of(sys._getframe())

        stack = deeper(50)
        self.assertEqual(len(stack), STACK_FRAMES)
        self.assertIn("deeper", stack[-1])

    def test_thread_is_gone(self) -> None:
        """There may be nothing to look at."""
        self.assertEqual(stack_of(None), ())


class ProcessorWaitTests(SynchronousTestCase):
    def test_not_known(self) -> None:
        """Where the kernel does not say, nothing is counted as waiting."""
        wait = _ProcessorWait()
        with patch.object(os, "open", side_effect=FileNotFoundError):
            wait.open()
        self.assertEqual(wait.seconds(), 0.0)
        wait.close()

    def test_unreadable(self) -> None:
        """What cannot be understood counts as nothing."""
        wait = _ProcessorWait()
        wait._fd = os.open(os.devnull, os.O_RDONLY)
        self.assertEqual(wait.seconds(), 0.0)
        wait.close()
        wait.close()

    def test_grows(self) -> None:
        """It is a number of seconds that never falls."""
        wait = _ProcessorWait()
        wait.open()
        self.addCleanup(wait.close)
        first = wait.seconds()
        self.assertGreaterEqual(wait.seconds(), first)
