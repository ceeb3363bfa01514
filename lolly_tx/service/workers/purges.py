"""Purges of caches on their way to all workers, from the supervisor.

One that is not there, or ends before it has said that it is done, is told when it begins again, before it takes up what
is in its files.

Imports: domain.caching, service, service.workers, Twisted. Used by: service.workers.supervisor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from lolly_tx.domain.caching.catalog import Purge
from lolly_tx.service.purging import Purged, told
from lolly_tx.service.workers.channel import Message
from lolly_tx.service.workers.seats import Seat

PATIENCE_SECONDS = 5.0
"""How long it is waited for workers to say that it is done."""

_MOST_MISSED = 1000


class _Batch:
    def __init__(self, words: list[dict[str, Any]]) -> None:
        self.words = words
        self.waits: set[int] = set()
        self.count = 0
        self.done: Deferred[Purged] = Deferred()
        self.timer: Any = None


class Purges:
    """Purges on their way to all workers. `send`: tells one of them. `seats`: all there are."""

    def __init__(
        self,
        clock: IReactorTime,
        send: Callable[[Seat, Message], None],
        seats: Iterable[Seat],
    ) -> None:
        self._clock = clock
        self._send = send
        self._seats = tuple(seats)
        self._under_way: dict[int, _Batch] = {}
        self._number = 0
        self._missed: dict[int, list[dict[str, Any]]] = {
            seat.number: [] for seat in self._seats
        }

    def purge(self, purges: Sequence[Purge]) -> Deferred[Purged]:
        """Have them done everywhere."""
        self._number += 1
        number, words = self._number, [told(one) for one in purges]
        batch = self._under_way[number] = _Batch(words)
        for seat in self._seats:
            if seat.channel is None:
                self._miss(seat, words)
            else:
                batch.waits.add(seat.number)
                self._send(seat, {"t": "purge", "number": number, "purges": words})
        batch.timer = self._clock.callLater(PATIENCE_SECONDS, self._end, number)
        self._look(number)
        return batch.done

    def heard(self, seat: Seat, number: int, count: int) -> None:
        """A worker has done it."""
        batch = self._under_way.get(number)
        if batch is not None and seat.number in batch.waits:
            batch.waits.discard(seat.number)
            batch.count += count
            self._look(number)

    def lost(self, seat: Seat) -> None:
        """A worker is gone; what it was told may not have been done."""
        for number, batch in tuple(self._under_way.items()):
            if seat.number in batch.waits:
                batch.waits.discard(seat.number)
                self._miss(seat, batch.words)
                self._look(number)

    def _miss(self, seat: Seat, words: list[dict[str, Any]]) -> None:
        """It is to be told later: all of them, or more if they are too many."""
        missed = self._missed[seat.number]
        missed += words
        if len(missed) > _MOST_MISSED:
            missed[:] = [told(Purge())]

    def missed(self, number: int) -> list[dict[str, Any]]:
        """What the worker of that number has to do when it begins."""
        missed, self._missed[number] = self._missed[number], []
        return missed

    def _look(self, number: int) -> None:
        batch = self._under_way[number]
        if not batch.waits and batch.timer is not None:
            self._end(number)

    def _end(self, number: int) -> None:
        batch = self._under_way.pop(number)
        if batch.timer.active():
            batch.timer.cancel()
        batch.done.callback(Purged(batch.count, tuple(sorted(batch.waits))))
