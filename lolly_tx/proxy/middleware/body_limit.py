"""`type = "body_limit"`: requests with a long body get 413, those without a length as soon as it is too long.

Imports: config.middleware, domain, proxy, proxy.chains, proxy.middleware. Used by:
proxy.middleware.buffer.
"""

from __future__ import annotations

from typing import Any

from zope.interface import implementer

from lolly_tx.config.middleware.bodies import BodyLimit
from lolly_tx.domain.interfaces import IMiddlewareFactory
from lolly_tx.proxy.answer import Answer, short_page
from lolly_tx.proxy.chains.filters import BodyFilter, Refused
from lolly_tx.proxy.chains.link import ASKED, REQUEST_BODY
from lolly_tx.proxy.chains.passage import Passage
from lolly_tx.proxy.middleware.base import Middleware

TOO_LARGE = short_page(413)


class Counted(BodyFilter):
    """Lets so many bytes pass."""

    keeps_length = True

    def __init__(self, size: int) -> None:
        self._left = size

    def data(self, data: bytes) -> bytes:
        """Count it. Raises `Refused`."""
        self._left -= len(data)
        if self._left < 0:
            raise Refused(TOO_LARGE, "request body too large")
        return data


class BodyLimitMiddleware(Middleware):
    """See the module."""

    touches = frozenset((ASKED, REQUEST_BODY))

    def __init__(self, size: int) -> None:
        self._size = size

    def request(self, passage: Passage) -> Answer | None:
        """Refuse it by what it says of its length."""
        return TOO_LARGE if (passage.head.block.length or 0) > self._size else None

    def request_body(self, passage: Passage) -> BodyFilter | None:
        """Count a body that says nothing."""
        return Counted(self._size) if passage.head.block.length is None else None


@implementer(IMiddlewareFactory)
class BodyLimitFactory:
    """Makes them."""

    name = "body_limit"
    settings = BodyLimit

    def build(self, settings: BodyLimit, deps: Any) -> BodyLimitMiddleware:
        """See `domain.interfaces.IPluginFactory`."""
        return BodyLimitMiddleware(settings.size)
