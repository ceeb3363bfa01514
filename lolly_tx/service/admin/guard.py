"""Who may ask the admin endpoint, and who may change something.

Reading needs no credentials, so the endpoint belongs on loopback or a unix socket, unless there is a token for reading:
then everything but /healthz and /readyz needs it. A page in the operator's browser cannot get at it by DNS rebinding,
because the Host of a request has to be an IP address, `localhost` or a name that was listed. Writing needs
`Authorization: Bearer TOKEN`, which another site's page cannot send; without a configured token nothing can be written.
What such a page sends all the same is refused first, and a request without a token is no guess at it. A page of our
own has the cookie of a session (`service.admin.sessions`) in place of the token.

Imports: domain.access, service.admin, Twisted. Used by: service.admin.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Collection, Mapping, Sequence
from hashlib import sha256
from ipaddress import ip_address
from typing import TYPE_CHECKING

from lolly_tx.domain.access.lockout import Lockout
from lolly_tx.service.admin.sessions import Sessions
from lolly_tx.service.admin.strangers import client_name, from_foreign_page

if TYPE_CHECKING:
    from twisted.web.server import Request


def always() -> bool:
    """Who listens may go on."""
    return True


class Denied(Exception):
    """A request that gets an error; the message is for the client. `headers`: beside the usual ones."""

    def __init__(
        self, status: int, message: str, headers: Mapping[bytes, bytes] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers or {}


class Guard:
    """`token`: what writing needs; None: nothing can be written. `read_token`: what reading needs, if not `token`.

    `hosts`: more names that a Host field may have. Raises ValueError for an empty token.
    """

    def __init__(
        self,
        now: Callable[[], float],
        token: str | None,
        read_token: str | None,
        hosts: Collection[str],
    ) -> None:
        if "" in (token, read_token):
            raise ValueError("an empty token would let everybody in")
        self._now = now
        self._token = token
        self._read_token = read_token
        self._hosts = frozenset(name.lower() for name in hosts)
        self._lockout = Lockout()
        self._sessions = Sessions()

    def admit(self, request: Request, is_open: bool) -> None:
        """Let it be looked at, or raise `Denied`. `is_open`: it is for what everybody may read."""
        if not self._is_named_by(request.requestHeaders.getRawHeaders(b"host")):
            raise Denied(
                403,
                "the Host of a request to the admin endpoint has to be an IP address,"
                " localhost or a configured name",
            )
        if self._read_token is None or is_open:
            return
        session = self._sessions.of(request, self._now())
        begins = request.path == b"/api/session" and request.method == b"POST"
        if session is None and not begins:
            self._ask_for(request, self._token, self._read_token)

    def _is_named_by(self, hosts: Sequence[bytes] | None) -> bool:
        """Whether a Host field names this endpoint and not some page's own site."""
        if not hosts:
            return True  # no browser leaves it out
        if len(hosts) > 1:
            return False
        host = hosts[0].decode("latin-1").lower()
        if host.startswith("["):
            name, _, port = host[1:].partition("]")
            port = port.removeprefix(":")
        else:
            name, _, port = host.partition(":")
        if port and not (port.isascii() and port.isdigit()):
            return False
        if name == "localhost" or name in self._hosts:
            return True
        try:
            ip_address(name)
        except ValueError:
            return False
        return True

    def authorize(self, request: Request) -> None:
        """Let the holder of the token change something, and nobody's page."""
        fields = request.requestHeaders
        if from_foreign_page(fields):
            raise Denied(403, "a page of another site cannot change anything here")
        if self._token is None:
            raise Denied(
                403, "read-only: the settings of the admin endpoint have no token"
            )
        session = self._sessions.of(request, self._now())
        if session is None or not session.writes:
            self._ask_for(request, self._token)

    def session(
        self, request: Request
    ) -> tuple[Mapping[str, object], Mapping[bytes, bytes]]:
        """Begin a session (POST), end it (DELETE), or tell of it: a body, and fields of the head."""
        now, sessions = self._now(), self._sessions
        headers: dict[bytes, bytes] = {}
        if request.method != b"GET":
            if from_foreign_page(request.requestHeaders):
                raise Denied(403, "a page of another site cannot change anything here")
            if request.method == b"DELETE":
                headers[b"set-cookie"] = sessions.end(request)
            else:
                writes = self._is_for_writing(request)
                headers[b"set-cookie"] = sessions.begin(request, writes, now)
                return _told(writes, True, self._token is not None), headers
        session = sessions.of(request, now)
        writes = session is not None and session.writes
        return _told(writes, session is not None, self._token is not None), headers

    def _is_for_writing(self, request: Request) -> bool:
        """Whether a token is given that is one for writing; raises `Denied` without any."""
        if self._token is None and self._read_token is None:
            raise Denied(403, "the settings of the admin endpoint have no token")
        given = self._ask_for(request, self._token, self._read_token)
        return self._token is not None and given == self._token

    def lasting(self, request: Request) -> Callable[[], bool]:
        """Whether what began with `request` may still go on: not beyond the session it has."""
        session, now = self._sessions.of(request, self._now()), self._now
        if session is None:
            return always
        return lambda: now() < session.until

    def _ask_for(self, request: Request, *tokens: str | None) -> str:
        """Refuse who does not have one of `tokens`; the one that is given."""
        fields = request.requestHeaders
        given = fields.getRawHeaders(b"authorization") or [b""]
        scheme, _, credentials = given[0].partition(b" ")
        credentials = credentials.strip()
        needed = Denied(
            401, "a valid token is needed", {b"www-authenticate": b"Bearer"}
        )
        if scheme.lower() != b"bearer" or not credentials:
            raise needed  # nothing was guessed
        now, client = self._now(), client_name(request)
        wait = self._lockout.wait(client, now)
        if wait:
            raise Denied(
                429,
                "too many wrong tokens from this address",
                {b"retry-after": b"%d" % (wait + 1)},
            )
        # Digests, so that not even the length can be told from the time it takes.
        digest = sha256(credentials).digest()
        right = [
            token
            for token in tokens
            if token is not None
            and hmac.compare_digest(digest, sha256(token.encode()).digest())
        ]
        if not right:
            self._lockout.failed(client, now)
            raise needed
        return right[0]


def _told(writes: bool, session: bool, writable: bool) -> Mapping[str, object]:
    """What a page is told: it is in a `session`, that `writes`; somebody with the token may write."""
    return {"session": session, "writes": writes, "writable": writable}
