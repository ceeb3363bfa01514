"""The body of a request while it comes: how much it may be, and until when it has to go on.

Not only must some byte come within `timeouts.body`: after a grace the whole must average `timeouts.body_rate`, or a few
bytes a minute would hold a connection. The time a client was not allowed to send does not count.

Imports: net, net.http1, net.sockets, wire. Used by: net.http1.server, net.http2.
"""

from __future__ import annotations

from typing import Final

from lolly_tx.net.deadlines import NEVER
from lolly_tx.net.http1.shared import ClientTimeouts, Shared
from lolly_tx.net.sockets.splice import Relay
from lolly_tx.net.sockets.standstill import Standstill
from lolly_tx.wire.bodies import BodyReader, Counted
from lolly_tx.wire.chunked import ChunkDecoder
from lolly_tx.wire.errors import BadMessage
from lolly_tx.wire.fields import RequestBlock

BODY_GRACE: Final = 10.0
"""Seconds before the average rate of a request's body counts."""

GOING: Final = 0
TOO_SLOW: Final = 1
STALLED: Final = 2
"""How a relay of a body does: well; its client is too slow; its backend takes no more."""


class Pace:
    """How fast a body that began to come at `now` (seconds, monotonic) has to go on."""

    __slots__ = ("_bytes", "_from", "_paused_at", "_timeouts")

    def __init__(self, timeouts: ClientTimeouts, now: float) -> None:
        self._timeouts = timeouts
        self._from = self._paused_at = now
        self._bytes = 0

    def due(self, now: float, more: int = 0) -> float:
        """Until when it has to go on, `more` bytes of it having come."""
        self._bytes += more
        return min(now + self._timeouts.body, self._rate_due())

    def _rate_due(self) -> float:
        """Until when the bytes that have come are enough."""
        rate = self._timeouts.body_rate
        if not rate:
            return NEVER
        return self._from + BODY_GRACE + self._bytes / rate

    def restart(self, now: float) -> None:
        """Its client has had no reason to send before."""
        self._from = now

    def pause(self, now: float) -> None:
        """Its client may not send for now."""
        self._paused_at = now

    def resume(self, now: float) -> None:
        """It may again."""
        self._from += now - self._paused_at


class RequestBody(Pace):
    """The body that the fields of `block` promise, from `now` on (seconds, monotonic).

    `reader`: reads it; `relay`: moves the rest of it, if one does.
    """

    __slots__ = ("_decoded", "_limit", "_moved", "_promised", "reader", "relay")

    def __init__(self, block: RequestBlock, shared: Shared, now: float) -> None:
        super().__init__(shared.timeouts, now)
        self.reader: BodyReader = (
            ChunkDecoder() if block.chunked else Counted(block.length or 0)
        )
        self.relay: Standstill | None = None
        self._limit = shared.body_bytes
        self._promised = block.length or 0
        self._decoded = self._moved = 0

    def feed(self, data: bytes) -> bytes:
        """The body bytes in `data`; raises `BadMessage` (400, 413)."""
        if self._limit and self._promised > self._limit:
            raise BadMessage("request body too large", 413)
        reader = self.reader
        body = reader.feed(data)
        if not reader.verbatim:
            self._decoded += len(body)
            if self._limit and self._decoded > self._limit:
                raise BadMessage("request body too large", 413)
        return body

    # -- relays

    def watch(self, relay: Relay, now: float) -> float:
        """`relay` moves the rest from now on. When to look at it."""
        self._paused_at = now
        self._moved = relay.moved
        self.relay = watch = Standstill(relay, self._timeouts.body, now)
        return watch.next_look(now)

    def look(self, now: float) -> int:
        """How the relay does, since the last look."""
        watch = self.relay
        assert watch is not None
        mine = watch.by_source
        left = watch.left(now)
        if not mine:
            self.resume(now)
        self._paused_at = now
        more = watch.relay.moved - self._moved
        self._moved += more
        self._bytes += more
        if mine and (left <= 0 or (more and now >= self._rate_due())):
            return TOO_SLOW
        return GOING if left > 0 else STALLED
