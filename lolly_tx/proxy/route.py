"""What a route leads to.

For now always a pool, and straight: exchanges begin at once.

Imports: net, proxy, wire. Used by: proxy.forwards, service, service.forwards.
"""

from __future__ import annotations

from lolly_tx.net.doors import BodyStart, DoorIn
from lolly_tx.proxy.exchange import Exchange
from lolly_tx.proxy.forwarder import Forwarder
from lolly_tx.wire.message import RequestHead


class ToPool:
    """Requests go to the pool of `forwarder` (`proxy.proxy.RouteEnd`)."""

    __slots__ = ("_straight", "forwarder")

    def __init__(self, forwarder: Forwarder) -> None:
        self.lead_to(forwarder)

    def lead_to(self, forwarder: Forwarder) -> None:
        """Where requests go from now on; exchanges that are under way stay where they are."""
        self.forwarder = forwarder
        self._straight = forwarder.traces is None and forwarder.identities is None

    def open_exchange(self, door: DoorIn, head: RequestHead, start: BodyStart) -> None:
        """Begin an exchange. `start`: what came of the body with the head."""
        if self._straight:
            Exchange(self.forwarder, door, head, start).begin()
        else:
            self.begin(door, head, start, None)

    def begin(
        self,
        door: DoorIn,
        head: RequestHead,
        start: BodyStart,
        route: str | None,
    ) -> None:
        """Begin one that notes are taken of. `route`: the name of the one that led here, where that is asked for."""
        forwarder = self.forwarder
        trace = identity = None
        if forwarder.traces is not None:
            head, trace = forwarder.traces.consider(head, forwarder.now())
        if forwarder.identities is not None:
            identity = door.identity or forwarder.identities.of(head, door.peer)
            head = forwarder.identities.without(head)
        exchange = Exchange(forwarder, door, head, start)
        exchange.trace = trace
        exchange.route = route
        exchange.identity = identity
        exchange.begin()


class NamedRoute:
    """The same by a route whose name matters to the access log."""

    __slots__ = ("end", "name")

    def __init__(self, end: ToPool, name: str) -> None:
        self.end = end
        self.name = name

    @property
    def forwarder(self) -> Forwarder:
        """That of the pool."""
        return self.end.forwarder

    def open_exchange(self, door: DoorIn, head: RequestHead, start: BodyStart) -> None:
        """As `ToPool` does."""
        self.end.begin(door, head, start, self.name)
