"""Tests of `lolly_tx.proxy.caching.store`: what is counted is what it takes."""

from __future__ import annotations

import tracemalloc

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.domain.caching.freshness import Life
from lolly_tx.proxy.caching.store import Bounds, Store
from lolly_tx.proxy.caching.stored import Facts, Stored
from lolly_tx.wire.fields import ResponseBlock


def page(number: int, size: int) -> Stored:
    """An answer as one comes in, with no byte that another has, too."""
    lines = b"\r\nDate: Sat, 28 Nov 2026 11:00:00 GMT\r\nCache-Control: max-age=600\r\n"
    lines += b'Content-Type: text/html; charset=utf-8\r\nETag: "%d"\r\n' % number
    facts = Facts(
        b"http://%d.example.com" % (number % 10),
        b"/page/%d?q=1" % number,
        b"/page/%d?q=1" % number,
        (b"accept-encoding",),
        (b"gzip,%d" % number,),
        frozenset((b"tag-%d" % (number % 100), b"page-%d" % number)),
        200,
        b"OK",
        ResponseBlock(lines).pairs,
        size,
        False,
    )
    return Stored(
        facts, Life(0.0, 600.0), b"%d" % number * (size // len(b"%d" % number)), 0.0
    )


class SizeTests(SynchronousTestCase):
    def _grown(self, bound: int, size: int, count: int) -> tuple[Store, int]:
        """A store that was given so many, and how many bytes the process has more."""
        tracemalloc.start()
        try:
            store = Store(
                "pages",
                Bounds(size=bound, entry=bound),
                now=lambda: 0.0,
                wall=lambda: 0.0,
            )
            before = tracemalloc.get_traced_memory()[0]
            for number in range(count):
                stored = page(number, size)
                store.put(stored)
                stored.fields(1.0)
            return store, tracemalloc.get_traced_memory()[0] - before
        finally:
            tracemalloc.stop()

    def test_bounded(self) -> None:
        """However much comes in, the memory it takes is no more than `size`, for short answers and for long ones."""
        for size, count in ((10, 6000), (2000, 4000), (100_000, 150)):
            with self.subTest(size=size):
                bound = 4 << 20
                store, grown = self._grown(bound, size, count)
                self.assertGreater(store.evicted, 0)
                self.assertLessEqual(store.held, bound)
                self.assertLess(grown, 1.1 * bound)
                self.assertGreater(grown, 0.3 * bound)

    def test_smaller(self) -> None:
        """With less room than before, what is too much goes at once."""
        store, _ = self._grown(1 << 20, 1000, 200)
        store.go_by(Bounds(size=1 << 17, entry=1 << 16), store.rules)
        self.assertLessEqual(store.held, 1 << 17)
        self.assertEqual(store.held, sum(one.size for one in store))
