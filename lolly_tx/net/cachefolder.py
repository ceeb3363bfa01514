"""A folder of stored answers (`wire.cachefile`), one file each, written whole or not at all.

    FOLDER/3f/3f2c...          an answer
    FOLDER/3f/3f2c....new      one that is being written, or was when the process ended

Everything here waits for the disk, and is to be called in threads. A file that is damaged, cut off or gone is none:
reading it raises `BadFile` or OSError, and whoever asked forgets it.

Imports: wire. Used by: proxy.caching.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import attrs

from lolly_tx.wire.cachefile import (
    BLOCK_BYTES,
    FRONT_BYTES,
    BadFile,
    Card,
    check_block,
    checksums,
    front,
    head_bytes,
    read_head,
)

_NEW = ".new"


@attrs.frozen
class CacheFile:
    """One of them. `name`: in the folder. `body_at`: where the body begins. `card`: what its head says."""

    name: str
    body_at: int
    card: Card


class CacheFolder:
    """See the module. `removed`: files that were damaged, or of no use, when the folder was gone through."""

    def __init__(self, path: str) -> None:
        self.path = Path(path)
        self.removed = 0

    def make(self) -> None:
        """Make it, for nobody else to read. Raises OSError."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)

    def write(self, card: Card, body: bytes) -> CacheFile:
        """A new file. Raises OSError; then there is none."""
        card = attrs.evolve(card, checksums=checksums(body))
        begin = front(card)
        name = uuid4().hex
        name = f"{name[:2]}/{name}"
        path = self.path / name
        if not path.parent.is_dir():
            self.make()
            path.parent.mkdir(mode=0o700, exist_ok=True)
        new = f"{path}{_NEW}"
        try:
            handle = os.open(
                new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600
            )
            with os.fdopen(handle, "wb") as stream:
                stream.write(begin)
                stream.write(body)
            os.rename(new, path)
        except OSError:
            Path(new).unlink(missing_ok=True)
            raise
        return CacheFile(name, len(begin), card)

    def read(self, file: CacheFile, first: int, count: int) -> bytes:
        """Blocks of the body, from number `first` on. Raises OSError and `BadFile`."""
        with open(self.path / file.name, "rb", opener=_opened) as stream:
            stream.seek(file.body_at + first * BLOCK_BYTES)
            blocks = []
            for number in range(first, first + count):
                block = stream.read(
                    min(BLOCK_BYTES, file.card.length - number * BLOCK_BYTES)
                )
                check_block(file.card, number, block)
                blocks.append(block)
        return blocks[0] if count == 1 else b"".join(blocks)

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        with suppress(OSError):
            os.unlink(self.path / name)

    def go_through(self) -> Iterator[list[CacheFile]]:
        """All files, a folder at a time; what is none is removed. Raises OSError where there is no folder."""
        for folder in sorted(self.path.iterdir()):
            found = []
            if folder.is_dir():
                for path in folder.iterdir():
                    file = self._look_at(path, f"{folder.name}/{path.name}")
                    if file is not None:
                        found.append(file)
            if found:
                yield found

    def _look_at(self, path: Path, name: str) -> CacheFile | None:
        try:
            if name.endswith(_NEW):
                raise BadFile("not complete")
            with open(path, "rb", opener=_opened) as stream:
                start = stream.read(FRONT_BYTES)
                head = stream.read(head_bytes(start))
                card = read_head(start, head)
                size = os.fstat(stream.fileno()).st_size
            body_at = FRONT_BYTES + len(head)
            if size != body_at + card.length:
                raise BadFile("cut off")
            return CacheFile(name, body_at, card)
        except BadFile:
            self.removed += 1
            self.remove(name)
        except OSError:  # somebody else's, or just gone
            self.removed += 1
        return None


def _opened(path: str, flags: int) -> int:
    """A descriptor: what somebody else has put into the folder, a pipe or a link, is not waited for or followed."""
    return os.open(path, flags | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)


def folder_of(path: str, number: int) -> str:
    """The folder of one process in that of a cache. `number`: of the worker; 0: there are none."""
    return str(Path(path) / str(number))


def remove_others(path: str, workers: int) -> None:
    """Remove the folders of processes that there are no more. `workers`: how many there are; 1: none but the first."""
    wanted = {"0"} if workers == 1 else {str(number + 1) for number in range(workers)}
    with suppress(OSError):
        for each in Path(path).iterdir():
            if each.name.isdigit() and each.name not in wanted:
                shutil.rmtree(each, ignore_errors=True)
