"""How much of what is asked for a cache finds, with our eviction and with LRU, for the same traces.

Run: `python benchmarks/cache_eviction.py [REQUESTS]`. Prints the share of requests and of bytes that are found;
asserts nothing. Traces: Zipf over 20,000 things with the exponent alpha, a share of things that are asked for once,
a scan of 20,000 in the middle; sizes are log-normal (median 8 KB, mean 29), the seed is 1.
"""

from __future__ import annotations

import sys
from bisect import bisect
from collections import OrderedDict
from collections.abc import Callable
from functools import cache
from itertools import accumulate
from random import Random

from lolly_tx.domain.caching.eviction import Item, S3Fifo

THINGS = 20_000
SEED = 1


class _Thing:
    __slots__ = ("in_main", "key", "size", "uses")

    def __init__(self, key: int, size: int) -> None:
        self.key: object = key
        self.size = size
        self.uses = 0
        self.in_main = False


@cache
def size_of(key: int) -> int:
    """The bytes of a thing."""
    return int(min(8e6, max(200, Random(key * 7919 + SEED).lognormvariate(9, 1.6))))


def trace(requests: int, alpha: float, once: float, scan: bool) -> list[int]:
    """What is asked for, one after the other."""
    random = Random(SEED)
    weights = list(accumulate((rank + 1) ** -alpha for rank in range(THINGS)))
    asked: list[int] = []
    new = THINGS
    for turn in range(requests):
        if random.random() < once:
            new += 1
            asked.append(new)
        else:
            asked.append(bisect(weights, random.random() * weights[-1]))
        if scan and turn == requests // 2:
            asked += range(new + 1, new + THINGS + 1)
            new += THINGS
    return asked


def _shares(asked: list[int], find: Callable[[int, int], bool]) -> tuple[float, float]:
    hits = found = total = 0
    for key in asked:
        size = size_of(key)
        total += size
        if find(key, size):
            hits += 1
            found += size
    return hits / len(asked), found / total


def with_lru(asked: list[int], limit: int) -> tuple[float, float]:
    """The shares of requests and bytes that LRU finds."""
    known: OrderedDict[int, int] = OrderedDict()
    held = 0

    def find(key: int, size: int) -> bool:
        nonlocal held
        if key in known:
            known.move_to_end(key)
            return True
        if size <= limit:
            known[key] = size
            held += size
            while held > limit:
                held -= known.popitem(last=False)[1]
        return False

    return _shares(asked, find)


def with_ours(asked: list[int], limit: int) -> tuple[float, float]:
    """The same with S3-FIFO."""
    known: dict[object, Item] = {}
    fifo = S3Fifo(limit)

    def find(key: int, size: int) -> bool:
        thing = known.get(key)
        if thing is not None:
            thing.uses += thing.uses < 3
            return True
        known[key] = thing = _Thing(key, size)
        for gone in fifo.add(thing):
            del known[gone.key]
        return False

    return _shares(asked, find)


def main() -> None:
    """Print a line for each trace and size."""
    requests = int(sys.argv[1]) if len(sys.argv) > 1 else 200_000
    print("alpha  once  scan  room   LRU: requests  bytes   S3-FIFO: requests  bytes")
    for alpha in (0.8, 1.0):
        for once in (0.0, 0.3, 0.6):
            for scan in (False, True):
                asked = trace(requests, alpha, once, scan)
                all_bytes = sum(size_of(key) for key in set(asked) if key < THINGS)
                for room in (0.02, 0.1):
                    limit = int(all_bytes * room)
                    lru, ours = with_lru(asked, limit), with_ours(asked, limit)
                    print(
                        f"{alpha:5.1f} {once:5.0%} {scan!s:>5} {room:5.0%}"
                        f" {lru[0]:15.3f} {lru[1]:6.3f} {ours[0]:19.3f} {ours[1]:6.3f}"
                    )


if __name__ == "__main__":
    main()
