"""The relay of a long response body: from the backend to the client inside the kernel.

Imports: net, net.sockets, proxy. Used by: proxy.exchange.
"""

from __future__ import annotations

from typing import Any

from lolly_tx.net.doors import DoorOut
from lolly_tx.net.sockets.splice import SINK_LOST, SOURCE_RESET, Relay, can_splice
from lolly_tx.proxy.owner import RELAY_BYTES, Owner


class Download:
    """Moves `left` bytes (None: until it closes) from `client` to the door of `exchange`."""

    __slots__ = ("_client", "_exchange", "relay")

    def __init__(
        self,
        exchange: Owner,
        client: DoorOut,
        source: Any,
        sink: Any,
        left: int | None,
    ) -> None:
        self._exchange = exchange
        self._client = client
        self.relay = Relay(
            source,
            sink,
            left,
            on_done=self._done,
            on_error=self._failed,
            patience=exchange.door.write_seconds,
        )

    def end(self) -> None:
        """Stop, and count what was moved. Does nothing the second time."""
        exchange = self._exchange
        if exchange.download is self:
            exchange.download = None
            self.relay.cancel()
            exchange.bytes_out += self.relay.moved

    def _done(self) -> None:
        self.end()
        self._client.response_relayed()

    def _failed(self, reason: str) -> None:
        self.end()
        if (
            reason != SINK_LOST
        ):  # the door learns of its own connection's loss by itself
            self._client.relay_failed(reset=reason == SOURCE_RESET)


def download(exchange: Owner, source: Any, left: int | None) -> Relay | None:
    """Begin one, if the body is long enough and both connections are plain."""
    client = exchange.client
    if client is None or (left is not None and left < RELAY_BYTES):
        return None
    sink = exchange.door.response_sink()
    if sink is None or not can_splice(source, sink):
        return None
    begun = Download(exchange, client, source, sink, left)
    exchange.download = begun
    return begun.relay
