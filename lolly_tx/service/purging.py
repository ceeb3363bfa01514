"""Purges of caches: what is asked for, and that it reaches every process.

    POST /api/cache/purge {"path": "/a"}         all queries and variants of a path, at every host
                          {"path": "/a?b=c"}     that target only
                          {"prefix": "/a/"}      all paths that begin with it
                          {"tag": "news"}        what targets call it: Cache-Tag, Surrogate-Key, xkey
                          {"host": "example.com"}    beside one of these, or alone: all of a host

With workers the supervisor tells all of them. One that is not there, or ends before it has said that it is done, is
told when it begins again, before it takes up what is in its files.

Imports: domain, domain.caching, service, Twisted. Used by: service.admintable,
service.supervisor, service.worker.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from lolly_tx.domain.caching.catalog import Purge
from lolly_tx.domain.routes import BadPath, normal_path
from lolly_tx.service.adminguard import Denied
from lolly_tx.service.channel import Message
from lolly_tx.service.seats import Seat

PATIENCE_SECONDS = 5.0
"""How long it is waited for workers to say that it is done."""

_MOST_MISSED = 1000
_WORDS = ("path", "prefix", "tag", "host")


@attrs.frozen
class Told:
    """Whether other instances were told, of one cache.

    `subscribers`: how many heard it at once, us included; None: nobody was told, `why` says why not.
    """

    cache: str
    store: str
    subscribers: int | None
    why: str = ""


@attrs.frozen
class Purged:
    """`count`: answers that are not stored any more. `late`: workers that have not said so in time, but will do it.

    `told`: of each cache that has a store.
    """

    count: int
    late: tuple[int, ...] = ()
    told: tuple[Told, ...] = ()


Purging = Callable[[Sequence[Purge]], "Deferred[Purged]"]


def purge_of(table: Mapping[str, Any]) -> Purge:
    """What a request asks for. Raises `Denied`."""
    unknown = sorted(set(table) - set(_WORDS))
    if unknown:
        raise Denied(400, f"{unknown[0]} is none of {', '.join(_WORDS)}")
    words = {}
    for name, value in table.items():
        if not isinstance(value, str) or not value:
            raise Denied(400, f"{name} has to be a text that is not empty")
        words[name] = value.encode("utf-8", "surrogateescape")
    if not words:
        raise Denied(400, f"one of {', '.join(_WORDS)} is needed")
    path, prefix, host = words.get("path"), words.get("prefix"), words.get("host")
    for name, value in (("path", path), ("prefix", prefix)):
        if value is not None and not value.startswith(b"/"):
            raise Denied(400, f"{name} has to begin with a slash")
    exact = path is not None and b"?" in path
    if path is not None and not exact:
        try:
            path = normal_path(path)
        except BadPath as error:
            raise Denied(400, f"path: {error.detail}") from None
    host = None if host is None else host.lower()
    return Purge(path, exact, prefix, words.get("tag"), host)


def told(purge: Purge) -> dict[str, Any]:
    """It as a message says it."""
    return {
        name: value.decode("latin-1") if isinstance(value, bytes) else value
        for name, value in attrs.asdict(purge).items()
    }


def heard(words: Mapping[str, Any]) -> Purge:
    """The other way round."""
    known: dict[str, Any] = {
        name: value.encode("latin-1") if isinstance(value, str) else value
        for name, value in words.items()
    }
    return Purge(**known)


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
