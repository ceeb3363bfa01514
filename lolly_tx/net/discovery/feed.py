"""A discovery that asks, again and again; it is told by what it asks how long to wait.

    Feed(ask, deps)
      ask() --> Answer(entries, wait)    entries: what there is now, or None: as before, which is told as well
      ask() --> errback                  told in one line, and asked again soon

Imports: domain, net.discovery, Twisted. Used by: net.discovery.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure
from zope.interface import implementer

from lolly_tx.domain.interfaces import IDiscovery
from lolly_tx.net.discovery.deps import DiscoveryDeps

FIRST_RETRY = 0.5
"""Seconds after the first failure; each that follows doubles it."""

LAST_RETRY = 1.0
"""Seconds from a failure to the next question at most: who is back is noticed soon."""


class NotLearned(Exception):
    """Nothing could be learned; the text says why, in one line."""


@attrs.frozen
class Answer:
    """`entries`: as `IDiscovery` has them; None: as before. `wait`: seconds until the next question."""

    entries: Sequence[Any] | None
    wait: float


@implementer(IDiscovery)
class Feed:
    """See the module."""

    def __init__(
        self,
        ask: Callable[[], Coroutine[Any, Any, Answer]],
        deps: DiscoveryDeps,
    ) -> None:
        self._ask = ask
        self._deps = deps
        self._most = min(deps.interval, LAST_RETRY)
        self._entries: Sequence[Any] | None = None
        self._failures = 0
        self._timer: IDelayedCall | None = None
        self._asking: Deferred[None] | None = None
        self._stopped = False
        self._found: Callable[[Sequence[Any]], None] = print
        self._failed: Callable[[str], None] = print

    def start(
        self,
        found: Callable[[Sequence[Any]], None],
        failed: Callable[[str], None],
    ) -> None:
        """See `IDiscovery`."""
        self._found, self._failed = found, failed
        self._later(0.0)

    def stop(self) -> None:
        """See `IDiscovery`."""
        self._stopped = True
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
        asking, self._asking = self._asking, None
        if asking is not None:
            asking.cancel()

    def _later(self, seconds: float) -> None:
        if not self._stopped:
            self._timer = self._deps.clock.callLater(seconds, self._turn)

    def _turn(self) -> None:
        self._timer = None
        answer = Deferred.fromCoroutine(self._ask())
        self._asking = answer.addCallbacks(self._cb_answered, self._eb_failed)

    def _cb_answered(self, answer: Answer) -> None:
        self._asking = None
        self._failures = 0
        self._later(answer.wait)
        if answer.entries is not None:
            self._entries = answer.entries
        if self._entries is not None and not self._stopped:
            self._found(self._entries)

    def _eb_failed(self, reason: Failure) -> None:
        self._asking = None
        if self._stopped:
            reason.trap(CancelledError, Exception)
            return
        wait = min(self._most, FIRST_RETRY * 2 ** min(self._failures, 16))
        self._failures += 1
        # Many proxies that lose one registry do not come back at the same moment.
        self._later(wait * (0.5 + 0.5 * self._deps.random.random()))
        if not reason.check(NotLearned, OSError):
            self._deps.log.debug("Discovery failed", log_failure=reason)
        said = reason.getErrorMessage() or type(reason.value).__name__
        self._failed(" ".join(said.split())[:300])
