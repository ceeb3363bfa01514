"""Tests of event files whose reader is behind; tests/service/test_registry.py has the rest."""

from __future__ import annotations

import contextlib
import os
import tempfile
from typing import Any

from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.domain.events import Event
from lolly_tx.service.logfile import LogFile
from lolly_tx.service.records.draining import SLOW_SECONDS
from lolly_tx.service.records.sinks import EventFile

EVENT = Event(1.0, "app", "a", "health", "up", "down", "x" * 1000)


class StoppedReaderTests(SynchronousTestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        path = os.path.join(folder.name, "pipe")
        os.mkfifo(path)
        self.reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        self.addCleanup(os.close, self.reader)
        self.clock = Clock()
        self.sink = EventFile(path, self.clock)
        self.addCleanup(self.sink.file.close)
        self.said: list[int | None] = []
        observer: Any = self.observe
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

    def observe(self, event: dict[str, object]) -> None:
        if event.get("sink") is self.sink:
            lost = event.get("lost")
            self.said.append(lost if isinstance(lost, int) else None)

    def read(self) -> int:
        """How many events can be read, giving the sink its time."""
        got = b""
        while True:
            try:
                got += os.read(self.reader, 1 << 20)
            except BlockingIOError:
                return got.count(b"\n")
            self.clock.advance(SLOW_SECONDS)

    def test_read_again(self) -> None:
        """What was kept arrives though no event follows; then it is said how many were lost."""
        for _ in range(2000):
            self.sink.emit(EVENT)
        self.assertEqual(self.said, [None])
        read = self.read()
        self.assertGreater(self.sink.lost, 0)
        self.assertEqual(read + self.sink.lost, 2000)
        self.assertEqual(self.said, [None, self.sink.lost])
        self.sink.end()
        self.assertEqual(len(self.said), 2)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_never_read(self) -> None:
        """At the end what nobody came to read counts as lost."""
        self.patch(LogFile, "drain", lambda file, seconds: None)
        for _ in range(2000):
            self.sink.emit(EVENT)
        self.sink.end()
        self.assertEqual(self.said, [None, self.sink.lost])
        self.assertEqual(
            os.read(self.reader, 1 << 20).count(b"\n") + self.sink.lost, 2000
        )
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_shared(self) -> None:
        """Events to standard output go through the file that other logs there use: no two lines mix."""
        reader, writer = os.pipe()
        self.addCleanup(os.close, reader)
        self.addCleanup(os.close, writer)
        os.set_blocking(reader, False)
        stdout = LogFile("-", stdout=writer)
        sink = EventFile("-", self.clock, stdout)
        for _ in range(100):
            stdout.write(b"access " + b"y" * 1000 + b"\n")
            sink.emit(EVENT)
        got = b""
        with contextlib.suppress(BlockingIOError):
            while True:
                got += os.read(reader, 1 << 20)
                self.clock.advance(SLOW_SECONDS)
        starts = {line[:7] for line in got.splitlines()}
        self.assertEqual((starts, got.count(b"\n")), ({b"access ", b'{"at":1'}, 200))
        sink.end()
        stdout.write(b"after\n")
        self.assertEqual(os.read(reader, 100), b"after\n")
        stdout.close()
