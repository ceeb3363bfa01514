"""Tests of the access log at work: when lines reach the file, and what becomes of it at the end."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path
from random import Random

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.config.model import AccessLog
from lolly_tx.proxy.record import refusal_entry
from lolly_tx.service.logfile import LogFile
from lolly_tx.service.recording import LogWriting
from lolly_tx.service.surroundings import Surroundings

ENTRY = refusal_entry(b"junk", "192.0.2.1", 400, 0, "web", 0.0)


class LoggerLike:
    """Keeps how many lines were said to be lost, and how many in all."""

    def __init__(self, said: list[tuple[int, int]]) -> None:
        self.said = said

    def warn(self, _: str, *, lost: int, total: int, error: object) -> None:
        self.said.append((lost, total))


class LogWritingTests(SynchronousTestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = Path(folder.name, "access.log")
        self.clock = Clock()

    def writing(self, path: str = "", stdout: LogFile | None = None) -> LogWriting:
        """The log of a service, each second to `path`."""
        now = self.clock.seconds
        around = Surroundings(self.clock, now, now, Random(1), stdout)
        settings = AccessLog(path=path or str(self.path), flush=1.0)
        made = LogWriting(settings, around)
        made.start()
        return made

    def test_batches(self) -> None:
        """What is collected is written each second, and the rest at the end."""
        writing = self.writing()
        writing.log.record(ENTRY)
        self.assertEqual(self.path.read_text(), "")
        self.clock.advance(1.0)
        self.assertEqual(self.path.read_text().count(" 400 "), 1)
        writing.log.record(ENTRY)
        writing.stop()
        self.assertEqual(self.path.read_text().count(" 400 "), 2)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_shared(self) -> None:
        """Standard output that others write to as well stays open at the end; an own file does not."""
        read, write = os.pipe()
        self.addCleanup(os.close, read)
        self.addCleanup(os.close, write)
        stdout = LogFile("-", stdout=write)
        self.writing("-", stdout).stop()
        stdout.write(b"said after\n")
        self.assertEqual(os.read(read, 100), b"said after\n")
        own = self.writing()
        own.stop()
        self.assertTrue(own._file._closed)
        stdout.close()

    def test_reopen(self) -> None:
        """After a rename the lines go to a new file."""
        writing = self.writing()
        self.path.rename(self.path.with_name("old.log"))
        writing.reopen()
        writing.stop()
        self.assertTrue(self.path.exists())

    def test_a_reader_that_reads_again(self) -> None:
        """Of a full pipe every line is read or counted, and the count is said while the service goes on."""
        read, write = os.pipe()
        self.addCleanup(os.close, read)
        self.addCleanup(os.close, write)
        os.set_blocking(read, False)
        stdout = LogFile("-", stdout=write, backlog_bytes=100_000)
        self.addCleanup(stdout.close)
        writing = self.writing("-", stdout)
        said: list[tuple[int, int]] = []
        self.patch(writing.log, "log", LoggerLike(said))
        for _ in range(9000):
            writing.log.record(ENTRY)
            writing.log.flush()
        got = b""
        for _ in range(500):
            with contextlib.suppress(BlockingIOError):
                got += os.read(read, 1 << 20)
            self.clock.advance(0.02)
        dropped = writing.log.dropped
        self.assertGreater(dropped, 0)
        self.assertEqual(got.count(b" 400 ") + dropped, 9000)
        self.assertEqual(said, [(1, 1), (dropped - 1, dropped)])
        writing.stop()
        self.assertEqual(len(said), 2)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_nobody_reads_to_the_end(self) -> None:
        """What was kept for a reader that never came is counted as lost at the end."""
        os.mkfifo(self.path)
        reader = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)
        self.addCleanup(os.close, reader)
        writing = self.writing()
        said: list[tuple[int, int]] = []
        self.patch(writing.log, "log", LoggerLike(said))
        self.patch(LogFile, "drain", lambda file, seconds: None)
        for _ in range(5000):
            writing.log.record(ENTRY)
        writing.stop()
        got = os.read(reader, 1 << 20)
        [(lost, total)] = said
        self.assertEqual((lost, got.count(b"\n") + total), (total, 5000))

    def test_no_such_folder(self) -> None:
        """A file that cannot be opened is an error before anything is started."""
        self.assertRaises(OSError, self.writing, "/no/such/folder/access.log")
