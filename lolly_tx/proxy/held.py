"""An answer held back while another node is asked for a better one.

With "503" in `retry.on`, a 503 is not passed on at once; but if nobody else has an answer, the
client gets that very 503, not one of ours. The connection is paused meanwhile, so at
most what one read brought is kept.

May import: domain, wire, net. Used by: proxy.exchange.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lolly_tx.domain.errors import ProxyError
from lolly_tx.domain.lease import Lease
from lolly_tx.net.doors import DoorOut, ResponseSink
from lolly_tx.wire.http1 import ResponseHead

if TYPE_CHECKING:  # pragma: no cover
    from lolly_tx.proxy.exchange import Exchange


class Held(ResponseSink):
    """The sink of a connection whose answer is held back."""

    __slots__ = (
        "_client",
        "_data",
        "_ended",
        "_failed",
        "_framing",
        "_head",
        "_lease",
        "_since",
        "_trailers",
    )

    def __init__(
        self,
        client: DoorOut,
        lease: Lease,
        head: ResponseHead,
        framing: int,
        now: float,
    ) -> None:
        self._client: DoorOut | None = client
        self._lease = lease
        self._head = head
        self._framing = framing
        self._since = now
        self._data: list[bytes] = []
        self._trailers = b""
        self._ended = False
        self._failed: ProxyError | None = None
        client.exchange = self

    def discard(self) -> None:
        """A better answer has come."""
        if self._client is not None:
            self._client.cancel()
            self._client = None
        self._lease.release(self._since)

    def deliver(self, exchange: Exchange) -> None:
        """Nothing better has come: `exchange` passes this answer on."""
        client, self._client = self._client, None
        if client is not None:
            client.exchange = exchange
        exchange.client = client
        exchange.lease = lease = self._lease
        if exchange.node is not lease.node:
            exchange.turned_over()
            past = exchange.past
            exchange.past = tuple([one for one in past if one[0] is not lease.node])
        exchange.node = lease.node
        exchange.pass_on(self._head, self._framing)
        for data in self._data:
            exchange.response_data(data)
        if self._ended:
            exchange.response_end(self._trailers)
        elif self._failed is not None:
            exchange.upstream_failed(self._failed)
        elif client is not None:
            client.resume()

    # -- ResponseSink

    def response_data(self, data: bytes) -> None:
        """What came in the same read as the head."""
        self._data.append(data)

    def response_end(self, trailers: bytes, last: bytes = b"") -> None:
        """The answer was short: the connection is free already."""
        if last:
            self._data.append(last)
        self._ended = True
        self._trailers = trailers
        self._client = None

    def upstream_failed(self, error: ProxyError) -> None:
        """The rest of the answer is lost."""
        self._failed = error
        self._client = None

    def response_waits(self) -> None:
        """It is not short: read no more of it for now."""
        if self._client is not None:
            self._client.pause()
