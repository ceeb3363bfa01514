"""Going through what is stored a slice at a time, so that nobody waits for a purge of very much.

Imports: Twisted. Used by: proxy.caching.caches.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import ClassVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

SLICE_SECONDS = 0.004
"""How long the event loop is held at once."""
_LOOK = 32
"""Answers from one look at the clock to the next."""


class _Sweep:
    def __init__(self, steps: Iterator[bool]) -> None:
        self.steps = steps
        self.count = 0
        self.done: Deferred[int] = Deferred()


class Sweeper:
    """See the module. `now`: seconds, monotonic. One slice a turn for all sweeps; they come one after the other."""

    log: ClassVar[Logger] = Logger()

    def __init__(self, clock: IReactorTime, now: Callable[[], float]) -> None:
        self._clock = clock
        self._now = now
        self._sweeps: deque[_Sweep] = deque()
        self._busy = False
        self._timer: IDelayedCall | None = None

    def sweep(self, steps: Iterator[bool]) -> Deferred[int]:
        """Go through `steps`; how many of them were true. What takes no time is done at once."""
        one = _Sweep(steps)
        self._sweeps.append(one)
        if not self._busy and self._timer is None:
            self._turn()
        return one.done

    def stop(self) -> None:
        """The process ends; who waits is told nothing."""
        self._sweeps.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _turn(self) -> None:
        self._timer = None
        self._busy = True
        until = self._now() + SLICE_SECONDS
        while self._sweeps:
            one = self._sweeps[0]
            if self._goes_on(one, until):
                break
            self._sweeps.popleft()
            one.done.callback(one.count)
        self._busy = False
        if self._sweeps:
            self._timer = self._clock.callLater(0, self._turn)

    def _goes_on(self, one: _Sweep, until: float) -> bool:
        """Whether it has to go on another time."""
        now = self._now
        try:
            for number, went in enumerate(one.steps, 1):
                one.count += went
                if not number % _LOOK and now() >= until:
                    return True
        except Exception:
            self.log.failure("A sweep of stored answers has ended")
        return False
