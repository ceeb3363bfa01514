"""An agenda: when each target is to be asked next, and who is due.

Imports: nothing of ours. Used by: service.checks.rounds.

A heap of due times. The newest entry of a target counts; older ones stay in the heap and
are passed over when they come up.
"""

from __future__ import annotations

from collections.abc import Container
from heapq import heapify, heappop, heappush
from typing import NamedTuple


class Due(NamedTuple):
    """When a target is to be asked next. A tuple, because a heap compares a lot.

    `number` orders equal times. `slot`: the time the following question is reckoned from;
    it differs from `at` for a target's first one, which does not wait for its turn.
    """

    at: float
    number: int
    node_id: str
    slot: float


class Agenda:
    """The due times of targets, each at most once."""

    def __init__(self) -> None:
        self._heap: list[Due] = []
        self._waiting: dict[str, Due] = {}
        self._numbers = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, node_id: object) -> bool:
        return node_id in self._waiting

    def set(self, node_id: str, at: float, slot: float) -> None:
        """Ask `node_id` at `at`, in place of any other time."""
        self._numbers += 1
        due = self._waiting[node_id] = Due(at, self._numbers, node_id, slot)
        heappush(self._heap, due)

    def time_of(self, node_id: str) -> float | None:
        """When `node_id` is to be asked; None when it is not on the agenda."""
        due = self._waiting.get(node_id)
        return None if due is None else due.at

    def times(self) -> dict[str, float]:
        """Every target's time."""
        return {node_id: due.at for node_id, due in self._waiting.items()}

    def is_due(self, until: float) -> bool:
        """Whether anybody is to be asked by `until`."""
        heap, waiting = self._heap, self._waiting
        while heap and waiting.get(heap[0].node_id) is not heap[0]:
            heappop(heap)  # another time was set for it
        return bool(heap) and heap[0].at <= until

    def take(self) -> Due:
        """Strike off who is to be asked first, where `is_due` says that there is one."""
        due = heappop(self._heap)
        del self._waiting[due.node_id]
        return due

    def strike(self, node_id: str) -> None:
        """Forget the time of `node_id`, if it has one."""
        self._waiting.pop(node_id, None)

    def keep(self, members: Container[str]) -> None:
        """Forget all who are not among `members`, and the times that count no more."""
        waiting = self._waiting
        for node_id in [one for one in waiting if one not in members]:
            del waiting[node_id]
        self._heap = list(waiting.values())
        heapify(self._heap)

    def clear(self) -> None:
        """Forget everybody."""
        self._heap.clear()
        self._waiting.clear()
