"""`type = "request_id"`: an id for each request of some routes, at the target, at the client and in logs.

Imports: config.middleware, domain, domain.access, proxy, proxy.chains,
proxy.middleware, wire. Used by: programs.
"""

from __future__ import annotations

from zope.interface import implementer

from lolly_tx.config.middleware.identity import RequestIdOfRoute
from lolly_tx.domain.access.forwarded import TrustedPeers
from lolly_tx.domain.interfaces import IMiddlewareFactory
from lolly_tx.proxy.answer import AnswerHead
from lolly_tx.proxy.chains.link import REQUEST, RESPONSE
from lolly_tx.proxy.chains.passage import Passage
from lolly_tx.proxy.identity import Identity, RequestIds
from lolly_tx.proxy.middleware.base import Middleware
from lolly_tx.proxy.middleware.deps import MiddlewareDeps
from lolly_tx.wire.fieldlines import without_spellings


class RequestIdMiddleware(Middleware):
    """See the module. `ids`: makes them."""

    touches = frozenset((REQUEST, RESPONSE))

    def __init__(self, ids: RequestIds) -> None:
        self._ids = ids
        self._ours = frozenset((ids.field,))

    def request(self, passage: Passage) -> None:
        """Give it one, in place of what the client says."""
        mark = Identity()
        head = passage.head
        self._ids.mark(mark, head, passage.peer)
        passage.identify().request_id = mark.request_id
        block = head.block.with_lines(
            lambda lines: without_spellings(lines, self._ours) + mark.lines, self._ours
        )
        passage.head = head.with_block(block)
        passage.notes[self] = mark.echo

    def response(self, passage: Passage, answer: AnswerHead) -> None:
        """Tell the client, in place of what the target says."""
        fields = without_spellings(answer.fields, self._ours)
        answer.fields = fields + passage.notes[self]


@implementer(IMiddlewareFactory)
class RequestIdFactory:
    """Makes them."""

    name = "request_id"
    settings = RequestIdOfRoute
    tables = ("trusted_proxies",)

    def build(
        self, settings: RequestIdOfRoute, deps: MiddlewareDeps
    ) -> RequestIdMiddleware:
        """See `domain.interfaces.IPluginFactory`."""
        trusted = TrustedPeers(deps.config.trusted_proxies)
        return RequestIdMiddleware(
            RequestIds(settings.header, trusted, deps.random, anybody=settings.trust)
        )
