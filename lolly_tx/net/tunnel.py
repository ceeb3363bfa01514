"""Two connections joined byte for byte: after an upgrade to WebSocket, or from their beginning (`net.streams`).

    both open --one side ends--> half closed --the other ends, or nothing moves--> closed
        |                                                                            ^
        +-- the proxy stops: Close 1001 to the client, at the end of a frame --------+

Each direction ends by itself: an end of file, or a close_notify, on one side ends the
writing to the other, and when both have ended both are closed. Between plain sockets the
kernel moves the bytes where there are many (`net.sockets.splice`), else they are copied with back-pressure. What
a WebSocket server sends is copied in any case, but for the payload of long frames: to put a frame of
ours between two of its own, we have to know where they end.

It knows nothing of what the connections are for: whatever joins two of them (upgrades, streams, CONNECT, SOCKS5) has
two ends (`TunnelEnd`; `net.streams.raw.RawConnection` makes one of any connection) and is told once when it is over.
`why` says who or what ended it:

    client, target                  sent its last byte first, or closed
    client_reset, target_reset      its connection broke
    client_stalled, target_stalled  it took no more bytes
    idle, half_closed               nothing moved for that time
    stopped, drained                the proxy stops; a target has left, and had its time

Imports: net, net.sockets, wire, Twisted. Used by: net.doors, net.forward, net.http1,
net.http2, net.streams, net.tunnels, proxy, proxy.chains.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.python.failure import Failure

from lolly_tx.net.deadlines import NEVER, Deadlines
from lolly_tx.net.sockets.parting import cut
from lolly_tx.net.sockets.splice import (
    SINK,
    SINK_LOST,
    SOURCE,
    SOURCE_EOF,
    Relay,
    can_splice,
)
from lolly_tx.net.sockets.transports import (
    has_hung_up,
    probe_when_idle,
    untaken_bytes,
)
from lolly_tx.wire.websocket import GOING_AWAY, Frames

LOOK_SECONDS = 2.0
"""How often a half-closed tunnel is looked at. A side that has ended is not read, and the
reactor does not tell when it is gone."""

WATCH_SECONDS = 10.0
"""The same for relays that wait for a side that takes no more: nothing pauses them."""

GOODBYE_SECONDS = 5.0
"""What a client has to answer our Close before its connection is closed."""

LONG_FRAME_BYTES = 131072
"""A payload with less than this to come is copied: a pipe is not worth its system calls."""


BULK_BYTES = 65536
"""A read that brings so much is followed by more, most likely: from then on the kernel moves
the bytes. A few of them are copied in four fifths of the time it takes to have them moved."""

TRICKLE_BYTES = 1 << 20
"""A relay that moves less between two looks is given up again, where bytes may be copied."""


class TunnelEnd(Protocol):
    """A protocol that lets go of its connection for a tunnel."""

    transport: Any

    @property
    def write_seconds(self) -> float:
        """Seconds within which its peer has to take more of what is sent."""

    @property
    def input_ended(self) -> bool:
        """Its peer has sent its last byte."""

    @property
    def leaving(self) -> bool:
        """It is about to be closed, because the proxy stops."""

    def open_tunnel(self, tunnel: Tunnel) -> bytes:
        """Deliver all events to `tunnel` from now on. Returns bytes already read."""

    def end_tunnel_writing(self) -> None:
        """Send its peer no more once what is queued has left; reading goes on."""

    def close_tunnel(self, had_its_time: bool) -> None:
        """Close in good order; nothing more is delivered.

        `had_its_time`: its peer was waited for already, and is not once more.
        """


class Tunnel:
    """Joins `downstream` and `upstream` until both have ended.

    `half_closed`: seconds without a byte after which a tunnel ends of which one side has; `idle`: the same while
    neither has. `on_closed(sent, received)`: called once, with the bytes that went up and down. `frames`: what the
    server sends is WebSocket; without them nobody can be told that the proxy stops. `why`: see the module; "" while it
    is open.
    """

    def __init__(
        self,
        downstream: TunnelEnd,
        upstream: TunnelEnd,
        on_closed: Callable[[int, int], None],
        *,
        deadlines: Deadlines,
        half_closed: float,
        idle: float = NEVER,
        frames: bool = True,
    ) -> None:
        self.deadline = NEVER
        self.why = ""
        self._first = ""
        self._downstream = downstream
        self._upstream = upstream
        self._on_closed = on_closed
        self._deadlines = deadlines
        self._half_closed = half_closed
        self._idle = idle
        self._moved = {downstream: 0, upstream: 0}
        self._ended: set[TunnelEnd] = set()
        self._relays: dict[TunnelEnd, Relay] = {}
        self._frames = Frames() if frames else None
        self._leaving = self._said_goodbye = False
        self._moved_before = 0
        self._relayed_before: dict[TunnelEnd, int] = {}
        self._moved_at = deadlines.now()
        self._standing: dict[TunnelEnd, tuple[int, float]] = {}
        self._open = True
        for end in (downstream, upstream):
            # A tunnel may be idle for ever: there is no timeout that a ping would meet.
            probe_when_idle(end.transport)
        # Both first: what is written to one may make it ask for a pause of the other.
        early = [(end, end.open_tunnel(self)) for end in (downstream, upstream)]
        self._splices = can_splice(downstream.transport, upstream.transport)
        for source, data in early:
            if data:
                self.received(source, data)
        if self._splices and self._open and self._frames is not None:
            self._start_relay(downstream, None)
        if self._open and (self._splices or idle != NEVER):
            self._watch(self._moved_at)
            deadlines.add(self)
        if self._open and downstream.input_ended:
            self.ended(downstream)
        if downstream.leaving:
            self.going_away()

    def _other(self, end: TunnelEnd) -> TunnelEnd:
        return self._upstream if end is self._downstream else self._downstream

    def _name(self, end: TunnelEnd) -> str:
        return "client" if end is self._downstream else "target"

    def _start_relay(self, source: TunnelEnd, remaining: int | None) -> None:
        def error(reason: str) -> None:
            self._end_relay(source)
            if reason == SOURCE_EOF:
                self.ended(source)
            else:
                lost = self._other(source) if reason == SINK_LOST else source
                self._abort(f"{self._name(lost)}_reset")

        def done() -> None:
            self._end_relay(source)
            if remaining is None:
                self.ended(source)
            elif self._frames is not None:
                self._frames.skip(remaining)
                self._say_goodbye()

        self._relays[source] = Relay(
            source.transport,
            self._other(source).transport,
            remaining,
            on_done=done,
            on_error=error,
        )

    def _end_relay(self, source: TunnelEnd) -> None:
        self._moved[source] += self._relays.pop(source).moved
        self._standing.pop(source, None)
        self._relayed_before.pop(source, None)

    # -- what the ends report

    def received(self, end: TunnelEnd, data: bytes) -> None:
        """Bytes came from `end`."""
        if self._frames is None:
            size = len(data)
            other = self._upstream if end is self._downstream else self._downstream
            self._moved[end] += size
            other.transport.write(data)
            if size >= BULK_BYTES and self._splices and self._open:
                self._start_relay(end, None)
        elif end is self._downstream:
            self._moved[end] += len(data)
            self._upstream.transport.write(data)
        elif not self._said_goodbye:  # after it, nothing the server says is to follow
            self._pass_frames(data, self._frames)

    def _pass_frames(self, data: bytes, frames: Frames) -> None:
        """Bytes came from the server."""
        if self._leaving and not frames.at_boundary:
            data = data[: frames.end_of_frame(data)]
        else:
            frames.feed(data)
        self._moved[self._upstream] += len(data)
        self._downstream.transport.write(data)
        if self._leaving and frames.at_boundary:
            self._say_goodbye()
        elif self._splices and self._open:
            if frames.unknown:
                self._start_relay(self._upstream, None)
            elif frames.left >= LONG_FRAME_BYTES:
                self._start_relay(self._upstream, frames.left)

    def ended(self, end: TunnelEnd) -> None:
        """`end` has sent its last byte."""
        if not self._open or end in self._ended:
            return
        self._ended.add(end)
        self._first = self._first or self._name(end)
        other = self._other(end)
        if other in self._ended or self._said_goodbye:
            self._finish(self._first)
            return
        now = self._deadlines.now()
        self._moved_before, self._moved_at = self._total(), now
        self._look_again(now)
        other.end_tunnel_writing()

    def pause(self, end: TunnelEnd) -> None:
        """`end` takes no more: stop reading the other."""
        source = self._other(end)
        if self._open and source not in self._relays:
            source.transport.pauseProducing()

    def resume(self, end: TunnelEnd) -> None:
        """`end` takes more."""
        source = self._other(end)
        if self._open and source not in self._relays:
            source.transport.resumeProducing()

    def lost(self, end: TunnelEnd, reason: Failure) -> None:
        """The connection of `end` is gone."""
        name = self._name(end)
        if reason.check(ConnectionDone):
            self._finish(self._first or name)
        elif reason.check(ConnectionAborted):  # by who waited for it to take something
            self._abort(f"{name}_stalled")
        else:
            self._abort(f"{name}_reset")

    # -- the end

    def expired(self, now: float) -> None:
        """Look at what stands still, is half closed, or has been told to go."""
        if self._said_goodbye:
            self._finish("stopped", had_its_time=True)
            return
        for source in self._relays:
            if self._stands_still(source, now):
                self._abort(f"{self._name(self._other(source))}_stalled")
                return
        moved = self._total()
        if moved != self._moved_before:
            self._moved_before, self._moved_at = moved, now
        if not self._ended:
            if now >= self._moved_at + self._idle:
                self._finish("idle")
            else:
                self._copy_trickles()
                self._watch(now)
            return
        if any(has_hung_up(end.transport) for end in self._ended):
            self._finish(self._first)
        elif now >= self._moved_at + self._half_closed:
            self._finish("half_closed")
        else:
            self._look_again(now)

    def _copy_trickles(self) -> None:
        """Give up relays that have moved little since the last look, and wait for more."""
        if self._frames is not None:
            return
        for source, relay in list(self._relays.items()):
            before = self._relayed_before.get(source, 0)
            self._relayed_before[source] = relay.moved
            if relay.moved - before < TRICKLE_BYTES and relay.waiting_for == SOURCE:
                relay.cancel()
                self._end_relay(source)
                source.transport.resumeProducing()

    def _watch(self, now: float) -> None:
        """Look again in time, with nothing ended."""
        self.deadline = min(now + WATCH_SECONDS, self._moved_at + self._idle)

    def _stands_still(self, source: TunnelEnd, now: float) -> bool:
        """Whether the relay from `source` waits for the other side, and has waited too long."""
        relay, sink = self._relays[source], self._other(source)
        if relay.waiting_for != SINK:
            self._standing.pop(source, None)
            return False
        taken = relay.moved - untaken_bytes(sink.transport)
        before, since = self._standing.get(source, (-1, now))
        if taken != before:
            self._standing[source] = (taken, now)
        return taken == before and now - since >= sink.write_seconds

    def _look_again(self, now: float) -> None:
        self.deadline = min(now + LOOK_SECONDS, self._moved_at + self._half_closed)
        self._deadlines.add(self)

    def _total(self) -> int:
        relayed = sum(relay.moved for relay in self._relays.values())
        return relayed + sum(self._moved.values())

    def going_away(self) -> None:
        """The proxy stops: tell the client so, as soon as a frame of the server ends."""
        self._leaving = True
        if self._frames is not None and self._frames.at_boundary:
            self._say_goodbye()

    def _say_goodbye(self) -> None:
        """Send our Close, if it is time for it. The client's own then goes to the server."""
        if (
            self._leaving
            and self._open
            and self._frames is not None
            and not self._frames.closing
            and self._upstream not in self._ended
        ):
            self._said_goodbye = True
            self._downstream.transport.write(GOING_AWAY)
            self.deadline = self._deadlines.now() + GOODBYE_SECONDS
            self._deadlines.add(self)

    def shut(self, why: str = "stopped") -> None:
        """The proxy stops now, or has another reason."""
        self._finish(why, had_its_time=True)

    def _finish(self, why: str, had_its_time: bool = False) -> None:
        """Close both after what is queued has left."""
        if not self._open:
            return
        self._open = False
        self.why = why
        if self._cancel_relays():
            self._abort_both()
        else:
            self._downstream.close_tunnel(had_its_time)
            self._upstream.close_tunnel(had_its_time)
        self._report()

    def _abort(self, why: str) -> None:
        if not self._open:
            return
        self._open = False
        self.why = why
        self._cancel_relays()
        self._abort_both()
        self._report()

    def _cancel_relays(self) -> int:
        """Stop those at work; how many bytes are lost with them."""
        lost = 0
        for source, relay in list(self._relays.items()):
            lost += relay.cancel()
            self._end_relay(source)
        return lost

    def _abort_both(self) -> None:
        for end in (self._downstream, self._upstream):
            cut(end.transport)

    def _report(self) -> None:
        self._deadlines.discard(self)
        self._on_closed(self._moved[self._downstream], self._moved[self._upstream])
