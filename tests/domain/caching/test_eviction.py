"""Tests of `lolly_tx.domain.caching.eviction`."""

from __future__ import annotations

from bisect import bisect
from collections import OrderedDict
from itertools import accumulate
from random import Random

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.domain.caching.eviction import S3Fifo


class Thing:
    """Something stored."""

    def __init__(self, key: int, size: int) -> None:
        self.key: object = key
        self.size = size
        self.uses = 0
        self.in_main = False


class Hits:
    """A store of things by key, as one uses it."""

    def __init__(self, limit: int) -> None:
        self.fifo = S3Fifo(limit)
        self.known: dict[object, Thing] = {}

    def ask(self, key: int, size: int) -> bool:
        """Whether it was there."""
        known = self.known.get(key)
        if known is not None:
            known.uses = min(known.uses + 1, 3)
            return True
        self.known[key] = thing = Thing(key, size)
        for gone in self.fifo.add(thing):
            del self.known[gone.key]
        return False


class S3FifoTests(SynchronousTestCase):
    def test_used_stays(self) -> None:
        """What was used again outlives what was not."""
        store = Hits(10)
        store.ask(0, 1)
        store.ask(0, 1)
        for key in range(1, 30):
            store.ask(key, 1)
        self.assertIn(0, store.known)
        self.assertEqual(store.fifo.held, 10)
        self.assertEqual(len(store.fifo), 10)

    def test_remembered(self) -> None:
        """What comes again soon after it had to go is not put to the test a second time."""
        store = Hits(10)
        for key in range(12):
            store.ask(key, 1)
        self.assertNotIn(0, store.known)
        store.ask(0, 1)
        self.assertTrue(store.known[0].in_main)

    def test_main_goes(self) -> None:
        """What is not used while it goes round goes; what is gets another round."""
        store = Hits(4)
        for key in range(4):
            store.ask(key, 1)
            store.ask(key, 1)
        for key in range(10, 60):
            store.ask(1, 1)
            store.ask(key, 1)
            store.ask(key, 1)
        self.assertIn(1, store.known)
        self.assertNotIn(0, store.known)
        self.assertEqual(store.fifo.held, 4)

    def test_too_large(self) -> None:
        """What is larger than all there is room for displaces nothing."""
        fifo = S3Fifo(10)
        small, large = Thing(1, 5), Thing(2, 11)
        self.assertEqual(fifo.add(small), [])
        self.assertEqual(fifo.add(large), [large])
        self.assertIn(small, fifo)

    def test_remove(self) -> None:
        """What was removed takes no room, in either queue, and once is enough."""
        store = Hits(10)
        for key in range(12):
            store.ask(key, 1)
        store.ask(0, 1)
        for key in (0, 11):
            thing = store.known[key]
            store.fifo.remove(thing)
            store.fifo.remove(thing)
            self.assertNotIn(thing, store.fifo)
        self.assertEqual(store.fifo.held, 8)

    def test_smaller(self) -> None:
        """With another limit, what is too much goes."""
        fifo = S3Fifo(10)
        for key in range(10):
            fifo.add(Thing(key, 1))
        fifo.limit = 3
        self.assertEqual([one.key for one in fifo.trim()], [0, 1, 2, 3, 4, 5, 6])
        self.assertEqual(fifo.held, 3)

    @given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 40)), max_size=200))
    def test_model(self, asked: list[tuple[int, int]]) -> None:
        """Whatever is asked for, what is held is what is known, and never more than the limit."""
        store = Hits(100)
        for key, size in asked:
            store.ask(key, size)
            held = sum(one.size for one in store.known.values())
            self.assertEqual(store.fifo.held, held)
            self.assertLessEqual(held, 100)
            self.assertEqual(len(store.fifo), len(store.known))

    def test_hit_ratio(self) -> None:
        """With Zipf's popularity, half of all things asked for once, and a scan, more is found than with LRU.

        Sizes are log-normal, the seed is 1; there are 5673 hits to 3326, with 153 MB to 98
        (`benchmarks/cache_eviction.py` has more such traces).
        """
        random = Random(1)
        weights = list(accumulate(1 / (rank + 1) for rank in range(2000)))
        trace: list[int] = []
        fresh = 10_000
        for turn in range(20_000):
            fresh += 1
            popular = bisect(weights, random.random() * weights[-1])
            trace.append(fresh if random.random() < 0.5 else popular)
            if turn == 10_000:
                trace += range(100_000, 102_000)
        sizes = {
            key: int(min(1e6, Random(key).lognormvariate(9, 1.5))) for key in set(trace)
        }
        limit = sum(size for key, size in sizes.items() if key < 2000) // 20
        ours = Hits(limit)
        lru: OrderedDict[int, int] = OrderedDict()
        held = 0
        hits, byte_hits = [0, 0], [0, 0]
        for key in trace:
            size = sizes[key]
            if ours.ask(key, size):
                hits[0] += 1
                byte_hits[0] += size
            if key in lru:
                lru.move_to_end(key)
                hits[1] += 1
                byte_hits[1] += size
            else:
                lru[key] = size
                held += size
                while held > limit:
                    held -= lru.popitem(last=False)[1]
        self.assertGreater(hits[0], 1.2 * hits[1])
        self.assertGreater(byte_hits[0], 1.2 * byte_hits[1])
