"""Tests of how a reader that is behind gets what was kept for it."""

from __future__ import annotations

import fcntl
import os

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.service.logfile import LogFile
from lolly_tx.service.records.draining import QUICK_SECONDS, SLOW_SECONDS, Draining


class DrainingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reader, writer = os.pipe()
        self.addCleanup(os.close, self.reader)
        self.addCleanup(os.close, writer)
        self.size = fcntl.fcntl(writer, fcntl.F_GETPIPE_SZ)
        self.clock = Clock()
        self.file = LogFile("-", stdout=writer)
        self.addCleanup(self.file.close)
        self.asked = 0
        self.draining = Draining(self.file, self.clock, self.attempt)

    def attempt(self) -> bool:
        self.asked += 1
        self.file.flush()
        return self.file.waiting

    def test_as_fast_as_it_is_read(self) -> None:
        """A reader that reads all it can waits for the rest only moments, a pipe's size at a time."""
        self.file.write(b"x" * 10 * self.size)
        self.draining.begin()
        started, got = self.clock.seconds(), 0
        while self.file.waiting:
            got += len(os.read(self.reader, self.size))
            self.clock.advance(QUICK_SECONDS)
        self.assertLess(self.clock.seconds() - started, 11 * QUICK_SECONDS)
        self.assertEqual(got + len(os.read(self.reader, self.size)), 10 * self.size)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_nobody_reads(self) -> None:
        """A reader that takes nothing is asked ever more seldom, and quickly again once it reads."""
        self.file.write(b"x" * 4 * self.size)
        self.draining.begin()
        self.clock.pump([QUICK_SECONDS] * round(60 / QUICK_SECONDS))
        self.assertLess(self.asked, 60 / SLOW_SECONDS + 10)
        os.read(self.reader, self.size)
        self.clock.advance(SLOW_SECONDS)
        for _ in range(2):
            self.assertTrue(self.file.waiting)
            os.read(self.reader, self.size)
            self.clock.advance(QUICK_SECONDS)
        self.assertFalse(self.file.waiting)

    def test_end(self) -> None:
        """Nothing is asked after the end."""
        self.file.write(b"x" * 4 * self.size)
        self.draining.begin()
        self.draining.begin()
        self.draining.end()
        self.draining.end()
        self.assertEqual(self.clock.getDelayedCalls(), [])
