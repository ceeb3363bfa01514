"""A connection that an exchange for CONNECT gets: as soon as it is there, it is an end of a tunnel.

To the exchange it is a door out whose answer, 200, comes the moment that it is asked: that the connection exists is
all that was asked for (RFC 9110 section 9.3.6). It serves one exchange, and is never kept.

Imports: net, net.streams, wire, Twisted. Used by: service.forwards.
"""

from __future__ import annotations

from typing import Any

from twisted.python.failure import Failure

from lolly_tx.net.doors import ResponseSink
from lolly_tx.net.streams.raw import RawConnection
from lolly_tx.net.tunnel import TunnelEnd
from lolly_tx.net.upstreams import Connection, Upstream
from lolly_tx.wire.message import RequestHead, ResponseHead

CONNECTED = ResponseHead.from_pairs(200, (), b"Connection established")
"""What there is to say of it."""


class WayOut(RawConnection, Connection):
    """See the module."""

    def __init__(self, upstream: Upstream) -> None:
        super().__init__(upstream.deadlines, upstream.limits.write)
        self.upstream = upstream
        self.sink: ResponseSink | None = None

    def makeConnection(self, transport: Any) -> None:
        """It is connected."""
        super().makeConnection(transport)
        self.upstream.open += 1

    def connectionLost(self, reason: Failure) -> None:
        """The connection is over, whoever ended it."""
        self.upstream.open -= 1
        super().connectionLost(reason)

    # -- DoorOut

    def send(
        self,
        sink: ResponseSink,
        head: RequestHead,
        host: bytes,
        lines: bytes,
        body: bytes,
        complete: bool,
        now: float,
    ) -> None:
        """It is there."""
        self.sink = sink
        sink.upgraded(CONNECTED)

    def raw(self) -> TunnelEnd:
        """The connection itself."""
        return self.tunnel_end()

    def cancel(self) -> None:
        """Nobody wants it."""
        self.abort()

    def deliver_to(self, sink: ResponseSink) -> None:
        """To another one from now on."""
        self.sink = sink

    def answered(self, now: float) -> None:
        """Never: it has no whole response."""

    def await_answer(self, now: float) -> None:
        """Never: there is no body to ask for."""

    def await_request(self, now: float) -> None:
        """Never: CONNECT has no body."""

    def write(self, data: bytes) -> None:
        """Never: CONNECT has no body."""

    def finish(self, trailers: bytes = b"") -> None:
        """Never: CONNECT has no body."""

    def pause(self) -> None:
        """Never: what comes is the tunnel's."""

    def resume(self) -> None:
        """Never: what comes is the tunnel's."""

    def patience(self) -> float:
        """As of what is written in the tunnel."""
        return self.write_seconds

    def request_sink(self) -> Any | None:
        """There is no body."""
        return None

    def response_relayed(self) -> None:
        """Never: no relay but the tunnel's."""

    def relay_failed(self, reset: bool) -> None:
        """Never: no relay but the tunnel's."""

    def last_words(self) -> None:
        """Never: nothing is written before the tunnel."""

    # -- Connection: it is never idle

    def hurry(self, until: float) -> None:
        """It never waits."""

    def is_old(self, requests: int, lifetime: float, now: float) -> bool:
        """It is not used twice."""
        return True

    def is_quiet(self) -> bool:
        """It is not used twice."""
        return False

    def retire(self) -> None:
        """Close it."""
        self.hang_up()

    def discard(self) -> None:
        """Close it at once."""
        self.abort()
