"""Asking a proxy for a connection to somewhere else: what is said, and what its answers mean.

    SOCKS5    greeting --> method --> login, if wanted --> verdict --> request --> reply     RFC 1928, RFC 1929
    CONNECT   request  --> 2xx                                                               RFC 9110 section 9.3.6

Both are one shape (`Asking`): bytes in, bytes out, until it is `done`. What has come behind the last answer is `rest`:
it is the first of the connection. Nothing is sent before its turn, so that no proxy gets a password it has not asked
for (SOCKS5), and whoever is at the other end nothing that was meant for the proxy.

Imports: domain.access, wire. Used by: net.proxies, service.forwards.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from lolly_tx.domain.access.login import Login
from lolly_tx.wire import socks5
from lolly_tx.wire.credentials import basic_line
from lolly_tx.wire.errors import BadMessage
from lolly_tx.wire.grammar import HeadLimits
from lolly_tx.wire.http1 import ResponseReader
from lolly_tx.wire.trail import as_methods

HEAD_BYTES = 16384
"""Of an answer to CONNECT; what is longer is none."""

MOST_INTERIM = 4
"""1xx answers ahead of it."""

_LIMITS = HeadLimits(head_bytes=HEAD_BYTES, fields=100, line_bytes=HEAD_BYTES)

UNREACHABLE = "destination_unavailable"
REFUSED = "connection_refused"
DENIED = "http_request_denied"
LATE = "connection_timeout"

_REPLIES = {
    socks5.FAILED: ("it failed", REFUSED),
    socks5.NOT_ALLOWED: ("its rules do not allow that", DENIED),
    socks5.NET_UNREACHABLE: ("network unreachable", UNREACHABLE),
    socks5.HOST_UNREACHABLE: ("host unreachable", UNREACHABLE),
    socks5.REFUSED: ("connection refused", REFUSED),
    socks5.EXPIRED: ("time to live expired", UNREACHABLE),
    socks5.NO_SUCH_ADDRESS: ("it knows no such kind of address", UNREACHABLE),
}
_STATUSES = {
    403: ("its rules do not allow that", DENIED),
    404: ("no such host", UNREACHABLE),
    502: ("it could not connect", REFUSED),
    503: ("it could not connect", UNREACHABLE),
    504: ("no connection in its time", LATE),
    508: ("that leads back to it", "proxy_loop_detected"),
}
"""Of what is behind the proxy; every other one is about us and the proxy."""


class TurnedDown(Exception):
    """A proxy has said no. `token`: of RFC 9209, of what is behind it; "": that is about us, or the proxy itself."""

    def __init__(self, words: str, token: str = "") -> None:
        super().__init__(words)
        self.words = words
        self.token = token


class Asking(Protocol):
    """One handshake. `first`: what is sent to begin with. `done`: there is a connection, that begins with `rest`."""

    first: bytes
    done: bool
    rest: bytes

    def receive(self, data: bytes) -> bytes:
        """Bytes of the proxy; returns what to send. Raises `TurnedDown`, and `BadMessage` for what makes no sense."""


class AskingSocks:
    """For `port` of `host` (an IPv6 address with brackets or without), by SOCKS5. `way`: as of `asking`."""

    def __init__(
        self, host: str, port: int, login: Login | None = None, way: bytes = b""
    ) -> None:
        self._request = socks5.request(host.strip("[]"), port)
        self._login = login
        self.first = socks5.greeting(login is not None, as_methods(way))
        self.done = False
        self.rest = b""
        self._stage: Callable[[], bytes | None] = self._method

    def receive(self, data: bytes) -> bytes:
        """See `Asking`."""
        self.rest += data
        out = b""
        while not self.done:
            answer = self._stage()
            if answer is None:
                break
            out += answer
        return out

    def _two(self, version: int) -> int | None:
        """The second of two bytes of which the first is `version`."""
        if self.rest and self.rest[0] != version:
            raise BadMessage("not SOCKS5")
        if len(self.rest) < 2:
            return None
        second = self.rest[1]
        self.rest = self.rest[2:]
        return second

    def _method(self) -> bytes | None:
        chosen = self._two(socks5.VERSION)
        if chosen is None:
            return None
        if chosen == socks5.NO_LOGIN:
            self._stage = self._reply
            return self._request
        if chosen == socks5.LOGIN and self._login is not None:
            self._stage = self._verdict
            return socks5.login(self._login.user, self._login.password)
        if chosen == socks5.NONE_OF_THEM:
            raise TurnedDown("it wants another login")
        raise BadMessage("a method of login that was not offered")

    def _verdict(self) -> bytes | None:
        said = self._two(1)
        if said is None:
            return None
        if said:
            raise TurnedDown("it does not accept the login")
        self._stage = self._reply
        return self._request

    def _reply(self) -> bytes | None:
        found = socks5.read_reply(self.rest)
        if found is None:
            return None
        code, used = found
        if code:
            words, token = _REPLIES.get(code, (f"it answers with code {code}", ""))
            raise TurnedDown(words, token)
        self.rest = self.rest[used:]
        self.done = True
        return b""


class AskingConnect:
    """For `port` of `host` (IPv6 in brackets), by CONNECT. `way`: as of `asking`."""

    def __init__(
        self, host: str, port: int, login: Login | None = None, way: bytes = b""
    ) -> None:
        authority = f"{host}:{port}".encode("ascii")
        self.first = b"CONNECT %b HTTP/1.1\r\nHost: %b\r\n%b%b\r\n" % (
            authority,
            authority,
            b"Via: %b\r\n" % way if way else b"",
            basic_line(login),
        )
        self.done = False
        self.rest = b""
        self._reader = ResponseReader(_LIMITS)
        self._interim = 0

    def receive(self, data: bytes) -> bytes:
        """See `Asking`."""
        seen = len(self.rest)
        self.rest += data
        while True:
            head = self._reader.read(self.rest, seen)
            if head is None:
                return b""
            self.rest, seen = self.rest[head.end :], 0
            if head.status >= 200:
                break
            self._interim += 1
            if self._interim > MOST_INTERIM or head.status == 101:
                raise BadMessage("1xx answers to CONNECT")
        if head.status < 300:
            # A length of the tunnel is no length (RFC 9110 section 9.3.6).
            self.done = True
            return b""
        if head.status == 407:
            raise TurnedDown("it wants another login (407)")
        words, token = _STATUSES.get(head.status, ("it does not do that", ""))
        raise TurnedDown(f"{words} ({head.status})", token)


def asking(
    socks: bool, host: str, port: int, login: Login | None, way: bytes = b""
) -> Asking:
    """Either. `host`: an IPv6 address in brackets. `way`: the proxies that were passed, ours is the last."""
    if socks:
        return AskingSocks(host, port, login, way)
    return AskingConnect(host, port, login, way)
