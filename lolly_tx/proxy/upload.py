r"""The body of a request on its way to the backend; made only where there is one.

    data ... end --> the connection of the current attempt, if there is one
                \--> kept, for the next attempt
    long, and both sides plain: a relay moves the rest

The first `REPLAY_BYTES` are kept until the response begins, so that another attempt can
send them again; a longer body cannot be replayed.

Imports: domain, net, net.sockets, proxy, wire. Used by: proxy.exchange.
"""

from __future__ import annotations

from typing import Final

from lolly_tx.domain.errors import DownstreamGone
from lolly_tx.domain.lease import WAITING
from lolly_tx.net.doors import BodyStart, DoorOut
from lolly_tx.net.sockets.splice import SINK_LOST, Relay, can_splice
from lolly_tx.proxy.owner import RELAY_BYTES, Owner
from lolly_tx.wire.fieldlines import without_spellings

REPLAY_BYTES: Final = 65536
"""Of a request body, kept for another attempt."""


class Upload:
    """The body of the request of `exchange`.

    `complete`: all of it has come. `trailers`: that came at its end. `relay`: at work, if one is.
    """

    __slots__ = (
        "_exchange",
        "_kept",
        "_continued",
        "_paused",
        "relay",
        "_size",
        "complete",
        "trailers",
    )

    def __init__(self, exchange: Owner, start: BodyStart) -> None:
        self._exchange = exchange
        self._kept: list[bytes] | None = [start.data] if start.data else []
        self._size = len(start.data)
        self._paused = False
        self.relay: Relay | None = None
        self.complete = start.complete
        self.trailers = self._allowed(start.trailers) if start.trailers else b""
        self._continued = False

    @property
    def replayable(self) -> bool:
        """All that has come is still there."""
        return self._kept is not None

    def so_far(self) -> tuple[bytes, bool, bytes]:
        """What has come, for an attempt that begins; whether it is all; trailers to end it."""
        kept = self._kept
        if kept and self._size > REPLAY_BYTES:
            self._kept = None
        body = b"".join(kept) if kept else b""
        return body, self.complete and not self.trailers, self.trailers

    @property
    def _awaits_word(self) -> bool:
        """The client sends its body when the target has agreed (RFC 9110 section 10.1.1)."""
        exchange = self._exchange
        begun = self.complete or self._continued or exchange.bytes_in
        return exchange.head.awaits_continue and not begun

    def begin(self, client: DoorOut, now: float) -> None:
        """An attempt has begun on `client` with what was there: go on reading."""
        if self.complete:
            return
        if self._paused:
            self._paused = False
            self._exchange.door.resume_request()
        if self._awaits_word:
            client.await_answer(now)
        else:
            self._go_on(client)

    def continued(self) -> bool:
        """The target has agreed to the body; whether that is news to the client."""
        if self._continued or self._size or not self._exchange.head.block.expect:
            return False
        self._continued = True
        return True

    def go_on(self) -> None:
        """The client has been told so, and has to move."""
        client = self._exchange.client
        if client is not None and not self.complete:
            self._go_on(client)

    def _go_on(self, client: DoorOut) -> None:
        self._client_moves(client)
        self._begin_relay(client)

    def _client_moves(self, client: DoorOut) -> None:
        """More of the request has to come before the target owes anything."""
        exchange = self._exchange
        client.await_request(exchange.supplies.now())
        if exchange.lease is not None:
            exchange.lease.asked = WAITING

    def data(self, data: bytes) -> None:
        """More from the client."""
        exchange = self._exchange
        awaited = not exchange.bytes_in and self._awaits_word
        exchange.bytes_in += len(data)
        client, kept = exchange.client, self._kept
        if kept is not None:
            self._size += len(data)
            if client is None or self._size <= REPLAY_BYTES:
                kept.append(data)
            else:
                self._kept = None
        if client is not None:
            if awaited:
                self._client_moves(client)
            client.write(data)
            if awaited:
                self._begin_relay(client)
        elif self._size > REPLAY_BYTES and not self._paused:
            self._paused = True
            exchange.door.pause_request()

    def end(self, trailers: bytes) -> None:
        """That was all."""
        exchange = self._exchange
        self.complete = True
        if trailers:
            self.trailers = trailers = self._allowed(trailers)
        if exchange.client is not None:
            exchange.client.finish(trailers)
        exchange.request_complete(exchange.supplies.now())

    def _allowed(self, trailers: bytes) -> bytes:
        """Those that bring nothing back that was taken out of the head."""
        gone = self._exchange.head.block.gone
        return without_spellings(b"\r\n" + trailers, gone)[2:] if gone else trailers

    def pause(self) -> None:
        """The backend takes no more."""
        if not self.complete and self.relay is None:
            self._exchange.door.pause_request()

    def resume(self) -> None:
        """The backend takes more."""
        if not self.complete and self.relay is None:
            self._exchange.door.resume_request()

    # -- a relay moves the rest

    def _begin_relay(self, client: DoorOut) -> None:
        door = self._exchange.door
        source = door.request_source()
        sink = client.request_sink()
        if source is None or sink is None or source[1] < RELAY_BYTES:
            return
        transport, left = source
        if not can_splice(transport, sink):
            return
        self._kept = None
        self.relay = Relay(
            transport,
            sink,
            left,
            on_done=self._relayed,
            on_error=self._relay_failed,
            patience=client.patience(),
        )
        door.request_relaying(self.relay)

    def end_relay(self) -> None:
        """Stop it, if there is one, and count what it has moved."""
        relay, self.relay = self.relay, None
        if relay is not None:
            relay.cancel()
            self._exchange.bytes_in += relay.moved

    def _relayed(self) -> None:
        self.end_relay()
        self._exchange.door.request_relayed()
        self.end(b"")

    def _relay_failed(self, reason: str) -> None:
        self.end_relay()
        exchange = self._exchange
        if reason != SINK_LOST:
            exchange.downstream_failed(DownstreamGone("request body cut short"))
            exchange.door.abort()
        elif exchange.client is not None:
            # The backend's connection reports its loss itself, but not what came before.
            exchange.client.last_words()
