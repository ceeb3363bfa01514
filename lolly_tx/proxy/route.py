"""What a route leads to.

For now always a pool, and straight: exchanges begin at once.

Imports: net, proxy, wire. Used by: service.
"""

from __future__ import annotations

from lolly_tx.net.doors import DoorIn
from lolly_tx.proxy.exchange import Exchange
from lolly_tx.proxy.forwarder import Forwarder
from lolly_tx.wire.message import RequestHead


class ToPool:
    """Requests go to the pool of `forwarder` (`proxy.proxy.RouteEnd`)."""

    __slots__ = ("_traces", "forwarder")

    def __init__(self, forwarder: Forwarder) -> None:
        self.lead_to(forwarder)

    def lead_to(self, forwarder: Forwarder) -> None:
        """Where requests go from now on; exchanges that are under way stay where they are."""
        self.forwarder = forwarder
        self._traces = forwarder.traces

    def open_exchange(
        self,
        door: DoorIn,
        head: RequestHead,
        body: bytes,
        trailers: bytes,
        complete: bool,
    ) -> None:
        """Begin an exchange. `body`: what came with the head; `complete`: all of it."""
        forwarder = self.forwarder
        if self._traces is None:
            Exchange(forwarder, door, head, body, trailers, complete).start()
            return
        head, trace = self._traces.consider(head, forwarder.now())
        exchange = Exchange(forwarder, door, head, body, trailers, complete)
        exchange.trace = trace
        exchange.start()
