"""A cache whose disk is full, or fails: requests go on, what has no file is forgotten in time, and it is said once."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.logger import formatEvent, globalLogPublisher

from tests.proxy.caching.test_cache import FRESH
from tests.proxy.caching.test_shelf import BODY, ShelfTestCase


class Full(io.RawIOBase):
    """A file on a disk that takes so many bytes, and no more."""

    def __init__(self, handle: int, room: list[int], number: int) -> None:
        self._handle = handle
        self._room = room
        self._number = number

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        if self._room[0] <= 0:
            raise OSError(self._number, os.strerror(self._number))
        count = min(len(data), self._room[0])
        self._room[0] -= count
        return os.write(self._handle, bytes(data[:count]))

    def close(self) -> None:
        if not self.closed:
            super().close()
            os.close(self._handle)


class DiskTests(ShelfTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.events: list[Any] = []
        observer: Any = self.events.append
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

    def warnings(self) -> list[str]:
        """What was said of files since the last time."""
        said = [formatEvent(one) for one in self.events]
        self.events.clear()
        return [one for one in said if one.startswith("Cache pages")]

    def breaking(self, name: str, number: int, room: int = 0) -> None:
        """Have the disk fail: `name` of `os`, or "write" after `room` bytes."""

        def fail(*args: Any, **more: Any) -> Any:
            raise OSError(number, os.strerror(number))

        if name == "write":
            left = [room]
            self.patch(
                os,
                "fdopen",
                lambda handle, mode: io.BufferedWriter(Full(handle, left, number)),
            )
        else:
            self.patch(os, name, fail)

    def test_writing(self) -> None:
        """Whatever fails while a file is written: the client has its answer, and nothing of a file stays."""
        for name, number, room in (
            ("open", errno.ENOSPC, 0),
            ("open", errno.EMFILE, 0),
            ("write", errno.ENOSPC, 0),
            ("write", errno.ENOSPC, 100),
            ("write", errno.EIO, 100000),
            ("rename", errno.ENOSPC, 0),
            ("rename", errno.EROFS, 0),
        ):
            with self.subTest(name=name, number=number, room=room):
                self.shelved()
                before = getattr(os, "fdopen" if name == "write" else name)
                self.breaking(name, number, room)
                client = self.ask("/long")
                self.reply(self.backend(), BODY, FRESH)
                self.assertTrue(client.take().endswith(BODY))
                self.assertTrue(self.fill(FRESH, target="/short").endswith(b"ok"))
                self.assertEqual(self.files, [])
                # One has room in memory, the other is gone.
                self.assertIn(b"; hit;", self.ask("/short").take())
                self.assertEqual(len(self.store), 1)
                self.assertEqual(self.shelf._waiting, 0)
                self.assertEqual(self.store.file_errors, 2)
                [said] = self.warnings()
                self.assertIn(os.strerror(number), said)
                setattr(os, "fdopen" if name == "write" else name, before)
                # The disk is well again.
                self.fill(FRESH, target="/long", body=BODY)
                self.assertEqual(len(self.files), 1)
                self.assertTrue(self.ask("/long").take().endswith(BODY))
                self.store.invalidate(b"http://x", b"/long")
                self.assertEqual(self.files, [])

    def test_said_again(self) -> None:
        """A disk that stays full is said of once a minute."""
        self.shelved()
        self.breaking("rename", errno.ENOSPC)
        for number in range(5):
            self.fill(FRESH, target=f"/{number}")
        self.assertEqual(len(self.warnings()), 1)
        self.w.pass_time(61.0)
        self.fill(FRESH, target="/later")
        self.assertEqual(len(self.warnings()), 1)
        self.assertEqual(self.store.file_errors, 6)

    def reading(self, damage: Callable[[Path], None]) -> None:
        """Have a long file damaged that is all there is of an answer."""
        self.shelved()
        self.fill(FRESH, body=BODY)
        [path] = self.files
        damage(path)

    def test_cut_short(self) -> None:
        """A file that has become shorter: who reads it is cut off, and the next one gets it from the target."""

        def cut(path: Path) -> None:
            os.truncate(path, path.stat().st_size - len(BODY) // 2)

        self.reading(cut)
        client = self.ask()
        got = client.take()
        self.assertTrue(got.startswith(b"HTTP/1.1 200 "))
        self.assertTrue(client.aborted)
        self.assertEqual((len(self.store), self.files), (0, []))
        self.assertEqual(len(self.warnings()), 1)
        self.assertTrue(self.fill(FRESH, body=b"new").endswith(b"new"))

    def test_begin_not_readable(self) -> None:
        """Where its begin cannot be read, the client that asked gets it from the target, and sees nothing of it."""
        for failing in ("cut", "EIO"):
            with self.subTest(failing):
                if failing == "cut":
                    self.reading(lambda path: os.truncate(path, 200))
                    client = self.ask()
                else:
                    self.reading(lambda path: None)
                    before = os.open
                    self.breaking("open", errno.EIO)
                    client = self.ask()
                    os.open = before
                self.reply(self.backend(), b"new", FRESH)
                self.assertTrue(client.take().endswith(b"new"))
                self.assertFalse(client.aborted)
                self.assertEqual((len(self.store), len(self.files)), (1, 1))
                self.assertEqual(self.store.file_errors, 1)
                self.assertEqual(len(self.warnings()), 1)
                self.assertTrue(self.ask().take().endswith(b"new"))
                self.store.invalidate(b"http://x", b"/")
                self.assertEqual(self.files, [])

    def test_folder_gone(self) -> None:
        """A folder that somebody removed is made again with the next file."""
        self.shelved()
        self.fill(FRESH)
        for path in sorted(self.folder.rglob("*"), reverse=True):
            path.unlink() if path.is_file() else path.rmdir()
        self.folder.rmdir()
        self.fill(FRESH, target="/next")
        self.assertEqual((len(self.files), self.warnings()), (1, []))
