"""Tests of noticing that the configuration files are others now."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from twisted.internet.defer import execute
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.config.load import DISK, load
from lolly_tx.service.changes.watching import SeenFiles, Watcher
from tests.config.samples import WHOLE


class WatcherTests(SynchronousTestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.file = self.folder / "lolly.toml"
        (self.folder / "v1.toml").write_text(WHOLE)
        self.file.write_text('include = ["v1.toml", "more/*.toml"]\n')
        (self.folder / "more").mkdir()
        self.files = SeenFiles(DISK)
        self.clock = Clock()
        self.wanted = True
        self.reads = 0
        self.read()
        self.watcher = Watcher(
            self.clock,
            self.files,
            self.read,
            lambda: self.wanted,
            in_thread=lambda look: execute(look),
        )
        self.watcher.start()
        self.addCleanup(self.watcher.stop)

    def read(self) -> None:
        """What a reload does."""
        self.reads += 1
        load(str(self.file), {}, self.files)

    def looks(self, count: int) -> int:
        """How often it was read during so many looks."""
        before = self.reads
        for _ in range(count):
            self.clock.advance(1.0)
        return self.reads - before

    def test_nothing_happens(self) -> None:
        """Files that stay as they are are not read again."""
        self.assertEqual(self.looks(5), 0)

    def test_another_text(self) -> None:
        """A new text is read once, when it has been the same for two looks."""
        self.file.write_text('include = ["v1.toml", "more/*.toml"]\nvia = "x"\n')
        self.assertEqual(self.looks(1), 0)
        self.assertEqual(self.looks(1), 1)
        self.assertEqual(self.looks(5), 0)

    def test_included_files(self) -> None:
        """So are a change of an included file, and a file that comes to match a pattern."""
        os.utime(self.folder / "v1.toml", ns=(1, 1))
        self.assertEqual(self.looks(5), 1)
        (self.folder / "more" / "a.toml").write_text("")
        self.assertEqual(self.looks(5), 1)

    def test_swapped_link(self) -> None:
        """The swap of a link, as of a mounted folder, is seen, and seen once."""
        for name in ("one", "two"):
            (self.folder / name).mkdir()
            (self.folder / name / "lolly.toml").write_text(WHOLE)
        (self.folder / "current").symlink_to("one")
        self.file = self.folder / "current" / "lolly.toml"
        self.read()
        self.assertEqual(self.looks(3), 0)
        (self.folder / "next").symlink_to("two")
        os.replace(self.folder / "next", self.folder / "current")
        self.assertEqual(self.looks(6), 1)

    def test_while_it_is_written(self) -> None:
        """A file that is written in steps is read when the writer has come to an end."""
        text = 'include = ["v1.toml", "more/*.toml"]\n'
        for size in range(5):
            self.file.write_text(text + "#" * size + "\n")
            os.utime(self.file, ns=(size, size))
            self.assertEqual(self.looks(1), 0)
        self.assertEqual(self.looks(3), 1)

    def test_read_meanwhile(self) -> None:
        """What somebody else's reload has read already is no news."""
        self.file.write_text('include = ["v1.toml", "more/*.toml"]\nvia = "x"\n')
        self.read()
        self.assertEqual(self.looks(4), 0)

    def test_not_wanted(self) -> None:
        """Without the setting nobody looks."""
        self.wanted = False
        os.utime(self.file, ns=(1, 1))
        self.assertEqual(self.looks(4), 0)

    def test_file_is_gone(self) -> None:
        """A file that goes is a change like any other: told once, though it cannot be read."""
        told: list[int] = []
        self.watcher._changed = lambda: told.append(1)
        self.file.unlink()
        self.looks(5)
        self.assertEqual(told, [1])
