"""`type = "bandwidth"`: how fast the body of an answer may be.

Nothing is kept back: what has come goes on, and then the target has to wait until that was due.

Imports: config.middleware, domain, proxy, proxy.chains, proxy.middleware, Twisted. Used
by: programs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from zope.interface import implementer

from lolly_tx.config.middleware.bandwidth import Bandwidth
from lolly_tx.domain.interfaces import IMiddlewareFactory
from lolly_tx.proxy.answer import AnswerHead
from lolly_tx.proxy.chains.filters import BodyFilter
from lolly_tx.proxy.chains.link import RESPONSE_BODY
from lolly_tx.proxy.chains.passage import Passage
from lolly_tx.proxy.middleware.base import Middleware

LEAST_WAIT = 0.01
"""Seconds; what is due sooner is not waited for by itself."""


class Pace(BodyFilter):
    """Of one body: `free` bytes at once, then `rate` a second."""

    keeps_length = True

    def __init__(
        self,
        passage: Passage,
        rate: float,
        free: int,
        now: Callable[[], float],
        clock: IReactorTime,
    ) -> None:
        self._passage = passage
        self._rate = rate
        self._free = free
        self._now = now
        self._clock = clock
        self._due = 0.0
        self._waiting: IDelayedCall | None = None

    def data(self, data: bytes) -> bytes:
        """Pass it on, and have the next wait."""
        size = len(data)
        if self._free:
            free = min(self._free, size)
            self._free -= free
            size -= free
        if size:
            now = self._now()
            self._due = max(self._due, now) + size / self._rate
            wait = self._due - now
            if wait >= LEAST_WAIT and self._waiting is None:
                self._waiting = self._clock.callLater(wait, self._go_on)
                self._passage.hold(True)
        return data

    def _go_on(self) -> None:
        self._waiting = None
        left = self._due - self._now()
        if left >= LEAST_WAIT:  # more had come before it stopped
            self._waiting = self._clock.callLater(left, self._go_on)
        else:
            self._passage.hold(False)

    def close(self) -> None:
        """It is over."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.cancel()


class BandwidthMiddleware(Middleware):
    """See the module."""

    touches = frozenset((RESPONSE_BODY,))

    def __init__(
        self, settings: Bandwidth, now: Callable[[], float], clock: IReactorTime
    ) -> None:
        self._settings = settings
        self._now = now
        self._clock = clock

    def response_body(self, passage: Passage, answer: AnswerHead) -> Pace:
        """Each has a pace of its own."""
        settings = self._settings
        return Pace(passage, settings.rate, settings.burst, self._now, self._clock)


@implementer(IMiddlewareFactory)
class BandwidthFactory:
    """Makes them."""

    name = "bandwidth"
    settings = Bandwidth

    def build(self, settings: Bandwidth, deps: Any) -> BandwidthMiddleware:
        """See `domain.interfaces.IPluginFactory`."""
        return BandwidthMiddleware(settings, deps.now, deps.clock)
