"""Tests of the file that the access log is appended to."""

import errno
import fcntl
import os
import socket
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

    def test_readers_stay(self):
        """After a rotation who could read the log still can, whatever the umask of a daemon."""
        log = self.open()
        self.path.chmod(0o644)
        group = self.path.stat().st_gid
        before = os.umask(0o077)
        self.addCleanup(os.umask, before)
        with patch("os.fchown") as given:
            self.path.rename(self.path.with_suffix(".1"))
            log.reopen()
        self.assertEqual(given.call_args.args[1:], (-1, group))
        self.assertEqual(self.path.stat().st_mode & 0o777, 0o644)

    def test_readers_stay_but_for_the_group(self):
        """A group that the process may not give is no error."""
        log = self.open()
        before = os.umask(0o077)
        self.addCleanup(os.umask, before)
        with patch("os.fchown", side_effect=PermissionError):
            self.path.rename(self.path.with_suffix(".1"))
            log.reopen()
        self.assertEqual(self.path.stat().st_mode & 0o777, 0o640 & ~before)

    def test_made_by_who_rotates(self):
        """A new file that is there already keeps its mode."""
        log = self.open()
        self.path.rename(self.path.with_suffix(".1"))
        self.path.touch(0o600)
        self.path.chmod(0o600)
        log.reopen()
        self.assertEqual(self.path.stat().st_mode & 0o777, 0o600)

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
        """What a full disk cut short is completed when there is room again, and nothing is lost of it."""
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
            log.write(b"one\ntwo\nthree\n")
            with self.assertRaises(OSError):
                log.write(b"four\n")
            self.assertEqual((log.waiting_bytes, log.waiting_lines), (8, 2))
            room[0] = 100
            log.write(b"five\n")
        self.assertEqual(self.path.read_bytes(), b"one\ntwo\nthree\nfive\n")

    def test_reopen_on_a_full_disk(self):
        """The rest of a line that was begun belongs to the old file; whole lines go to the new one."""
        for room, old, new in (
            (6, b"one\ntw", b"three\nfour\n"),
            (4, b"one\n", b"two\nthree\nfour\n"),
        ):
            log = self.open()
            write = os.write
            sizes = [room, 0]

            def small_disk(fd, data, sizes=sizes, write=write):
                if not sizes[0]:
                    raise OSError(errno.ENOSPC, "No space left on device")
                return write(fd, data[: sizes.pop(0)])

            with patch("os.write", small_disk):
                log.write(b"one\ntwo\nthree\n")
            moved = self.path.rename(self.path.with_suffix(".1"))
            log.reopen()
            log.write(b"four\n")
            self.assertEqual((moved.read_bytes(), self.path.read_bytes()), (old, new))
            self.path.unlink()

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

        with patch("os.write", small_disk):
            log.write(b"one\ntwo\n")
            with self.assertRaises(OSError):
                log.write(b"lost\n")
        log.write(b"three\n")
        self.assertEqual(self.path.read_bytes(), b"one\ntwo\nthree\n")


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
        """When nobody reads, writing returns; what was not taken is completed later, and what was too much is lost."""
        log = LogFile("-", stdout=self.writer, backlog_bytes=5000)
        line = b"x" * 999 + b"\n"
        batch = line * (self.size // 1000 + 2)
        log.write(batch)
        log.write(line)
        self.assertTrue(log.waiting)
        with self.assertRaises(BlockingIOError):
            log.write(line * 4)
        with self.assertRaises(BlockingIOError):
            log.write(line * 4, extra_bytes=1000)
        got = b""
        while not got.endswith(b"\nafter\n"):
            got += os.read(self.reader, self.size)
            log.flush()
            if len(got) == len(batch + line):
                log.write(b"after\n")
        self.assertEqual(got, batch + line + b"after\n")
        self.assertFalse(log.waiting)
        os.close(self.reader)

    def test_the_mode_is_not_changed(self):
        """Whoever shares standard output still has it as it was: blocking."""
        log = LogFile("-", stdout=self.writer)
        log.write(b"one\n")
        self.assertTrue(os.get_blocking(self.writer))
        log.close()
        os.close(self.reader)

    def test_without_proc(self):
        """Where standard output cannot be opened once more, it is asked before each write."""
        with patch("os.open", side_effect=FileNotFoundError):
            log = LogFile("-", stdout=self.writer)
            log.write(b"x" * (self.size + 1000))
        self.assertTrue(log.waiting)
        self.assertEqual(len(os.read(self.reader, self.size)), self.size)
        log.drain(0.0)
        log.flush()
        self.assertFalse(log.waiting)
        os.close(self.reader)

    def test_drain(self):
        """At the end a reader that is slow gets a little time, one that left none."""
        log = LogFile("-", stdout=self.writer)
        log.write(b"x" * (self.size + 1000))
        log.drain(0.01)
        self.assertTrue(log.waiting)
        os.read(self.reader, self.size)
        log.drain(10.0)
        self.assertFalse(log.waiting)
        log.write(b"x" * (self.size + 1000))
        os.close(self.reader)
        log.drain(10.0)
        self.assertTrue(log.waiting)

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


class SocketTests(SynchronousTestCase):
    def test_a_stopped_reader_does_not_stop_us(self):
        """Standard output may be a socket, as systemd has it: it is not waited for either."""
        ours, theirs = socket.socketpair()
        self.addCleanup(theirs.close)
        self.addCleanup(ours.close)
        log = LogFile("-", stdout=ours.fileno(), backlog_bytes=100)
        big = b"x" * 4_000_000 + b"\n"
        log.write(big)
        self.assertTrue(log.waiting)
        with self.assertRaises(BlockingIOError):
            log.write(b"lost\n")
        self.assertTrue(os.get_blocking(ours.fileno()))
        got = 0
        while got < len(big):
            got += len(theirs.recv(1 << 20))
            log.flush()
        log.write(b"after\n")
        self.assertEqual(theirs.recv(100), b"after\n")
        log.close()
        ours.send(b"still open")


class NamedPipeTests(SynchronousTestCase):
    def test_without_a_reader(self):
        """A named pipe that nobody reads is an error at once, not a hanging start."""
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "pipe")
            os.mkfifo(path)
            with self.assertRaises(OSError):
                LogFile(path)

    def test_reopen(self):
        """Opened anew it is the same pipe: what its reader did not take yet is completed."""
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "pipe")
            os.mkfifo(path)
            reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
            self.addCleanup(os.close, reader)
            log = LogFile(path)
            self.addCleanup(log.close)
            size = fcntl.fcntl(reader, fcntl.F_GETPIPE_SZ)
            line = b"x" * size + b"y\n"
            log.write(line)
            log.reopen()
            got = os.read(reader, size)
            log.write(b"after\n")
            self.assertEqual(got + os.read(reader, size), line + b"after\n")
