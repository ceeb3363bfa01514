"""Timers that do not judge before what has come was read.

A process that stood still (SIGSTOP, a long collection, a machine that was suspended) finds
its timers run out while the bytes they waited for lie in its sockets, and a reactor runs
timers first. So a timer that is late by itself lets the sockets be read before it rings.

Imports: Twisted. Used by: net.checks, net.deadlines, net.library, net.sockets,
net.timeout, proxy, service.checks.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime

LATE = 0.1
"""Seconds a timer may be late on a machine that is merely busy."""

CATCH_UP = 2.0
"""Seconds: the longest we read before we judge. Ten thousand connections are read in one,
so a longer gap is a standstill and not the work of an overloaded process."""

CATCH_UP_MOST = 10.0
"""Seconds: the longest we read where one standstill follows another before we judge."""

LOOK = 0.1
"""Seconds between the looks of an alarm that reads before it rings."""


def respite(late: float) -> float:
    """Seconds in which to read before judging, for a timer that is `late` seconds late."""
    return min(late, CATCH_UP) if late > LATE else 0.0


class Alarm:
    """Calls `ring` once, after `seconds`; after a standstill a respite later than that."""

    __slots__ = ("_clock", "_due", "_patience", "_ring", "_timer")

    def __init__(
        self, clock: IReactorTime, seconds: float, ring: Callable[[], object]
    ) -> None:
        self._clock = clock
        self._ring = ring
        self._due = clock.seconds() + seconds
        self._patience: Patience | None = None
        self._timer = clock.callLater(seconds, self._fired)

    def _fired(self) -> None:
        now = self._clock.seconds()
        patience = self._patience
        if patience is None:
            if not respite(now - self._due):
                self._ring()
                return
            patience = self._patience = Patience(LOOK)
            patience.begin(self._due - LOOK)
        if patience.allows(now):
            self._ring()
        else:
            self._timer = self._clock.callLater(LOOK, self._fired)

    def cancel(self) -> None:
        """Do not ring; does nothing once it has rung."""
        if self._timer.active():
            self._timer.cancel()


class Patience:
    """Whether a loop that looks every `period` seconds may judge what it sees.

    Not while it catches up after a standstill, and each standstill is caught up with: a
    look that is late after one in time, or later than any reading would make it. Of looks
    that are late one after the other every second judges: under a load that makes all of
    them late, limits hold all the same. So they do where one standstill follows another
    before it was caught up with, once `CATCH_UP_MOST` seconds were for reading.
    `lost`: how many seconds late the last look was, 0 when it was in time.
    """

    __slots__ = ("_due", "_period", "_reading", "_rested", "_until", "lost")

    def __init__(self, period: float) -> None:
        self._period = period
        self._due = self._until = self.lost = 0.0
        self._reading = 0.0  # seconds since the last look that judged
        self._rested = False  # the last look was late and did not judge

    def begin(self, now: float) -> None:
        """The loop begins."""
        self._due = now + self._period
        self._until = now
        self._reading = 0.0
        self._rested = False

    def allows(self, now: float) -> bool:
        """One look: whether it may judge."""
        late = now - self._due
        rest = respite(late)
        self.lost = late if rest else 0.0
        self._due = now + self._period
        spent = self._reading >= CATCH_UP_MOST
        if rest and (not self._rested or (late > CATCH_UP and not spent)):
            # In direct succession the looks tell nothing of how long it read.
            self._reading += rest if self._rested else 0.0
            self._until = now + rest
            self._rested = True
            return False
        if now < self._until and (rest or not spent):
            self._reading += self._period
            self._rested = bool(rest)
            return False
        self._until = now
        self._reading = 0.0
        self._rested = False
        return True
