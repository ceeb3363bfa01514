"""`strip_prefix`, `add_prefix` and `replace_path`: the path that targets are asked for.

Imports: config.middleware, domain, domain.routing, proxy, proxy.chains,
proxy.middleware, wire. Used by: programs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from zope.interface import implementer

from lolly_tx.config.middleware.paths import AddPrefix, ReplacePath, StripPrefix
from lolly_tx.domain.interfaces import IMiddlewareFactory
from lolly_tx.domain.routing.prefixes import with_prefix, without_prefix
from lolly_tx.domain.routing.routes import BadPath
from lolly_tx.proxy.answer import Answer, short_page
from lolly_tx.proxy.chains.link import REQUEST
from lolly_tx.proxy.chains.passage import Passage
from lolly_tx.proxy.middleware.base import Middleware
from lolly_tx.proxy.middleware.remembered import Remembered
from lolly_tx.proxy.templates import url_template
from lolly_tx.wire.message import RequestHead
from lolly_tx.wire.urls import own_location

BAD_PATH = short_page(400)


class PrefixMiddleware(Middleware):
    """`change`: makes another target of one; `BadPath` is a 400."""

    touches = frozenset((REQUEST,))

    def __init__(self, change: Callable[[bytes], bytes]) -> None:
        self._change = change
        self._known = Remembered(self._changed)

    def _changed(self, head: RequestHead) -> RequestHead:
        target = self._change(head.target)
        return head if target == head.target else head.with_target(target)

    def request(self, passage: Passage) -> Answer | None:
        """Change the path."""
        try:
            passage.head = self._known.of(passage.head)
        except BadPath:
            return BAD_PATH
        return None


class ReplacePathMiddleware(Middleware):
    """See the module."""

    touches = frozenset((REQUEST,))

    def __init__(self, settings: ReplacePath) -> None:
        self._to = url_template(settings.to)

    def request(self, passage: Passage) -> None:
        """Ask for another path; "*" is none."""
        head = passage.head
        if head.target == b"*":
            return
        target = own_location(self._to.render(passage.known))
        if b"?" not in target:
            _, mark, query = head.target.partition(b"?")
            target += mark + query
        passage.head = head.with_target(target)


@implementer(IMiddlewareFactory)
class StripPrefixFactory:
    """Makes them."""

    name = "strip_prefix"
    settings = StripPrefix

    def build(self, settings: StripPrefix, deps: Any) -> PrefixMiddleware:
        """See `domain.interfaces.IPluginFactory`."""
        prefix = settings.prefix.encode("ascii")
        return PrefixMiddleware(lambda target: without_prefix(target, prefix))


@implementer(IMiddlewareFactory)
class AddPrefixFactory:
    """Makes them."""

    name = "add_prefix"
    settings = AddPrefix

    def build(self, settings: AddPrefix, deps: Any) -> PrefixMiddleware:
        """See `domain.interfaces.IPluginFactory`."""
        prefix = settings.prefix.encode("ascii")
        return PrefixMiddleware(lambda target: with_prefix(target, prefix))


@implementer(IMiddlewareFactory)
class ReplacePathFactory:
    """Makes them."""

    name = "replace_path"
    settings = ReplacePath

    def build(self, settings: ReplacePath, deps: Any) -> ReplacePathMiddleware:
        """See `domain.interfaces.IPluginFactory`."""
        return ReplacePathMiddleware(settings)
