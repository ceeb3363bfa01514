"""The HTTP/2 client side of one connection to a target (RFC 9113), shared by exchanges.

    GREETING --SETTINGS--> OPEN --GOAWAY, age, shutdown--> leaving --no stream is left--> CLOSED

Each exchange has a `net.http2.request.ClientStream`; `net.multiplexed.Multiplexed` says who gets one. Nothing is sent
on a connection before its target has greeted us: who speaks no HTTP/2 is found out while nothing was asked yet.

This module is long because what a frame means depends on the state of the whole connection, as at the server's side.

Imports: domain, net, net.http1, net.http2, net.sockets, wire, wire.hpack, wire.http2,
Twisted. Used by: service.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import attrs
from twisted.internet.interfaces import (
    IHalfCloseableProtocol,
    IProtocol,
    IPushProducer,
)
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from lolly_tx.domain.errors import (
    BadResponse,
    ConnectionReset,
    NoHttp2,
    NotProcessed,
    ProxyError,
    ResponseTimedOut,
    WriteTimedOut,
)
from lolly_tx.net.deadlines import NEVER, PERIOD
from lolly_tx.net.http1 import losses
from lolly_tx.net.http2.patience import Patience
from lolly_tx.net.http2.request import ClientStream
from lolly_tx.net.http2.sending import Sender
from lolly_tx.net.http2.shared import CONNECTION_WINDOW, STREAM_WINDOW
from lolly_tx.net.multiplexed import Multiplexed
from lolly_tx.net.sockets.parting import CLOSE_SECONDS
from lolly_tx.net.sockets.transports import is_quiet, pending_bytes, untaken_bytes
from lolly_tx.net.turn import Turn
from lolly_tx.net.upstreams import UpstreamLimits
from lolly_tx.wire.errors import BadMessage
from lolly_tx.wire.grammar import HeadLimits
from lolly_tx.wire.hpack.decoder import BlockMemory, Decoder
from lolly_tx.wire.hpack.encoder import Encoder, LineMemory
from lolly_tx.wire.http2 import frames as fr
from lolly_tx.wire.http2.blocks import Assembly
from lolly_tx.wire.http2.errors import (
    ENHANCE_YOUR_CALM,
    NO_ERROR,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
    Http2Error,
    name_of,
)
from lolly_tx.wire.http2.flow import FIRST_WINDOW, Allowance, widened
from lolly_tx.wire.http2.requests import trailer_lines
from lolly_tx.wire.http2.responses import response_head
from lolly_tx.wire.http2.settings import (
    ENABLE_PUSH,
    INITIAL_WINDOW_SIZE,
    MAX_HEADER_LIST_SIZE,
    SETTINGS_ACK,
    PeerSettings,
    check_acknowledgement,
    settings,
)
from lolly_tx.wire.message import ResponseHead

GREETING, OPEN, CLOSED = range(3)

GREETING_SECONDS = 10.0
"""How long a target may take to say that it speaks HTTP/2."""
ODD_FRAMES = 1000
"""Frames that bring nothing, at once; a tenth of them more each second."""
CONTINUATIONS = 8
BUFFER_BYTES = 1 << 20
"""Of requests' bodies that wait for windows of a connection."""
H2 = b"h2"
_PING = b"lolly-ok"


@attrs.frozen(eq=False)
class ClientShared:
    """What the connections of a pool share. `alpn`: HTTP/2 has to have been agreed on, over TLS.

    `greeting`: what our side of a connection begins with. `blocks`, `lines`: what their header blocks were before.
    """

    alpn: bool
    limits: HeadLimits
    turn: Turn
    blocks: BlockMemory
    lines: LineMemory
    greeting: bytes

    @classmethod
    def of(cls, alpn: bool, limits: HeadLimits, turn: Turn) -> ClientShared:
        """One for responses with heads within `limits`."""
        said = settings(
            [
                (ENABLE_PUSH, 0),
                (INITIAL_WINDOW_SIZE, STREAM_WINDOW),
                (MAX_HEADER_LIST_SIZE, limits.head_bytes),
            ]
        )
        more = fr.window_update(0, CONNECTION_WINDOW - FIRST_WINDOW)
        greeting = fr.PREFACE + said + more
        return cls(alpn, limits, turn, BlockMemory(limits), LineMemory(), greeting)


