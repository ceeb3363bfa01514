"""The receiving side of a connection to a target: responses, however they end.

What is sent, how long anything may take and how the connection is lost is `net.http1.client`'s
part, which also shows how the states follow each other.

May import: wire, domain.errors, net. Used by: net.http1.client.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lolly_tx.domain.errors import BadResponse, ProxyError
from lolly_tx.net.deadlines import NEVER
from lolly_tx.net.doors import CLOSE, LENGTH, NO_BODY, STREAM, ResponseSink
from lolly_tx.net.sockets.parting import CLOSE_SECONDS
from lolly_tx.net.sockets.standstill import Standstill
from lolly_tx.net.sockets.transports import pending_bytes
from lolly_tx.net.tunnel import Tunnel
from lolly_tx.wire.chunked import ChunkDecoder
from lolly_tx.wire.errors import BadMessage
from lolly_tx.wire.http1 import RequestHead, ResponseHead

if TYPE_CHECKING:  # pragma: no cover
    from lolly_tx.net.upstream import Upstream

IDLE, HEAD, COUNTED, CHUNKED, UNTIL_CLOSE, TUNNEL, OVER = range(7)
"""The states of a connection to a target."""


class ReceivingClient:
    """Reads the responses on one connection (half of a door out)."""

    __slots__ = (
        "__weakref__",
        "_asked",
        "_client_from",
        "_decoder",
        "_held",
        "_interim",
        "_keep",
        "_left",
        "_owing",
        "_paused",
        "_pending",
        "_relay",
        "_sent_all",
        "_stalled_at",
        "_state",
        "_tunnel",
        "born",
        "deadline",
        "exchange",
        "factory",
        "served",
        "transport",
        "upstream",
    )

    _asked: RequestHead
    """The head of the current request, once there is one."""

    def __init__(self, upstream: Upstream) -> None:
        self.factory: Any = None
        self.transport: Any = None
        self.upstream = upstream
        self.deadline = NEVER
        self.exchange: ResponseSink | None = None
        self.served = 0
        self.born = upstream.now()
        self._state = IDLE
        self._pending = b""
        self._left = 0
        self._decoder: ChunkDecoder | None = None
        self._interim = 0
        self._sent_all = True
        self._owing = False
        self._client_from = NEVER
        self._held = 0.0
        self._keep = False
        self._paused = False
        self._stalled_at = -1
        self._tunnel: Tunnel | None = None
        self._relay: Standstill | None = None

    def _read_head(self, data: bytes, seen: int = 0) -> None:
        """Read heads from `data`; `seen` bytes of it have been looked at before."""
        upstream = self.upstream
        clock = upstream.now
        now = clock()
        while True:
            try:
                head = upstream.reader.read(data, seen)
            except BadMessage as error:
                self._abort()
                self._fail(BadResponse(error.reason))
                return
            if head is None:
                self._pending = data
                if self._sent_all or self._owing:
                    self.deadline = now + upstream.limits.read
                return
            if len(data) == head.whole and self._sent_all and not self._asked.is_head:
                exchange = self.exchange
                body = data[head.end :]
                if exchange is not None and exchange.response_whole(head, body, now):
                    return
            if head.status >= 200:
                break
            data = data[head.end :]
            seen = 0
            if head.status == 101:
                self._switch(head, data)
                return
            self._interim += 1
            if self._interim > upstream.limits.interim:
                self._abort()
                self._fail(BadResponse("too many 1xx responses"))
                return
            self._pending = b""
            exchange = self.exchange
            if exchange is None:
                return
            exchange.response_interim(head)
            if self.exchange is not exchange:
                return
        self._pending = b""
        if self._sent_all:
            self.deadline = now + upstream.limits.read
        elif self._owing:
            self.await_request(now)
        self._begin_body(head, data)

    def _begin_body(self, head: ResponseHead, data: bytes) -> None:
        """Decide how the body ends (RFC 9112 section 6.3), and deliver what is here."""
        exchange = self.exchange
        assert exchange is not None
        block = head.block
        end = head.end
        status = head.status
        self._keep = self._sent_all and bool(
            head.keep_alive if block.connection else head.version
        )
        if self._asked.is_head or status == 204 or status == 304:
            self._state = COUNTED
            self._left = 0
            exchange.response_head(head, NO_BODY)
        elif block.length is not None:
            self._state = COUNTED
            self._left = block.length
            exchange.response_head(head, LENGTH)
        elif block.chunked:
            self._state = CHUNKED
            self._decoder = ChunkDecoder()
            exchange.response_head(head, STREAM)
        else:
            self._state = UNTIL_CLOSE
            self._keep = False
            exchange.response_head(head, CLOSE)
        if self._state == OVER:
            return  # the exchange gave it up
        rest = data[end:] if end != len(data) else b""
        if self._state == COUNTED:
            self._read_length(rest)
        elif self._state == CHUNKED:
            self._read_chunks(rest)
        else:
            if rest and self.exchange is not None:
                self.exchange.response_data(rest)
            self._wait_for_more()

    def _read_length(self, data: bytes) -> None:
        left = self._left - len(data)
        if left > 0:
            self._left = left
            if data and self.exchange is not None:
                self.exchange.response_data(data)
            self._wait_for_more()
            return
        extra = b""
        if left < 0:
            data, extra = data[: self._left], data[self._left :]
        self._left = 0
        if data and self.exchange is not None:
            self.exchange.response_data(data)
        self._complete(extra)

    def _read_chunks(self, data: bytes) -> None:
        decoder = self._decoder
        assert decoder is not None
        try:
            body = decoder.feed(data)
        except BadMessage as error:
            self._abort()
            self._fail(BadResponse(error.reason))
            return
        self.transport.receive_bytes = decoder.appetite
        if decoder.done:
            # With its end the last of the body costs the client's side one write, not two.
            self._decoder = None
            self._complete(decoder.rest, decoder.trailers, body)
            return
        if body and self.exchange is not None:
            self.exchange.response_data(body)
        self._wait_for_more()

    def _wait_for_more(self) -> None:
        """All that has come is delivered. The rest need not pass through here."""
        exchange = self.exchange
        if exchange is None or self._state == OVER:
            return
        exchange.response_waits()
        if self._state == CHUNKED or self.exchange is not exchange:
            return
        left = self._left if self._state == COUNTED else None
        relay = exchange.relay_response(self.transport, left)
        if relay is not None:
            now = self.upstream.now()
            self._relay = watch = Standstill(relay, self.upstream.limits.read, now)
            self._paused = False
            self.deadline = watch.next_look(now)

    def _complete(self, extra: bytes, trailers: bytes = b"", last: bytes = b"") -> None:
        """The response is complete: give the connection back, or close it."""
        if self._state == OVER:
            return
        exchange, self.exchange = self.exchange, None
        if extra:
            self.upstream.distrust()
        if self._keep and not extra and self._sent_all:
            if self._paused:  # by a client that has not read the end of it
                self._paused = False
                self.transport.resumeProducing()
            self._state = IDLE
            self.upstream.give_back(self, self.upstream.now())
        else:
            self._close()
        if exchange is not None:
            exchange.response_end(trailers, last)

    def answered(self, now: float) -> None:
        """The exchange has taken a whole response: the connection is free."""
        self.exchange = None
        self._pending = b""
        if self._paused:
            self._paused = False
            self.transport.resumeProducing()
        self._state = IDLE
        self.upstream.give_back(self, now)

    def _switch(self, head: ResponseHead, data: bytes) -> None:
        exchange = self.exchange
        if not self._asked.block.upgrade or exchange is None:
            self._abort()
            self._fail(BadResponse("101 that was not asked for"))
            return
        if head.block.upgrade != b"websocket":
            self._abort()
            self._fail(BadResponse("101 for another protocol"))
            return
        self._state = TUNNEL
        self._pending = data
        self.deadline = NEVER
        exchange.upgraded(head)

    def await_answer(self, now: float) -> None:
        """The target has been asked whether it wants the body, and owes that answer."""
        self._owing = True
        self.deadline = now + self.upstream.limits.read

    def await_request(self, now: float) -> None:
        """The client has to send before the target owes anything."""
        self._client_from = now
        if self._owing:
            self._owing = False
            self.deadline = NEVER

    # -- the end

    def _fail(self, error: ProxyError) -> None:
        exchange, self.exchange = self.exchange, None
        if exchange is not None:
            exchange.upstream_failed(error)

    def _abort(self) -> None:
        self._state = OVER
        self.deadline = NEVER
        self.transport.abortConnection()

    def _close(self) -> None:
        self._state = OVER
        # TLS waits for the other side's goodbye, which may never come.
        self.deadline = self.upstream.now() + CLOSE_SECONDS
        self.transport.unregisterProducer()
        self.transport.loseConnection()
        if pending_bytes(self.transport):
            # The rest of a request nobody reads any more must not hold the socket.
            self.transport.abortConnection()

    def retire(self) -> None:
        """Close an idle connection."""
        self._close()

    def discard(self) -> None:
        """Close an idle connection at once: it leaves no port behind that waits (TIME-WAIT)."""
        self._abort()
