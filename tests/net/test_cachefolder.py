"""Tests of `lolly_tx.net.cachefolder`."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.net.cachefolder import CacheFolder, folder_of, remove_others
from lolly_tx.wire.cachefile import BLOCK_BYTES, BadFile
from tests.wire.test_cachefile import BODY, CARD


class FolderTests(SynchronousTestCase):
    def setUp(self) -> None:
        """An empty folder."""
        self.path = Path(self.mktemp())
        self.folder = CacheFolder(str(self.path))
        self.folder.make()

    def test_written(self) -> None:
        """A file is there as a whole, for nobody else to read, and any block of it can be read."""
        file = self.folder.write(CARD, BODY)
        mode = (self.path / file.name).stat().st_mode
        self.assertEqual(stat.S_IMODE(mode), 0o600)
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o700)
        self.assertEqual(self.folder.read(file, 0, 2), BODY)
        self.assertEqual(self.folder.read(file, 1, 1), BODY[BLOCK_BYTES:])
        self.assertEqual(list(CacheFolder(str(self.path)).go_through()), [[file]])

    def test_not_written(self) -> None:
        """Where it cannot be written there is nothing of it."""
        os.rmdir(self.path)
        self.path.write_text("a file")
        self.assertRaises(OSError, self.folder.write, CARD, BODY)
        self.assertRaises(OSError, list, self.folder.go_through())

    def test_no_room(self) -> None:
        """A disk that gets full while it is written leaves no half of it."""

        def full(old: object, new: object) -> None:
            raise OSError(28, "No space left on device")

        self.patch(os, "rename", full)
        self.assertRaises(OSError, self.folder.write, CARD, BODY)
        self.assertEqual([p for p in self.path.rglob("*") if p.is_file()], [])

    def test_damaged(self) -> None:
        """A body that is not what it was cannot be read; what was cut off is removed with the next look."""
        file = self.folder.write(CARD, BODY)
        path = self.path / file.name
        data = path.read_bytes()
        path.write_bytes(data[:-1] + b"!")
        self.assertRaises(BadFile, self.folder.read, file, 1, 1)
        self.assertEqual(self.folder.read(file, 0, 1), BODY[:BLOCK_BYTES])
        path.write_bytes(data[:-1])
        self.assertEqual(list(self.folder.go_through()), [])
        self.assertFalse(path.exists())
        self.assertEqual(self.folder.removed, 1)
        self.folder.remove(file.name)

    def test_pipes_and_links(self) -> None:
        """What somebody has put there in place of a file is not waited for, and a link not followed."""
        file = self.folder.write(CARD, BODY)
        path = self.path / file.name
        path.rename(self.path / "aside")
        os.mkfifo(path)
        self.assertRaises(OSError, self.folder.read, file, 0, 1)
        self.assertEqual(list(self.folder.go_through()), [])
        path.symlink_to(self.path / "aside")
        self.assertRaises(OSError, self.folder.read, file, 0, 1)
        self.assertEqual(list(self.folder.go_through()), [])

    def test_others(self) -> None:
        """Folders of processes that there are no more are removed, and nothing else."""
        for name in ("0", "1", "2", "3", "notes"):
            (self.path / name).mkdir()
        remove_others(str(self.path), 2)
        self.assertEqual(sorted(os.listdir(self.path)), ["1", "2", "notes"])
        remove_others(str(self.path), 1)
        self.assertEqual(os.listdir(self.path), ["notes"])
        remove_others(str(self.path / "none"), 1)
        self.assertEqual(folder_of("/a", 2), "/a/2")
