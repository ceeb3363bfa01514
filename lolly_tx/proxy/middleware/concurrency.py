"""`type = "concurrency"`: how many requests with the same key at once, tunnels included.

Imports: config.middleware, domain, proxy, proxy.chains, proxy.middleware. Used by:
programs.
"""

from __future__ import annotations

from typing import Any

from zope.interface import implementer

from lolly_tx.config.middleware.concurrency import Concurrency
from lolly_tx.domain.interfaces import IMiddlewareFactory
from lolly_tx.proxy.answer import Answer
from lolly_tx.proxy.chains.link import ASKED
from lolly_tx.proxy.chains.passage import Passage
from lolly_tx.proxy.middleware.base import Middleware
from lolly_tx.proxy.middleware.clientkeys import CountedBy
from lolly_tx.proxy.replies import page

FULL = Answer(503, page(503)[0] + b"Retry-After: 1\r\n", page(503)[1])


class ConcurrencyMiddleware(Middleware):
    """See the module. `under_way`: how many there are, by key."""

    touches = frozenset((ASKED,))

    def __init__(
        self, settings: Concurrency, limit: int, under_way: dict[bytes, int]
    ) -> None:
        self.under_way = under_way
        self._limit = limit
        self._key = CountedBy(settings.key)

    def request(self, passage: Passage) -> Answer | None:
        """Let it pass, or refuse it."""
        key, under_way = self._key.of(passage), self.under_way
        count = under_way.get(key, 0)
        if count >= self._limit:
            return FULL
        under_way[key] = count + 1
        passage.when_over(lambda: self._less(key))
        return None

    def _less(self, key: bytes) -> None:
        left = self.under_way[key] - 1
        if left:
            self.under_way[key] = left
        else:
            del self.under_way[key]


@implementer(IMiddlewareFactory)
class ConcurrencyFactory:
    """Makes them."""

    name = "concurrency"
    settings = Concurrency

    def build(self, settings: Concurrency, deps: Any) -> ConcurrencyMiddleware:
        """See `domain.interfaces.IPluginFactory`."""
        before = deps.before
        kept = isinstance(before, ConcurrencyMiddleware)
        under_way = before.under_way if kept else {}
        limit = max(1, settings.limit // deps.workers)
        return ConcurrencyMiddleware(settings, limit, under_way)
