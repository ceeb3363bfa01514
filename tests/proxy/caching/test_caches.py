"""Tests of `lolly_tx.proxy.caching.caches`: which uses of a cache share a store, and what is done about its folder."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.config.caching import CacheSettings
from lolly_tx.domain.caching.catalog import Purge
from lolly_tx.proxy.caching.caches import Caches, bounds_of, rules_of
from tests.proxy.caching.test_store import page


class Turns:
    """A reactor, as far as threads know one: what they hand over runs when it is told to."""

    def __init__(self) -> None:
        self.calls: list[tuple[Callable[..., Any], tuple[Any, ...]]] = []

    def callFromThread(self, call: Callable[..., Any], *args: Any) -> None:
        """Keep it for the next turn."""
        self.calls.append((call, args))

    def turn(self) -> None:
        """Run what there is."""
        while self.calls:
            call, args = self.calls.pop(0)
            call(*args)


class CachesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = Turns()
        self.folder = Path(self.mktemp())

    def caches(self, number: int = 0) -> Caches:
        """Those of a worker; no thread outlives the test."""
        made = Caches(self.reactor, lambda: 10.0, lambda: 1000.0, number)
        self.addCleanup(made.stop)
        return made

    def on_disk(self, caches: Caches, workers: int = 1, serves: bool = True) -> None:
        """Use a cache in the folder, and wait until its files have been looked for."""
        caches.use(CacheSettings("pages", dir=str(self.folder)), workers, serves)
        caches.stop()
        self.reactor.turn()

    def purged(self, caches: Caches, purge: Purge) -> int:
        """How many answers it drops, which takes no time here."""
        return self.successResultOf(caches.purge([purge]))

    def test_shared(self) -> None:
        """All uses of a name share one store, whatever else their settings say; other names have theirs."""
        caches = self.caches()
        one = caches.use(CacheSettings("pages"), 1)
        self.assertIs(caches.use(CacheSettings("pages", size=1 << 20), 1), one)
        other = caches.use(CacheSettings("other"), 1)
        self.assertIsNot(other, one)
        self.assertEqual(list(caches), [one, other])
        self.assertEqual((one.name, one.now(), one.wall()), ("pages", 10.0, 1000.0))

    def test_released(self) -> None:
        """A store lives as long as somebody uses it."""
        caches = self.caches()
        settings = CacheSettings("pages")
        one = caches.use(settings, 1)
        caches.use(settings, 1)
        caches.release(settings)
        self.assertIs(caches.use(settings, 1), one)
        caches.release(settings)
        caches.release(settings)
        self.assertEqual(list(caches), [])
        self.assertIsNot(caches.use(settings, 1), one)

    def test_settings(self) -> None:
        """What the settings say is what the store goes by."""
        settings = CacheSettings(
            "pages",
            size=1 << 20,
            entry=1 << 17,
            memory=1 << 18,
            lock_timeout=3.0,
            min_uses=2,
            default_ttl=60.0,
            ttl={"404": 10.0},
            stale_if_error=5.0,
            stale_while_revalidate=7.0,
        )
        store = self.caches().use(settings, 1)
        bounds, rules = store.bounds, store.rules
        self.assertEqual((bounds, rules), (bounds_of(settings), rules_of(settings)))
        self.assertEqual(
            (bounds.size, bounds.entry, bounds.memory), (1 << 20, 1 << 17, 1 << 18)
        )
        self.assertEqual((bounds.lock_timeout, bounds.min_uses), (3.0, 2))
        self.assertEqual(rules.default_ttl, 60.0)
        self.assertEqual(rules.ttl, settings.ttls())
        self.assertEqual((rules.stale_if_error, rules.stale_while_revalidate), (5, 7))

    def test_purge(self) -> None:
        """A purge goes through all stores, and says how many answers went."""
        caches = self.caches()
        for name in ("pages", "other"):
            store = caches.use(CacheSettings(name), 1)
            store.put(page(1, 10))
            store.put(page(2, 10))
        self.assertEqual(self.purged(caches, Purge(tag=b"page-1")), 2)
        self.assertEqual(self.purged(caches, Purge(tag=b"page-1")), 0)
        self.assertEqual(self.purged(caches, Purge(prefix=b"/")), 2)

    def test_folder(self) -> None:
        """Each process has a folder of its own in that of the cache; who begins first removes those of none."""
        for name in ("0", "1", "2", "7", "mine"):
            (self.folder / name).mkdir(parents=True)
        self.on_disk(self.caches(number=1), workers=2)
        left = sorted(one.name for one in self.folder.iterdir())
        self.assertEqual(left, ["1", "2", "mine"])

    def test_later_worker(self) -> None:
        """The others leave the folders of their fellows alone."""
        (self.folder / "7").mkdir(parents=True)
        self.on_disk(self.caches(number=2), workers=2)
        self.assertEqual(sorted(one.name for one in self.folder.iterdir()), ["2", "7"])

    def test_no_folder(self) -> None:
        """Who only looks at settings touches no disk, and neither does a cache in memory."""
        self.on_disk(self.caches(), serves=False)
        self.assertFalse(self.folder.exists())
        caches = self.caches()
        caches.use(CacheSettings("pages"), 1)
        self.assertEqual(self.reactor.calls, [])

    def test_unreadable(self) -> None:
        """A folder that cannot be made is a line in the log; the cache works without."""
        self.folder.write_text("a file")
        caches = self.caches()
        store = caches.use(CacheSettings("pages", dir=str(self.folder)), 1)
        caches.stop()
        self.reactor.turn()
        store.put(page(1, 10))
        self.assertEqual(self.purged(caches, Purge(prefix=b"/")), 1)

    def test_never_stopped(self) -> None:
        """A process whose start fails ends, although nobody stops the threads."""
        before = set(threading.enumerate())
        caches = self.caches()
        caches.use(CacheSettings("pages", dir=str(self.folder)), 1)
        begun = set(threading.enumerate()) - before
        self.assertTrue(begun)
        self.assertTrue(all(thread.daemon for thread in begun))

    def test_stop(self) -> None:
        """Stopping waits for what threads do, and does nothing where there are none."""
        caches = self.caches()
        caches.stop()
        self.on_disk(caches)
        self.assertTrue((self.folder / "0").is_dir())
