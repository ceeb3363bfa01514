"""Tests of what targets have been, over restarts."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.domain.checks.health import Observation
from lolly_tx.domain.pool import Pool
from lolly_tx.service.records.history import (
    BATCH_SECONDS,
    KEPT_SECONDS,
    KEPT_SEGMENTS,
    LARGEST_BYTES,
    OFF,
    History,
    HistoryFile,
    word_of,
)
from tests.service.admin.test_endpoint import make_pool

WALL = 1_800_000_000.0


class HistoryTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.path = Path(self.mktemp()) / "history.jsonl"
        self.history, self.pool = self.make()

    def wall(self) -> float:
        return WALL + self.clock.seconds()

    def make(self) -> tuple[History, Pool]:
        """As after a start."""
        pool = make_pool("web", "a", "b")
        history = History({"web": pool}, self.clock.seconds, self.wall)
        pool.roster._events = history
        return history, pool

    def check(self, ok: bool, target: str = "a") -> None:
        now = self.clock.seconds()
        self.pool.observe(target, Observation(ok, "check"), now)

    def told(self, target: str = "a", since: float = 0.0) -> list[tuple[float, str]]:
        found = self.history.of("web", self.pool.node(target), since)
        return [(one.at - WALL, one.word) for one in found]


class HistoryTests(HistoryTestCase):
    def test_changes(self) -> None:
        """Each change is a segment, and what changes nothing is none."""
        self.check(True)
        self.clock.advance(10)
        self.check(False)
        self.check(False)
        self.clock.advance(5)
        self.check(True)
        self.clock.advance(1)
        self.pool.set_enabled("a", "drain", "operator", self.clock.seconds())
        self.assertEqual(
            self.told()[-3:], [(10.0, "unhealthy"), (15.0, "up"), (16.0, "draining")]
        )

    def test_since(self) -> None:
        """What is over before the time asked for is left out; what lasted into it is told."""
        self.check(True)
        for _ in range(4):
            self.clock.advance(10)
            self.check(False)
            self.clock.advance(10)
            self.check(True)
        self.assertEqual(
            self.told(since=WALL + 65),
            [(60.0, "up"), (70.0, "unhealthy"), (80.0, "up")],
        )

    def test_first_sight(self) -> None:
        """One of which nothing was heard is what it is, from now on."""
        self.clock.advance(3)
        self.assertEqual(self.told("b"), [(3.0, word_of(self.pool.node("b")))])

    def test_bound(self) -> None:
        """Of one that flaps, the latest are kept."""
        for turn in range(KEPT_SEGMENTS * 2):
            self.clock.advance(1)
            self.check(turn % 2 == 1)
        self.assertEqual(len(self.told()), KEPT_SEGMENTS)

    def test_gone(self) -> None:
        """One that left is forgotten."""
        self.check(False)
        self.assertEqual(len(self.history), 1)
        [keep] = [n.target for n in self.pool.nodes.values() if n.id == "b"]
        self.pool.replace([keep], self.clock.seconds())
        self.assertEqual(len(self.history), 0)


class FileTests(HistoryTestCase):
    def keep(self, in_thread: Any = None) -> HistoryFile:
        def run(work: Any) -> Deferred[Any]:
            return maybeDeferred(work)

        file = HistoryFile(self.path, self.history, self.clock, in_thread or run)
        file.load()
        file.start()
        return file

    def restart(self, seconds: float) -> HistoryFile:
        """The proxy is away for some time."""
        os.utime(self.path, (self.wall(), self.wall()))
        self.clock.advance(seconds)
        self.history, self.pool = self.make()
        return self.keep()

    def test_restart(self) -> None:
        """What was before a restart is there after it, and between them nobody watched."""
        file = self.keep()
        self.clock.advance(2)
        self.check(False)
        self.clock.advance(BATCH_SECONDS)
        self.clock.advance(20)
        file.stop()
        self.restart(60).stop()
        self.assertEqual(self.told(), [(2.0, "unhealthy"), (27.0, OFF), (87.0, "up")])
        self.assertEqual(self.path.stat().st_mode & 0o007, 0)

    def test_batches(self) -> None:
        """Many changes are one write, a while later; a stop writes the rest."""
        writes: list[Any] = []

        def run(work: Any) -> Deferred[Any]:
            writes.append(work)
            return maybeDeferred(work)

        file = self.keep(run)
        for turn in range(20):
            self.check(turn % 2 == 1)
        self.assertEqual(writes, [])
        self.clock.advance(BATCH_SECONDS)
        self.assertEqual(len(writes), 1)
        before = self.path.stat().st_size
        self.clock.advance(1)
        self.check(False)
        file.stop()
        self.assertGreater(self.path.stat().st_size, before)

    def test_damaged(self) -> None:
        """Lines that are none, such as the half of one, are passed over."""
        self.path.parent.mkdir()
        good = f'[{WALL - 50}, "web", "a", "unhealthy"]'
        self.path.write_text(f'{{}}\n[1, 2]\nnull\n{good}\n["x", "web", "a", 1]\n[17')
        os.utime(self.path, (WALL - 10, WALL - 10))
        self.keep().stop()
        self.assertEqual(self.told(), [(-50.0, "unhealthy"), (-10.0, OFF), (0.0, "up")])

    def test_old(self) -> None:
        """What was longer ago than is kept is forgotten."""
        self.path.parent.mkdir()
        self.path.write_text('[1000, "web", "a", "unhealthy"]\n')
        old = WALL - KEPT_SECONDS - 1
        os.utime(self.path, (old, old))
        self.keep().stop()
        self.assertEqual(len(self.history), 0)

    def test_refusing_disk(self) -> None:
        """A disk that refuses is told once, costs nothing else, and gets what it missed when it is well again."""
        file = self.keep()
        self.path.parent.write_text("a file where the folder should be")
        self.check(False)
        for _ in range(3):
            self.clock.advance(BATCH_SECONDS)
        self.path.parent.unlink()
        self.clock.advance(BATCH_SECONDS)
        self.assertIn("unhealthy", self.path.read_text())
        file.stop()
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_bound(self) -> None:
        """A file that has grown is written anew, with what is remembered."""
        self.path.parent.mkdir()
        line = f'[{WALL - 50}, "web", "a", "unhealthy"]\n'
        self.path.write_text(line * (LARGEST_BYTES // len(line) + 1))
        file = self.keep()
        self.clock.advance(BATCH_SECONDS)
        self.assertLess(self.path.stat().st_size, 1000)
        file.stop()
        self.restart(1).stop()
        self.assertEqual(self.told()[0], (-50.0, "unhealthy"))