@implementer(IProtocol, IHalfCloseableProtocol, IPushProducer)
class Http2Client:
    """One connection to a target (`net.multiplexed.SharedConnection`). `shared`: what it has in common with others.

    `streams`: those that have sent their head, by number. `failed`: why it was closed before it was `ready`.
    """

    __slots__ = (
        "__weakref__",
        "_allowance",
        "_assembly",
        "_beginning",
        "_decoder",
        "_heard_at",
        "_leaving",
        "_most",
        "_next",
        "_odd",
        "_ping_due",
        "_reader",
        "_reading_stopped",
        "_stalled_at",
        "_state",
        "_touched",
        "_worked",
        "born",
        "deadline",
        "encoder",
        "factory",
        "failed",
        "heard",
        "now",
        "peer",
        "ready",
        "scheme",
        "sender",
        "served",
        "shared",
        "streams",
        "streams_open",
        "transport",
        "upstream",
    )

    _log: ClassVar[Logger] = Logger()

    def __init__(self, shared: ClientShared, upstream: Multiplexed) -> None:
        self.factory: Any = None
        self.transport: Any = None
        self.shared = shared
        self.upstream = upstream
        self.now = upstream.now
        self.scheme = b"https" if shared.alpn else b"http"
        self.deadline = NEVER
        self.born = self._heard_at = upstream.now()
        self.streams: dict[int, ClientStream] = {}
        self.streams_open = self.served = self.heard = 0
        self.ready = False
        self.failed: ProxyError | None = None
        self.peer = PeerSettings(is_server=True)
        self.encoder = Encoder(shared.lines)
        self.sender = Sender(self, self.peer, shared.turn, BUFFER_BYTES)
        self._reader = fr.FrameReader()
        self._decoder = Decoder(shared.blocks)
        self._allowance = Allowance(CONNECTION_WINDOW)
        self._assembly: Assembly | None = None
        self._touched: dict[int, ClientStream] = {}
        self._odd = Patience(ODD_FRAMES)
        self._next = 1
        self._worked = 0
        self._most = fr.MOST_STREAM
        self._state = GREETING
        self._stalled_at = -1
        self._ping_due = NEVER
        self._leaving = self._reading_stopped = False

    @property
    def limits(self) -> UpstreamLimits:
        """Of the connections to this target."""
        return self.upstream.limits

    # -- IProtocol

    def makeConnection(self, transport: Any) -> None:
        """The connection is up."""
        self.transport = transport
        transport.registerProducer(self, True)
        self.upstream.deadlines.add(self)
        self.upstream.open += 1
        self.deadline = self.now() + GREETING_SECONDS
        if self.shared.alpn and getattr(transport, "negotiatedProtocol", None) != H2:
            said = "the target does not agree on HTTP/2 (ALPN h2)"
            self._close_all(NoHttp2(said))
            return
        transport.write(self.shared.greeting)

    def connectionMade(self) -> None:
        """Nothing: makeConnection has done it."""

    def connectionLost(self, reason: Failure) -> None:
        """The connection is over, whoever ended it."""
        self._stop()
        self.deadline = NEVER
        upstream = self.upstream
        upstream.deadlines.discard(self)
        if self.failed is None:
            self.failed = self._lost_before() if not self.ready else None
        self._fail_all(None, reason)
        upstream.lost(self, self.failed or ConnectionReset("connection closed"))

    def _lost_before(self) -> ProxyError:
        return NoHttp2("the target closed the connection before it spoke HTTP/2")

    def readConnectionLost(self) -> None:
        """The target has sent its last byte."""
        self.transport.abortConnection()
        self.connection_ended()

    def connection_ended(self) -> None:
        """No answer will come any more."""
        if not self.ready and self.failed is None:
            self.failed = self._lost_before()
        self._stop()
        self._fail_all(None)

    def writeConnectionLost(self) -> None:
        """Our own half-close is done."""

    def dataReceived(self, data: bytes) -> None:
        """Bytes from the target."""
        if self._state == CLOSED:
            return
        now = self._heard_at = self.now()
        self._ping_due = NEVER
        try:
            for kind, flags, number, payload in self._reader.read(data):
                self.heard += 1
                try:
                    self._take(kind, flags, number, payload, now)
                except Http2Error as error:
                    if not error.stream:
                        raise
                    self._break_stream(error.stream, error.reason)
                except BadMessage as error:
                    self._break_stream(number, error.reason)
                if self._state == CLOSED:
                    return
        except Http2Error as error:
            self._break(error)
            return
        if self._touched:
            touched, self._touched = self._touched, {}
            for stream in touched.values():
                if not stream.ended:
                    stream.read_is_over()

    # -- IPushProducer: the transport's word on whether the target takes our bytes

    def pauseProducing(self) -> None:
        """The target reads slower than we write."""
        self.sender.full = True
        self._stalled_at = -1
        self.watch(self.now() + PERIOD)

    def resumeProducing(self) -> None:
        """What we wrote has left."""
        sender = self.sender
        sender.full = False
        self._stalled_at = -1
        if self._reading_stopped and self._state != CLOSED:
            self._reading_stopped = False
            self.transport.resumeProducing()
        sender.flush()
        for stream in [*self.streams.values()]:
            if stream.paused and not sender.full and not stream.queued:
                stream.relieved()

    def stopProducing(self) -> None:
        """The transport is going; connectionLost follows."""

    # -- frames

    def _take(
        self, kind: int, flags: int, number: int, payload: bytes, now: float
    ) -> None:
        """One frame. Raises `Http2Error`, and `BadMessage` for what only its stream breaks."""
        if self._assembly is not None:
            block = self._assembly.add(kind, flags, number, payload)
            if block is not None:
                flags, self._assembly = self._assembly.flags, None
                self._take_block(number, flags, block, now)
            return
        if self._state == GREETING and (kind != fr.SETTINGS or flags & fr.ACK):
            raise Http2Error(PROTOCOL_ERROR, "no SETTINGS at the beginning")
        if kind == fr.DATA and number:
            self._take_data(flags, number, payload, now)
        elif kind == fr.HEADERS and number:
            block = fr.header_block(flags, number, payload)
            if flags & fr.END_HEADERS:
                self._take_block(number, flags, block, now)
            else:
                most = 2 * self.shared.limits.head_bytes
                self._assembly = Assembly(number, flags, block, most, CONTINUATIONS)
        else:
            self._take_other(kind, flags, number, payload)

    def _take_other(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        """A frame that is neither of a head nor of a body."""
        if kind == fr.OVERSIZED:
            raise fr.too_large(flags)
        fr.check(kind, number, len(payload))
        self._strain(kind)
        if kind == fr.WINDOW_UPDATE:
            self._widen(number, payload)
        elif kind == fr.SETTINGS:
            self._take_settings(flags, payload)
        elif kind == fr.PING:
            if not flags & fr.ACK:
                self.sender.send(fr.ping(payload, ack=True))
        elif kind == fr.RST_STREAM:
            self._take_reset(number, fr.number(payload))
        elif kind == fr.GOAWAY:
            self._take_goaway(payload)
        elif kind == fr.PUSH_PROMISE:
            raise Http2Error(PROTOCOL_ERROR, "PUSH_PROMISE that was not allowed")
        elif kind == fr.CONTINUATION:
            raise Http2Error(PROTOCOL_ERROR, "CONTINUATION of nothing")

    def _strain(self, kind: int) -> None:
        worked = self.served + self._worked + self.sender.frames
        if self._odd.strain(self._heard_at, worked):
            what = f"too many frames that bring nothing: {fr.kind_name(kind)}"
            raise Http2Error(ENHANCE_YOUR_CALM, what)

    def _check_number(self, kind: int, number: int) -> None:
        """Raise `Http2Error` for a stream that nobody has opened."""
        if not number & 1 or number >= self._next:
            what = f"{fr.kind_name(kind)} on an idle stream"
            raise Http2Error(PROTOCOL_ERROR, what)

    def _take_block(self, number: int, flags: int, block: bytes, now: float) -> None:
        """A whole header block: the head of a response, or trailers."""
        self._check_number(fr.HEADERS, number)
        decoded = self._decoder.decode(block)
        stream = self.streams.get(number)
        if stream is None or stream.ended:
            self._strain(fr.HEADERS)  # on its way when we reset it
            return
        ended = bool(flags & fr.END_STREAM)
        if stream.head is not None:
            if not ended:
                raise Http2Error(PROTOCOL_ERROR, "trailers that end nothing", number)
            stream.take_end(trailer_lines(decoded.fields), b"")
            return
        head: ResponseHead | None = decoded.made
        if head is None:
            head = decoded.made = response_head(decoded.fields)
        stream.take_head(head, ended, now)
        if not ended:
            self._touched[number] = stream

    def _take_data(self, flags: int, number: int, payload: bytes, now: float) -> None:
        data = fr.content(flags, payload)
        size = len(payload)
        self._check_number(fr.DATA, number)
        self._allowance.take(size)
        # What a stream holds is bounded by its own window.
        more = self._allowance.due(size)
        if more:
            self.sender.send(fr.window_update(0, more))
        ended = bool(flags & fr.END_STREAM)
        if (not data or len(data) * 8 < size) and not ended:
            self._strain(fr.DATA)
        else:
            self._worked += 1
        stream = self.streams.get(number)
        if stream is None or stream.ended:
            return  # on its way when we reset it
        stream.take_data(data, size, ended, now)
        if not ended:
            self._touched[number] = stream

    def _widen(self, number: int, payload: bytes) -> None:
        sender = self.sender
        if not number:
            sender.window = widened(sender.window, fr.window_increment(0, payload))
            sender.unblock()
            return
        self._check_number(fr.WINDOW_UPDATE, number)
        more = fr.window_increment(number, payload)
        stream = self.streams.get(number)
        if stream is not None:
            stream.window = widened(stream.window, more, number)
            self._unblock(stream)

    def _unblock(self, stream: ClientStream) -> None:
        if stream.window > 0 and stream.queued:
            stream.stalled(False)
            self.sender.wait(stream)

    def _take_settings(self, flags: int, payload: bytes) -> None:
        if flags & fr.ACK:
            check_acknowledgement(payload)
            return
        peer = self.peer
        window, table, streams = peer.window, peer.table_bytes, peer.streams
        peer.take(payload)
        if peer.table_bytes != table:
            self.encoder.table_size(peer.table_bytes)
        if peer.window != window:
            more = peer.window - window
            for stream in self.streams.values():
                stream.window = widened(stream.window, more)
                self._unblock(stream)
        self.sender.send(SETTINGS_ACK)
        if self._state == GREETING:
            self._state = OPEN
            self.ready = True
            self.deadline = NEVER
            self._rest()
            if self._leaving:
                self._leave()
            else:
                self.upstream.greeted(self)
        elif peer.streams > streams:
            self.upstream.serve()

    def _take_reset(self, number: int, code: int) -> None:
        self._check_number(fr.RST_STREAM, number)
        stream = self.streams.get(number)
        if stream is None:
            return
        error: ProxyError
        if code == REFUSED_STREAM:
            error = NotProcessed("stream refused by the target")
            self._most = max(1, self.streams_open - 1)
        else:
            said = "within" if stream.head is not None else "before"
            error = ConnectionReset(
                f"stream reset {said} the response: {name_of(code)}"
            )
            error.code = code
        self._forget(stream)
        stream.fail(error)

    def _take_goaway(self, payload: bytes) -> None:
        last, code, _ = fr.goaway_says(payload)
        self._leave()
        for number, stream in [*self.streams.items()]:
            if number > last:
                self._forget(stream)
                stream.fail(NotProcessed(f"the target goes away: {name_of(code)}"))

    # -- streams

    @property
    def room(self) -> int:
        """Streams that may be opened now."""
        if self._leaving or not self.ready:
            return 0
        return min(self.peer.streams, self._most) - self.streams_open

    def open_stream(self) -> ClientStream | None:
        """One for an exchange, or None."""
        if self.room <= 0:
            return None
        limits = self.limits
        if limits.lifetime and self.now() - self.born >= limits.lifetime:
            self.retire()
            return None
        self.streams_open += 1
        self.served += 1
        stream = ClientStream(self)
        if limits.requests and self.served >= limits.requests:
            self._leave()
        return stream

    def begun(self, stream: ClientStream) -> None:
        """It sends its head now: number it."""
        stream.id = number = self._next
        self._next = number + 2
        stream.window = self.peer.window
        stream.heard_before = self.heard
        stream.first = self.served == 1
        self.streams[number] = stream
        if len(self.streams) == 1:
            # The time it was idle is over, and the target has been silent for no longer than now.
            self.deadline = NEVER
            self._heard_at = self.now()
            self._set_ping()
        if number + 2 > fr.MOST_STREAM:
            self._leave()

    def closed(self, stream: ClientStream) -> None:
        """It has ended on both sides, or was never begun."""
        if stream.id:
            self._forget(stream)
        else:
            self._one_less()

    def _forget(self, stream: ClientStream) -> None:
        if self.streams.pop(stream.id, None) is None:
            return
        stream.ended = stream.over = True
        self.sender.drop(stream)
        self._one_less()

    def _one_less(self) -> None:
        self.streams_open -= 1
        if self._leaving:
            if not self.streams_open:
                self._close()
            return
        upstream = self.upstream
        if not self.streams_open:
            self._rest()
            upstream.rests(self)
        if self.ready:
            upstream.serve()

    def _rest(self) -> None:
        """No stream is open: the time of an idle connection runs."""
        self._ping_due = NEVER
        seconds = self.limits.idle_timeout
        self.deadline = self.now() + seconds if seconds else NEVER

    def reset(self, stream: ClientStream, code: int) -> None:
        """End it at once."""
        if self.streams.get(stream.id) is stream:
            self.sender.send(fr.rst_stream(stream.id, code))
            self._forget(stream)

    def _break_stream(self, number: int, reason: str) -> None:
        """The target broke the rules on a stream (section 5.4.2)."""
        stream = self.streams.get(number)
        if stream is not None:
            stream.breaks(reason)
        else:
            self._strain(fr.RST_STREAM)

    def _fail_all(
        self, error: ProxyError | None, reason: Failure | None = None
    ) -> None:
        """No stream gets an answer any more. No `error`: the connection was lost, maybe for a `reason`."""
        self._touched.clear()
        streams, self.streams = self.streams, {}
        self.streams_open -= len(streams)
        for stream in streams.values():
            stream.ended = stream.over = True
            self.sender.drop(stream)
            stream.fail(error or self._loss_of(stream, reason))

    def _loss_of(self, stream: ClientStream, reason: Failure | None) -> ProxyError:
        """What the end of the connection means for a stream."""
        begun = stream.head is not None
        # If nothing came since it began, most likely the target was closing an idle connection.
        stale = not stream.first and stream.heard_before == self.heard
        if reason is None:
            return losses.cut_short(begun, stale)
        return losses.lost(reason, begun, stale)

    def update_window(self, number: int, more: int) -> None:
        """Let the target send on."""
        if self._state == OPEN:
            self.sender.send(fr.window_update(number, more))

    def soon(self, call: Callable[[], None]) -> None:
        """Do that in the next turn."""
        self.upstream.deadlines.clock.callLater(0, call)

    # -- what the sender tells

    def overfull(self) -> None:
        """The target takes none of our frames: none of its own are read."""
        if not self._reading_stopped:
            self._reading_stopped = True
            self.transport.pauseProducing()

    # -- deadlines

    def watch(self, due: float) -> None:
        """Something has to have happened then."""
        if due < self.deadline:
            self.deadline = due

    def _set_ping(self) -> None:
        if self.limits.ping:
            self.watch(self._heard_at + self.limits.ping)

    def expired(self, now: float) -> None:
        """The time for something is over."""
        if self._state == CLOSED:
            self.deadline = NEVER
            self.transport.abortConnection()
            return
        if self._state == GREETING:
            said = f"no HTTP/2 SETTINGS within {GREETING_SECONDS:g} s"
            self._close_all(NoHttp2(said))
            return
        waiting = pending_bytes(self.transport) or int(self.sender.full)
        if waiting:
            self._look_at_writing(now)
            return
        if not self.streams_open:
            self._leave()
            return
        self.deadline = NEVER
        for stream in [*self.streams.values()]:
            if stream.due <= now:
                stream.expired(now)
        if self.streams:
            self.watch(min([each.due for each in self.streams.values()]))
            self._look_at_silence(now)

    def stood_still(self, seconds: float, now: float) -> None:
        """The process did."""
        for stream in [*self.streams.values()]:
            if stream.sink is not None:
                stream.sink.stood_still(seconds, now)

    def _look_at_writing(self, now: float) -> None:
        untaken = untaken_bytes(self.transport)
        if untaken == self._stalled_at:
            seconds = self.limits.write
            self._close_all(WriteTimedOut(f"took no byte for {seconds:g} s"))
            return
        self._stalled_at = untaken
        self.deadline = now + self.limits.write

    def _look_at_silence(self, now: float) -> None:
        """Ask a target that says nothing whether it is still there."""
        seconds = self.limits.ping
        if not seconds:
            return
        if self._ping_due <= now:
            self._close_all(ResponseTimedOut(f"no answer to PING in {seconds:g} s"))
            return
        if self._ping_due == NEVER and now - self._heard_at >= seconds:
            self._ping_due = now + seconds
            self.sender.send(fr.ping(_PING))
        self.watch(min(self._ping_due, max(now, self._heard_at) + seconds))

    def limits_changed(self) -> None:
        """Those of the upstream are others now."""
        if not self.streams_open and self._state == OPEN:
            self._rest()

    # -- the end

    def looks_closed(self) -> bool:
        """Something has come that was not read yet, while it is idle: most likely a good-bye."""
        return not is_quiet(self.transport)

    def retire(self) -> None:
        """Take no more streams; close after the last one."""
        if self._state == GREETING:
            self._leaving = True
            self._close()
        else:
            self._leave()

    def _leave(self) -> None:
        if not self._leaving:
            self._leaving = True
            self.upstream.leaves(self)
        if not self.streams_open:
            self._close()

    def leave(self) -> None:
        """Its target is no more, and the time of what is on it over."""
        self._close_all(ConnectionReset("the target left the pool"))

    def _close(self) -> None:
        """Say good-bye, and close."""
        if self._state == CLOSED:
            return
        self.sender.full = False
        if self.ready:
            self.sender.send(fr.goaway(0, NO_ERROR))
        self.sender.flush()
        self._stop()
        self.deadline = self.now() + CLOSE_SECONDS
        self.transport.unregisterProducer()
        self.transport.loseConnection()

    def _stop(self) -> None:
        self._state = CLOSED
        self.sender.closed = True
        if not self._leaving:
            self._leaving = True
            self.upstream.leaves(self)

    def _break(self, error: Http2Error) -> None:
        """The target broke the rules of the connection (section 5.4.1)."""
        self._log.debug(
            "HTTP/2 connection to {target} ended: {error}",
            target=self.upstream.name,
            error=error,
        )
        if self.ready:
            self.sender.full = False
            self.sender.send(fr.goaway(0, error.code, error.reason.encode()))
            self.sender.flush()
            self._close_all(BadResponse(f"HTTP/2: {error.reason}"), at_once=False)
        else:
            self._close_all(NoHttp2(f"the target speaks no HTTP/2: {error.reason}"))

    def _close_all(self, error: ProxyError, at_once: bool = True) -> None:
        """Close the connection, and end what is on it in `error`."""
        if self._state == CLOSED:
            return
        if not self.ready:
            self.failed = error
        self._stop()
        self.deadline = NEVER
        if at_once:
            self.transport.abortConnection()
        else:
            self.deadline = self.now() + CLOSE_SECONDS
            self.transport.unregisterProducer()
            self.transport.loseConnection()
        self._fail_all(error)
