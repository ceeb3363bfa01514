"""`type = "fault"`: delays and failures on purpose, of some requests, for a while.

Imports: config.middleware, domain, proxy, proxy.chains, proxy.middleware, Twisted. Used
by: programs.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from zope.interface import implementer

from lolly_tx.config.middleware.fault import FOREVER, Fault
from lolly_tx.domain.interfaces import IMiddlewareFactory
from lolly_tx.proxy.answer import Answer
from lolly_tx.proxy.chains.link import ASKED, REQUEST
from lolly_tx.proxy.chains.passage import Passage
from lolly_tx.proxy.middleware.base import Middleware
from lolly_tx.proxy.replies import page


class FaultMiddleware(Middleware):
    """See the module. `wall`: seconds since the epoch. `held`: requests that wait at the moment."""

    def __init__(
        self,
        settings: Fault,
        clock: IReactorTime,
        wall: Callable[[], float],
        random: Random,
    ) -> None:
        self._settings = settings
        self._field = settings.header.lower().encode("ascii")
        self.touches = frozenset((REQUEST if settings.header else ASKED,))
        self._clock = clock
        self._wall = wall
        self._random = random
        self.held = 0

    def request(self, passage: Passage) -> Answer | Deferred[Answer | None] | None:
        """Hold it, fail it, both or neither."""
        settings, field = self._settings, self._field
        if field:
            block = passage.head.block
            if block.get(field) is None:
                return None
            passage.head = passage.head.with_block(
                block.without_fields(frozenset((field,)))
            )
        if settings.until != FOREVER and self._wall() >= settings.until:
            return None
        answer = None
        if settings.status and self._hits(settings.abort_percent):
            answer = Answer(settings.status, *page(settings.status))
        wanted = settings.delay and self._hits(settings.delay_percent)
        if not wanted or self.held >= settings.most:
            return answer
        return self._hold(settings.delay, answer)

    def _hits(self, percent: float) -> bool:
        return percent >= 100.0 or self._random.random() * 100.0 < percent

    def _hold(self, seconds: float, answer: Answer | None) -> Deferred[Answer | None]:
        self.held += 1

        def free(result: Any) -> Any:
            self.held -= 1
            if timer.active():
                timer.cancel()
            return result

        held: Deferred[Answer | None] = Deferred()
        timer: IDelayedCall = self._clock.callLater(seconds, held.callback, answer)
        return held.addBoth(free)


@implementer(IMiddlewareFactory)
class FaultFactory:
    """Makes them."""

    name = "fault"
    settings = Fault

    def build(self, settings: Fault, deps: Any) -> FaultMiddleware:
        """See `domain.interfaces.IPluginFactory`."""
        return FaultMiddleware(settings, deps.clock, deps.wall, deps.random)
