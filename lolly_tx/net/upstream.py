"""The connections to one target, and their reuse.

    Upstream (one per node)          idle connections, the one used last first
      +-- net.client.Http1Client     one connection, one exchange at a time

An idle connection on which anything arrives is closed.

May import: wire, net. Used by: proxy.forward, service.pools.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IAddress,
    IProtocolFactory,
    IStreamClientEndpoint,
)
from zope.interface import implementer

from lolly_tx.net.client import Http1Client
from lolly_tx.net.deadlines import NEVER, Deadlines
from lolly_tx.net.receiving import ReceivingClient
from lolly_tx.wire.http1 import ResponseReader

MAX_INTERIM = 16
"""1xx responses to one request (RELIABILITY S33)."""


@attrs.frozen
class UpstreamLimits:
    """Of the connections to one target.

    `idle`: kept open unused. `idle_timeout`, `lifetime`: seconds, 0 = no limit.
    `requests`: exchanges on one connection, 0 = no limit. `read`, `write`: seconds
    without a byte in that direction. `interim`: 1xx responses to one request.
    """

    idle: int = 32
    idle_timeout: float = 60.0
    lifetime: float = 0.0
    requests: int = 0
    read: float = 30.0
    write: float = 30.0
    interim: int = MAX_INTERIM


@implementer(IProtocolFactory)
class Upstream:
    """The connections to one target.

    `endpoint`: connects to it, within its own limit. `open`: connections that are up.
    """

    noisy = False

    def __init__(
        self,
        endpoint: IStreamClientEndpoint,
        *,
        deadlines: Deadlines,
        reader: ResponseReader,
        limits: UpstreamLimits,
    ) -> None:
        self.endpoint = endpoint
        self.deadlines = deadlines
        self.now: Callable[[], float] = deadlines.now
        self.reader = reader
        self.limits = limits
        self.open = 0
        self.connects = 0
        self._idle: deque[Any] = deque()  # Http1Clients, given back as their base class
        self._room = limits.idle
        self._idle_seconds = limits.idle_timeout or NEVER
        self._ageing = bool(limits.requests or limits.lifetime)

    def doStart(self) -> None:
        """Nothing to do."""

    def doStop(self) -> None:
        """Nothing to do."""

    def buildProtocol(self, addr: IAddress | None) -> Http1Client:
        """A connection."""
        return Http1Client(self)

    def take(self, careful: bool = False) -> Http1Client | None:
        """The idle connection used last, or None.

        `careful`: the request cannot be repeated, so look whether the backend has closed
        the connection in the meantime (one system call).
        """
        idle = self._idle
        while idle:
            client: Http1Client = idle.pop()
            if not careful or client.is_quiet():
                return client
            client.retire()
        return None

    def connect(self) -> Deferred[Http1Client]:
        """Open a connection. Errbacks with a `ProxyError`, or the cancellation."""
        self.connects += 1
        connecting: Deferred[Any] = self.endpoint.connect(self)
        return connecting

    def give_back(self, client: ReceivingClient, now: float) -> None:
        """Keep `client` for another exchange, unless it is old or one too many."""
        idle = self._idle
        if len(idle) >= self._room or (self._ageing and self._is_old(client, now)):
            client.retire()
            return
        client.deadline = now + self._idle_seconds
        idle.append(client)

    def _is_old(self, client: ReceivingClient, now: float) -> bool:
        limits = self.limits
        return bool(limits.requests and client.served >= limits.requests) or bool(
            limits.lifetime and now - client.born >= limits.lifetime
        )

    def forget(self, client: Http1Client) -> None:
        """An idle connection is closing."""
        try:
            self._idle.remove(client)
        except ValueError:
            pass

    @property
    def idle(self) -> int:
        """Idle connections."""
        return len(self._idle)

    def close(self) -> None:
        """Close the idle connections, and keep none from now on."""
        self._room = 0
        while self._idle:
            self._idle.pop().retire()
