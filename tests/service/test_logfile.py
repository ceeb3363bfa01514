"""Tests of the file that the access log is appended to."""

import contextlib
import errno
import fcntl
import os
import tempfile
from pathlib import Path
from unittest.mock import patch

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.service.logfile import LogFile


class RegularFileTests(SynchronousTestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = Path(folder.name) / "access.log"

    def open(self):
        log = LogFile(str(self.path))
        self.addCleanup(log.close)
        return log

    def test_appends(self):
        """What an earlier run wrote is kept."""
        self.path.write_bytes(b"old\n")
        log = self.open()
        log.write(b"one\n")
        log.write(b"two\n")
        self.assertEqual(self.path.read_bytes(), b"old\none\ntwo\n")

    def test_not_readable_by_everybody(self):
        """A new log file can be read by its owner and group only."""
        self.open()
        self.assertEqual(self.path.stat().st_mode & 0o007, 0)

    def test_missing_folder(self):
        """A path in a folder that does not exist is an error when opening."""
        with self.assertRaises(OSError):
            LogFile(str(self.path / "no" / "such"))

    def test_reopen_after_rotation(self):
        """After a rotation, lines go to a new file under the old name."""
        log = self.open()
        log.write(b"one\n")
        moved = self.path.rename(self.path.with_suffix(".1"))
        log.write(b"two\n")
        log.reopen()
        log.write(b"three\n")
        self.assertEqual(moved.read_bytes(), b"one\ntwo\n")
        self.assertEqual(self.path.read_bytes(), b"three\n")

    def test_failed_reopen_keeps_the_file(self):
        """When the new file cannot be made, lines still go to the old one."""
        log = self.open()
        moved = self.path.rename(self.path.with_suffix(".1"))
        self.path.mkdir()
        with self.assertRaises(OSError):
            log.reopen()
        log.write(b"one\n")
        self.assertEqual(moved.read_bytes(), b"one\n")

    def test_closed(self):
        """A closed file refuses lines, and closing it again is harmless."""
        log = self.open()
        log.close()
        log.close()
        with self.assertRaises(ValueError):
            log.write(b"one\n")

    def test_full_disk_never_mixes_lines(self):
        """A line that a full disk cut short is completed when there is room again."""
        log = self.open()
        write = os.write
        room = [6]

        def small_disk(fd, data):
            part = data[: room[0]]
            if not part:
                raise OSError(errno.ENOSPC, "No space left on device")
            room[0] -= len(part)
            return write(fd, part)

        with patch("os.write", small_disk):
            with self.assertRaises(OSError):
                log.write(b"one\ntwo\nthree\n")
            with self.assertRaises(OSError):
                log.write(b"four\n")
            room[0] = 100
            log.write(b"five\n")
        self.assertEqual(self.path.read_bytes(), b"one\ntwo\nfive\n")

    def test_full_disk_between_lines(self):
        """A disk that fills up exactly after a line leaves nothing to complete."""
        log = self.open()
        write = os.write
        room = [4]

        def small_disk(fd, data):
            part = data[: room[0]]
            if not part:
                raise OSError(errno.ENOSPC, "No space left on device")
            room[0] -= len(part)
            return write(fd, part)

        with patch("os.write", small_disk), self.assertRaises(OSError):
            log.write(b"one\ntwo\n")
        log.write(b"three\n")
        self.assertEqual(self.path.read_bytes(), b"one\nthree\n")


class PipeTests(SynchronousTestCase):
    def setUp(self):
        self.reader, self.writer = os.pipe()
        self.addCleanup(os.close, self.writer)
        self.size = fcntl.fcntl(self.writer, fcntl.F_GETPIPE_SZ)

    def test_stdout(self):
        """The path "-" is standard output, which is neither reopened nor closed."""
        log = LogFile("-", stdout=self.writer)
        log.write(b"one\n")
        log.reopen()
        log.write(b"two\n")
        log.close()
        self.assertEqual(os.read(self.reader, 100), b"one\ntwo\n")
        os.write(self.writer, b"still open")
        os.close(self.reader)

    def test_a_stopped_reader_does_not_stop_us(self):
        """When nobody reads, writing returns; what was begun is completed later."""
        log = LogFile("-", stdout=self.writer)
        line = b"x" * 999 + b"\n"
        batch = line * (self.size // 1000 + 100)
        log.write(batch)
        with self.assertRaises(BlockingIOError):
            log.write(b"lost\n")
        got = b""
        while not got.endswith(b"\nafter\n"):
            got += os.read(self.reader, self.size)
            if len(got) < len(batch):
                with contextlib.suppress(BlockingIOError):
                    log.write(b"")
            else:
                log.write(b"after\n")
        self.assertEqual(got, batch + b"after\n")
        os.close(self.reader)

    def test_another_writer_was_faster(self):
        """When somebody else fills the pipe meanwhile, the lines wait their turn."""
        log = LogFile("-", stdout=self.writer)
        with patch("os.write", side_effect=BlockingIOError):
            log.write(b"one\n")
        log.write(b"two\n")
        self.assertEqual(os.read(self.reader, 100), b"one\ntwo\n")
        os.close(self.reader)

    def test_a_reader_that_left(self):
        """When the reader is gone, that is an error for the caller to count."""
        log = LogFile("-", stdout=self.writer)
        os.close(self.reader)
        with self.assertRaises(BrokenPipeError):
            log.write(b"one\n")


class NamedPipeTests(SynchronousTestCase):
    def test_without_a_reader(self):
        """A named pipe that nobody reads is an error at once, not a hanging start."""
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "pipe")
            os.mkfifo(path)
            with self.assertRaises(OSError):
                LogFile(path)
