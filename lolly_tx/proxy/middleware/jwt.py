"""`type = "jwt"`: signed tokens (RFC 7519, RFC 6750).

Imports: config.middleware, domain, proxy, proxy.chains, proxy.middleware, wire,
Twisted. Used by: programs.

What a valid token says is remembered for a minute or until its end, so that its signature is not verified each time.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.defer import Deferred
from zope.interface import implementer

from lolly_tx.config.middleware.jwt import Jwt, pool_and_path
from lolly_tx.domain.interfaces import IMiddlewareFactory
from lolly_tx.proxy.answer import Answer
from lolly_tx.proxy.chains.link import REQUEST
from lolly_tx.proxy.chains.passage import Passage
from lolly_tx.proxy.middleware.base import Middleware
from lolly_tx.proxy.middleware.keyring import FetchedKeys, FileKeys, Keys
from lolly_tx.proxy.replies import page
from lolly_tx.wire.fields import render_fields
from lolly_tx.wire.tokens import LEEWAY, BadToken, UnknownKey, claims_of

REMEMBERED = 4096
REMEMBERED_SECONDS = 60.0
_BEARER = re.compile(rb"(?i)bearer[ ]+([A-Za-z0-9._-]+)")
_VISIBLE = re.compile(r"[\x20-\x7e]*")
LONGEST_VALUE = 2048


def field_value(claim: Any) -> bytes | None:
    """A claim as the value of a field; None: it cannot be one."""
    if isinstance(claim, bool):
        return b"true" if claim else b"false"
    if isinstance(claim, (int, float)):
        return str(claim).encode()
    if isinstance(claim, list) and all(isinstance(one, str) for one in claim):
        claim = ",".join(claim)
    if not isinstance(claim, str) or len(claim) > LONGEST_VALUE:
        return None
    return claim.strip().encode() if _VISIBLE.fullmatch(claim) else None


class JwtMiddleware(Middleware):
    """See the module. `keys`: where they are from. `wall`: seconds since the epoch."""

    touches = frozenset((REQUEST,))

    def __init__(
        self, settings: Jwt, keys: FileKeys | FetchedKeys, wall: Callable[[], float]
    ) -> None:
        self.keys = keys
        self._settings = settings
        self._wall = wall
        self._fields = [
            (claim, name.encode()) for claim, name in settings.claims_to_headers.items()
        ]
        self._ours = frozenset(
            name.lower().replace(b"_", b"-") for _, name in self._fields
        )
        self._known: OrderedDict[bytes, tuple[float, bytes]] = OrderedDict()
        fields, body = page(401)
        self._missing = Answer(
            401,
            fields + b"WWW-Authenticate: Bearer\r\nCache-Control: no-store\r\n",
            body,
        )
        self._invalid = Answer(
            401,
            fields + b'WWW-Authenticate: Bearer error="invalid_token"\r\n'
            b"Cache-Control: no-store\r\n",
            body,
        )

    def request(self, passage: Passage) -> Answer | Deferred[Answer | None] | None:
        """Let it pass with what its token says, or refuse it."""
        if self._ours:
            block = passage.head.block.without_fields(self._ours)
            passage.head = passage.head.with_block(block)
        said = passage.asked.block.get_all(b"authorization")
        found = _BEARER.fullmatch(said[0]) if len(said) == 1 else None
        if found is None:
            return self._invalid if said else self._missing
        token = found[1]
        known = self._known.get(token)
        if known is not None and known[0] > self._wall():
            self._add(known[1], passage)
            return None
        return self.keys.get().addCallback(self._cb_keys, token, passage)

    def _cb_keys(
        self, keys: Keys, token: bytes, passage: Passage, again: bool = True
    ) -> Answer | Deferred[Answer | None] | None:
        if not keys:
            return UNKNOWN
        settings = self._settings
        try:
            claims = claims_of(
                token, keys, issuer=settings.issuer, audience=settings.audience
            )
        except UnknownKey:
            if not again:
                return self._invalid
            return self.keys.newer().addCallback(self._cb_keys, token, passage, False)
        except BadToken:
            return self._invalid
        lines = self._lines(claims)
        self._remember(token, claims, lines)
        self._add(lines, passage)
        return None

    def _lines(self, claims: Mapping[str, Any]) -> bytes:
        pairs = []
        for claim, name in self._fields:
            value = field_value(claims.get(claim))
            if value is not None:
                pairs.append((name, value))
        return render_fields(pairs)

    def _remember(self, token: bytes, claims: Mapping[str, Any], lines: bytes) -> None:
        until = min(self._wall() + REMEMBERED_SECONDS, claims["exp"] + LEEWAY)
        self._known[token] = until, lines
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)

    def _add(self, lines: bytes, passage: Passage) -> None:
        if lines:
            block = passage.head.block.with_lines(lambda before: before + lines)
            passage.head = passage.head.with_block(block)

    def stop(self) -> None:
        """Nobody needs it any more."""
        if isinstance(self.keys, FetchedKeys):
            self.keys.stop()


UNKNOWN = Answer(503, page(503)[0] + b"Retry-After: 10\r\n", page(503)[1])
"""Nobody has the keys yet."""


@implementer(IMiddlewareFactory)
class JwtFactory:
    """Makes them; anew by each reload, for the file may have changed."""

    name = "jwt"
    settings = Jwt
    fresh = True

    def build(self, settings: Jwt, deps: Any) -> JwtMiddleware:
        """See `domain.interfaces.IPluginFactory`."""
        try:
            import jwt  # noqa: F401
        except ImportError:
            raise ValueError(
                "tokens need the package PyJWT (pip install lolly-tx[auth])"
            ) from None
        found = pool_and_path(settings.keys)
        keys: FileKeys | FetchedKeys
        if found is None:
            keys = FileKeys(settings.keys)
        else:
            before = deps.before
            known = ()
            if isinstance(before, JwtMiddleware) and before._settings == settings:
                known = getattr(before.keys, "keys", ())
            keys = FetchedKeys(*found, deps.pool, deps.clock, known)
        return JwtMiddleware(settings, keys, deps.wall)
