"""A limit on how long a Deferred may take.

Where one Deferred waits. The many connections of the data plane share the coarse scan of
`net.deadlines` instead.

Imports: domain, net, Twisted. Used by: net.library, net.proxies, net.sockets.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from lolly_tx.domain.errors import ProxyError
from lolly_tx.net.alarm import Alarm

T = TypeVar("T")


class Limit(Generic[T]):
    """What `within` does, for an attempt whose time does not always run.

    It runs from `run` until `stop`, and from the beginning each time.
    """

    def __init__(
        self,
        attempt: Deferred[T],
        seconds: float,
        clock: IReactorTime,
        late: Callable[[], ProxyError],
    ) -> None:
        self._seconds = seconds
        self._clock = clock
        self._late = late
        self._alarm: Alarm | None = None
        self._expired = self._over = False
        self._attempt = attempt
        attempt.addBoth(self._finish)

    def run(self) -> None:
        """Let the time run."""
        self.stop()
        if not self._over:
            self._alarm = Alarm(self._clock, self._seconds, self._expire)

    def stop(self) -> None:
        """Let it not run."""
        alarm, self._alarm = self._alarm, None
        if alarm is not None:
            alarm.cancel()

    def _expire(self) -> None:
        self._alarm = None
        self._expired = True
        self._attempt.cancel()

    def _finish(self, result: T | Failure) -> T | Failure:
        self._over = True
        self.stop()
        if self._expired and isinstance(result, Failure):
            error = self._late()
            error.__cause__ = result.value
            return Failure(error)
        return result


def within(
    attempt: Deferred[T],
    seconds: float,
    clock: IReactorTime,
    late: Callable[[], ProxyError],
) -> Deferred[T]:
    """Cancel `attempt` after `seconds`; it then fails with `late()`.

    That is what tells our limit from a cancel by the caller, which passes through as it
    is. The timer is gone once `attempt` has ended, and a result that arrives in spite of
    the cancel is kept.
    """
    Limit(attempt, seconds, clock, late).run()
    return attempt
