"""A connection of a stream to a target: while there is one, its lease is out.

Imports: domain, net, net.sockets, net.streams, Twisted. Used by: proxy.streams.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure

from lolly_tx.domain.lease import Lease
from lolly_tx.net.sockets.transports import SocketTransport
from lolly_tx.net.streams.raw import TUNNEL, RawConnection
from lolly_tx.net.upstreams import Upstream


class TargetConnection(RawConnection):
    """See the module. `upstream`: counts it, and ends it when its target leaves."""

    def __init__(self, upstream: Upstream, write_seconds: float) -> None:
        super().__init__(upstream.deadlines, write_seconds)
        self.upstream = upstream
        self._lease: Lease | None = None

    def makeConnection(self, transport: Any) -> None:
        """It is connected."""
        super().makeConnection(transport)
        self.upstream.open += 1
        self.deadlines.add(self)

    def bear(self, lease: Lease) -> None:
        """Release `lease` when the connection is over."""
        self._lease = lease
        if isinstance(self.transport, SocketTransport):
            self.transport.protocol = self  # past those who have made the connection

    def connectionLost(self, reason: Failure) -> None:
        """It is over."""
        self.upstream.open -= 1
        super().connectionLost(reason)
        lease, self._lease = self._lease, None
        if lease is not None:
            lease.release(self.deadlines.now())

    def cancel(self) -> None:
        """Nobody wants it any more."""
        self.abort()

    def leave(self) -> None:
        """Its target has left, and has had its time."""
        if self.state == TUNNEL and self.end is not None:
            self.end.shut("drained")
        else:
            self.abort()


class _Making(Factory):
    """Makes one connection."""

    noisy = False

    def __init__(self, upstream: Upstream, write_seconds: float) -> None:
        self._upstream = upstream
        self._write_seconds = write_seconds

    def buildProtocol(self, addr: Any) -> Any:
        """It waits for its tunnel."""
        return TargetConnection(self._upstream, self._write_seconds)


class Dial:
    """How a stream connects to the target of `upstream`. `now`: the clock of its pool, seconds."""

    def __init__(self, upstream: Upstream, write_seconds: float) -> None:
        self.now = upstream.now
        self._upstream = upstream
        self._write_seconds = write_seconds

    def connect(self) -> Deferred[Any]:
        """A `TargetConnection`. Errbacks with a `ProxyError`, or the cancellation."""
        upstream = self._upstream
        upstream.connects += 1
        connecting: Deferred[Any] = upstream.endpoint.connect(
            _Making(upstream, self._write_seconds)
        )
        return connecting
