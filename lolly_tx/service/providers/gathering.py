"""Work that changes ask for: done a moment later, one after the other, and once more for what came meanwhile.

Imports: Twisted. Used by: service.providers.provider, service.providers.textprovider.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

GATHER_SECONDS = 0.1
"""Changes that follow one within this time are dealt with together."""

RETRY_SECONDS = 5.0
"""After work that has failed."""


class Gathering:
    """See the module. `clock`: `IReactorTime`. `failed`: told why work has failed; it is done again later."""

    def __init__(
        self,
        clock: Any,
        work: Callable[[], Coroutine[Any, Any, None]],
        failed: Callable[[Failure], None],
    ) -> None:
        self._clock = clock
        self._work = work
        self._failed = failed
        self._timer: IDelayedCall | None = None
        self._working: Deferred[None] | None = None
        self._again = False
        self._stopped = False

    def stop(self) -> None:
        """No more of it."""
        self._stopped = True
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
        working, self._working = self._working, None
        if working is not None:
            working.cancel()

    def soon(self, seconds: float = GATHER_SECONDS) -> None:
        """Something has changed."""
        if self._stopped:
            return
        if self._working is not None:
            self._again = True
        elif self._timer is None:
            self._timer = self._clock.callLater(seconds, self._turn)

    def _turn(self) -> None:
        self._timer = None
        working = Deferred.fromCoroutine(self._work())
        self._working = working
        working.addErrback(self._eb_failed)
        working.addBoth(self._cb_over)

    def _eb_failed(self, reason: Failure) -> None:
        if self._stopped and reason.check(CancelledError):
            return
        self._failed(reason)
        self._clock.callLater(0, self.soon, RETRY_SECONDS)

    def _cb_over(self, _: Any) -> None:
        self._working = None
        again, self._again = self._again, False
        if again:
            self.soon()
