"""`type = "security_headers"`: what browsers are told to be strict about.

Imports: config.middleware, domain, proxy, proxy.chains, proxy.middleware. Used by:
programs.
"""

from __future__ import annotations

from typing import Any

from zope.interface import implementer

from lolly_tx.config.middleware.headers import FieldChanges
from lolly_tx.config.middleware.security import SecurityHeaders
from lolly_tx.domain.interfaces import IMiddlewareFactory
from lolly_tx.proxy.answer import AnswerHead
from lolly_tx.proxy.chains.link import RESPONSE
from lolly_tx.proxy.chains.passage import Passage
from lolly_tx.proxy.middleware.base import Middleware
from lolly_tx.proxy.middleware.fieldchanges import Changes

HSTS = "Strict-Transport-Security"


class SecurityHeadersMiddleware(Middleware):
    """See the module."""

    touches = frozenset((RESPONSE,))

    def __init__(self, settings: SecurityHeaders) -> None:
        said = {
            "X-Frame-Options": settings.frame,
            "X-Content-Type-Options": "nosniff" if settings.nosniff else "",
            "Referrer-Policy": settings.referrer,
            "Content-Security-Policy": settings.csp,
            "Permissions-Policy": settings.permissions,
        }
        fields = {name: value for name, value in said.items() if value}
        # Who says it without TLS is not believed (RFC 6797 section 7.2), whoever it is.
        gone = (HSTS,) if settings.hsts else ()
        self._plain = Changes(FieldChanges(set=fields, remove=gone))
        if settings.hsts:
            fields[HSTS] = _hsts(settings)
        self._secure = Changes(FieldChanges(set=fields))

    def response(self, passage: Passage, answer: AnswerHead) -> None:
        """Say it."""
        changes = self._secure if passage.peer.secure else self._plain
        changes.change(passage, answer)


def _hsts(settings: SecurityHeaders) -> str:
    also = "; includeSubDomains" if settings.hsts_subdomains else ""
    also += "; preload" if settings.hsts_preload else ""
    return f"max-age={settings.hsts:.0f}{also}"


@implementer(IMiddlewareFactory)
class SecurityHeadersFactory:
    """Makes them."""

    name = "security_headers"
    settings = SecurityHeaders

    def build(self, settings: SecurityHeaders, deps: Any) -> SecurityHeadersMiddleware:
        """See `domain.interfaces.IPluginFactory`."""
        return SecurityHeadersMiddleware(settings)
