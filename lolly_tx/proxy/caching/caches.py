"""All stores of a process, by the names of caches: they outlive the middleware that uses them.

Imports: config, domain.caching, net, proxy.caching, Twisted. Used by: proxy.middleware,
service.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from threading import Thread
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

from lolly_tx.config.caching import CacheSettings
from lolly_tx.domain.caching.catalog import Purge
from lolly_tx.domain.caching.freshness import Rules
from lolly_tx.net.cachefolder import CacheFolder, folder_of, remove_others
from lolly_tx.proxy.caching.shelf import FolderShelf
from lolly_tx.proxy.caching.store import Bounds, Store
from lolly_tx.proxy.caching.sweeping import Sweeper

_MOST_THREADS = 4


def bounds_of(settings: CacheSettings) -> Bounds:
    """Those of a store with these settings."""
    return Bounds(
        size=settings.size,
        entry=settings.entry,
        memory=settings.memory,
        lock_timeout=settings.lock_timeout,
        min_uses=settings.min_uses,
    )


def rules_of(settings: CacheSettings) -> Rules:
    """What the operator says of the lives of answers."""
    return Rules(
        default_ttl=settings.default_ttl,
        ttl=settings.ttls(),
        stale_if_error=settings.stale_if_error,
        stale_while_revalidate=settings.stale_while_revalidate,
    )


class _Daemon(Thread):
    """A thread that keeps no process: a start that fails has nobody who stops it, and ends all the same."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, daemon=True, **named)


class _Threads(ThreadPool):
    """Those for files."""

    threadFactory = _Daemon


class Caches:
    """See the module. Files are waited for in threads of their own, which begin with the first."""

    def __init__(
        self,
        reactor: Any,
        now: Callable[[], float],
        wall: Callable[[], float],
        number: int = 0,
    ) -> None:
        """`number`: of the worker; 0: there are none."""
        self._reactor = reactor
        self._now = now
        self._wall = wall
        self._number = number
        self._stores: dict[tuple[str, str], Store] = {}
        self._users: dict[tuple[str, str], int] = {}
        self._threads: ThreadPool | None = None
        self._sweeper = Sweeper(reactor, now)

    def __iter__(self) -> Iterator[Store]:
        return iter(self._stores.values())

    def use(self, settings: CacheSettings, workers: int, serves: bool = True) -> Store:
        """The store of a cache, for one user more. `serves`: it is used; without, nothing waits for a disk."""
        key = (settings.name, settings.dir)
        store = self._stores.get(key)
        if store is None:
            store = self._stores[key] = Store(
                settings.name,
                bounds_of(settings),
                rules_of(settings),
                now=self._now,
                wall=self._wall,
            )
            if settings.dir and serves:
                self._begin_shelf(store, settings.dir, workers)
        self._users[key] = self._users.get(key, 0) + 1
        return store

    def release(self, settings: CacheSettings) -> None:
        """One user less; without any, what is in memory is forgotten."""
        key = (settings.name, settings.dir)
        self._users[key] = left = self._users.get(key, 0) - 1
        if left <= 0:
            self._stores.pop(key, None)
            self._users.pop(key, None)

    def _begin_shelf(self, store: Store, path: str, workers: int) -> None:
        folder = CacheFolder(folder_of(path, self._number))
        shelf = FolderShelf(store, folder, self._in_thread)
        if self._number <= 1:
            self._in_thread(lambda: remove_others(path, workers)).addErrback(
                lambda reason: None  # they are in nobody's way
            )
        shelf.find_all(self._reactor.callFromThread)

    def _in_thread(self, work: Callable[[], Any]) -> Deferred[Any]:
        if self._threads is None:
            self._threads = _Threads(0, _MOST_THREADS, "cache")
            self._threads.start()
        return deferToThreadPool(self._reactor, self._threads, work)

    def purge(self, purges: Sequence[Purge]) -> Deferred[int]:
        """Drop everything that they name; how many answers these were. A purge of much takes several turns."""
        steps = []
        for store in self:
            name = store.name.encode()
            here = [one for one in purges if one.cache in (None, name)]
            if here:
                steps.append(store.purging(here))
        return self._sweeper.sweep(chain.from_iterable(steps))

    def stop(self) -> None:
        """The process ends: what is being written is written."""
        self._sweeper.stop()
        threads, self._threads = self._threads, None
        if threads is not None:
            threads.stop()
