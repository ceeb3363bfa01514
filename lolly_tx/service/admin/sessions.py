"""Those who gave a token once, and have a cookie since.

A page cannot keep a token where no script can read it, so it gives it once, in the head of a request, for a cookie
that scripts never see and that no other site's page can have sent. Sessions are in memory: a restart, and a reload that
changes [admin], ends them.

Imports: Twisted. Used by: service.admin.guard.
"""

from __future__ import annotations

from collections import OrderedDict
from secrets import token_urlsafe
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from twisted.web.server import Request

LASTS_SECONDS = 12 * 3600.0
"""A working day; then the token is asked for again."""

MOST_SESSIONS = 64
"""At once. With one more the oldest ends."""


@attrs.define(eq=False)
class Session:
    """`writes`: the token was one for writing. `until`: seconds, monotonic."""

    writes: bool
    until: float


class Sessions:
    """Those there are, by the value of their cookie."""

    def __init__(self) -> None:
        self._sessions: OrderedDict[bytes, Session] = OrderedDict()

    def __len__(self) -> int:
        return len(self._sessions)

    def begin(self, request: Request, writes: bool, now: float) -> bytes:
        """A new one: the value of Set-Cookie."""
        self.end(request)
        if len(self._sessions) >= MOST_SESSIONS:
            self._sessions.popitem(last=False)[1].until = 0.0
        key = token_urlsafe(32).encode()
        self._sessions[key] = Session(writes, now + LASTS_SECONDS)
        return _cookie(request, key, int(LASTS_SECONDS))

    def of(self, request: Request, now: float) -> Session | None:
        """The one that `request` belongs to."""
        key = request.getCookie(_name(request))
        session = self._sessions.get(key) if key else None
        if session is None or now >= session.until:
            return None
        return session

    def end(self, request: Request) -> bytes:
        """Its session is over, if it has one: the value of Set-Cookie."""
        ended = self._sessions.pop(request.getCookie(_name(request)) or b"", None)
        if ended is not None:
            ended.until = 0.0
        return _cookie(request, b"", 0)


def _name(request: Request) -> bytes:
    """Of the cookie. Browsers tell hosts apart, but not ports."""
    return b"lolly-session-%d" % getattr(request.getHost(), "port", 0)


def _cookie(request: Request, key: bytes, seconds: int) -> bytes:
    secure = b"; Secure" if request.isSecure() else b""
    return (
        b"%b=%b; Path=/; Max-Age=%d; HttpOnly; SameSite=Strict"
        % (_name(request), key, seconds)
        + secure
    )
