"""Targets in a file: a JSON or TOML list, looked at once a second and read when it is another one.

Imports: config, net, net.discovery. Used by: programs.
"""

from __future__ import annotations

import os
import stat
import tomllib
from typing import Any

from lolly_tx.config.discoveries import File
from lolly_tx.net.discovery.deps import DiscoveryDeps
from lolly_tx.net.discovery.entries import MOST_BYTES, entries_of
from lolly_tx.net.discovery.feed import Answer, Feed, NotLearned
from lolly_tx.net.foreignjson import read_json

LOOK_SECONDS = 1.0
"""From one look at the file to the next."""

Identity = tuple[int, ...]


class FileFactory:
    """Makes what reads `discover` with `type = "file"`."""

    name = "file"
    settings = File

    def build(self, settings: File, deps: DiscoveryDeps) -> Feed:
        """See `IPluginFactory`."""
        return Feed(_Reader(settings.path, deps).ask, deps)


class _Reader:
    def __init__(self, path: str, deps: DiscoveryDeps) -> None:
        self._path = path
        self._deps = deps
        self._read: Identity | None = None

    async def ask(self) -> Answer:
        """What is new in the file."""
        identity, entries = await self._deps.in_thread(self._look)
        self._read = identity
        return Answer(entries, LOOK_SECONDS)

    def _look(self) -> tuple[Identity, list[Any] | None]:
        """In a thread."""
        try:
            # A pipe nobody writes to would be waited for.
            fd = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            with os.fdopen(fd, "rb") as file:
                found = os.fstat(fd)
                if not stat.S_ISREG(found.st_mode):
                    raise NotLearned(f"{self._path}: no regular file")
                seen = found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
                if seen == self._read:
                    return seen, None
                data = file.read(MOST_BYTES + 1)
        except OSError as error:
            raise NotLearned(f"{self._path}: {error.strerror}") from None
        if len(data) > MOST_BYTES:
            raise NotLearned(f"{self._path}: more than {MOST_BYTES} bytes")
        try:
            toml = self._path.endswith(".toml")
            said = tomllib.loads(data.decode("utf-8-sig")) if toml else read_json(data)
            return seen, entries_of(said)
        except (ValueError, RecursionError) as error:
            # It may be in the middle of being written.
            raise NotLearned(f"{self._path}: {error}") from None
