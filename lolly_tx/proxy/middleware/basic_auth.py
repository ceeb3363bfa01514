"""`type = "basic_auth"`: users with passwords (RFC 7617).

Imports: config.middleware, domain, domain.access, proxy, proxy.chains,
proxy.middleware, wire, Twisted. Used by: service.forwards.

Targets get the Authorization field as it came, as with nginx; `headers` takes it away.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from zope.interface import implementer

from lolly_tx.config.middleware.basic_auth import BasicAuth
from lolly_tx.domain.access.passwords import why_unusable
from lolly_tx.domain.interfaces import IMiddlewareFactory
from lolly_tx.proxy.answer import Answer
from lolly_tx.proxy.chains.link import ASKED
from lolly_tx.proxy.chains.passage import Passage
from lolly_tx.proxy.middleware.base import Middleware
from lolly_tx.proxy.middleware.clientkeys import household
from lolly_tx.proxy.middleware.verifying import LockedOut, Threads, Verifier
from lolly_tx.proxy.replies import page
from lolly_tx.wire.credentials import basic_credentials

_NO_STORE = b"Cache-Control: no-store\r\n"


def users_of(path: str) -> dict[str, str]:
    """The users in a file of lines NAME:HASH. Raises OSError, and ValueError that names the line."""
    users: dict[str, str] = {}
    text = Path(path).read_text(encoding="utf-8")
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        name, colon, stored = line.partition(":")
        why = why_unusable(stored) if colon else "not NAME:HASH"
        if why:
            raise ValueError(f"{path}:{number}: {why}")
        users[name] = stored
    return users


class BasicAuthMiddleware(Middleware):
    """See the module."""

    touches = frozenset((ASKED,))

    def __init__(
        self, realm: str, verifier: Verifier, threads: Threads | None = None
    ) -> None:
        fields, body = page(401)
        challenge = b'WWW-Authenticate: Basic realm="%b", charset="UTF-8"\r\n'
        self._wrong = Answer(401, fields + challenge % realm.encode() + _NO_STORE, body)
        self._verifier = verifier
        self._threads = threads

    def request(self, passage: Passage) -> Answer | Deferred[Answer | None] | None:
        """Let it pass, or ask for a password."""
        said = passage.head.block.get_all(b"authorization")
        if len(said) > 1:
            return Answer(400, *page(400))
        found = basic_credentials(said[0]) if said else None
        if found is None:
            return self._wrong
        verifier = self._verifier
        if verifier.knows(*found):
            return None
        client = household(passage.known.client).hex()
        try:
            verdict = verifier.check(client, *found)
        except LockedOut as locked:
            fields, body = page(429)
            after = b"Retry-After: %d\r\n" % math.ceil(locked.seconds)
            return Answer(429, fields + after + _NO_STORE, body)
        return verdict.addCallback(self._cb_verdict)

    def _cb_verdict(self, right: bool) -> Answer | None:
        return None if right else self._wrong

    def stop(self) -> None:
        """Let the threads end."""
        if self._threads is not None:
            self._threads.stop()


@implementer(IMiddlewareFactory)
class BasicAuthFactory:
    """Makes them; anew by each reload, for the file may have changed."""

    name = "basic_auth"
    settings = BasicAuth
    fresh = True

    def build(self, settings: BasicAuth, deps: Any) -> BasicAuthMiddleware:
        """See `domain.interfaces.IPluginFactory`."""
        users = dict(users_of(settings.file)) if settings.file else {}
        users.update(settings.users)
        threads = Threads(deps.reactor, f"passwords of {deps.name}")
        verifier = Verifier(users, threads.run, deps.now)
        before = deps.before
        if isinstance(before, BasicAuthMiddleware):
            verifier.lockout = before._verifier.lockout
        return BasicAuthMiddleware(settings.realm, verifier, threads)
