"""Tests of the access log at work: when lines reach the file, and what becomes of it at the end."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path
from random import Random

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.config.load import parse
from lolly_tx.config.model import AccessLog as Settings
from lolly_tx.proxy.records.accesslog import AccessLog
from lolly_tx.proxy.records.record import refusal_entry
from lolly_tx.service.logfile import LogFile
from lolly_tx.service.records.recording import AccessLogs, LogWriting
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
        settings = Settings(path=path or str(self.path), flush=1.0)
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
        assert isinstance(own.file, LogFile)
        self.assertTrue(own.file._closed)
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

    def logs(self, *own: str) -> tuple[AccessLogs, list[AccessLog]]:
        """The access logs of listeners with these tables; all go to one file."""
        text = "".join(
            f'[listener.w{n}]\nendpoint = "tcp:808{n}"\n'
            f'access_log = {{ path = "{self.path}", {one} }}\n'
            for n, one in enumerate(own)
        )
        more = '[[route]]\npool = "p"\n[pool.p]\ntargets = ["http://127.0.0.1:9001"]\n'
        config = parse(text + more)
        now = self.clock.seconds
        logs = AccessLogs(config, Surroundings(self.clock, now, now, Random(1)))
        logs.start()
        found = [logs.of(f"w{n}", None) for n in range(len(own))]
        return logs, [one for one in found if one is not None]

    def test_one_file(self) -> None:
        """Logs of several forms in one file share it, equal ones are one, and a rotation moves all of them."""
        logs, (one, two, three) = self.logs(
            'format = "1 $status"', 'format = "2 $status"', 'format = "1 $status"'
        )
        self.assertIs(one, three)
        self.assertEqual(len({writing.file for writing in logs}), 1)
        old = self.path.with_name("old.log")
        for path in (old, self.path):
            one.record(ENTRY)
            two.record(ENTRY)
            if path is old:
                self.clock.advance(1.0)
                self.path.rename(old)
                logs.reopen()
            else:
                logs.stop()
            self.assertEqual(sorted(path.read_text().splitlines()), ["1 400", "2 400"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_counted(self) -> None:
        """Lines are counted by what became of them, also over a change of settings."""
        logs, (one, _) = self.logs('format = "1 $status"', 'format = "2 $status"')
        one.record(ENTRY)
        logs.stop()
        one.record(ENTRY)
        one.flush()
        self.assertEqual((logs.written, logs.dropped), (1, 1))
        others, (two,) = self.logs('format = "3 $status"')
        two.record(ENTRY)
        others.stop()
        others.goes_on_from(logs)
        self.assertEqual((others.written, others.dropped), (2, 1))

    def test_one_cannot_be_reopened(self) -> None:
        """A file that cannot be opened anew keeps the old one, and the others go on in new ones."""
        logs, _ = self.logs("flush = 1")
        writing = next(iter(logs))
        other = self.writing(str(self.path.with_name("b.log")))
        logs._all.append(other)
        self.path.rename(self.path.with_name("old.log"))
        other.file.path = "/no/such/folder/b.log"
        error = self.assertRaises(OSError, logs.reopen)
        self.assertIn("/no/such/folder", str(error))
        self.assertTrue(self.path.exists())
        other.log.record(ENTRY)
        writing.log.record(ENTRY)
        logs.stop()
        self.assertEqual(self.path.with_name("b.log").read_text().count("\n"), 1)
        self.assertEqual(self.path.read_text().count("\n"), 1)

    def test_no_file_for_one(self) -> None:
        """When one of several cannot have its file, none is left open."""
        bad = 'path = "/no/such/folder/x"'
        config = parse(
            f'[listener.a]\nendpoint = "tcp:8080"\naccess_log = {{ path = "{self.path}" }}\n'
            f'[[route]]\npool = "p"\naccess_log = {{ {bad} }}\n'
            '[pool.p]\ntargets = ["http://127.0.0.1:9001"]\n'
        )
        around = Surroundings(self.clock, self.clock.seconds, self.clock.seconds)
        self.assertRaises(OSError, AccessLogs, config, around)

    def test_no_such_folder(self) -> None:
        """A file that cannot be opened is an error before anything is started."""
        self.assertRaises(OSError, self.writing, "/no/such/folder/access.log")
