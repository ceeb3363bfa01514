"""Tests of `lolly_tx.proxy.files.store` and `lolly_tx.proxy.files.supplies`: what is remembered, and its bounds."""

from __future__ import annotations

import gc
import os
from random import Random

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.net.deadlines import Deadlines
from lolly_tx.net.files.content import OpenFile
from lolly_tx.net.files.finding import Absent
from lolly_tx.proxy.files.store import ENTRY_BYTES, Entry, FileStore, Known, Shelf
from lolly_tx.proxy.files.supplies import TIDY_SECONDS, FileSupplies
from tests.net.fakes import open_descriptors
from tests.net.files.fakes import FakeThreads


class StoreTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.home: Known = Shelf().known

    def entry(self, path: bytes, now: float = 0.0) -> Entry:
        """Something that is known."""
        return Entry(self.home, path, Absent(404), (), now, 1.0)

    def test_bounds(self) -> None:
        """No more entries and bytes than allowed; the oldest go."""
        store = FileStore(most_entries=2)
        for name in (b"/a", b"/b", b"/c"):
            store.keep(self.entry(name))
        self.assertEqual(list(self.home), [b"/b", b"/c"])
        self.assertEqual(len(store), 2)
        store = FileStore(most_bytes=2 * ENTRY_BYTES + 10)
        self.home.clear()
        for name in (b"/a", b"/b", b"/c"):
            store.keep(self.entry(name))
        self.assertEqual(list(self.home), [b"/b", b"/c"])
        self.assertEqual(store.bytes, 2 * ENTRY_BYTES + 4)

    def test_second_chance(self) -> None:
        """Who was asked for since the last look stays."""
        store = FileStore(most_entries=2)
        asked = self.entry(b"/a")
        store.keep(asked)
        store.keep(self.entry(b"/b"))
        asked.asked = True
        store.keep(self.entry(b"/c"))
        self.assertEqual(list(self.home), [b"/a", b"/c"])
        self.assertFalse(asked.asked)
        store.keep(self.entry(b"/d"))
        store.keep(self.entry(b"/e"))
        self.assertEqual(list(self.home), [b"/d", b"/e"])

    def test_flood_of_names(self) -> None:
        """Names that are asked for once do not drive out one that is asked for again and again."""
        store = FileStore(most_entries=10)
        store.keep(self.entry(b"/hot"))
        for number in range(1000):
            self.home[b"/hot"].asked = True
            store.keep(self.entry(b"/%d" % number))
        self.assertIn(b"/hot", self.home)
        self.assertEqual(len(self.home), 10)

    def test_replaced(self) -> None:
        """A path has one entry; the newer one inherits that it was asked for."""
        store = FileStore()
        first, second = self.entry(b"/a"), self.entry(b"/a")
        first.asked = True
        store.keep(first)
        store.keep(second)
        self.assertIs(self.home[b"/a"], second)
        self.assertTrue(second.asked)
        self.assertEqual(len(store), 1)
        store.forget(first)
        self.assertIs(self.home[b"/a"], second)
        store.forget(second)
        self.assertEqual((self.home, store.bytes), ({}, 0))

    def test_off(self) -> None:
        """With no bytes nothing is remembered."""
        store = FileStore(most_bytes=0)
        store.keep(self.entry(b"/a"))
        self.assertEqual((self.home, len(store)), ({}, 0))

    def test_shelves(self) -> None:
        """Equal settings have one shelf, as long as somebody has it."""
        store = FileStore()
        shelf = store.shelf(("a", 1))
        self.assertIs(store.shelf(("a", 1)), shelf)
        self.assertIsNot(store.shelf(("a", 2)), shelf)
        shelf.known[b"/x"] = self.entry(b"/x")
        del shelf
        gc.collect()
        self.assertEqual(store.shelf(("a", 1)).known, {})


class OpenTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.home: Known = {}
        self.threads = FakeThreads()
        self.clock = Clock()
        self.deadlines = Deadlines(self.clock, self.clock.seconds)
        self.before = open_descriptors()

    def keep(self, store: FileStore, path: bytes, until: float = 1.0) -> Entry:
        """An entry with an open file, which nobody else needs."""
        entry = Entry(self.home, path, Absent(404), (), until - 1.0, 1.0)
        entry.forms = (None,)  # type: ignore[assignment]  # only how many there are counts
        store.keep(entry)
        file = OpenFile(os.open("/dev/null", os.O_RDONLY), self.threads)
        store.keep_open(entry, 0, file)
        file.release()
        return entry

    @property
    def open(self) -> int:
        """How many descriptors there are more than at the start."""
        return open_descriptors() - self.before

    def test_bound(self) -> None:
        """No more entries have open files than allowed; who is being sent one keeps it."""
        store = FileStore(most_open=2)
        first = self.keep(store, b"/a")
        held = first.opened(0)
        assert held is not None
        self.keep(store, b"/b")
        self.keep(store, b"/c")
        self.assertEqual(self.open, 3)
        self.assertIsNone(first.opened(0))
        held.release()
        self.assertEqual(self.open, 2)
        store.tidy(float("inf"))
        self.assertEqual(self.open, 0)

    def test_forgotten(self) -> None:
        """With its entry, a file is closed."""
        store = FileStore()
        store.forget(self.keep(store, b"/a"))
        self.assertEqual(self.open, 0)
        gone = Entry(self.home, b"/x", Absent(404), (), 0.0, 1.0)
        file = OpenFile(os.open("/dev/null", os.O_RDONLY), self.threads)
        store.keep_open(gone, 0, file)
        file.release()
        self.assertEqual(self.open, 0)

    def test_tidy(self) -> None:
        """Files of entries that are not believed any more are closed after a while, without anybody asking."""
        clock = self.clock
        store = FileStore()
        supplies = FileSupplies(
            clock,
            self.deadlines,
            self.threads,
            store,
            Random(1),
            clock.seconds,
        )
        entry = self.keep(store, b"/a", until=2.5)
        file = entry.opened(0)
        assert file is not None
        supplies.keep_open(entry, 0, file)
        file.release()
        clock.advance(TIDY_SECONDS)
        self.assertEqual(self.open, 1)
        clock.advance(TIDY_SECONDS)
        self.assertEqual(self.open, 0)
        self.assertEqual(clock.getDelayedCalls(), [])
        self.keep(store, b"/b")
        supplies.close()
        self.assertEqual(self.open, 0)
        self.assertTrue(self.threads.stopped)
