"""`type = "headers"`: fields of requests and answers set, added, removed.

Imports: config.middleware, domain, proxy, proxy.chains, proxy.middleware, wire. Used
by: programs.
"""

from __future__ import annotations

from typing import Any

from zope.interface import implementer

from lolly_tx.config.middleware.headers import Headers
from lolly_tx.domain.interfaces import IMiddlewareFactory
from lolly_tx.proxy.answer import AnswerHead
from lolly_tx.proxy.chains.link import REQUEST, RESPONSE
from lolly_tx.proxy.chains.passage import Passage
from lolly_tx.proxy.middleware.base import Middleware
from lolly_tx.proxy.middleware.fieldchanges import Changes
from lolly_tx.proxy.middleware.remembered import Remembered
from lolly_tx.wire.message import RequestHead


class HeadersMiddleware(Middleware):
    """See the module."""

    def __init__(self, settings: Headers) -> None:
        self._of_request = Changes(settings.request)
        self._of_response = Changes(settings.response)
        touched = {REQUEST} if self._of_request else set()
        self.answer_fields = None
        if self._of_response.constant:
            self.answer_fields = self._of_response.of_any
        self.touches = frozenset(touched | ({RESPONSE} if self._of_response else set()))
        self.request_edit = None
        if self._of_request.constant:
            self._known = Remembered(self._changed)
            self.request_edit = self._constant

    def _changed(self, head: RequestHead, known: Any = None) -> RequestHead:
        changes = self._of_request
        block = head.block.with_lines(
            lambda lines: changes.of(lines, known), changes.gone
        )
        return head.with_block(block)

    def _constant(self, head: RequestHead) -> RequestHead:
        """What the target gets of a head, whoever sends it."""
        known = self._known
        return known.known.get(head) or known.of(head)

    def request(self, passage: Passage) -> None:
        """Change what the target gets."""
        head = passage.head
        if self.request_edit is None:
            passage.head = self._changed(head, passage.known)
        else:
            passage.head = self._constant(head)

    def response(self, passage: Passage, answer: AnswerHead) -> None:
        """Change what the client gets."""
        self._of_response.change(passage, answer)


@implementer(IMiddlewareFactory)
class HeadersFactory:
    """Makes them."""

    name = "headers"
    settings = Headers

    def build(self, settings: Headers, deps: Any) -> HeadersMiddleware:
        """See `domain.interfaces.IPluginFactory`."""
        return HeadersMiddleware(settings)
