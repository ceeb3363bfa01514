"""A base for middleware (`domain.interfaces.IMiddleware`); what it may touch is in `proxy.chains.link`.

Imports: domain, proxy, proxy.chains. Used by: proxy.forwards, proxy.middleware.
"""

from __future__ import annotations

from typing import Any

from zope.interface import implementer

from lolly_tx.domain.interfaces import IMiddleware
from lolly_tx.proxy.answer import Answer, AnswerHead
from lolly_tx.proxy.chains.filters import BodyFilter
from lolly_tx.proxy.chains.passage import Passage


@implementer(IMiddleware)
class Middleware:
    """A base for them that lets everything pass; `touches` says which of the four are asked."""

    touches: frozenset[str] = frozenset()

    def request(self, passage: Passage) -> Any:
        """See `IMiddleware`."""
        return None

    def response(self, passage: Passage, answer: AnswerHead) -> Answer | None:
        """See `IMiddleware`."""
        return None

    def request_body(self, passage: Passage) -> BodyFilter | None:
        """See `IMiddleware`."""
        return None

    def response_body(self, passage: Passage, answer: AnswerHead) -> BodyFilter | None:
        """See `IMiddleware`."""
        return None
