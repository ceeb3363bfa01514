"""`type = "location"`: where answers of targets lead clients, and for what their cookies are.

Targets know themselves by an address that clients do not. References are compared as what they mean, not as texts, so
that none of a host with a similar name is taken for the target's.

Imports: config.middleware, domain, domain.routing, net, proxy, proxy.chains,
proxy.middleware, wire. Used by: programs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from zope.interface import implementer

from lolly_tx.config.middleware.location import EVERY, Location, Rule
from lolly_tx.domain.interfaces import IMiddlewareFactory
from lolly_tx.domain.routing.locations import pattern_captures
from lolly_tx.domain.routing.references import (
    Reference,
    cookie_attribute,
    reference_of,
    refresh_parts,
    with_cookie_attribute,
)
from lolly_tx.net.doors import Peer
from lolly_tx.proxy.answer import AnswerHead
from lolly_tx.proxy.asked import Matched
from lolly_tx.proxy.chains.link import RESPONSE
from lolly_tx.proxy.chains.passage import Passage
from lolly_tx.proxy.middleware.base import Middleware
from lolly_tx.proxy.templates import template
from lolly_tx.wire.message import RequestHead
from lolly_tx.wire.urls import escaped

ClientOf = Callable[[Peer, RequestHead], str]
Change = Callable[[bytes, Passage], bytes | None]
"""What a reference becomes; None: it stays."""


def scheme_of(passage: Passage, client_of: ClientOf) -> bytes:
    """The scheme that the client has asked by, as far as proxies in front of us can be believed."""
    peer, asked = passage.peer, passage.asked
    if client_of(peer, asked) != peer.address:
        said = (asked.block.get(b"x-forwarded-proto") or b"").partition(b",")[0].strip()
        if said in (b"http", b"https"):
            return said
    return b"https" if peer.secure else b"http"


def _by_expression(rule: Rule) -> Change:
    find, to = pattern_captures(rule.source).find, template(rule.to)

    def change(value: bytes, passage: Passage) -> bytes | None:
        found = find(value)
        if found is None:
            return None
        return to.render(Matched(passage.known, found))

    return change


def _by_start(rule: Rule) -> Change:
    source, to = rule.source.encode(), template(rule.to)
    wanted = reference_of(source)

    def change(value: bytes, passage: Passage) -> bytes | None:
        rest = _after(value, source, wanted)
        return None if rest is None else to.render(passage.known) + rest

    return change


def _after(value: bytes, source: bytes, wanted: Reference | None) -> bytes | None:
    """What follows `source` in a reference; None: it begins with something else."""
    if wanted is None:
        return _cut(value, source)
    found = reference_of(value, wanted.scheme)
    if found is None or found[:3] != wanted[:3]:
        return None
    return _cut(found.rest, wanted.rest)


def _cut(path: bytes, prefix: bytes) -> bytes | None:
    if not path.startswith(prefix):
        return None
    rest = path[len(prefix) :]
    if rest and prefix and not prefix.endswith(b"/") and rest[:1] not in b"/?#":
        return None
    return rest


class LocationMiddleware(Middleware):
    """See the module."""

    touches = frozenset((RESPONSE,))

    def __init__(self, settings: Location, client_of: ClientOf) -> None:
        self._client_of = client_of
        self._changes = [
            _by_expression(rule) if rule.source.startswith("~") else _by_start(rule)
            for rule in settings.steps
        ] or [self._home]
        self._domains = settings.cookie_domain
        self._paths = settings.cookie_path

    def response(self, passage: Passage, answer: AnswerHead) -> None:
        """Change what the target says."""
        if not passage.by_target:
            return
        value = answer.get(b"location")
        if value is not None:
            changed = self._changed(value, passage)
            if changed is not None:
                answer.set(b"Location", changed)
        value = answer.get(b"refresh")
        parts = None if value is None else refresh_parts(value)
        if parts is not None:
            changed = self._changed(parts[1], passage)
            if changed is not None:
                answer.set(b"Refresh", parts[0] + changed + parts[2])
        if self._domains or self._paths:
            cookies = answer.get_all(b"set-cookie")
            changed_cookies = [self._cookie(one) for one in cookies]
            if changed_cookies != cookies:
                answer.remove(b"set-cookie")
                for one in changed_cookies:
                    answer.add(b"Set-Cookie", one)

    def _changed(self, value: bytes, passage: Passage) -> bytes | None:
        for change in self._changes:
            changed = change(value, passage)
            if changed is not None:
                return escaped(changed)
        return None

    def _home(self, value: bytes, passage: Passage) -> bytes | None:
        """The target's own address becomes the client's."""
        target, host = passage.origin, passage.asked.block.host
        if target is None or not target.host or not host:
            return None
        scheme = target.scheme.encode("ascii")
        own = reference_of(b"%b://%b" % (scheme, target.authority.encode("ascii")))
        found = reference_of(value, scheme)
        if own is None or found is None or found[:3] != own[:3]:
            return None
        return b"%b://%b%b" % (scheme_of(passage, self._client_of), host, found.rest)

    def _cookie(self, cookie: bytes) -> bytes:
        if self._domains:
            domain = cookie_attribute(cookie, b"domain")
            if domain is not None:
                name = domain.decode("latin-1").lower().lstrip(".")
                to = _looked_up(self._domains, name)
                if to is not None:
                    value = to.encode("ascii") or None
                    cookie = with_cookie_attribute(cookie, b"domain", value)
        if self._paths:
            path = cookie_attribute(cookie, b"path")
            changed = None if path is None else self._path(path)
            if changed is not None:
                cookie = with_cookie_attribute(cookie, b"path", changed)
        return cookie

    def _path(self, path: bytes) -> bytes | None:
        for source, to in self._paths.items():
            if source == EVERY:
                return to.encode("ascii")
            # "/app" is the cookie path of what is below "/app/".
            rest = _cut(path, source.encode("ascii"))
            if rest is None and path + b"/" == source.encode("ascii"):
                rest = b""
            if rest is not None:
                return to.encode("ascii") + rest
        return None


def _looked_up(changes: Mapping[str, str], name: str) -> str | None:
    for source, to in changes.items():
        if source == EVERY or source.lower().lstrip(".") == name:
            return to
    return None


@implementer(IMiddlewareFactory)
class LocationFactory:
    """Makes them."""

    name = "location"
    settings = Location

    def build(self, settings: Location, deps: Any) -> LocationMiddleware:
        """See `domain.interfaces.IPluginFactory`."""
        return LocationMiddleware(settings, deps.client_of)
