"""The answering side of a client's connection: responses, tunnels, and the end of it.

What is read from the client is `net.http1.server`'s part.

May import: wire, domain.errors, net. Used by: net.http1.server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lolly_tx.domain.errors import Shutdown
from lolly_tx.net.deadlines import NEVER
from lolly_tx.net.doors import CLOSE, LENGTH, STREAM, DoorIn, Peer, RequestSink
from lolly_tx.net.sockets.parting import (
    CLOSE_SECONDS,
    LINGER_IDLE_SECONDS,
    LINGER_SECONDS,
    end_writing,
)
from lolly_tx.net.sockets.standstill import Standstill
from lolly_tx.wire.chunked import ChunkDecoder, encode_chunk, last_chunk

if TYPE_CHECKING:  # pragma: no cover
    from lolly_tx.net.sockets.acceptor import Acceptor
    from lolly_tx.net.tunnel import Tunnel, TunnelEnd

IDLE, HEAD, BODY, ANSWER, LINGER, TUNNEL, CLOSED = range(7)
"""The states of a client's connection; `net.http1.server` shows how they follow."""


class AnsweringDoor(DoorIn):
    """Writes responses to one client (half of a `DoorIn`)."""

    __slots__ = (
        "__weakref__",
        "_body_bytes",
        "_body_from",
        "_chunking",
        "_decoded",
        "_decoder",
        "_examined",
        "_full",
        "_keep",
        "_left",
        "_no_more",
        "_out",
        "_parsing",
        "_paused_at",
        "_pending",
        "_reading_stopped",
        "_relay",
        "_stalled_at",
        "_started",
        "_state",
        "_tunnel",
        "_until",
        "_version",
        "acceptor",
        "deadline",
        "factory",
        "requests",
        "transport",
    )

    can_tunnel = True

    def __init__(self, acceptor: Acceptor, client: str) -> None:
        self.factory: Any = None
        self.transport: Any = None
        self.acceptor = acceptor
        self.peer = Peer(client, acceptor.name, acceptor.secure, acceptor.introduce)
        self.deadline = NEVER
        self.exchange: RequestSink | None = None
        self.requests = 0
        self._state = IDLE
        self._pending = b""
        self._examined = 0
        self._decoder: ChunkDecoder | None = None
        self._left = 0
        self._body_bytes = 0
        self._body_from = self._paused_at = self._until = 0.0
        self._decoded = 0
        self._keep = False
        self._version = 1
        self._started = False
        self._chunking = False
        self._out = b""
        self._no_more = False
        self._reading_stopped = False
        self._parsing = False
        self._full = False
        self._stalled_at = -1
        self._tunnel: Tunnel | None = None
        self._relay: Standstill | None = None

    def _read_heads(self, data: bytes, seen: int = 0) -> None:
        """Take requests from `data`: the reading side's."""
        raise NotImplementedError

    def _waiting(self) -> int:
        """How many bytes the client has yet to take: the reading side's."""
        raise NotImplementedError

    # -- DoorIn: the response

    @property
    def write_seconds(self) -> float:
        """How long the client may take no byte of an answer."""
        return self.acceptor.timeouts.write

    def last(self) -> None:
        """No further request is read after this answer."""
        self._keep = False

    def start(self, status: int, reason: bytes, fields: bytes, framing: int) -> None:
        """Begin the response; it leaves with the first body bytes, or at the end."""
        self._started = True
        keep = self._keep and self._state == ANSWER
        if framing >= STREAM:
            if self._version == 0 or framing == CLOSE:
                keep = False
            else:
                self._chunking = True
                fields += b"Transfer-Encoding: chunked\r\n"
        self._keep = keep
        if not keep:
            fields += b"Connection: close\r\n"
        elif self._version == 0:
            fields += b"Connection: keep-alive\r\n"
        self._out = b"HTTP/1.1 %d %b%b\r\n" % (status, reason, fields)

    def answer(self, status: int, reason: bytes, fields: bytes, body: bytes) -> None:
        """The whole response, whose end the fields tell."""
        if not self._keep or not self._version or self._state != ANSWER:
            self.start(status, reason, fields, LENGTH)
            if body:
                self.write(body)
            self.finish()
            return
        self.transport.write(b"HTTP/1.1 %d %b%b\r\n%b" % (status, reason, fields, body))
        if self._full or self._no_more or self._reading_stopped or self._pending:
            self._answered()
            return
        self.exchange = None
        self._state = IDLE
        acceptor = self.acceptor
        now = acceptor.now
        self.deadline = now() + acceptor.idle_seconds

    def interim(self, status: int, reason: bytes, fields: bytes) -> None:
        """Pass on a 1xx response, unless the client is too old to know them."""
        if self._version == 1 and not self._started:
            self.transport.write(b"HTTP/1.1 %d %b%b\r\n" % (status, reason, fields))

    def write(self, data: bytes) -> None:
        """Body bytes, not empty."""
        if self._chunking:
            data = encode_chunk(data)
        if self._out:
            data = self._out + data
            self._out = b""
        self.transport.write(data)

    def flush(self) -> None:
        """Send the head now: the body may be long in coming."""
        if self._out:
            self.transport.write(self._out)
            self._out = b""

    def finish(self, trailers: bytes = b"", last: bytes = b"") -> None:
        """The response is complete with `last`."""
        out = self._out
        if self._chunking:
            if last:
                out += encode_chunk(last)
            out += last_chunk(trailers)
        else:
            out += last
        if out:
            self.transport.write(out)
            self._out = b""
        self._answered()

    def _answered(self) -> None:
        """All of the response is written: close, or go on with the next request."""
        self.exchange = None
        if not self._keep or (self._no_more and not self._pending):
            self._close()
            return
        if self._full:
            # The next request waits until the client has taken this answer, or who
            # reads nothing could make us keep any number of them: resumeProducing.
            self._chunking = False
            return
        self._state = IDLE
        acceptor = self.acceptor
        now = acceptor.now
        self.deadline = now() + acceptor.idle_seconds
        if self._reading_stopped:
            self._reading_stopped = False
            self.transport.resumeProducing()
        if self._pending and not self._parsing:
            self._read_heads(self._pending)

    def abort(self) -> None:
        """The response cannot be completed: let the client see that."""
        self.exchange = None
        self._abort()

    # -- DoorIn: relays and tunnels

    def response_sink(self) -> Any | None:
        """The transport, when response bytes may go to it directly."""
        if self._chunking or self._tunnel is not None:
            return None
        self.flush()
        return self.transport

    def tunnel_end(self) -> TunnelEnd:
        """The connection itself, for a tunnel."""
        self.flush()
        return self

    def open_tunnel(self, tunnel: Tunnel) -> bytes:
        """From now on this connection is one end of `tunnel`. Bytes already read."""
        self._state = TUNNEL
        self._tunnel = tunnel
        self.exchange = None
        self.deadline = NEVER
        early, self._pending = self._pending, b""
        if self._reading_stopped:
            self._reading_stopped = False
            self.transport.resumeProducing()
        return early

    @property
    def input_ended(self) -> bool:
        """The client has sent its last byte."""
        return self._no_more

    @property
    def leaving(self) -> bool:
        """The proxy stops."""
        return self.acceptor.draining

    def end_tunnel_writing(self) -> None:
        """The backend has sent its last byte."""
        end_writing(self.transport)
        self._full = False  # nobody tells any more; the transport knows what is queued

    def close_tunnel(self) -> None:
        """The tunnel is over."""
        self._tunnel = None
        self._close()

    # -- the end

    def _stop_reading(self) -> None:
        if not self._reading_stopped:
            self._reading_stopped = True
            self.transport.pauseProducing()

    def _close(self) -> None:
        """Close after what was written has left, in a way that does not destroy it."""
        self._relay = None
        unread = bool(self._pending) or self._state in (BODY, TUNNEL)
        self._pending = b""
        if not unread or self._no_more:
            self._hang_up()
            return
        self._state = LINGER
        now = self.acceptor.now()
        self._until = now + LINGER_SECONDS
        self._linger(now)
        end_writing(self.transport)
        self._full = False  # nobody tells any more; the transport knows what is queued
        self._stalled_at = -1
        self._reading_stopped = False
        self.transport.resumeProducing()  # a relay may have stopped it, too

    def _linger(self, now: float) -> None:
        """All is said, and the client sends on: it may, for a while."""
        self.deadline = min(now + LINGER_IDLE_SECONDS, self._until)

    def _hang_up(self) -> None:
        """Close in good order: nobody has anything to say any more."""
        self._state = CLOSED
        self.deadline = self.acceptor.now() + CLOSE_SECONDS
        self.transport.unregisterProducer()
        self.transport.loseConnection()

    def _abort(self) -> None:
        self._state = CLOSED
        self.deadline = NEVER
        self.transport.abortConnection()

    @property
    def idle(self) -> bool:
        """Has been answered, and nothing of a next request has come that counts."""
        return self._state == LINGER or (self._state == IDLE and self.requests > 0)

    def shed(self) -> None:
        """Close an idle connection at once, to make room."""
        if self._waiting():
            self._abort()
        else:
            self._hang_up()

    def shut(self) -> None:
        """The proxy stops now: exchanges that are going on are cut."""
        if self._tunnel is not None:
            self._tunnel.shut()
            return
        if self._state in (IDLE, LINGER) and not self._waiting():
            self._hang_up()
            return
        exchange, self.exchange = self.exchange, None
        self._abort()
        if exchange is not None:
            exchange.downstream_failed(Shutdown("the proxy stopped"))

    def drain(self, until: float) -> None:
        """The proxy is stopping: the next head says so. With no request, close then."""
        if self._state == IDLE:
            self.deadline = min(self.deadline, until)
        elif self.exchange is not None and not self._started:
            self._keep = False
        elif self._tunnel is not None:
            self._tunnel.going_away()
