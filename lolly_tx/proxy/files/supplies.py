"""What the files of all routes of a process share, and where it is told what became of requests for them.

Imports: net, net.files, proxy.files, Twisted. Used by: proxy.files, service.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING

from twisted.internet.interfaces import IReactorTime

from lolly_tx.net.deadlines import Deadlines

if TYPE_CHECKING:  # pragma: no cover  # a process that has no files makes one of these, and never asks it
    from lolly_tx.net.files.content import OpenFile
    from lolly_tx.net.files.threads import Threads
    from lolly_tx.proxy.files.store import Entry, FileStore

TIDY_SECONDS = 2.0
"""Between two looks at files that are open for nobody: one that is deleted takes up its space until it is closed."""


class FileSupplies:
    """`now`: monotonic, `wall`: since the epoch; both in seconds. `clock`: for what is to go on in the next turn.

    `store`: what is known of files; None: it begins with the first route to some.
    """

    __slots__ = (
        "_store",
        "_tidying",
        "clock",
        "deadlines",
        "now",
        "random",
        "threads",
        "wall",
    )

    def __init__(
        self,
        clock: IReactorTime,
        deadlines: Deadlines,
        threads: Threads,
        store: FileStore | None,
        random: Random,
        wall: Callable[[], float],
    ) -> None:
        self.clock = clock
        self.deadlines = deadlines
        self.now = deadlines.now
        self.threads = threads
        self._store = store
        self.random = random
        self.wall = wall
        self._tidying = False

    @property
    def store(self) -> FileStore:
        """What is known of files."""
        if self._store is None:
            from lolly_tx.proxy.files.store import FileStore

            self._store = FileStore()
        return self._store

    def keep_open(self, entry: Entry, index: int, file: OpenFile) -> None:
        """Keep a form of an entry open as long as it is believed."""
        self.store.keep_open(entry, index, file)
        if not self._tidying:
            self._tidying = True
            self.clock.callLater(TIDY_SECONDS, self._tidy)

    def _tidy(self) -> None:
        self._tidying = self.store.tidy(self.now())
        if self._tidying:
            self.clock.callLater(TIDY_SECONDS, self._tidy)

    def close(self) -> None:
        """Nobody asks for files any more."""
        if self._store is not None:
            self._store.tidy(float("inf"))
        self.threads.stop()
