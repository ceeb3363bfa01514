"""Counters of several processes, added up so that no total ever falls.

    process: Tally.changes(numbers) --(a message)--> Totals.heard(who, changes)      at its end: Totals.ended(who)

Each process counts in plain numbers of its own from 0 and says now and then which of them changed. Counters of one that
ended stay in the totals; its gauges, what it has now, go with it.

Imports: nothing of ours. Used by: service, service.upgrades, service.workers.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping

Number = int | float


class Tally:
    """What one process has said of its numbers."""

    def __init__(self) -> None:
        self._said: dict[str, Number] = {}

    def changes(self, numbers: Mapping[str, Number]) -> dict[str, Number]:
        """Those that are not as they were said last; 0 is where every number begins."""
        said = self._said
        found = {name: n for name, n in numbers.items() if said.get(name, 0) != n}
        said.update(found)
        for gone in [name for name in said if name not in numbers]:
            del said[gone]
        return found


class Totals:
    """The sums. `gauges`: names, after the last "/", of numbers that are no counters."""

    def __init__(self, gauges: Iterable[str]) -> None:
        self._gauges = frozenset(gauges)
        self._sums: defaultdict[str, Number] = defaultdict(int)
        self._of: dict[Hashable, dict[str, Number]] = {}

    def __getitem__(self, name: str) -> Number:
        """The sum of one; 0 when nobody ever spoke of it."""
        return self._sums.get(name, 0)

    @property
    def sums(self) -> Mapping[str, Number]:
        """All of them by name, for who looks for thousands; what nobody spoke of is missing."""
        return self._sums

    def items(self) -> Iterable[tuple[str, Number]]:
        """All sums by name."""
        return tuple(self._sums.items())

    def counted(self) -> dict[str, Number]:
        """The sums of counters, those of processes that have ended included."""
        return {
            name: number
            for name, number in self._sums.items()
            if name.rpartition("/")[2] not in self._gauges
        }

    def heard(self, who: Hashable, changes: Mapping[str, Number]) -> None:
        """A process says how its numbers are."""
        known = self._of.setdefault(who, {})
        for name, number in changes.items():
            self._sums[name] += number - known.get(name, 0)
            known[name] = number

    def ended(self, who: Hashable) -> None:
        """A process is gone; what it counted has happened all the same."""
        for name, number in self._of.pop(who, {}).items():
            if name.rpartition("/")[2] in self._gauges:
                self._sums[name] -= number

    def of(self, who: Hashable) -> Mapping[str, Number]:
        """What one process has said."""
        return self._of.get(who, {})
