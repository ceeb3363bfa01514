"""`type = "forward_auth"`: an authority is asked about each request.

Imports: config.middleware, domain, net, proxy, proxy.chains, proxy.middleware, wire,
Twisted. Used by: programs.

It gets a request of our own without a body, which goes the way of its pool. Fields that it may set are taken out of
what clients send first, whether its answer has them or not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from lolly_tx.config.middleware.forward_auth import ForwardAuth
from lolly_tx.domain.interfaces import IMiddlewareFactory
from lolly_tx.net.doors import Peer
from lolly_tx.proxy.answer import Answer, AnswerHead
from lolly_tx.proxy.chains.link import REQUEST
from lolly_tx.proxy.chains.passage import Passage
from lolly_tx.proxy.errand import Errand, NoAnswer, NotWaitedFor
from lolly_tx.proxy.middleware.base import Middleware
from lolly_tx.proxy.proxy import RouteEnd
from lolly_tx.proxy.replies import page
from lolly_tx.wire.fields import render_fields
from lolly_tx.wire.message import RequestHead

MOST_BYTES = 65536
"""Of an answer of the authority."""
_NOT_RELAYED = (
    b"connection",
    b"keep-alive",
    b"transfer-encoding",
    b"content-length",
    b"trailer",
    b"upgrade",
)


class ForwardAuthMiddleware(Middleware):
    """See the module. `pool(name)`: where requests to it go. `dropped`: fields of refusals that no client gets."""

    log: ClassVar[Logger] = Logger()
    touches = frozenset((REQUEST,))

    def __init__(
        self,
        settings: ForwardAuth,
        pool: Callable[[str], RouteEnd],
        clock: IReactorTime,
        name: str = "forward_auth",
        dropped: tuple[bytes, ...] = (),
    ) -> None:
        self._settings = settings
        self._pool = pool
        self._clock = clock
        self._name = name
        self._dropped = (*_NOT_RELAYED, *dropped)
        self._asks = [name.encode() for name in settings.request_headers]
        self._takes = [name.encode() for name in settings.response_headers]
        self._ours = frozenset(name.lower().replace(b"_", b"-") for name in self._takes)

    def request(self, passage: Passage) -> Deferred[Answer | None]:
        """Ask, and have the request wait."""
        client = passage.peer
        asked = passage.asked
        if self._ours:
            block = passage.head.block.without_fields(self._ours)
            passage.head = passage.head.with_block(block)
        told = b"X-Forwarded-Method: %b\r\nX-Forwarded-Uri: %b\r\n" % (
            asked.method,
            asked.target,
        )
        peer = Peer(
            client.address,
            client.listener,
            client.secure,
            lambda _, head: client.lines(asked) + told,
        )
        settings = self._settings
        errand = Errand(peer, self._clock, settings.timeout, MOST_BYTES)
        answer = errand.begin(self._pool(settings.pool), self._question(passage))
        return answer.addCallbacks(
            self._cb_answer, self._eb_none, (passage,), errbackArgs=(passage,)
        )

    def _question(self, passage: Passage) -> RequestHead:
        block = passage.asked.block
        pairs = [(b"Host", block.host or b"localhost")]
        for name in self._asks:
            pairs += [(name, value) for value in block.get_all(name.lower())]
        return RequestHead.from_pairs(b"GET", self._settings.path.encode(), pairs)

    def _cb_answer(
        self, answer: tuple[AnswerHead, bytes], passage: Passage
    ) -> Answer | None:
        head, body = answer
        if 200 <= head.status <= 299:
            self._take_over(head, passage)
            return None
        if head.status in (401, 403):
            head.remove(*self._dropped)
            return Answer(head.status, head.fields, body, head.reason)
        self.log.warn(
            "Middleware {name}: the authority answered {status}",
            name=self._name,
            status=head.status,
        )
        return Answer(500, *page(500))

    def _take_over(self, head: AnswerHead, passage: Passage) -> None:
        pairs = [(name, value) for name in self._takes for value in head.get_all(name)]
        if pairs:
            lines = render_fields(pairs)
            block = passage.head.block.with_lines(lambda before: before + lines)
            passage.head = passage.head.with_block(block)

    def _eb_none(self, reason: Failure, passage: Passage) -> Answer:
        reason.trap(NoAnswer)
        if reason.check(NotWaitedFor):
            return Answer(500, *page(500))  # to nobody: the client has gone
        self.log.warn(
            "Middleware {name}: the authority gave {why}",
            name=self._name,
            why=reason.getErrorMessage(),
        )
        return Answer(500, *page(500))


@implementer(IMiddlewareFactory)
class ForwardAuthFactory:
    """Makes them."""

    name = "forward_auth"
    settings = ForwardAuth
    tables = ("request_id",)

    def build(self, settings: ForwardAuth, deps: Any) -> ForwardAuthMiddleware:
        """See `domain.interfaces.IPluginFactory`."""
        ids = deps.config.request_id
        # The question has an id of its own, which is not what the client asks us about.
        dropped = () if ids is None else (ids.header.lower().encode("ascii"),)
        return ForwardAuthMiddleware(
            settings, deps.pool, deps.clock, deps.name, dropped
        )
