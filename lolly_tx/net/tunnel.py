"""Two connections joined byte for byte, after an upgrade.

Each direction ends by itself: an end of file on one side becomes a half-close of the
other (RELIABILITY S24), and when both have ended both are closed. Between plain sockets
the kernel moves the bytes (`net.sockets.splice`), else they are copied with back-pressure.

May import: net. Used by: proxy.exchange (WebSocket and other upgrades).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure

from lolly_tx.net.sockets.splice import SOURCE_EOF, Relay, can_splice
from lolly_tx.net.sockets.transports import is_secure, probe_when_idle


class TunnelEnd(Protocol):
    """A protocol that lets go of its connection for a tunnel."""

    transport: Any

    @property
    def input_ended(self) -> bool:
        """Its peer has sent its last byte."""

    def open_tunnel(self, tunnel: Tunnel) -> bytes:
        """Deliver all events to `tunnel` from now on. Returns bytes already read."""


class Tunnel:
    """Joins `downstream` and `upstream` until both have ended.

    `on_closed(sent, received)`: called once, with the bytes that went up and down.
    """

    def __init__(
        self,
        downstream: TunnelEnd,
        upstream: TunnelEnd,
        on_closed: Callable[[int, int], None],
    ) -> None:
        self._ends: dict[TunnelEnd, TunnelEnd] = {
            downstream: upstream,
            upstream: downstream,
        }
        self._on_closed = on_closed
        self._moved = {downstream: 0, upstream: 0}
        self._ended: set[TunnelEnd] = set()
        self._relays: dict[TunnelEnd, Relay] = {}
        self._open = True
        for end in self._ends:
            # A tunnel may be idle for ever: there is no timeout that a ping would meet.
            probe_when_idle(end.transport)
        # Both first: what is written to one may make it ask for a pause of the other.
        early = [(end, end.open_tunnel(self)) for end in (downstream, upstream)]
        for source, data in early:
            if data:
                self.received(source, data)
        if can_splice(downstream.transport, upstream.transport):
            for source, sink in ((downstream, upstream), (upstream, downstream)):
                self._start_relay(source, sink)
        if self._open and downstream.input_ended:
            self.ended(downstream)

    def _start_relay(self, source: TunnelEnd, sink: TunnelEnd) -> None:
        def error(reason: str) -> None:
            relay = self._relays.pop(source)
            self._moved[source] += relay.moved
            if reason == SOURCE_EOF:
                self.ended(source)
            else:
                self._abort()

        def done() -> None:
            relay = self._relays.pop(source)
            self._moved[source] += relay.moved
            self.ended(source)

        self._relays[source] = Relay(
            source.transport, sink.transport, None, on_done=done, on_error=error
        )

    # -- what the ends report

    def received(self, end: TunnelEnd, data: bytes) -> None:
        """Bytes came from `end`."""
        self._moved[end] += len(data)
        self._ends[end].transport.write(data)

    def ended(self, end: TunnelEnd) -> None:
        """`end` has sent its last byte."""
        if not self._open or end in self._ended:
            return
        self._ended.add(end)
        other = self._ends[end]
        half_close = getattr(other.transport, "loseWriteConnection", None)
        if other in self._ended or half_close is None or is_secure(other.transport):
            # TLS has no half-close that both sides agree on.
            self._finish()
        else:
            half_close()

    def pause(self, end: TunnelEnd) -> None:
        """`end` takes no more: stop reading the other."""
        if self._open and not self._relays:
            self._ends[end].transport.pauseProducing()

    def resume(self, end: TunnelEnd) -> None:
        """`end` takes more."""
        if self._open and not self._relays:
            self._ends[end].transport.resumeProducing()

    def lost(self, end: TunnelEnd, reason: Failure) -> None:
        """The connection of `end` is gone."""
        if reason.check(ConnectionDone):
            self._finish()
        else:
            self._abort()

    def _finish(self) -> None:
        """Close both after what is queued has left."""
        if self._open:
            self._open = False
            for each in self._ends:
                each.transport.unregisterProducer()
                each.transport.loseConnection()
            self._report()

    def _abort(self) -> None:
        if not self._open:
            return
        self._open = False
        for source, relay in list(self._relays.items()):
            relay.cancel()
            self._moved[source] += relay.moved
        self._relays.clear()
        for each in self._ends:
            each.transport.abortConnection()
        self._report()

    def _report(self) -> None:
        downstream, upstream = self._ends
        self._on_closed(self._moved[downstream], self._moved[upstream])
