"""`type = "rate_limit"`: how many requests with the same key in a time (`domain.access.rates`).

Refused requests count for nothing, and are told when to come again: Retry-After, and the RateLimit fields that clients
read.

Imports: config.middleware, domain, domain.access, domain.shared, proxy, proxy.chains,
proxy.middleware, Twisted. Used by: programs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from lolly_tx.config.middleware.rate_limit import RateLimit
from lolly_tx.domain.access.rates import Rate, Rates
from lolly_tx.domain.interfaces import IMiddlewareFactory
from lolly_tx.domain.shared.standin import StandIn
from lolly_tx.proxy.answer import Answer
from lolly_tx.proxy.chains.link import ASKED
from lolly_tx.proxy.chains.passage import Passage
from lolly_tx.proxy.middleware.base import Middleware
from lolly_tx.proxy.middleware.clientkeys import CountedBy
from lolly_tx.proxy.middleware.shared_rate_limit import SharedRateLimit
from lolly_tx.proxy.replies import page


class RateLimitMiddleware(Middleware):
    """See the module. `rates`: what is known of keys."""

    touches = frozenset((ASKED,))

    def __init__(
        self,
        settings: RateLimit,
        rates: Rates,
        now: Callable[[], float],
        clock: IReactorTime,
    ) -> None:
        self.rates = rates
        self._now = now
        self._clock = clock
        self._delay = settings.delay
        self._key = by = CountedBy(settings.key)
        self.request_gate = self._by_client if by.whole else None
        self._refusal = refusal_of(settings)

    def _by_client(self, client: str) -> Answer | Deferred[None] | None:
        """Let it pass, refuse it, or have it wait."""
        by = self._key
        key = by.known.get(client)
        if key is None:
            key = by.of_client(client)
        if self._delay:
            return self._paced(key)
        now = self._now
        wait = self.rates.admit(key, now())
        return self._refusal(wait) if wait else None

    def request(self, passage: Passage) -> Answer | Deferred[None] | None:
        """The same by any key."""
        if self.request_gate is not None:
            return self._by_client(passage.client)
        key = self._key.of(passage)
        if self._delay:
            return self._paced(key)
        wait = self.rates.admit(key, self._now())
        return self._refusal(wait) if wait else None

    def _paced(self, key: bytes) -> Answer | Deferred[None] | None:
        wait = self.rates.pace(key, self._now())
        if wait is None:
            rate = self.rates.rate
            return self._refusal(rate.burst * rate.seconds / rate.count)
        if not wait:
            return None
        waiting: Deferred[None] = Deferred(lambda _: call.cancel())
        call = self._clock.callLater(wait, waiting.callback, None)
        return waiting


def refusal_of(settings: RateLimit) -> Callable[[float], Answer]:
    """What those get who are too early by so many seconds."""
    status = settings.status
    fields, text = page(status)
    fields += b"RateLimit-Limit: %d\r\nRateLimit-Remaining: 0\r\n" % settings.rate.count

    def refusal(wait: float) -> Answer:
        seconds = max(1, math.ceil(wait))
        more = b"RateLimit-Reset: %d\r\nRetry-After: %d\r\n" % (seconds, seconds)
        return Answer(status, fields + more, text)

    return refusal


@implementer(IMiddlewareFactory)
class RateLimitFactory:
    """Makes them."""

    name = "rate_limit"
    settings = RateLimit
    tables = ("stores",)

    def build(self, settings: RateLimit, deps: Any) -> Any:
        """See `domain.interfaces.IPluginFactory`."""
        if settings.store:
            return _shared(settings, deps)
        limit = settings.limit
        part = Rate(
            max(1, limit.count // deps.workers),
            limit.seconds,
            max(1, limit.burst // deps.workers),
        )
        before = deps.before
        if isinstance(before, RateLimitMiddleware) and before.rates.rate == part:
            rates = before.rates
        else:
            rates = Rates(part, settings.keys)
        return RateLimitMiddleware(settings, rates, deps.now, deps.clock)


def _shared(settings: RateLimit, deps: Any) -> SharedRateLimit:
    """One that all instances count together."""
    before, limit = deps.before, settings.limit
    if isinstance(before, SharedRateLimit) and before.stand_in.rate == limit:
        stand_in = before.stand_in
    else:
        stand_in = StandIn(limit, settings.keys)
    return SharedRateLimit(
        settings,
        deps.store(settings.store),
        stand_in,
        refusal_of(settings),
        name=deps.name,
        workers=deps.workers,
        now=deps.now,
        clock=deps.clock,
    )
