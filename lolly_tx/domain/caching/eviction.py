"""What goes when a store is full: S3-FIFO (Yang et al., SOSP 2023), counted in bytes.

    new --> [ small: a tenth ] --used again--> [ main ] --not used since it went round--> gone
                   |                               ^
                   +--not used--> gone, remembered-+-- asked for again while remembered

Half of what a cache stores is never asked for again; it passes through the small queue and does not displace what
is. A use only counts, it moves nothing. Where sizes differ by five powers of ten, what is larger than the small
queue still goes through it, alone.

Imports: nothing of ours. Used by: proxy.caching.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Protocol

_SMALL_SHARE = 10
"""The small queue has a tenth, as in the paper."""

MOST_USES = 3
"""Counted of each item, as in the paper: two bits."""


class Item(Protocol):
    """What is stored. `uses`: counted by who uses it, up to what matters; the rest is set here.

    `size`: bytes, of everything that is kept for it; it does not change while it is in here.
    """

    key: object
    size: int
    uses: int
    in_main: bool


class S3Fifo:
    """Items of at most `limit` bytes together. `held`: bytes now."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.held = 0
        self._small: OrderedDict[object, Item] = OrderedDict()
        self._small_bytes = 0
        self._main: OrderedDict[object, Item] = OrderedDict()
        # Keys by their hashes: a wrong hit costs nothing but a place in the other queue.
        self._gone: OrderedDict[int, int] = OrderedDict()
        self._gone_bytes = 0

    def __len__(self) -> int:
        return len(self._small) + len(self._main)

    def __contains__(self, item: Item) -> bool:
        return (self._main if item.in_main else self._small).get(item.key) is item

    def add(self, item: Item) -> list[Item]:
        """Take `item` in, under a key that is not in here; what had to go for it, itself if it is larger than all."""
        if item.size > self.limit:
            return [item]
        item.uses = 0
        size = self._gone.pop(hash(item.key), None)
        item.in_main = size is not None
        if size is not None:
            self._gone_bytes -= size
            self._main[item.key] = item
        else:
            self._small[item.key] = item
            self._small_bytes += item.size
        self.held += item.size
        return self.trim()

    def remove(self, item: Item) -> None:
        """It is not stored any more, for another reason than want of room."""
        if item not in self:
            return
        self.held -= item.size
        if item.in_main:
            del self._main[item.key]
        else:
            del self._small[item.key]
            self._small_bytes -= item.size

    def trim(self) -> list[Item]:
        """What has to go, now that `limit` is what it is."""
        evicted: list[Item] = []
        while self.held > self.limit:
            self._go_round(evicted)
        return evicted

    def evict(self) -> Item:
        """Let one go for another reason than the limit; there is one."""
        evicted: list[Item] = []
        while not evicted:
            self._go_round(evicted)
        return evicted[0]

    def _go_round(self, evicted: list[Item]) -> None:
        """One step of what is above."""
        if self._small and (
            not self._main or self._small_bytes * _SMALL_SHARE >= self.limit
        ):
            self._from_small(evicted)
        else:
            self._from_main(evicted)

    def _from_small(self, evicted: list[Item]) -> None:
        key, item = self._small.popitem(last=False)
        self._small_bytes -= item.size
        if item.uses:
            item.uses = 0
            item.in_main = True
            self._main[key] = item
            return
        self.held -= item.size
        evicted.append(item)
        self._gone[hash(key)] = item.size
        self._gone_bytes += item.size
        while self._gone_bytes > self.limit:
            self._gone_bytes -= self._gone.popitem(last=False)[1]

    def _from_main(self, evicted: list[Item]) -> None:
        key, item = self._main.popitem(last=False)
        if item.uses:
            item.uses = min(item.uses, MOST_USES) - 1
            self._main[key] = item
            return
        self.held -= item.size
        evicted.append(item)
