"""Deadlines of many connections, looked at together.

A timer per request costs more than the request's parsing. Here a connection has a plain
attribute `deadline` (seconds on the monotonic clock, or infinity); changing it is one
store. Ten times a second all watched connections are looked at: 10,000 of them cost less
than one per cent of a core, and a deadline is met within `PERIOD`. After a standstill of
the process the sockets are read first (`net.alarm`).

Imports: net, Twisted. Used by: net.http1, net.library, net.sockets, net.tunnel,
net.upstreams, proxy, service, simulate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from lolly_tx.net.alarm import Patience

PERIOD = 0.1
"""Seconds between two looks: the most a deadline is missed by."""

NEVER = float("inf")


class Watched(Protocol):
    """Something with a deadline.

    Whoever measures how long others take has a method `stood_still(seconds, now)` as well:
    the process has done nothing for so long.
    """

    deadline: float

    def expired(self, now: float) -> None:
        """The deadline has passed."""


class Deadlines:
    """The watched connections of one process.

    `now`: the monotonic clock, seconds. `clock`: what the looks are scheduled on.
    """

    _log = Logger()

    def __init__(self, clock: IReactorTime, now: Callable[[], float]) -> None:
        self.now = now
        self._watched: set[Watched] = set()
        self.add = self._watched.add
        self.discard = self._watched.discard
        self._loop = LoopingCall(self._look)
        self._loop.clock = clock
        self._patience = Patience(PERIOD)
        self._done: Deferred[LoopingCall] | None = None

    def __len__(self) -> int:
        return len(self._watched)

    def __iter__(self) -> Iterator[Watched]:
        """All that are watched, in no order; for what is rare and concerns many."""
        return iter(self._watched)

    def start(self) -> None:
        """Begin to look; does nothing when already begun."""
        if not self._loop.running:
            self._patience.begin(self.now())
            self._done = self._loop.start(PERIOD, now=False)

    def stop(self) -> None:
        """Stop looking; does nothing when not begun."""
        if self._loop.running:
            self._loop.stop()

    def _look(self) -> None:
        now = self.now()
        judging = self._patience.allows(now)
        if self._patience.lost:
            self._tell(self._patience.lost, now)
        if not judging:
            return
        for each in [each for each in self._watched if each.deadline <= now]:
            if each.deadline > now:
                continue  # one that expired before it has changed that
            try:
                each.expired(now)
            except Exception:
                self._log.failure("A connection failed at its deadline")

    def _tell(self, seconds: float, now: float) -> None:
        """The process stood still."""
        for each in self._watched:
            stood_still = getattr(each, "stood_still", None)
            if stood_still is not None:
                stood_still(seconds, now)
