"""The HTTP/1.1 server side of one client connection: the fast door in.

    IDLE --bytes--> HEAD --complete--> BODY --complete--> ANSWER --finished--> IDLE
      |               |  (no body) ------------------------^                    |
      |               |                                                         |
      +-- keep-alive  +-- bad or slow: our answer, then LINGER or closed <------+ (close)
          time is over

One request at a time: bytes of the next ones wait until the answer is complete, so that
answers keep their order. A refused request ends the connection.

May import: wire, domain.errors, net. Used by: net.sockets.acceptor (makes them), proxy (talks to
them as `DoorIn`).
"""

from __future__ import annotations

from typing import Any

from twisted.internet.address import UNIXAddress
from twisted.internet.interfaces import (
    IAddress,
    IHalfCloseableProtocol,
    IProtocol,
    IPushProducer,
)
from twisted.python.failure import Failure
from zope.interface import implementer

from lolly_tx.domain.errors import DownstreamError, DownstreamGone
from lolly_tx.domain.forwarding import UNIX, canonical
from lolly_tx.net.deadlines import NEVER, PERIOD
from lolly_tx.net.http1.answering import (
    ANSWER,
    BODY,
    CLOSED,
    HEAD,
    IDLE,
    LINGER,
    TUNNEL,
    AnsweringDoor,
)
from lolly_tx.net.sockets.splice import Relay
from lolly_tx.net.sockets.standstill import Standstill
from lolly_tx.net.sockets.transports import (
    has_hung_up,
    is_secure,
    pending_bytes,
    untaken_bytes,
)
from lolly_tx.wire.chunked import ChunkDecoder
from lolly_tx.wire.errors import BadMessage
from lolly_tx.wire.http1 import REMEMBERED_BYTES, RequestHead
from lolly_tx.wire.refusals import start_line

PIPELINE_BYTES = 65536
"""Bytes of later requests kept while one is answered; then we stop reading."""
EXAMINE_BYTES = 1024
"""An incomplete head is looked at again when a line ends, or after this many bytes."""
LOOK_SECONDS = 2.0
"""While the client is not read (the backend takes no more of a body, too many requests wait,
or it has sent its last byte), the reactor does not tell when it is gone. So often we look."""
HALF_CLOSE_SECONDS = 1.0
"""How long an answer may take to begin once the client has sent its last byte; see
`limits.half_close`. A reset after its end is seen, but most clients that go send none."""

BODY_GRACE = 10.0
"""Seconds before the average rate of a request's body counts."""


