"""What is under way at targets that have left: it may go on, but not for ever.

    see_off(upstreams)   they have `timeouts.drain`; then WebSockets get a Close frame, and all else is cut

One timer for all, and none while nobody leaves. A WebSocket or a download at a target that stays is never touched.

Imports: net, Twisted. Used by: service.changes, service.service, service.workers.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from lolly_tx.net.deadlines import Deadlines
from lolly_tx.net.upstreams import Upstream

GRACE_SECONDS = 3.0
"""What a WebSocket has after its Close frame; a little more than it takes to answer that."""


class Farewells:
    """`clock`: for the timer; `deadlines`: all connections are watched there."""

    log = Logger()

    def __init__(self, clock: IReactorTime, deadlines: Deadlines) -> None:
        self._clock = clock
        self._deadlines = deadlines
        self._leaving: dict[Upstream, float] = {}
        self._told: set[Upstream] = set()
        """Those whose WebSockets have been told to go."""
        self._timer: IDelayedCall | None = None

    def __len__(self) -> int:
        """Those with connections in use."""
        return sum(1 for each in self._leaving if each.open)

    def see_off(self, upstreams: Iterable[Upstream], seconds: float) -> None:
        """End what is still open to `upstreams` after so long."""
        self._forget_gone()
        until = self._deadlines.now() + seconds
        self._leaving.update({each: until for each in upstreams if each.open})
        self._schedule()

    def stop(self) -> None:
        """No timer is left; the service ends everything now."""
        self._leaving.clear()
        self._told.clear()
        self._schedule()

    def _forget_gone(self) -> None:
        for upstream in [each for each in self._leaving if not each.open]:
            del self._leaving[upstream]

    def _schedule(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._leaving:
            wait = min(self._leaving.values()) - self._deadlines.now()
            self._timer = self._clock.callLater(max(0.0, wait), self._end)

    def _end(self) -> None:
        self._timer = None
        self._forget_gone()
        now = self._deadlines.now()
        due = {each for each, until in self._leaving.items() if until <= now}
        watched: list[Any] = list(self._deadlines)
        ending = [each for each in watched if getattr(each, "upstream", None) in due]
        for each in ending:
            leave = getattr(each, "leave", None)
            if leave is None or each.upstream in self._told:
                each.transport.abortConnection()
            else:
                leave()
        for upstream in due & self._told:
            del self._leaving[upstream]
        for upstream in due - self._told:
            self._leaving[upstream] = now + GRACE_SECONDS
        self._told = (self._told | due) & self._leaving.keys()
        if ending:
            self.log.info(
                "Ending {count} connections to targets that have left",
                count=len(ending),
            )
        self._schedule()
