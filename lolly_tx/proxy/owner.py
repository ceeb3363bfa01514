"""What the parts of an exchange know of the whole: `proxy.exchange.Exchange`, from below.

Imports: domain, net, wire, Twisted. Used by: proxy.download, proxy.exchange,
proxy.hedge, proxy.upload.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.interfaces import IReactorTime

from lolly_tx.domain.errors import ProxyError
from lolly_tx.domain.lease import Lease
from lolly_tx.domain.node import Node
from lolly_tx.net.doors import DoorIn, DoorOut, ResponseSink
from lolly_tx.net.upstreams import Upstreams
from lolly_tx.wire.message import RequestHead, ResponseHead

RELAY_BYTES = 131072
"""A body with less than this to come is copied: a pipe is not worth its system calls."""


class Supplies(Protocol):
    """What exchanges of one pool share, as far as their parts use it."""

    now: Callable[[], float]
    clock: IReactorTime
    upstreams: Upstreams


class Owner(Protocol):
    """The exchange that a part belongs to."""

    door: DoorIn
    head: RequestHead
    client: DoorOut | None
    lease: Lease | None
    hedge: Lease | None
    download: Any  # a `proxy.download.Download`, while it is at work
    bytes_in: int
    bytes_out: int

    @property
    def supplies(self) -> Supplies:
        """Clock and connections."""

    def request_complete(self, now: float) -> None:
        """The client has sent all of the request."""

    def downstream_failed(self, error: ProxyError) -> None:
        """The client is gone."""

    def send_on(
        self, client: DoorOut, sink: ResponseSink, node: Node, now: float
    ) -> None:
        """Send the request to `node` on `client`."""

    def hedge_due(self, lease: Lease, now: float) -> None:
        """The attempt of `lease` has had its time."""

    def hedge_brought(self, client: DoorOut, head: ResponseHead, framing: int) -> None:
        """The hedge has an answer, on `client`."""

    def hedge_failed(self, error: ProxyError, now: float) -> None:
        """The hedge has none."""
