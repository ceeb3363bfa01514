"""The second attempt of an exchange while its first is slow: its line to the backend.

When and whether is `domain.retries.attempts`'s to say, with the percentile of `domain.retries.policy`.
The slower of the two is cancelled.

Imports: domain, net, proxy, wire. Used by: proxy.exchange.
"""

from __future__ import annotations

from lolly_tx.domain.errors import ProxyError
from lolly_tx.domain.lease import Lease
from lolly_tx.net.alarm import Alarm
from lolly_tx.net.doors import DoorOut, ResponseSink
from lolly_tx.proxy.connecting import Connecting
from lolly_tx.proxy.owner import Owner
from lolly_tx.wire.message import ResponseHead


class HedgeLine(ResponseSink):
    """Waits `seconds`, then is the sink of a second attempt until its answer begins.

    `lease`: of the first attempt. The request is complete and can be sent again.
    """

    def __init__(self, exchange: Owner, seconds: float, lease: Lease) -> None:
        self._exchange = exchange
        self._client: DoorOut | None = None
        self._connecting: Connecting | None = None
        clock = exchange.supplies.clock
        self._timer: Alarm | None = Alarm(clock, seconds, self._due)
        self._first = lease

    def cancel(self) -> None:
        """Not needed any more."""
        timer, self._timer = self._timer, None
        client, self._client = self._client, None
        connecting, self._connecting = self._connecting, None
        if timer is not None:
            timer.cancel()
        if client is not None:
            client.cancel()
        if connecting is not None:
            connecting.cancel()

    def _due(self) -> None:
        self._timer = None
        self._exchange.hedge_due(self._first, self._exchange.supplies.now())

    def send(self, lease: Lease, now: float) -> None:
        """Make the attempt."""
        exchange = self._exchange
        upstream = exchange.supplies.upstreams.of(lease.node, exchange.door.peer)
        client = upstream.take()
        if client is not None:
            self._send(client, now)
        else:
            connecting = self._connecting = Connecting(
                upstream, lease, self._connected, self.upstream_failed
            )
            connecting.open()

    def _connected(self, client: DoorOut) -> None:
        self._connecting = None
        self._send(client, self._exchange.supplies.now())

    def _send(self, client: DoorOut, now: float) -> None:
        self._client = client
        exchange = self._exchange
        assert exchange.hedge is not None
        exchange.send_on(client, self, exchange.hedge.node, now)

    # -- ResponseSink

    def response_head(self, head: ResponseHead, framing: int) -> None:
        """It was faster."""
        client, self._client = self._client, None
        if client is not None:
            self._exchange.hedge_brought(client, head, framing)

    def stood_still(self, seconds: float, now: float) -> None:
        """The process did: the node is not slow for that."""
        if self._exchange.hedge is not None:
            self._exchange.hedge.forgive(seconds, now)

    def upstream_failed(self, error: ProxyError) -> None:
        """It has failed."""
        self._client = self._connecting = None
        exchange = self._exchange
        if exchange.hedge is not None:
            exchange.hedge_failed(error, exchange.supplies.now())