@implementer(IProtocol, IHalfCloseableProtocol, IPushProducer)
class Http1Server(AnsweringDoor):
    """One client connection (`DoorIn`)."""

    __slots__ = ()

    # -- IProtocol

    def makeConnection(self, transport: Any) -> None:
        """A client has connected."""
        self.transport = transport
        transport.registerProducer(self, True)
        acceptor = self.acceptor
        # An endpoint string may do TLS without its name saying so.
        self.peer.secure = acceptor.secure or is_secure(transport)
        first = acceptor.timeouts.head
        if acceptor.draining:
            first = min(first, acceptor.idle_seconds)
        self.deadline = acceptor.now() + first
        acceptor.connected(self)

    def connectionMade(self) -> None:
        """Nothing: makeConnection has done it."""

    def connectionLost(self, reason: Failure) -> None:
        """The connection is over, whoever ended it."""
        self._state = CLOSED
        self.deadline = NEVER
        self.acceptor.lost(self)
        tunnel, self._tunnel = self._tunnel, None
        if tunnel is not None:
            tunnel.lost(self, reason)
        exchange, self.exchange = self.exchange, None
        if exchange is not None:
            exchange.downstream_failed(DownstreamGone("client closed the connection"))

    def dataReceived(self, data: bytes) -> None:
        """Bytes from the client."""
        state = self._state
        if state == IDLE:
            head = None
            if len(data) <= REMEMBERED_BYTES:
                head = self.acceptor.known_heads.get(data)
            if head is None:
                self._read_heads(data)
            else:
                self._begin(head, b"")
        elif state == HEAD:
            line_ended = b"\n" in data
            data = self._pending + data
            if not line_ended and len(data) < self._examined + EXAMINE_BYTES:
                # Byte by byte, a head must not be looked at again for each byte.
                self._pending = data
            else:
                self._read_heads(data, self._examined)
        elif state == BODY:
            self._read_body(data)
        elif state == ANSWER:
            self._pending += data
            if len(self._pending) > PIPELINE_BYTES:
                self._stop_reading()
                self._watch_client()
        elif state == TUNNEL:
            if self._tunnel is not None:
                self._tunnel.received(self, data)
            else:
                self._pending += data
        elif state == LINGER and not self._waiting():
            self._linger(self.acceptor.now())

    def readConnectionLost(self) -> None:
        """The client has sent its last byte; it may still read."""
        self._no_more = True
        state = self._state
        if state == ANSWER:
            # A client such as `nc` shuts its side down after its requests.
            if not self._pending:
                self._keep = False
            self._watch_client()
        elif state == BODY:
            exchange, self.exchange = self.exchange, None
            self._abort()
            if exchange is not None:
                exchange.downstream_failed(DownstreamGone("request body cut short"))
        elif state == TUNNEL:
            if self._tunnel is not None:
                self._tunnel.ended(self)
        else:
            self._close()

    def writeConnectionLost(self) -> None:
        """Our own half-close is done."""

    # -- IPushProducer: the transport's word on whether the client takes our bytes

    def pauseProducing(self) -> None:
        """The client reads slower than we write."""
        self._full = True
        self._stalled_at = -1
        # Most pauses are over by then, and cost no look at the kernel's queue.
        self.deadline = self.acceptor.now() + PERIOD
        if self._tunnel is not None:
            self._tunnel.pause(self)
        elif self.exchange is not None:
            self.exchange.pause_response()

    def resumeProducing(self) -> None:
        """What we wrote has left."""
        self._full = False
        self._stalled_at = -1
        if self._state == BODY:
            self._await_body(0)
        elif self._state in (ANSWER, TUNNEL):
            self.deadline = NEVER
            self._watch_client()
        if self._tunnel is not None:
            self._tunnel.resume(self)
        elif self.exchange is not None:
            self.exchange.resume_response()
        elif self._state == ANSWER:
            self.finish()  # which had to wait for this

    def stopProducing(self) -> None:
        """The transport is going; connectionLost follows."""

    # -- deadlines

    def _waiting(self) -> int:
        """How many bytes wait for the client here; 1 for a transport that cannot tell."""
        return pending_bytes(self.transport) or int(self._full)

    def expired(self, now: float) -> None:
        """The time allowed in this state is over."""
        state = self._state
        if self._relay is not None:
            self._watch_relay(self._relay, now)
            return
        unread = self._reading_stopped or self._no_more
        if unread and state in (BODY, ANSWER) and has_hung_up(self.transport):
            self._abort()
            return
        waiting = self._waiting()
        untaken = untaken_bytes(self.transport) if waiting else 0
        if waiting and untaken != self._stalled_at:
            # Slow, but it does take bytes. A stall is no progress for the whole time.
            self._stalled_at = untaken
            self.deadline = now + self.acceptor.timeouts.write
        elif state == IDLE and not waiting:
            self._close()
        elif state == LINGER and not waiting:
            self._hang_up()
        elif waiting or state == CLOSED:
            self._abort()
        elif state == HEAD:
            error = BadMessage("request head took too long", 408)
            error.line = start_line(self._pending)
            self._refuse(error)
        elif state == BODY and self._reading_stopped:
            self.deadline = now + LOOK_SECONDS
        elif state == BODY:
            self._refuse(BadMessage("request body took too long", 408))
        elif state == ANSWER and self._patience() != NEVER:
            self._let_go()
        else:
            self.deadline = NEVER
            self._watch_client()

    def _patience(self) -> float:
        """Seconds until a client that says nothing more, and has no answer, counts as gone."""
        awaits = self._no_more and not self._started and self.exchange is not None
        return self.acceptor.timeouts.gone if awaits else NEVER

    def _watch_client(self) -> None:
        """Look after a client that is not read while it is answered."""
        if self._state == ANSWER and (self._reading_stopped or self._no_more):
            patience = self._patience()
            soon = LOOK_SECONDS if patience == NEVER else patience
            self.deadline = self.acceptor.now() + soon

    def _let_go(self) -> None:
        """Nobody is there any more for an answer that has not begun."""
        exchange, self.exchange = self.exchange, None
        self._hang_up()
        if exchange is not None:
            error = DownstreamGone("client closed its side and there was no answer yet")
            exchange.downstream_failed(error)

    def _watch_relay(self, watch: Standstill, now: float) -> None:
        """Find out whether the body that a relay takes upstream is moving."""
        moved, mine = watch.relay.moved, watch.by_source
        if not mine and has_hung_up(self.transport):
            self._abort()
            return
        left = watch.left(now)
        if not mine:
            # The time it was not allowed to send does not count.
            self._body_from += now - self._paused_at
        self._paused_at = now
        more, self._stalled_at = moved - self._stalled_at, moved
        self._body_bytes += more
        slow = more and now >= self._rate_due()
        if mine and (left <= 0 or slow):
            self._refuse(BadMessage("request body took too long", 408))
        elif left > 0:
            self.deadline = watch.next_look(now)
        elif self.exchange is not None:
            self.exchange.request_stalled()
        else:
            self._abort()

    # -- requests

    def _read_heads(self, data: bytes, seen: int = 0) -> None:
        """Take complete requests from `data` while none is being answered.

        `seen` bytes at its start have been looked at before.
        """
        acceptor = self.acceptor
        self._parsing = True
        self._pending = b""
        while data:
            try:
                head = acceptor.reader.read(data, seen)
            except BadMessage as error:
                error.line = start_line(data)
                self._refuse(error)
                break
            if head is None:
                if self._no_more:
                    self._close()
                    break
                self._pending = data
                self._examined = len(data)
                if self._state == IDLE:
                    self._state = HEAD
                    self.deadline = acceptor.now() + acceptor.timeouts.head
                break
            self._begin(head, data[head.end :] if head.end != len(data) else b"")
            if self._state != IDLE:
                break
            # Answered on the spot. Go on with what came behind it.
            data = self._pending
            self._pending = b""
            seen = 0
        self._parsing = False
        if self._no_more:
            self._watch_client()

    def _begin(self, head: RequestHead, rest: bytes) -> None:
        """Start the exchange for `head`; `rest` follows it."""
        acceptor = self.acceptor
        self.requests += 1
        self._version = head.version
        self._started = self._chunking = False
        block = head.block
        plain = head.plain
        self._keep = (
            (plain or head.keep_alive)
            and not acceptor.draining
            and self.requests != acceptor.requests_per_connection
        )
        if plain or (not block.chunked and not block.length):
            self._state = ANSWER
            self.deadline = NEVER
            self._pending = rest
            open_exchange = acceptor.open_exchange
            open_exchange(self, head, b"", b"", True)
            return
        self._state = BODY
        self._body_from = acceptor.now()
        self._body_bytes = self._decoded = 0
        self._await_body(0)
        limit = acceptor.body_bytes
        trailers = b""
        try:
            if block.length:
                if limit and block.length > limit:
                    raise BadMessage("request body too large", 413)
                self._decoder = None
                self._left = block.length
                body = rest[: self._left]
                self._left -= len(body)
                complete = not self._left
                rest = rest[len(body) :]
            else:
                self._decoder = decoder = ChunkDecoder()
                body = decoder.feed(rest) if rest else b""
                self._count_body(len(body))
                complete = decoder.done
                rest = decoder.rest
                trailers = decoder.trailers
        except BadMessage as error:
            error.line = head.start_line
            self._refuse(error)
            return
        if head.awaits_continue and not body:
            # It is the backend who has to say something first, within its own limit.
            self.deadline = NEVER
        if complete:
            self._decoder = None
            self._state = ANSWER
            self.deadline = NEVER
            self._pending = rest
        elif self._no_more:
            self._abort()
            return
        acceptor.open_exchange(self, head, body, trailers, complete)

    def _read_body(self, data: bytes) -> None:
        exchange = self.exchange
        decoder = self._decoder
        self._await_body(len(data))
        if decoder is None:
            if len(data) < self._left:
                self._left -= len(data)
                if exchange is not None:
                    exchange.request_data(data)
                return
            body, self._pending = data[: self._left], data[self._left :]
            self._left = 0
            trailers = b""
        else:
            try:
                body = decoder.feed(data)
                self.transport.receive_bytes = decoder.appetite
                self._count_body(len(body))
            except BadMessage as error:
                self._refuse(error)
                return
            if not decoder.done:
                if body and exchange is not None:
                    exchange.request_data(body)
                return
            self._pending = decoder.rest
            self._decoder = None
            trailers = decoder.trailers
        self._state = ANSWER
        self.deadline = NEVER
        if exchange is not None:
            if body:
                exchange.request_data(body)
            if self.exchange is exchange:
                exchange.request_end(trailers)

    def _count_body(self, more: int) -> None:
        """Decoded bytes of a chunked body."""
        self._decoded += more
        limit = self.acceptor.body_bytes
        if limit and self._decoded > limit:
            raise BadMessage("request body too large", 413)

    def _await_body(self, more: int) -> None:
        """Until when the body has to go on, `more` bytes of it having come.

        Not only must some byte come within `timeouts.body`: after a grace the whole must
        average `timeouts.body_rate`, or a few bytes a minute would hold a connection.
        """
        self._body_bytes += more
        acceptor = self.acceptor
        gap_due = acceptor.now() + acceptor.timeouts.body
        self.deadline = min(gap_due, self._rate_due())

    def _rate_due(self) -> float:
        """Until when the bytes that have come are enough."""
        rate = self.acceptor.timeouts.body_rate
        if not rate:
            return NEVER
        return self._body_from + BODY_GRACE + self._body_bytes / rate

    def _refuse(self, error: BadMessage) -> None:
        """End a request that breaks the rules, with an answer if none has begun."""
        exchange, self.exchange = self.exchange, None
        if exchange is not None:
            exchange.downstream_failed(DownstreamError(error.reason, error.status))
        if self._started and self._state >= BODY:
            self._abort()
            return
        unfinished = self._state == BODY
        self._keep = False
        self._chunking = False
        self._state = BODY if unfinished else ANSWER
        self._pending = b"?"  # whatever follows is not looked at, only swallowed
        self.acceptor.refused(self, error, exchange is not None)

    def interim(self, status: int, reason: bytes, fields: bytes) -> None:
        """Pass on a 1xx response; after a 100 it is the client who has to move."""
        super().interim(status, reason, fields)
        if status == 100 and self._state == BODY:
            self._body_from = self.acceptor.now()
            self._await_body(0)

    def pause_request(self) -> None:
        """Read no more of the body."""
        if self._state == BODY:
            self._paused_at = self.acceptor.now()
            self.deadline = self._paused_at + LOOK_SECONDS
            self._stop_reading()

    def resume_request(self) -> None:
        """Read on."""
        if self._reading_stopped and self._state == BODY:
            self._reading_stopped = False
            # The time it was not allowed to send does not count.
            self._body_from += self.acceptor.now() - self._paused_at
            self._await_body(0)
            self.transport.resumeProducing()

    def request_source(self) -> tuple[Any, int] | None:
        """The transport and the body bytes it still brings, when they need no decoding."""
        if self._state != BODY or self._decoder is not None or self._no_more:
            return None
        return self.transport, self._left

    def request_relaying(self, relay: Relay) -> None:
        """A relay moves the rest of the body from now on."""
        self._paused_at = now = self.acceptor.now()
        self._relay = Standstill(relay, self.acceptor.timeouts.body, now)
        self._reading_stopped = False
        self._stalled_at = relay.moved
        self.deadline = self._relay.next_look(now)

    def request_relayed(self) -> None:
        """The relay has moved all of it."""
        self._relay = None
        self._left = 0
        self._state = ANSWER
        self.deadline = NEVER


def address_text(address: IAddress | Any) -> str:
    """The peer's address in its one spelling: "unix:" for UNIX sockets, "" where nobody can tell."""
    if isinstance(address, UNIXAddress):
        return UNIX
    host = getattr(address, "host", "")
    if not isinstance(host, str):
        return ""
    # An IPv4 client of an IPv6 socket.
    return canonical(host) if host.startswith("::") else host
