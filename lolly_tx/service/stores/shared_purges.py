"""Purges that instances tell each other by a store (`[cache.NAME] store`), and those that others tell.

    admin API --> here, by `purging`, for all workers --> counted
              `-> news of each cache that has a store (`net.stores.news`) --> `told`
    news of others --> pending --> `purging`, as many as there are at once, one lot after the other

Only the process with the admin side listens: it tells its workers. What is heard of others is foreign text: what is no
purge is counted, and of more than can wait the whole cache is purged. For caches with a folder it is noted there up to
where purges were heard, because their files outlive the process.

Imports: config, domain.caching, net.stores, service, service.stores, wire, Twisted.
Used by: service.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import attrs
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger

from lolly_tx.domain.caching.catalog import Purge
from lolly_tx.net.stores.errors import StoreAway
from lolly_tx.net.stores.news import NOTHING_HEARD, News, Position
from lolly_tx.service.purging import Purged, Purging, Told
from lolly_tx.service.statefolder import StateFolder
from lolly_tx.service.stores.running import Stores
from lolly_tx.service.surroundings import Surroundings
from lolly_tx.wire.purges import EVERYTHING, BadPurge, read, written

if TYPE_CHECKING:  # pragma: no cover
    from lolly_tx.config.caching import CacheSettings
    from lolly_tx.net.stores.store import SharedStore
    from lolly_tx.net.stores.subscription import Subscription

MOST_PENDING = 1000
"""Purges of one cache that wait; of more than that it is purged as a whole."""
PAUSE_AT = 256
"""So many of one store wait: nothing more is taken from it for now."""
KEEP_SECONDS = 1.0
"""From a purge until it is noted how far purges were heard: files are removed by threads."""
NAME = "purges.json"
"""Of that note, in the folder of a cache."""
_UNREADABLE: Position = (b"unreadable", 0)
"""No store has this epoch."""


class _Heard:
    """One cache: its news, what of them waits, and how far they were heard when that was noted last."""

    def __init__(self, settings: CacheSettings, position: Position) -> None:
        self.name = settings.name
        self.folder = settings.dir
        self.kept = position
        self.pending: list[Purge] = []
        self.ignored = 0
        self.news: News

    @property
    def place(self) -> tuple[str, str]:
        """What makes it the same cache over a change of settings."""
        return self.name, self.folder

    def take(self, texts: Sequence[bytes]) -> None:
        """Others have purged this."""
        for text in texts:
            try:
                purge = read(text)
            except BadPurge:
                self.ignored += 1
            else:
                self.pending.append(attrs.evolve(purge, cache=self.name.encode()))
        if len(self.pending) > MOST_PENDING:
            self.take_all()

    def take_all(self) -> None:
        """Nobody knows what they have purged."""
        self.pending[:] = [Purge(cache=self.name.encode())]

    def shown(self) -> dict[str, Any]:
        """As JSON-able values."""
        counts = dict(self.news.counts)
        counts["ignored"] += self.ignored
        return {"behind": self.news.behind, "untold": self.news.untold, **counts}


class _Listening:
    """What is heard of one store, of all caches that have it."""

    def __init__(self, store: SharedStore, caches: Sequence[_Heard]) -> None:
        self.store = store
        self.caches = caches
        self.subscription: Subscription

    @property
    def waiting(self) -> int:
        return sum(len(one.pending) for one in self.caches)


class SharedPurges:
    """See the module. `purging`: drops what caches have, in all processes of this instance."""

    log: ClassVar[Logger] = Logger()

    def __init__(self, around: Surroundings, purging: Purging) -> None:
        self._around = around
        self._purging = purging
        self._me = b"%016x" % around.random.getrandbits(64)
        self._of: dict[str, _Listening] = {}
        self._running = False
        self._busy = False
        self._timer: IDelayedCall | None = None
        self._complained = False

    # -- settings

    def go_by(self, caches: Mapping[str, CacheSettings], stores: Stores) -> None:
        """These caches are in force."""
        wanted: dict[str, list[CacheSettings]] = {}
        for settings in caches.values():
            if settings.store and self._around.part.admin:
                wanted.setdefault(settings.store, []).append(settings)
        there = dict(stores)
        positions: dict[tuple[str, str], Position] = {}
        for name, one in tuple(self._of.items()):
            places = [(each.name, each.dir) for each in wanted.get(name, ())]
            same = [each.place for each in one.caches] == places
            if same and there.get(name) is one.store:
                del wanted[name]
                continue
            positions |= {each.place: each.news.position for each in one.caches}
            self._end(self._of.pop(name))
        for name, settings_of in wanted.items():
            heard = [
                _Heard(each, positions.get((each.name, each.dir)) or _noted(each.dir))
                for each in settings_of
            ]
            listening = self._of[name] = self._make(there[name], heard, stores, name)
            if self._running:
                listening.subscription.start()

    def _make(
        self, store: SharedStore, caches: list[_Heard], stores: Stores, name: str
    ) -> _Listening:
        from lolly_tx.net.stores.subscription import Subscription

        around = self._around
        listening = _Listening(store, caches)
        by_channel: dict[bytes, News] = {}
        for one in caches:
            key = store.key("purges", one.name)
            by_channel[key] = one.news = News(
                store,
                key,
                self._me,
                around.reactor,
                around.random,
                everything=EVERYTHING,
                on_news=partial(self._heard, listening, one),
                on_missed=partial(self._missed, one),
                position=one.kept,
            )

        def on_there() -> None:
            for news in by_channel.values():
                news.there()

        def on_gone(why: str) -> None:
            for news in by_channel.values():
                news.gone()

        listening.subscription = Subscription(
            stores.connect(name),
            around.reactor,
            around.random,
            store.greeting,
            tuple(by_channel),
            now=around.now,
            on_message=lambda channel, payload: by_channel[channel].message(payload),
            on_there=on_there,
            on_gone=on_gone,
        )
        return listening

    def start(self) -> None:
        """Listen to all of them."""
        self._running = True
        for one in self._of.values():
            one.subscription.start()

    def stop(self) -> None:
        """The service ends."""
        self._running = False
        for one in self._of.values():
            self._end(one)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._of.clear()

    def _end(self, one: _Listening) -> None:
        one.subscription.stop()
        for each in one.caches:
            each.news.stop()

    # -- ours

    def purge(self, purge: Purge) -> Deferred[Purged]:
        """Have it done here, and told; what could not be told is told later. Told or not is known within `timeout`."""
        done = self._purging([purge])
        tellings = [
            self._tell(store, cache, purge)
            for store, one in self._of.items()
            for cache in one.caches
        ]
        if not tellings:
            return done
        return Deferred.fromCoroutine(self._together(done, tellings))

    async def _together(
        self, done: Deferred[Purged], tellings: Sequence[Deferred[Told]]
    ) -> Purged:
        purged = await done
        told = [await one for one in tellings]
        self._keep_later()
        return attrs.evolve(purged, told=tuple(told))

    def _tell(self, store: str, cache: _Heard, purge: Purge) -> Deferred[Told]:
        def failed(failure: Any) -> Told:
            failure.trap(StoreAway)
            return Told(cache.name, store, None, str(failure.value))

        try:
            text = written(purge)
        except BadPurge as error:
            return succeed(Told(cache.name, store, None, f"it {error}"))
        telling = cache.news.tell(text)
        return telling.addCallbacks(
            lambda subscribers: Told(cache.name, store, subscribers), failed
        )

    # -- of others

    def _heard(
        self, listening: _Listening, cache: _Heard, texts: Sequence[bytes]
    ) -> None:
        cache.take(texts)
        if listening.waiting >= PAUSE_AT:
            listening.subscription.pause()
        self._go_on()

    def _missed(self, cache: _Heard) -> None:
        self.log.warn(
            "Cache {name} is purged: nobody knows any more what other instances have purged",
            name=cache.name,
        )
        cache.take_all()
        self._go_on()

    def _go_on(self) -> None:
        """Purge what waits, unless that is being done."""
        if self._busy:
            return
        lot: list[Purge] = []
        for one in self._of.values():
            for cache in one.caches:
                lot += cache.pending
                cache.pending = []
        if lot:
            self._busy = True
            done = self._purging(lot)
            done.addErrback(lambda reason: self.log.failure("Not purged", reason))
            done.addCallback(self._cb_purged)

    def _cb_purged(self, _: object) -> None:
        self._busy = False
        for one in self._of.values():
            one.subscription.resume()
        self._keep_later()
        self._go_on()

    # -- how far they were heard

    def _keep_later(self) -> None:
        folders = any(each.folder for one in self._of.values() for each in one.caches)
        if folders and self._timer is None:
            self._timer = self._around.reactor.callLater(KEEP_SECONDS, self._keep)

    def _keep(self) -> None:
        self._timer = None
        if self._busy:
            self._keep_later()
            return
        documents = {}
        for one in self._of.values():
            for cache in one.caches:
                position = cache.news.position
                if cache.folder and position != cache.kept:
                    cache.kept = position
                    documents[cache.folder] = _document(position)
        if documents:
            reactor = self._around.reactor
            pool = reactor.getThreadPool()
            keeping = deferToThreadPool(reactor, pool, _write, documents)
            keeping.addErrback(self._eb_not_kept)

    def _eb_not_kept(self, failure: Any) -> None:
        failure.trap(OSError)
        if not self._complained:
            self._complained = True
            self.log.warn(
                "How far purges were heard cannot be noted, so the next start hears more than it has to: {why}",
                why=failure.getErrorMessage(),
            )

    # -- what is shown

    def shown(self) -> dict[str, dict[str, Any]]:
        """How each store is listened to, by its name, as JSON-able values."""
        return {
            name: {
                "listening": one.subscription.there,
                "why": one.subscription.why,
                "caches": {each.name: each.shown() for each in one.caches},
            }
            for name, one in self._of.items()
        }


def _document(position: Position) -> dict[str, Any]:
    epoch, number = position
    return {"epoch": epoch.decode("ascii"), "number": number}


def _write(documents: Mapping[str, Any]) -> None:
    for folder, document in documents.items():
        StateFolder(folder).keep(NAME, document)


def _noted(folder: str) -> Position:
    """How far purges were heard whose answers are in that folder; what is there and cannot be read is as all missed."""
    if not folder or not Path(folder, NAME).exists():
        return NOTHING_HEARD
    document = StateFolder(folder).kept(NAME)
    try:
        epoch, number = document["epoch"], document["number"]
    except (LookupError, TypeError):
        return _UNREADABLE
    if not (isinstance(epoch, str) and re.fullmatch("[0-9a-f]{16}", epoch)):
        return _UNREADABLE
    known = isinstance(number, int) and 0 <= number < 10**15
    return (epoch.encode(), number) if known else _UNREADABLE
