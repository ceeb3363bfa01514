"""`type = "buffer"`: the whole body of a request is taken before a target is chosen.

Imports: config.middleware, domain, proxy, proxy.chains, proxy.middleware, Twisted. Used
by: programs.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from zope.interface import implementer

from lolly_tx.config.middleware.bodies import Buffer
from lolly_tx.domain.interfaces import IMiddlewareFactory
from lolly_tx.proxy.answer import Answer
from lolly_tx.proxy.chains.link import ASKED
from lolly_tx.proxy.chains.passage import Passage
from lolly_tx.proxy.middleware.base import Middleware
from lolly_tx.proxy.middleware.body_limit import TOO_LARGE


class BufferMiddleware(Middleware):
    """`most`: bytes of a body."""

    touches = frozenset((ASKED,))

    def __init__(self, most: int) -> None:
        self._most = most

    def request(self, passage: Passage) -> Answer | Deferred[Answer | None] | None:
        """Wait for the body, if there is more to come."""
        if (passage.head.block.length or 0) > self._most:
            return TOO_LARGE
        return passage.whole_body(self._most, TOO_LARGE)


@implementer(IMiddlewareFactory)
class BufferFactory:
    """Makes them."""

    name = "buffer"
    settings = Buffer

    def build(self, settings: Buffer, deps: Any) -> BufferMiddleware:
        """See `domain.interfaces.IPluginFactory`."""
        return BufferMiddleware(settings.request)
