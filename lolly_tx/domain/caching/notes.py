"""What is remembered of targets of which nothing is stored: that it could not be, and how often they were asked for.

While it is remembered that nothing can be stored, requests do not wait for each other (hit-for-miss); or all who ask
for a page that nobody may share would get it one after the other.

Imports: nothing of ours. Used by: proxy.caching.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable

PASS_SECONDS = 120.0
"""For so long an answer that could not be stored is expected again."""

_MOST_NOTES = 16384


class Notes:
    """By the hash of a key: two that share one are both let pass for a while, which costs a request each."""

    def __init__(self, most: int = _MOST_NOTES) -> None:
        self._most = most
        self._passes: OrderedDict[int, float] = OrderedDict()
        self._uses: OrderedDict[int, int] = OrderedDict()

    def passes(self, key: Hashable, now: float) -> bool:
        """Whether it is known that nothing is stored of it."""
        until = self._passes.get(hash(key))
        return until is not None and now < until

    def let_pass(self, key: Hashable, now: float) -> None:
        """Nothing could be stored of it."""
        self._passes[hash(key)] = now + PASS_SECONDS
        self._passes.move_to_end(hash(key))
        if len(self._passes) > self._most:
            self._passes.popitem(last=False)

    def stored(self, key: Hashable) -> None:
        """Something could."""
        self._passes.pop(hash(key), None)
        self._uses.pop(hash(key), None)

    def asked(self, key: Hashable) -> int:
        """How often it has been asked for now, as far as that is remembered."""
        count = self._uses.get(hash(key), 0) + 1
        self._uses[hash(key)] = count
        self._uses.move_to_end(hash(key))
        if len(self._uses) > self._most:
            self._uses.popitem(last=False)
        return count


_FIRST_SECONDS = 1.0
_LONGEST_SECONDS = 30.0


def seconds_until_asked_again(failures: int) -> float:
    """How long a target that failed so often in a row, at one answer, is not asked for it while a stale one will do."""
    return min(_LONGEST_SECONDS, _FIRST_SECONDS * 2.0 ** min(failures - 1, 10))
