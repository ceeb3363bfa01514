"""`type = "error_pages"`: pages of one's own in place of the short ones, and of what targets say if that is asked for.

Imports: config.middleware, domain, proxy, proxy.chains, proxy.middleware. Used by:
proxy.middleware.maintenance.
"""

from __future__ import annotations

from collections.abc import Mapping

from zope.interface import implementer

from lolly_tx.config.middleware.pages import ErrorPages
from lolly_tx.domain.interfaces import IMiddlewareFactory
from lolly_tx.proxy.answer import Answer, AnswerHead
from lolly_tx.proxy.chains.link import RESPONSE
from lolly_tx.proxy.chains.passage import Passage
from lolly_tx.proxy.middleware.base import Middleware
from lolly_tx.proxy.middleware.deps import MiddlewareDeps
from lolly_tx.proxy.middleware.watchedfile import WatchedFile

_TYPES = {
    "htm": b"text/html; charset=utf-8",
    "html": b"text/html; charset=utf-8",
    "json": b"application/json",
    "md": b"text/markdown; charset=utf-8",
    "svg": b"image/svg+xml",
    "xml": b"application/xml",
}

_OF_THE_BODY = (
    b"accept-ranges",
    b"cache-tag",
    b"content-digest",
    b"content-disposition",
    b"content-encoding",
    b"content-language",
    b"content-length",
    b"content-location",
    b"content-md5",
    b"content-range",
    b"content-type",
    b"digest",
    b"etag",
    b"last-modified",
    b"repr-digest",
)
"""Fields that describe a body that is not sent."""


def type_of(path: str) -> bytes:
    """The Content-Type of a page, by its name."""
    return _TYPES.get(path.rpartition(".")[2].lower(), b"text/plain; charset=utf-8")


class ErrorPagesMiddleware(Middleware):
    """`pages`: by status, "404", or its class, "4xx". `intercept`: those of targets as well."""

    touches = frozenset((RESPONSE,))

    def __init__(self, pages: Mapping[str, WatchedFile], intercept: bool) -> None:
        self._pages = pages
        self._intercept = intercept

    def response(self, passage: Passage, answer: AnswerHead) -> Answer | None:
        """Answer with a page, if there is one for it."""
        status = answer.status
        if status < 400 or not (self._intercept or not passage.by_target):
            return None
        file = self._pages.get(f"{status}") or self._pages.get(f"{status // 100}xx")
        content = None if file is None else file.get()
        if file is None or content is None:
            return None
        answer.remove(*_OF_THE_BODY)
        fields = answer.fields + b"Content-Type: %b\r\n" % type_of(file.path)
        return Answer(status, fields, content, answer.reason)


@implementer(IMiddlewareFactory)
class ErrorPagesFactory:
    """Makes them."""

    name = "error_pages"
    settings = ErrorPages

    def build(self, settings: ErrorPages, deps: MiddlewareDeps) -> ErrorPagesMiddleware:
        """See `domain.interfaces.IPluginFactory`. Raises OSError for a page that cannot be read."""
        pages = {}
        for status, path in settings.pages.items():
            pages[status] = file = WatchedFile(path, deps.now, deps.in_thread)
            file.load()
            if file.content is None:
                raise OSError(2, f"no such file: {path}")
        return ErrorPagesMiddleware(pages, settings.intercept)
