"""Tests of what the process says of itself: levels, forms, repetitions, and readers that are behind."""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from twisted.internet.task import Clock
from twisted.logger import Logger, LogPublisher
from twisted.python.failure import Failure
from twisted.python.syslog import SyslogObserver
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.config.operating import Log
from lolly_tx.domain.events import Event
from lolly_tx.net.library.eventlog import EventLog
from lolly_tx.service.logfile import LogFile
from lolly_tx.service.process.processlog import (
    OWN_BACKLOG_BYTES,
    REMEMBERED_LINES,
    AppendedLogFile,
    LineLog,
    Sieve,
    json_line,
    text_line,
    twistd_log,
)


class SieveTests(SynchronousTestCase):
    def logger(self, level: str = "info") -> Logger:
        self.clock = Clock()
        self.lines: list[str] = []
        out: Any = lambda event: self.lines.append(text_line(event) or "")  # noqa: E731
        self.sieve = Sieve(out, level, self.clock)
        self.addCleanup(self.sieve.end)
        return Logger(namespace="t", observer=LogPublisher(self.sieve))

    def said(self) -> list[str]:
        """The lines so far, without their times."""
        lines, self.lines[:] = [line.partition("] ")[2] for line in self.lines], []
        return lines

    def test_levels(self) -> None:
        """What is below the level is not written, what is at it or above is."""
        for level, expected in (
            ("debug", ["d\n", "i\n", "w\n", "e\n", "c\n"]),
            ("info", ["i\n", "w\n", "e\n", "c\n"]),
            ("critical", ["c\n"]),
        ):
            log = self.logger(level)
            log.debug("d")
            log.info("i")
            log.warn("w")
            log.error("e")
            log.critical("c")
            self.assertEqual(self.said(), expected)

    def test_old_events(self) -> None:
        """Events without a level count as information."""
        self.logger("info")
        self.sieve({"log_format": "x"})
        self.assertEqual(len(self.said()), 1)
        self.logger("warn")
        self.sieve({"log_format": "x"})
        self.assertEqual(self.said(), [])

    def test_repetitions(self) -> None:
        """A line that comes again and again is written once, and then how often it came."""
        log = self.logger("debug")
        for _ in range(1000):
            log.debug("TLS handshake failed ({peer})", peer="10.0.0.1")
            log.debug("TLS handshake failed ({peer})", peer="10.0.0.2")
        self.assertEqual(
            self.said(),
            [f"TLS handshake failed (10.0.0.{n})\n" for n in (1, 2)],
        )
        self.clock.advance(5)
        self.assertEqual(
            self.said(),
            [
                f"TLS handshake failed (10.0.0.{n}) ... repeated 999 times\n"
                for n in (1, 2)
            ],
        )
        log.debug("TLS handshake failed ({peer})", peer="10.0.0.1")
        self.assertEqual(self.said(), [])
        self.clock.advance(5)
        self.assertEqual(
            self.said(), ["TLS handshake failed (10.0.0.1) ... repeated 1 time\n"]
        )
        self.clock.advance(5)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        log.debug("TLS handshake failed ({peer})", peer="10.0.0.1")
        self.assertEqual(len(self.said()), 1)

    def test_end(self) -> None:
        """What was counted is said at the end."""
        log = self.logger()
        log.info("x")
        log.info("x")
        self.sieve.end()
        self.assertEqual(self.said(), ["x\n", "x ... repeated 1 time\n"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_bounded(self) -> None:
        """Ever new lines cost no more than so much memory, and what was counted is not forgotten."""
        log = self.logger()
        log.info("first")
        log.info("first")
        for number in range(REMEMBERED_LINES):
            log.info("{number}", number=number)
        said = self.said()
        self.assertIn("first ... repeated 1 time\n", said)
        self.assertEqual(len(said), REMEMBERED_LINES + 2)

    def test_changes_of_state(self) -> None:
        """A target that is down for the second time is news, although the line is the same."""
        log = self.logger()
        sink = EventLog()
        sink.log = log
        for old, new in (("up", "down"), ("down", "up"), ("up", "down")):
            sink.emit(Event(1.0, "p", "a", "health", old, new, "check: 503"))
        self.assertEqual(len(self.said()), 3)

    def test_failures(self) -> None:
        """Failures with the same words are told apart by what failed."""
        log = self.logger()
        for error in (ValueError("a"), ValueError("b"), ValueError("a")):
            log.failure("It failed", failure=Failure(error))
        self.assertEqual(len(self.said()), 2)
        self.clock.advance(5)
        self.assertEqual(self.said(), ["It failed ... repeated 1 time\n"])


class FormTests(SynchronousTestCase):
    def event(self, *args: Any, **fields: Any) -> dict[str, Any]:
        events: list[dict[str, Any]] = []
        observer: Any = events.append
        log = Logger(namespace="t", observer=observer)
        log.warn(*args, **fields)
        return {**events[0], "log_time": 1795293660.25}

    def test_json(self) -> None:
        """A JSON line has time, level, logger, message and the plain fields of the event."""
        line = json_line(
            self.event("{pool}: {cause}", pool="p", cause="x\ny", n=3, what=object())
        )
        assert line is not None
        self.assertEqual(
            json.loads(line),
            {
                "time": "2026-11-21T20:41:00.250Z",
                "level": "warn",
                "logger": "t",
                "message": "p: x\ny",
                "pool": "p",
                "cause": "x\ny",
                "n": 3,
            },
        )
        self.assertEqual(line.count("\n"), 1)

    def test_json_failure(self) -> None:
        """A failure comes with its traceback."""
        event = self.event("It failed", log_failure=Failure(ValueError("why")))
        line = json.loads(json_line(event) or "")
        self.assertEqual(line["message"], "It failed")
        self.assertIn("ValueError: why", line["traceback"])
        event = {"log_failure": Failure(ValueError("why"))}
        line = json.loads(json_line(event) or "")
        self.assertEqual((line["message"], line["time"]), ("why", None))

    def test_nothing(self) -> None:
        """An event that says nothing makes no line."""
        self.assertIsNone(json_line({}))
        self.assertIsNone(text_line({}))

    def test_terminal(self) -> None:
        """What a stranger sent does not drive the reader's terminal."""
        event = self.event("{x}", x="\x1b[2J\r\x9b")
        self.assertIn(r"\x1B[2J\x0D\x9B", text_line(event) or "")
        self.assertEqual(
            json.loads(json_line(event) or "")["message"], r"\x1B[2J\x0D\x9B"
        )


class StoppedReaderTests(SynchronousTestCase):
    """Standard output is a pipe that nobody reads."""

    def setUp(self) -> None:
        self.reader, writer = os.pipe()
        self.addCleanup(os.close, self.reader)
        self.addCleanup(os.close, writer)
        self.size = fcntl.fcntl(writer, fcntl.F_GETPIPE_SZ)
        self.clock = Clock()
        self.file = LogFile("-", stdout=writer, backlog_bytes=10_000)
        self.log = LineLog(self.file, json_line, self.clock)
        self.addCleanup(self.file.close)

    def fill(self) -> int:
        """Write until lines are lost; how many were written before."""
        number = 0
        while not self.log.dropped:
            self.log({"log_format": "x" * 1000, "n": number})
            number += 1
        return number - 1

    def read(self) -> list[dict[str, Any]]:
        """What can be read, after giving the log its time."""
        got = b""
        while True:
            os.set_blocking(self.reader, False)
            try:
                got += os.read(self.reader, 1 << 20)
            except BlockingIOError:
                return [json.loads(line) for line in got.splitlines()]
            self.clock.advance(1)

    def test_lost_lines(self) -> None:
        """Writing never waits; once it is read again, the log says how many lines were lost, and loses none more."""
        kept = self.fill()
        self.log({"log_format": "y" * 1000})
        lines = self.read()
        self.assertEqual([line["n"] for line in lines[:-1]], list(range(kept)))
        self.assertEqual(
            lines[-1]["message"], "2 lines of this log were lost: its reader was behind"
        )
        self.log({"log_format": "after"})
        self.assertEqual([line["message"] for line in self.read()], ["after"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_next_line_says_it(self) -> None:
        """A line that comes first after the loss is preceded by its confession."""
        self.fill()
        while self.file.waiting:
            os.read(self.reader, self.size)
            self.file.flush()
        os.read(self.reader, self.size)
        self.log({"log_format": "after"})
        self.assertEqual(
            [line["message"] for line in self.read()],
            ["1 lines of this log were lost: its reader was behind", "after"],
        )

    def test_end(self) -> None:
        """At the end nothing waits for ever."""
        self.fill()
        self.patch(LogFile, "drain", lambda self, seconds: None)
        self.log.end()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_lost_lines_at_the_end(self) -> None:
        """A reader that reads at last is told what was lost."""
        self.fill()

        def read_all(file: LogFile, seconds: float) -> None:
            while file.waiting:
                os.read(self.reader, self.size)
                file.flush()

        self.patch(LogFile, "drain", read_all)
        self.log.end()
        said = os.read(self.reader, self.size).splitlines()[-1]
        self.assertIn("1 lines of this log were lost", json.loads(said)["message"])

    def test_room_of_its_own(self) -> None:
        """What others write to the same file leaves room for what the process says."""
        with self.assertRaises(OSError):
            for _ in range(100_000):
                self.file.write(b'{"message":"access"}\n')
        self.log({"log_format": "still said"})
        self.assertEqual(self.log.dropped, 0)
        self.assertEqual(self.read()[-1]["message"], "still said")
        self.assertGreater(OWN_BACKLOG_BYTES, 1000)


class TwistdTests(SynchronousTestCase):
    """Where the options of twistd put it."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = Path(folder.name, "twistd.log")

    def test_file(self) -> None:
        """`--logfile`: levels and form hold there as well, and after a rotation it goes on in a new file."""
        log = twistd_log(
            {"logfile": str(self.path), "nodaemon": True},
            Log(level="warn", format="json"),
            Clock(),
        )
        logger = Logger(namespace="t", observer=log.observer)
        logger.info("not said")
        logger.warn("said")
        [line] = self.path.read_text().splitlines()
        self.assertEqual(json.loads(line)["message"], "said")
        before = self.path.stat().st_mode
        self.path.rename(self.path.with_suffix(".1"))
        self.addCleanup(os.umask, os.umask(0o077))  # as a daemon
        log.reopen()
        self.assertEqual(self.path.stat().st_mode, before)
        logger.warn("later")
        self.assertIn("later", self.path.read_text())
        log.end()

    def test_daemon(self) -> None:
        """Without a name, a daemon writes twistd.log."""
        before = os.getcwd()
        self.addCleanup(os.chdir, before)
        os.chdir(self.path.parent)
        log = twistd_log({"nodaemon": False, "logfile": None}, Log(), Clock())
        Logger(namespace="t", observer=log.observer).info("said")
        self.assertIn("[t#info] said", self.path.read_text())
        log.end()

    def test_stdout(self) -> None:
        """In the foreground it is standard output, which the access log can share."""
        clock = Clock()
        log = twistd_log({"nodaemon": True, "logfile": "-"}, Log(), clock)
        reader, writer = os.pipe()
        self.addCleanup(os.close, reader)
        self.addCleanup(os.close, writer)
        log.stdout.descriptor = writer
        Logger(namespace="t", observer=log.observer).info("said")
        log.stdout.write(b"access\n")
        self.assertRegex(os.read(reader, 1000), rb"\[t#info\] said\naccess\n$")
        log.reopen()
        log.end()
        log.stdout.close()
        self.assertEqual(clock.getDelayedCalls(), [])

    def test_syslog(self) -> None:
        """`--syslog`: levels hold there as well."""
        said: list[str] = []
        self.patch(SyslogObserver, "openlog", lambda *args: None)
        self.patch(SyslogObserver, "syslog", lambda self, _, text: said.append(text))
        log = twistd_log({"syslog": True, "prefix": "x"}, Log(level="warn"), Clock())
        logger = Logger(namespace="t", observer=log.observer)
        logger.info("not said")
        logger.warn("said")
        logger.warn("said")
        log.end()
        self.assertEqual(said, ["[-] said", "[-] said ... repeated 1 time"])


class AppendedLogFileTests(SynchronousTestCase):
    def test_two_writers(self) -> None:
        """Two processes that log to one file, as around an upgrade, do not overwrite each other's lines."""
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "twistd.log")
            old, new = (AppendedLogFile.fromFullPath(path) for _ in range(2))
            for line in range(3):
                old.write(f"old {line}\n")
                new.write(f"new {line}\n")
            old.close()
            new.close()
            with open(path) as file:
                said = file.read().split("\n")
        self.assertEqual(len(said), 7)
        self.assertEqual(said[:2], ["old 0", "new 0"])
