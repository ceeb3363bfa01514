"""A change of the settings on its way to all workers: each prepares it, then it is in force in all, or in none.

    prepare --> every worker: prepared --> commit --> every worker: committed
                one refuses, or says nothing in time --> forget

Imports: service, service.workers, Twisted. Used by: service.workers.supervisor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from lolly_tx.service.generation import Refused
from lolly_tx.service.workers.channel import Message
from lolly_tx.service.workers.seats import Seat

PREPARE_SECONDS = 20.0
"""What all workers have for it; building a thousand targets takes a worker some tens of milliseconds."""

COMMIT_SECONDS = 5.0
"""What the answer to who changed something waits for the workers to follow; a commit only assigns."""

Who = tuple[Seat, int]


def who_is(seat: Seat) -> Who:
    """The worker that is there now, not one that follows it."""
    return seat, seat.starts


class _Words:
    """A word awaited from each of some workers. `done(silent)`: called once; those from whom none came in time."""

    def __init__(
        self,
        reactor: Any,
        whos: Iterable[Who],
        seconds: float,
        done: Callable[[set[Who]], None],
    ) -> None:
        self._left = set(whos)
        self._done = done
        self._timer: Any = reactor.callLater(seconds, self._end)

    def came(self, who: Who) -> bool:
        """From one of them; whether it was awaited."""
        awaited = who in self._left
        self._left.discard(who)
        return awaited

    def look(self) -> None:
        """End, if nobody is left."""
        if not self._left and self._timer.active():
            self._timer.cancel()
            self._end()

    def _end(self) -> None:
        left, self._left = self._left, set()
        self._done(left)


class Rollout:
    """One change at a time. `send`: a message to one worker, with descriptors."""

    log: ClassVar[Logger] = Logger()

    def __init__(
        self, reactor: Any, send: Callable[[Seat, Message, Sequence[int]], None]
    ) -> None:
        self._reactor = reactor
        self._send = send
        self._preparing: _Words | None = None
        self._committing: _Words | None = None
        self._prepared: set[Who] = set()
        self._errors: list[str] = []

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
        done: Deferred[None] = Deferred()
        whos = [who_is(seat) for seat in seats]

        def over(silent: set[Who]) -> None:
            self._preparing = None
            if silent:
                said = f"no word from worker {_names(silent)} in {PREPARE_SECONDS:g} s"
                self._errors.append(said)
            if self._errors:
                done.errback(Refused(self._errors))
            else:
                done.callback(None)

        words = self._preparing = _Words(self._reactor, whos, PREPARE_SECONDS, over)
        for seat, _ in whos:
            self._send(seat, message, descriptors(seat.number))
        words.look()
        return done

    def heard(self, seat: Seat, error: str) -> None:
        """A worker has prepared the change; `error`: why it could not."""
        words, who = self._preparing, who_is(seat)
        if words is not None and words.came(who):
            if error:
                self._errors.append(f"worker {seat.number}: {error}")
            else:
                self._prepared.add(who)
            words.look()

    def committed(self, seat: Seat) -> None:
        """In a worker it is in force."""
        if self._committing is not None:
            self._committing.came(who_is(seat))
            self._committing.look()

    def lost(self, seat: Seat) -> None:
        """A worker is gone: the one that follows begins with what is in force then."""
        for words in (self._preparing, self._committing):
            if words is not None:
                words.came(who_is(seat))
                words.look()

    def commit(
        self, seats: Iterable[Seat], message: Message
    ) -> Deferred[tuple[int, ...]]:
        """It is in force: those that prepared it follow, those that could not make room for others that can.

        Fires when it is in force in all of them, or `COMMIT_SECONDS` later with a line in the log, with the numbers of
        those that did not say so.
        """
        following = []
        for seat in seats:
            if who_is(seat) in self._prepared:
                following.append(who_is(seat))
                self._send(seat, message, ())
            else:
                self._send(seat, {"t": "stop", "last": False, "patient": True}, ())
        self._prepared.clear()
        done: Deferred[tuple[int, ...]] = Deferred()

        def over(silent: set[Who]) -> None:
            if self._committing is words:
                self._committing = None
            if silent:
                self.log.warn(
                    "Worker {names} has not said in {seconds:g} s that other settings are"
                    " in force",
                    names=_names(silent),
                    seconds=COMMIT_SECONDS,
                )
            done.callback(_numbers(silent))

        words = _Words(self._reactor, following, COMMIT_SECONDS, over)
        self._committing = words
        words.look()
        return done

    def forget(self) -> None:
        """It is not to be."""
        for seat, starts in self._prepared:
            if seat.starts == starts:
                self._send(seat, {"t": "forget"}, ())
        self._prepared.clear()


def _names(whos: Iterable[Who]) -> str:
    return ", ".join(map(str, _numbers(whos)))


def _numbers(whos: Iterable[Who]) -> tuple[int, ...]:
    return tuple(sorted(seat.number for seat, _ in whos))
