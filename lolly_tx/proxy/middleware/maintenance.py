"""`type = "maintenance"`: while a file exists, requests get 503.

Imports: config.middleware, domain, domain.access, proxy, proxy.chains,
proxy.middleware, Twisted. Used by: programs.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from zope.interface import implementer

from lolly_tx.config.middleware.pages import Maintenance
from lolly_tx.domain.access.forwarded import TrustedPeers
from lolly_tx.domain.interfaces import IMiddlewareFactory
from lolly_tx.proxy.answer import Answer, short_page
from lolly_tx.proxy.chains.link import ASKED
from lolly_tx.proxy.chains.passage import Passage
from lolly_tx.proxy.middleware.base import Middleware
from lolly_tx.proxy.middleware.deps import MiddlewareDeps
from lolly_tx.proxy.middleware.error_pages import type_of
from lolly_tx.proxy.middleware.watchedfile import LOOK_SECONDS, WatchedFile


class MaintenanceMiddleware(Middleware):
    """`sign`: the file that turns it on. `page`: what is answered; None: a short page."""

    touches = frozenset((ASKED,))

    def __init__(
        self,
        settings: Maintenance,
        deps: MiddlewareDeps,
        sign: WatchedFile,
        page: WatchedFile | None,
    ) -> None:
        self._sign = sign
        self._clock = deps.clock
        self._page = page
        self._passes = TrustedPeers(settings.allow)
        self._client_of = deps.client_of
        self._fields = b"Cache-Control: no-store\r\n"
        if settings.retry_after:
            seconds = max(1, round(settings.retry_after))
            self._fields += b"Retry-After: %d\r\n" % seconds

    def request(self, passage: Passage) -> Answer | Deferred[Answer | None] | None:
        """Answer it, unless its client may pass."""
        settled = self._sign.settled()
        if settled is None:
            return self._said(passage)
        # A disk that hangs: what was there when it last answered counts.
        settled.addTimeout(LOOK_SECONDS, self._clock, lambda result, seconds: None)
        return settled.addCallback(lambda _: self._said(passage))

    def _said(self, passage: Passage) -> Answer | None:
        if not self._sign.there:
            return None
        if self._client_of(passage.peer, passage.asked) in self._passes:
            return None
        page = self._page
        content = None if page is None else page.get()
        if page is None or content is None:
            return short_page(503, self._fields)
        kind = b"\r\nContent-Type: %b\r\n" % type_of(page.path)
        return Answer(503, kind + self._fields, content)


@implementer(IMiddlewareFactory)
class MaintenanceFactory:
    """Makes them."""

    name = "maintenance"
    settings = Maintenance

    def build(
        self, settings: Maintenance, deps: MiddlewareDeps
    ) -> MaintenanceMiddleware:
        """See `domain.interfaces.IPluginFactory`. Raises OSError for a page that cannot be read."""
        sign = WatchedFile(settings.file, deps.now, deps.in_thread, wanted=False)
        sign.load()
        page = None
        if settings.page:
            page = WatchedFile(settings.page, deps.now, deps.in_thread)
            page.load()
        return MaintenanceMiddleware(settings, deps, sign, page)
