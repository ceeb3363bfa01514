"""A small file that may change, or come and go, known without waiting for the disk.

Imports: Twisted. Used by: proxy.middleware.error_pages, proxy.middleware.maintenance.

What is asked for is what was there when somebody last looked; looking is done in a thread, at most every second, when
somebody asks. Where that may be long ago, `settled` is there to wait for another look.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

LOOK_SECONDS = 1.0
LARGEST = 1 << 20
"""Bytes of a page that is kept in memory."""

Stamp = tuple[int, int, int]


class WatchedFile:
    """The file at `path`. `now`: seconds, monotonic. `in_thread`: does work in a thread.

    `content`: its bytes; None while there is none. `wanted`: that matters, else only whether it is there.
    """

    def __init__(
        self,
        path: str,
        now: Callable[[], float],
        in_thread: Callable[[Callable[[], Any]], Deferred[Any]],
        *,
        wanted: bool = True,
    ) -> None:
        self.path = path
        self.content: bytes | None = None
        self._now = now
        self._in_thread = in_thread
        self._wanted = wanted
        self._stamp: Stamp | None = None
        self._looking = False
        self._looked = self._known_at = now()
        self._waiting: list[Deferred[None]] = []

    def load(self) -> None:
        """Look now. Raises OSError for a file that is there and cannot be read, or is too large."""
        self._take(self._look())
        self._looked = self._known_at = self._now()

    @property
    def there(self) -> bool:
        """Whether there is one."""
        return self._stamp is not None

    def settled(self) -> Deferred[None] | None:
        """Wait for this before `there` is asked; None: what is known is a second old at most, or the disk hangs."""
        self._ask(LOOK_SECONDS / 2)
        now = self._now()
        if now - self._known_at <= LOOK_SECONDS or now - self._looked > LOOK_SECONDS:
            return None
        waiting: Deferred[None] = Deferred()
        self._waiting.append(waiting)
        return waiting

    def get(self) -> bytes | None:
        """Its content; None: there is none."""
        self._ask()
        return self.content

    def _ask(self, seconds: float = LOOK_SECONDS) -> None:
        now = self._now()
        if self._looking or now - self._looked < seconds:
            return
        self._looking = True
        self._looked = now
        looked = self._in_thread(self._look)
        looked.addCallbacks(self._take, self._eb_looked)
        looked.addBoth(self._cb_done)

    def _look(self) -> tuple[Stamp | None, bytes | None]:
        try:
            stat = os.stat(self.path)
        except (FileNotFoundError, NotADirectoryError):
            return None, None
        stamp = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
        if not self._wanted or stamp == self._stamp:
            return stamp, self.content
        with open(self.path, "rb") as file:
            content = file.read(LARGEST + 1)
        if len(content) > LARGEST:
            raise OSError(f"{self.path} is larger than 1 MiB")
        return stamp, content

    def _take(self, seen: tuple[Stamp | None, bytes | None]) -> None:
        self._stamp, self.content = seen

    def _eb_looked(self, reason: Failure) -> None:
        """What cannot be read stays what it was."""

    def _cb_done(self, _: object) -> None:
        self._looking = False
        self._known_at = self._looked
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            one.callback(None)
