"""A change of the settings on its way to all workers: each prepares it, then it is in force in all, or in none.

    prepare --> every worker: prepared --> commit      one refuses, or says nothing in time --> forget

Imports: service, Twisted. Used by: service.supervisor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from twisted.internet.defer import Deferred

from lolly_tx.service.channel import Message
from lolly_tx.service.generation import Refused
from lolly_tx.service.seats import Seat

PREPARE_SECONDS = 20.0
"""What all workers have for it; building a thousand targets takes a worker some tens of milliseconds."""

Who = tuple[Seat, int]


def who_is(seat: Seat) -> Who:
    """The worker that is there now, not one that follows it."""
    return seat, seat.starts


class Rollout:
    """One change at a time. `send`: a message to one worker, with descriptors."""

    def __init__(
        self, reactor: Any, send: Callable[[Seat, Message, Sequence[int]], None]
    ) -> None:
        self._reactor = reactor
        self._send = send
        self._waiting: set[Who] = set()
        self._prepared: set[Who] = set()
        self._errors: list[str] = []
        self._done: Deferred[None] | None = None
        self._timer: Any = None

    def prepare(
        self,
        seats: Iterable[Seat],
        message: Message,
        descriptors: Callable[[int], Sequence[int]],
    ) -> Deferred[None]:
        """Have all of `seats` prepare; fires when they have. Errbacks with `Refused`.

        `descriptors`: the new slots of a worker, by its number.
        """
        self._prepared.clear()
        self._errors = []
        self._waiting = {who_is(seat) for seat in seats}
        done: Deferred[None] = Deferred()
        self._done = done
        self._timer = self._reactor.callLater(PREPARE_SECONDS, self._too_late)
        for seat, _ in tuple(self._waiting):
            self._send(seat, message, descriptors(seat.number))
        self._look()
        return done

    def heard(self, seat: Seat, error: str) -> None:
        """A worker has prepared the change; `error`: why it could not."""
        who = who_is(seat)
        if who in self._waiting:
            self._waiting.discard(who)
            if error:
                self._errors.append(f"worker {seat.number}: {error}")
            else:
                self._prepared.add(who)
            self._look()

    def lost(self, seat: Seat) -> None:
        """A worker is gone: the one that follows begins with what is in force then."""
        self._waiting.discard(who_is(seat))
        self._look()

    def _too_late(self) -> None:
        names = ", ".join(str(seat.number) for seat, _ in self._waiting)
        self._errors.append(f"no word from worker {names} in {PREPARE_SECONDS:g} s")
        self._waiting.clear()
        self._look()

    def _look(self) -> None:
        done = self._done
        if done is None or self._waiting:
            return
        self._done = None
        if self._timer.active():
            self._timer.cancel()
        if self._errors:
            done.errback(Refused(self._errors))
        else:
            done.callback(None)

    def commit(self, seats: Iterable[Seat], message: Message) -> None:
        """It is in force: those that prepared it follow, those that could not make room for others that can."""
        for seat in seats:
            if who_is(seat) in self._prepared:
                self._send(seat, message, ())
            else:
                self._send(seat, {"t": "stop", "last": False, "patient": True}, ())
        self._prepared.clear()

    def forget(self) -> None:
        """It is not to be."""
        for seat, starts in self._prepared:
            if seat.starts == starts:
                self._send(seat, {"t": "forget"}, ())
        self._prepared.clear()
