"""What is to be done once at the end of a turn of the event loop, however often it was asked for in it.

Imports: Twisted. Used by: net.http2, net.tunnels, service, service.tunnels,
service.workers.
"""

from __future__ import annotations

from typing import ClassVar, Protocol

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger


class Flushed(Protocol):
    """Something that gathers what it is told in a turn."""

    def flush(self) -> None:
        """The turn is over: pass it on."""


class Turn:
    """One for each listener: its connections share one call of `clock`. Who asks does so once until its `flush`."""

    __slots__ = ("_asked", "_clock")

    _log: ClassVar = Logger()

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._asked: list[Flushed] = []

    def ask(self, one: Flushed) -> None:
        """Have `one.flush` called at the end of this turn; after a flush, of the next one."""
        asked = self._asked
        asked.append(one)
        if len(asked) == 1:
            self._clock.callLater(0, self._over)

    def _over(self) -> None:
        asked, self._asked = self._asked, []
        for one in asked:
            try:
                one.flush()
            except Exception:
                self._log.failure("A connection failed to send")
