"""`type = "rewrite"`: paths that become others, or lead clients to others.

Rules see the normal form of the path, as routes do; a target gets the client's own bytes unless a rule has matched. In
the `use` of a listener it comes before the routes: the one that serves is found by the new path. In that of a route the
request stays there.

Imports: config.middleware, domain, domain.routing, proxy, proxy.chains,
proxy.middleware, wire, Twisted. Used by: programs.
"""

from __future__ import annotations

import re
from typing import Any

from twisted.logger import Logger
from zope.interface import implementer

from lolly_tx.config.middleware.rewrite import MOST_ROUNDS, REDIRECTS, Rewrite, Rule
from lolly_tx.domain.errors import DownstreamError
from lolly_tx.domain.interfaces import IMiddlewareFactory
from lolly_tx.domain.routing.captures import capturing
from lolly_tx.domain.routing.routes import normal_path
from lolly_tx.proxy.answer import Answer
from lolly_tx.proxy.answering import Location
from lolly_tx.proxy.asked import Matched
from lolly_tx.proxy.chains.link import REQUEST
from lolly_tx.proxy.chains.passage import Passage
from lolly_tx.proxy.middleware.base import Middleware
from lolly_tx.proxy.middleware.remembered import keep
from lolly_tx.proxy.proxy import RouteEnd
from lolly_tx.proxy.replies import page
from lolly_tx.proxy.templates import url_template
from lolly_tx.wire.message import RequestHead
from lolly_tx.wire.urls import own_location, quoted

_DOTS = re.compile(rb"(?i)(?:/|%2f|%5c)(?:\.|%2e){1,2}(?:[/;]|%2f|%5c|$)")


class _Made:
    """A rule, made ready."""

    def __init__(self, rule: Rule) -> None:
        self.find = capturing(rule.match).find
        self.status = REDIRECTS.get(rule.flag, 0)
        self.goes_on = rule.flag == "last"
        self.location = Location(rule.to) if self.status else None
        self.path = None if self.status else url_template(rule.to)
        made = self.location or self.path
        assert made is not None
        self.of_head = made.of_head


class RewriteMiddleware(Middleware):
    """See the module."""

    touches = frozenset((REQUEST,))

    def __init__(self, settings: Rewrite, log: Logger) -> None:
        self._rules = [_Made(rule) for rule in settings.steps]
        self._log = log
        # Of heads that repeat: what became of them, the head or an answer.
        self._known: dict[RequestHead, RequestHead | Answer] | None = None
        if all(rule.of_head for rule in self._rules):
            self._known = {}

    def request(self, passage: Passage) -> RouteEnd | None:
        """Let the rules have their way."""
        head = passage.head
        if head.target == b"*":
            return None
        known = self._known if head is passage.asked else None
        became = None if known is None else known.get(head)
        if became is None:
            try:
                became = self._rewrite(passage)
            except DownstreamError as error:
                became = _page(error.status)
            if known is not None:
                keep(known, head, became)
        if isinstance(became, Answer):
            return became
        passage.head = became
        return None if became is head else self._routed(passage)

    def _rewrite(self, passage: Passage) -> RequestHead | Answer:
        path = normal_path(passage.head.target)
        for _ in range(MOST_ROUNDS):
            again = False
            for rule in self._rules:
                found = rule.find(path)
                if found is None:
                    continue
                known: Any = Matched(passage.known, found)
                if rule.location is not None:
                    to = _with_query(rule.location.of(known), passage.head.target)
                    return _page(rule.status, b"Location: %b\r\n" % to)
                assert rule.path is not None
                target = _with_query(
                    _resolved(own_location(rule.path.render(known))),
                    passage.head.target,
                )
                passage.head = passage.head.with_target(target)
                path = normal_path(target)  # raises for what no route would take
                again = rule.goes_on
                break
            if not again:
                return passage.head
        self._log.warn(
            "A path was rewritten {rounds} times, and no end in sight: {path!r}",
            rounds=MOST_ROUNDS,
            path=normal_path(passage.asked.target)[:200],
        )
        return _page(500)

    def _routed(self, passage: Passage) -> RouteEnd | None:
        """The route by the new path, where that is still to be found."""
        along = passage.chain.along
        again = None if along is None else along.again
        if along is None or again is None:
            return None
        left = len(getattr(passage.rest, "links", ()))
        passed = along.links - left
        if passed > along.shared:
            return None
        try:
            end = again.end_for(passage.head, passage.peer, passed)
        except DownstreamError as error:
            return _page(error.status)
        return _page(404) if end is None else end


def _resolved(target: bytes) -> bytes:
    """`target` without dots that lead up: what a value brings must not lead out of the path it is put in unseen."""
    path, mark, query = target.partition(b"?")
    return quoted(normal_path(path)) + mark + query if _DOTS.search(path) else target


def _with_query(to: bytes, before: bytes) -> bytes:
    """`to` with the query of the target `before`, unless it has one of its own; an empty one is none."""
    if to.endswith(b"?"):
        return to[:-1]
    query = before.partition(b"?")[2]
    if not query or b"?" in to:
        return to
    place, mark, fragment = to.partition(b"#")
    return b"%b?%b%b%b" % (place, query, mark, fragment)


def _page(status: int, extra: bytes = b"") -> Answer:
    fields, body = page(status)
    return Answer(status, fields + extra, body)


@implementer(IMiddlewareFactory)
class RewriteFactory:
    """Makes them."""

    name = "rewrite"
    settings = Rewrite

    def build(self, settings: Rewrite, deps: Any) -> RewriteMiddleware:
        """See `domain.interfaces.IPluginFactory`."""
        return RewriteMiddleware(settings, deps.log)
