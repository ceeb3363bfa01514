"""Gives the reader of a log that is behind what was kept for it, as fast as it reads.

A pipe takes 64 KiB at a time. While the reader takes something it is offered more every few moments; a
reader that takes nothing is asked ever more seldom.

Imports: Twisted. Used by: service.process, service.records.recording,
service.records.sinks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime

QUICK_SECONDS = 0.02
"""Until a reader that took something is offered more."""

SLOW_SECONDS = 0.5
"""The longest until a reader that took nothing is asked again."""


class Behind(Protocol):
    """What a reader may be behind with. `waiting_bytes`: how much it has not taken."""

    @property
    def waiting_bytes(self) -> int:
        """In bytes."""


class Draining:
    """Calls `attempt` again and again while there is something left for the reader of `file`.

    `attempt`: writes what the file takes, and returns whether something is left to be said.
    """

    def __init__(
        self, file: Behind, clock: IReactorTime, attempt: Callable[[], bool]
    ) -> None:
        self._file = file
        self._clock = clock
        self._attempt = attempt
        self._pause = QUICK_SECONDS
        self._timer: IDelayedCall | None = None

    def begin(self) -> None:
        """Something is left; does nothing when that is known."""
        if self._timer is None:
            self._timer = self._clock.callLater(self._pause, self._look)

    def _look(self) -> None:
        before = self._file.waiting_bytes
        left = self._attempt()
        slow = left and self._file.waiting_bytes >= before
        self._pause = min(2 * self._pause, SLOW_SECONDS) if slow else QUICK_SECONDS
        self._timer = None
        if left:
            self.begin()

    def end(self) -> None:
        """Do not ask any more."""
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
