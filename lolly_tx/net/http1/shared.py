"""What the HTTP/1.1 connections of one listener share: settings, what they have read before, whom they serve.

Imports: net, wire. Used by: net.forward, net.http1.listening, net.http1.request_body,
net.http1.server, net.http2, proxy, service.
"""

from __future__ import annotations

from typing import Final, Protocol

import attrs

from lolly_tx.net.doors import BodyStart, DoorIn, Peer
from lolly_tx.wire.errors import BadMessage
from lolly_tx.wire.grammar import HeadLimits
from lolly_tx.wire.http1 import RequestReader
from lolly_tx.wire.message import RequestHead

HALF_CLOSE_SECONDS: Final = 1.0
"""How long an answer may take to begin once the client has sent its last byte; see
`limits.half_close`. A reset after its end is seen, but most clients that go send none."""


@attrs.frozen
class ClientTimeouts:
    """Seconds: `head` to its end, gap in a `body`, `keepalive` idle, `write` stalled.

    `body_rate`: bytes per second a body must average after a grace, 0 = none. `gone`: until
    an answer begins, after the client's last byte; NEVER = it may always be there.
    """

    head: float = 10.0
    body: float = 30.0
    keepalive: float = 60.0
    write: float = 30.0
    body_rate: int = 240
    gone: float = HALF_CLOSE_SECONDS


@attrs.frozen
class Http1Settings:
    """What clients may send, and how long it may take.

    `body_bytes`: of a request's body, 0 = no limit. `requests`: on one connection, 0 = no limit.
    """

    timeouts: ClientTimeouts = ClientTimeouts()
    limits: HeadLimits = HeadLimits()
    body_bytes: int = 0
    requests: int = 0


class Site(Protocol):
    """What a listener serves: the proxy."""

    def open_exchange(self, door: DoorIn, head: RequestHead, start: BodyStart) -> None:
        """Begin an exchange. `start`: what came of the body with the head."""

    def refused(self, door: DoorIn, error: BadMessage, begun: bool) -> None:
        """Answer a request that is none. `begun`: its exchange has been recorded."""

    def introduce(self, peer: Peer, head: RequestHead) -> bytes:
        """The lines that tell a backend who sends `head`."""


class Shared:
    """One for each listener. `secure`: it speaks TLS. `reader`: of heads; None: the usual one."""

    __slots__ = (
        "body_bytes",
        "introduce",
        "open_exchange",
        "reader",
        "refused",
        "requests",
        "secure",
        "timeouts",
    )

    def __init__(
        self,
        site: Site,
        settings: Http1Settings,
        secure: bool,
        reader: RequestReader | None = None,
    ) -> None:
        self.timeouts = settings.timeouts
        self.body_bytes = settings.body_bytes
        self.requests = settings.requests
        self.secure = secure
        self.reader = reader or RequestReader(settings.limits, secure)
        self.open_exchange = site.open_exchange
        self.refused = site.refused
        self.introduce = site.introduce
