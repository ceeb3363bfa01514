"""`watch = true`: notices that the configuration file, or one that it includes, is another one now.

Once a second the files are looked at, in a thread, because a folder may be on a slow network: by their identity, size
and time after every link is followed, so that the swap of a link is seen like a new text. A change is told when the
files have been the same for two looks: an editor that writes in steps, or a swap of several files, is one change.

Imports: config, service, service.changes, Twisted. Used by: tap.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.failure import Failure

from lolly_tx.config.load import Files
from lolly_tx.service.changes.applying import Applying
from lolly_tx.service.service import LollyService

LOOK_SECONDS = 1.0

Seen = dict[Any, Any]


class SeenFiles:
    """A file system (`config.load.Files`) that remembers as what it was read: `as_read`."""

    def __init__(self, files: Files) -> None:
        self.as_read: Seen = {}
        self._files = files

    def read(self, path: str) -> bytes:
        """The content; see `Files`."""
        # Before, so that what is written meanwhile is another one.
        self.as_read[path] = _identity(path)
        return self._files.read(path)

    def why_no_file(self, path: str) -> str:
        """See `Files`."""
        return self._files.why_no_file(path)

    def glob(self, folder: str, pattern: str) -> list[str]:
        """See `Files`."""
        found = self._files.glob(folder, pattern)
        self.as_read[folder, pattern] = found
        return found

    def look(self) -> Seen:
        """What there is now of all that was read; equal to `as_read` as long as nothing has changed."""
        return {
            place: self._files.glob(*place)
            if isinstance(place, tuple)
            else _identity(place)
            for place in list(self.as_read)
        }


def _identity(path: str) -> tuple[int, ...] | None:
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


InThread = Callable[[Callable[[], Seen]], "Deferred[Seen]"]


class Watcher:
    """Calls `changed` after each change of `files`, which then should be read. `wanted`: anybody wants to know."""

    log = Logger()

    def __init__(
        self,
        reactor: Any,
        files: SeenFiles,
        changed: Callable[[], None],
        wanted: Callable[[], bool],
        in_thread: InThread | None = None,
    ) -> None:
        self._reactor = reactor
        self._files = files
        self._changed = changed
        self._wanted = wanted
        self._in_thread = in_thread or self._in_reactors_thread
        self._last: Seen = {}
        self._told: Seen = {}
        self._loop = LoopingCall(self._turn)
        self._loop.clock = reactor

    def start(self) -> None:
        """Look from now on."""
        if not self._loop.running:
            self._loop.start(LOOK_SECONDS, now=False).addErrback(self._eb_bug)

    def stop(self) -> None:
        """Look no more."""
        if self._loop.running:
            self._loop.stop()

    def _turn(self) -> Deferred[None] | None:
        if not self._wanted():
            return None
        return self._in_thread(self._files.look).addCallbacks(
            self._cb_seen, self._eb_bug
        )

    def _cb_seen(self, seen: Seen) -> None:
        settled, self._last = seen == self._last, seen
        if settled and seen != self._told and seen != self._files.as_read:
            self._told = seen
            self._changed()

    def _eb_bug(self, failure: Failure) -> None:
        self.log.failure("The configuration file cannot be watched", failure)

    def _in_reactors_thread(self, look: Callable[[], Seen]) -> Deferred[Seen]:
        return deferToThreadPool(self._reactor, self._reactor.getThreadPool(), look)


def watch(service: LollyService, files: SeenFiles, reloading: Applying) -> Watcher:
    """Have `service` reload when `files` change, as long as its settings want that. It stops with the service."""
    reactor = service.surroundings.reactor

    def wanted() -> bool:
        return service.config.watch and not service.draining

    watcher = Watcher(reactor, files, reloading.reload_quietly, wanted)
    reactor.addSystemEventTrigger("before", "shutdown", watcher.stop)
    watcher.start()
    return watcher
