"""An answer held back while another node is asked for a better one.

With "503" in `retry.on`, a 503 is not passed on at once; but if nobody else has an answer, the
client gets that very 503, not one of ours. The connection is paused meanwhile, so at
most what one read brought is kept.

Imports: domain, net, wire. Used by: proxy.exchange.
"""

from __future__ import annotations

from lolly_tx.domain.errors import ProxyError
from lolly_tx.domain.lease import Lease
from lolly_tx.net.doors import DoorOut, ResponseSink
from lolly_tx.wire.message import ResponseHead


class Held(ResponseSink):
    """The sink of `client`, None when its answer is complete or lost. `lease`: of the attempt."""

    __slots__ = (
        "_data",
        "_ended",
        "_failed",
        "_since",
        "_trailers",
        "client",
        "framing",
        "head",
        "lease",
    )

    def __init__(
        self,
        client: DoorOut,
        lease: Lease,
        head: ResponseHead,
        framing: int,
        now: float,
    ) -> None:
        self.client: DoorOut | None = client
        self.lease = lease
        self.head = head
        self.framing = framing
        self._since = now
        self._data: list[bytes] = []
        self._trailers = b""
        self._ended = False
        self._failed: ProxyError | None = None
        client.deliver_to(self)

    def discard(self) -> None:
        """A better answer has come."""
        if self.client is not None:
            self.client.cancel()
            self.client = None
        self.lease.release(self._since)

    def replay(self, sink: ResponseSink) -> None:
        """Nothing better has come, and `sink` has begun with the head: let it have the rest."""
        client, self.client = self.client, None
        if client is not None:
            client.deliver_to(sink)
        for data in self._data:
            sink.response_data(data)
        if self._ended:
            sink.response_end(self._trailers)
        elif self._failed is not None:
            sink.upstream_failed(self._failed)
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
        self.client = None

    def upstream_failed(self, error: ProxyError) -> None:
        """The rest of the answer is lost."""
        self._failed = error
        self.client = None

    def response_waits(self) -> None:
        """It is not short: read no more of it for now."""
        if self.client is not None:
            self.client.pause()
