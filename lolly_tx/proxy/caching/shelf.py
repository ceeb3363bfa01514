"""Stored answers in files, as a store has them: written behind it, read for it, found again by the next process.

Imports: domain.caching, net, proxy.caching, wire, Twisted. Used by:
proxy.caching.caches.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from lolly_tx.domain.caching.freshness import Life
from lolly_tx.net.cachefolder import CacheFile, CacheFolder
from lolly_tx.net.doors import DoorIn
from lolly_tx.proxy.caching.choosing import Choice
from lolly_tx.proxy.caching.sending import Ended, Sending
from lolly_tx.proxy.caching.store import Store
from lolly_tx.proxy.caching.stored import Facts, Stored
from lolly_tx.wire.cachefile import BLOCK_BYTES, Card

WAITING_BYTES = 64 << 20
"""Of bodies that wait to be written; what comes when there are more is not written."""

WHOLE_BYTES = 1 << 20
"""Bodies up to this are read whole, and kept in memory; of longer ones, blocks."""

_COMPLAINT_SECONDS = 60.0

InThread = Callable[[Callable[[], Any]], "Deferred[Any]"]
"""Has it called in a thread."""


def card_of(stored: Stored, now: float, wall: float) -> Card:
    """What the file of `stored` says. `now`: seconds, monotonic; `wall`: since the epoch."""
    facts, life = stored.facts, stored.life
    return Card(
        facts.site,
        facts.target,
        facts.url_target,
        facts.vary,
        facts.selecting,
        tuple(sorted(facts.tags)),
        facts.status,
        facts.reason,
        facts.pairs,
        facts.length,
        facts.for_all,
        wall - (now - life.born),
        life.lifetime,
        life.stale_while,
        life.stale_error,
    )


def facts_of(card: Card) -> Facts:
    """The other way round."""
    return Facts(
        card.site,
        card.target,
        card.url_target,
        card.vary,
        card.selecting,
        frozenset(card.tags),
        card.status,
        card.reason,
        card.pairs,
        card.length,
        card.for_all,
    )


def life_of_card(card: Card, now: float, wall: float) -> Life:
    """The life it has now; a clock that was set back makes nothing younger than it was."""
    born = now - max(0.0, wall - card.born)
    return Life(born, card.lifetime, card.stale_while, card.stale_error)


class FolderShelf:
    """The files of `store` in `folder` (`proxy.caching.store.Shelf`)."""

    log: ClassVar[Logger] = Logger()

    def __init__(self, store: Store, folder: CacheFolder, in_thread: InThread) -> None:
        self._store = store
        self._folder = folder
        self._in_thread = in_thread
        self._waiting = 0
        self._loading: dict[Stored, list[Deferred[bytes]]] = {}
        self._complained = float("-inf")
        store.use_shelf(self)

    # -- writing

    def keep(self, stored: Stored) -> None:
        """See `Shelf`."""
        body = stored.body
        assert body is not None
        if self._waiting + len(body) > WAITING_BYTES:
            self._store.written(stored, None)
            return
        self._waiting += len(body)
        card = card_of(stored, self._store.now(), self._store.wall())
        folder = self._folder
        writing = self._in_thread(lambda: folder.write(card, body))
        writing.addCallbacks(
            self._cb_written, self._eb_written, (stored,), errbackArgs=(stored,)
        )

    def _cb_written(self, file: CacheFile, stored: Stored) -> None:
        self._waiting -= stored.length
        self._store.written(stored, file)

    def _eb_written(self, reason: Failure, stored: Stored) -> None:
        self._waiting -= stored.length
        self._complain("be written", reason)
        self._store.written(stored, None)

    def _complain(self, what: str, reason: Failure) -> None:
        self._store.file_errors += 1
        now = self._store.now()
        if now - self._complained >= _COMPLAINT_SECONDS:
            self._complained = now
            self.log.warn(
                "Cache {name}: an answer could not {what}: {why}",
                name=self._store.name,
                what=what,
                why=reason.getErrorMessage(),
            )

    def discard(self, file: CacheFile) -> None:
        """See `Shelf`."""
        folder = self._folder
        self._in_thread(lambda: folder.remove(file.name)).addErrback(
            lambda reason: self._complain("be removed", reason)
        )

    # -- reading

    def send(
        self, door: DoorIn, choice: Choice, stored: Stored, begin: bytes, ended: Ended
    ) -> None:
        """See `Shelf`."""
        FromShelf(door, choice, stored, self, begin, ended).begin()

    def load(self, stored: Stored) -> Deferred[bytes]:
        """See `Shelf`. Those that ask for the same meanwhile wait for one reading."""
        waiting: Deferred[bytes] = Deferred()
        others = self._loading.get(stored)
        if others is not None:
            others.append(waiting)
            return waiting
        self._loading[stored] = [waiting]
        count = 1
        if stored.length <= WHOLE_BYTES:
            count = -(-stored.length // BLOCK_BYTES)
        reading = self.read(stored.file, 0, count)
        reading.addCallbacks(
            self._cb_loaded, self._eb_loaded, (stored,), errbackArgs=(stored,)
        )
        return waiting

    def _cb_loaded(self, data: bytes, stored: Stored) -> None:
        if len(data) == stored.length and not stored.dropped:
            stored.take_body(data)
            self._store.body_read(stored)
        for one in self._loading.pop(stored):
            one.callback(data)

    def _eb_loaded(self, reason: Failure, stored: Stored) -> None:
        self.lost(stored, reason)
        for one in self._loading.pop(stored):
            one.errback(reason)

    def read(self, file: CacheFile, first: int, count: int) -> Deferred[bytes]:
        """Blocks of a body. Errbacks with OSError and `BadFile`."""
        folder = self._folder
        return self._in_thread(lambda: folder.read(file, first, count))

    def lost(self, stored: Stored, reason: Failure) -> None:
        """A file is not what it was."""
        self._complain("be read", reason)
        self._store.drop(stored)

    # -- what earlier processes have left

    def find_all(self, from_thread: Callable[..., Any]) -> Deferred[None]:
        """Take up all there is. `from_thread`: has something called by the reactor."""
        folder, store = self._folder, self._store

        def go_through() -> None:
            folder.make()
            for files in folder.go_through():
                from_thread(self._found, files)

        def done(_: object) -> None:
            if folder.removed:
                self.log.warn(
                    "Cache {name}: {count} files in {path} were no stored answers, and are removed",
                    name=store.name,
                    count=folder.removed,
                    path=str(folder.path),
                )

        looking = self._in_thread(go_through)
        return looking.addCallbacks(
            done, lambda reason: self._complain("be looked for", reason)
        )

    def _found(self, files: list[CacheFile]) -> None:
        store = self._store
        now, wall = store.now(), store.wall()
        for file in files:
            store.found_on_shelf(
                facts_of(file.card), life_of_card(file.card, now, wall), file
            )


class FromShelf(Sending):
    """Sends a part of a body that is in a file, block by block. `begin`: its first block, which has been read."""

    __slots__ = (
        "_at",
        "_block",
        "_file",
        "_number",
        "_reading",
        "_shelf",
        "_stop",
        "_stored",
    )

    def __init__(
        self,
        door: DoorIn,
        choice: Choice,
        stored: Stored,
        shelf: FolderShelf,
        begin: bytes,
        ended: Ended,
    ) -> None:
        super().__init__(door, choice, ended)
        self._stored = stored
        self._file: CacheFile = stored.file
        self._shelf = shelf
        self._at, self._stop = choice.parts[0]
        self._block, self._number = begin, 0
        self._reading = False

    def go_on(self) -> None:
        """See `Sending`."""
        while not (self._reading or self.paused or self.over):
            number = self._at // BLOCK_BYTES
            if self._at >= self._stop:
                self.finish()
            elif number != self._number:
                self._reading = True
                reading = self._shelf.read(self._file, number, 1)
                reading.addCallbacks(self._cb_read, self._eb_read, (number,))
            else:
                begin = number * BLOCK_BYTES
                piece = self._block[self._at - begin : self._stop - begin]
                self._at += len(piece)
                self.write(piece)

    def _cb_read(self, block: bytes, number: int) -> None:
        self._block, self._number, self._reading = block, number, False
        self.go_on()

    def _eb_read(self, reason: Failure) -> None:
        self._reading = False
        self._shelf.lost(self._stored, reason)
        self.abort()
