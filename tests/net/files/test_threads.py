"""Tests of `lolly_tx.net.files.threads`."""

from __future__ import annotations

import threading
from functools import partial
from typing import Any

from lolly_tx.net.files.threads import FileThreads
from tests.net.fakes import SteppingTestCase


class ThreadsTests(SteppingTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.told: list[tuple[Any, Exception | None]] = []

    def tell(self, result: Any, error: Exception | None) -> None:
        """What a call came to; always in this thread."""
        self.assertIs(threading.current_thread(), threading.main_thread())
        self.told.append((result, error))

    def has_told(self, count: int) -> bool:
        """So many calls are over."""
        return len(self.told) == count

    def test_results(self) -> None:
        """Calls are made elsewhere, and what they come to is told here."""
        threads = FileThreads(self.reactor)
        self.addCleanup(threads.stop)
        error = OSError(5, "broken")

        def fail() -> None:
            raise error

        threads.call(lambda: threading.current_thread().name, self.tell)
        self.assertEqual(self.told, [])
        self.spin(lambda: self.told)
        self.assertTrue(self.told[0][0].startswith("files-"))
        threads.call(fail, self.tell)
        self.spin(lambda: len(self.told) == 2)
        self.assertEqual(self.told[1], (None, error))

    def test_bound(self) -> None:
        """No more threads than allowed; the other calls wait, and are made in the end."""
        threads = FileThreads(self.reactor, 2)
        self.addCleanup(threads.stop)
        gate = threading.Event()
        self.addCleanup(gate.set)
        names: set[str] = set()

        def work() -> None:
            names.add(threading.current_thread().name)
            gate.wait(10)

        for _ in range(6):
            threads.call(work, self.tell)
        self.assertIn("2, 6 calls", repr(threads))
        gate.set()
        self.spin(lambda: len(self.told) == 6)
        self.assertLessEqual(len(names), 2)
        self.assertIn("2, 0 calls", repr(threads))

    def test_one_is_enough(self) -> None:
        """Calls one after the other need no second thread."""
        threads = FileThreads(self.reactor)
        self.addCleanup(threads.stop)
        for number in range(5):
            threads.call(int, self.tell)
            self.spin(partial(self.has_told, number + 1))
        self.assertIn("1, 0 calls", repr(threads))

    def test_who_is_told_fails(self) -> None:
        """What raises when it is told is logged, and the threads go on."""
        threads = FileThreads(self.reactor)
        self.addCleanup(threads.stop)

        def broken(result: Any, error: Any) -> None:
            raise ZeroDivisionError

        threads.call(int, broken)
        threads.call(int, self.tell)
        self.spin(lambda: self.told)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_stop(self) -> None:
        """After the stop nothing is called, and the threads end."""
        threads = FileThreads(self.reactor)
        threads.call(threading.current_thread, self.tell)
        self.spin(lambda: self.told)
        threads.stop()
        threads.stop()
        threads.call(int, self.tell)
        self.told[0][0].join(10)
        self.assertFalse(self.told[0][0].is_alive())
        self.assertEqual(len(self.told), 1)

    def test_stop_before_a_start(self) -> None:
        """Threads that were never needed are none."""
        FileThreads(self.reactor).stop()
