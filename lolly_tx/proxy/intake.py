r"""The request side of an exchange: what the client sends, on its way to the backend.

    request_data ... request_end --> the connection, if there is one
                                 \--> kept, for the next attempt
    long, and both sides plain: a relay moves the rest

The first `REPLAY_BYTES` of a body are kept until the response begins, so that another
attempt can send them again; a longer body cannot be replayed.

May import: domain, wire, net, proxy. Used by: proxy.exchange.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lolly_tx.domain.errors import DownstreamGone
from lolly_tx.domain.lease import WAITING
from lolly_tx.domain.node import Node
from lolly_tx.domain.retry import IDEMPOTENT
from lolly_tx.net.http1.client import Http1Client
from lolly_tx.net.sockets.splice import SINK_LOST, Relay, can_splice
from lolly_tx.proxy.delivery import RELAY_BYTES, Delivery
from lolly_tx.wire.chunked import encode_chunk, last_chunk

if TYPE_CHECKING:  # pragma: no cover
    pass

REPLAY_BYTES = 65536
"""Of a request body, kept for another attempt."""


_NO_KEY = (None, b"", b'""')
"""Of Idempotency-Key: none, or an empty one as it is, and as a structured field's string."""


class Intake(Delivery):
    """Takes one request in."""

    __slots__ = (
        "_complete",
        "_continued",
        "_door_paused",
        "_replay",
        "_replay_bytes",
        "_trailers",
    )

    _complete: bool
    _continued: bool
    _door_paused: bool
    _replay: list[bytes] | None
    _replay_bytes: int
    _trailers: bytes

    def _request_complete(self) -> None:
        """The client has sent all of the request: from now on the target owes an answer."""
        self._complete = True
        if self.lease is not None:
            self.lease.asked = self.forwarder.now()

    @property
    def _awaits_word(self) -> bool:
        """The client sends its body when the target has agreed (RFC 9110 section 10.1.1)."""
        head = self.head
        return head.awaits_continue and not (
            self._complete or self._continued or self.bytes_in
        )

    def _client_moves(self, client: Http1Client) -> None:
        """More of the request has to come before the target owes anything."""
        client.await_request(self.forwarder.now())
        if self.lease is not None:
            self.lease.asked = WAITING

    def request_bytes(self, node: Node) -> bytes:
        """The head for `node` with what there is of the body, framed."""
        data = self.forwarder.render(self, node)
        chunked = self.head.block.chunked
        replay = self._replay
        if replay:
            body = b"".join(replay)
            data += encode_chunk(body) if chunked else body
            if self._replay_bytes > REPLAY_BYTES:
                self._replay = None
        if self._complete and chunked:
            data += last_chunk(self._trailers)
        return data

    @property
    def repeatable(self) -> bool:
        """The whole request may be sent once more (RFC 9110 section 9.2.2)."""
        return (
            self._replay is not None
            and not self._response_started
            and (self.head.method in IDEMPOTENT or self._has_idempotency_key())
        )

    @property
    def complete(self) -> bool:
        """The client has sent all of the request."""
        return self._complete

    def _has_idempotency_key(self) -> bool:
        """Whether the backend can tell a repeat by it: one that says something, and that is passed on."""
        head = self.head
        if head.method in IDEMPOTENT:
            return False
        block = head.block
        key = block.get(b"idempotency-key")
        return key not in _NO_KEY and b"idempotency-key" not in block.connection

    def request_data(self, data: bytes) -> None:
        """Body bytes from the client."""
        awaited = not self.bytes_in and self._awaits_word
        self.bytes_in += len(data)
        client = self.client
        replay = self._replay
        if replay is not None:
            self._replay_bytes += len(data)
            if client is None or self._replay_bytes <= REPLAY_BYTES:
                replay.append(data)
            else:
                self._replay = None
        if client is not None:
            if awaited:
                self._client_moves(client)
            client.write(encode_chunk(data) if self.head.block.chunked else data)
            if awaited:
                self._relay_request(client)
        elif self._replay_bytes > REPLAY_BYTES and not self._door_paused:
            self._door_paused = True
            self.door.pause_request()

    def request_end(self, trailers: bytes) -> None:
        """The body is complete."""
        self._request_complete()
        self._trailers = trailers
        if self.client is not None:
            self.client.finish(last_chunk(trailers) if self.head.block.chunked else b"")

    def pause_response(self) -> None:
        """The client reads slower than the backend sends."""
        if self.client is not None:
            self.client.pause()

    def resume_response(self) -> None:
        """The client reads on."""
        if self.client is not None:
            self.client.resume()

    def pause_request(self) -> None:
        """The backend reads slower than the client sends."""
        if not self._complete and self._relay_up is None:
            self.door.pause_request()

    def resume_request(self) -> None:
        """The backend reads on."""
        if not self._complete and self._relay_up is None:
            self.door.resume_request()

    # -- a relay for the request's body

    def _relay_request(self, client: Http1Client) -> None:
        """Let a relay move the rest of the request's body, if one may."""
        source = self.door.request_source()
        if source is None or source[1] < RELAY_BYTES:
            return
        transport, left = source
        if not can_splice(transport, client.transport):
            return
        self._replay = None
        self._relay_up = Relay(
            transport,
            client.transport,
            left,
            on_done=self._request_relayed,
            on_error=self._request_relay_failed,
            patience=client.upstream.limits.write,
        )
        self.door.request_relaying(self._relay_up)

    def _end_relays(self) -> None:
        """Stop those at work, and count what they have moved."""
        self._end_relay_up()
        relay, self._relay_down = self._relay_down, None
        if relay is not None:
            relay.cancel()
            self.bytes_out += relay.moved

    def _end_relay_up(self) -> None:
        relay, self._relay_up = self._relay_up, None
        if relay is not None:
            relay.cancel()
            self.bytes_in += relay.moved
            self._replay = None

    def _request_relayed(self) -> None:
        self._end_relay_up()
        self._request_complete()
        self.door.request_relayed()
        if self.client is not None:
            self.client.finish()

    def _request_relay_failed(self, reason: str) -> None:
        self._end_relay_up()
        if reason == SINK_LOST:
            # The backend's connection reports its loss itself, but not what came before.
            if self.client is not None:
                self.client.last_words()
            return
        self.downstream_failed(DownstreamGone("request body cut short"))
        self.door.abort()
