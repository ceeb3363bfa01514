"""The HTTP/2 server side of one client connection (RFC 9113): frames to streams, and what concerns all of them.

    preface --> open --GOAWAY (drain, idle, error)--> leaving --no stream is left--> LINGER --> closed

Each request is a `net.http2.stream.Stream`, which is the door in of its exchange; what they write goes through
`net.http2.sending.Sender`. Exchanges begin when everything that came in one read has been looked at: whoever opens
streams and resets them at once costs no backend anything.

One class in one long file, as that of HTTP/1.1: what a frame means depends on what the connection is about, and changes
it. How bytes become frames, what a request's stream does, and what is sent when, have modules of their own.

Imports: domain, net, net.http2, net.sockets, wire, wire.hpack, wire.http2, Twisted.
Used by: net.http2.choosing.
"""

from __future__ import annotations

from typing import Any, ClassVar

from twisted.internet.interfaces import (
    IHalfCloseableProtocol,
    IProtocol,
    IPushProducer,
)
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from lolly_tx.domain.errors import DownstreamError, DownstreamGone, ProxyError, Shutdown
from lolly_tx.net.deadlines import NEVER, PERIOD
from lolly_tx.net.doors import Peer
from lolly_tx.net.http2.closed import ClosedStreams
from lolly_tx.net.http2.patience import Patience
from lolly_tx.net.http2.sending import Sender
from lolly_tx.net.http2.shared import CONNECTION_WINDOW, Http2Shared
from lolly_tx.net.http2.stream import Stream
from lolly_tx.net.http2.websocket import WebSocketStream
from lolly_tx.net.sockets.acceptor import Acceptor
from lolly_tx.net.sockets.parting import CLOSE_SECONDS, Leftover, end_writing
from lolly_tx.net.sockets.transports import (
    has_hung_up,
    is_secure,
    pending_bytes,
    untaken_bytes,
)
from lolly_tx.wire.errors import BadMessage
from lolly_tx.wire.hpack.decoder import Decoder
from lolly_tx.wire.hpack.encoder import Encoder
from lolly_tx.wire.hpack.table import Decoded
from lolly_tx.wire.http2 import frames as fr
from lolly_tx.wire.http2.blocks import Assembly
from lolly_tx.wire.http2.errors import (
    ENHANCE_YOUR_CALM,
    NO_ERROR,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
    STREAM_CLOSED,
    Http2Error,
)
from lolly_tx.wire.http2.flow import Allowance, widened
from lolly_tx.wire.http2.requests import (
    Malformed,
    trailer_lines,
)
from lolly_tx.wire.http2.settings import (
    SETTINGS_ACK,
    PeerSettings,
    check_acknowledgement,
)
from lolly_tx.wire.message import RequestHead

PREFACE, OPEN, LINGER, CLOSED = range(4)

LOOK_SECONDS = 2.0
"""How often a client is looked after that is not read."""
GOAWAY_SECONDS = 1.0
"""Between the two steps of a graceful end, unless the client answers the PING that goes with the first."""

_GOODBYE = b"lolly-by"
NO_STREAM = -1
WHOLE = fr.END_HEADERS | fr.END_STREAM


@implementer(IProtocol, IHalfCloseableProtocol, IPushProducer)
class Http2Server:
    """One client connection. `shared`: what it has in common with its listener's others.

    `streams`: those that are not closed, by number. `requests`: that have been begun.
    """

    __slots__ = (
        "__weakref__",
        "_allowance",
        "_assembly",
        "_awaits_settings",
        "_beginning",
        "_closed",
        "_decoder",
        "_final",
        "_go_due",
        "_head_due",
        "_held",
        "_last",
        "_leaving",
        "_no_more",
        "_odd",
        "_reader",
        "_reading_stopped",
        "_resets",
        "_rest",
        "_stalled_at",
        "_state",
        "_start",
        "_urgencies",
        "_worked",
        "acceptor",
        "deadline",
        "encoder",
        "factory",
        "now",
        "peer",
        "peer_settings",
        "requests",
        "sender",
        "shared",
        "streams",
        "transport",
    )

    _log: ClassVar[Logger] = Logger()

    def __init__(self, shared: Http2Shared, acceptor: Acceptor, client: str) -> None:
        self.factory: Any = None
        self.transport: Any = None
        self.acceptor = acceptor
        self.now = acceptor.now
        self.shared = shared
        self.peer = Peer(client, acceptor.name, shared.secure, shared.introduce)
        self.deadline = NEVER
        self.requests = 0
        self.streams: dict[int, Stream] = {}
        self.peer_settings = PeerSettings()
        self.encoder = Encoder(shared.lines)
        self.sender = Sender(
            self, self.peer_settings, shared.turn, shared.h2.buffer_bytes
        )
        self._reader = fr.FrameReader()
        self._decoder = Decoder(shared.blocks)
        self._allowance = Allowance(CONNECTION_WINDOW)
        self._assembly: Assembly | None = None
        self._beginning: list[Stream] = []
        self._closed = ClosedStreams()
        self._urgencies: dict[int, bytes] = {}
        self._resets = Patience(shared.h2.resets)
        self._odd = Patience(shared.h2.odd_frames)
        self._rest: Leftover | None = None
        self._start = b""
        self._last = self._held = self._worked = 0
        self._stalled_at = -1
        self._go_due = self._head_due = NEVER
        self._state = PREFACE
        self._awaits_settings = True
        self._leaving = self._final = self._no_more = self._reading_stopped = False

    # -- IProtocol

    def makeConnection(self, transport: Any) -> None:
        """A client has connected, and speaks HTTP/2."""
        self.transport = self.peer.transport = transport
        transport.registerProducer(self, True)
        acceptor = self.acceptor
        self.peer.secure = self.shared.secure or is_secure(transport)
        self.deadline = self._head_due = self.now() + self.shared.timeouts.head
        acceptor.connected(self)
        self.sender.send(self.shared.greeting)
        if acceptor.draining:
            self.drain(self.now() + acceptor.idle_seconds)

    def connectionMade(self) -> None:
        """Nothing: makeConnection has done it."""

    def connectionLost(self, reason: Failure) -> None:
        """The connection is over, whoever ended it."""
        self._state = CLOSED
        self.deadline = NEVER
        self.sender.closed = True
        self.acceptor.lost(self)
        self._fail_all(DownstreamGone("client closed the connection"))
        self.peer.gone()

    def dataReceived(self, data: bytes) -> None:
        """Bytes from the client."""
        if self._state == PREFACE:
            data = self._start + data
            size = len(fr.PREFACE)
            if not data.startswith(fr.PREFACE):
                if fr.PREFACE.startswith(data):
                    self._start = data
                else:
                    self._break(Http2Error(PROTOCOL_ERROR, "no connection preface"))
                return
            self._state = OPEN
            self._start = b""
            data = data[size:]
        if self._state != OPEN:
            return
        try:
            for kind, flags, number, payload in self._reader.read(data):
                try:
                    if (
                        kind == fr.HEADERS
                        and flags == WHOLE
                        and number
                        and self._assembly is None
                        and not self._awaits_settings
                    ):
                        self._take_block(number, flags, payload)  # most of what comes
                    else:
                        self._take(kind, flags, number, payload)
                except Http2Error as error:
                    if not error.stream:
                        raise
                    self._break_stream(error)
                if self._state != OPEN:
                    return
        except Http2Error as error:
            self._break(error)
            return
        if self._beginning:
            self._begin_all()

    def readConnectionLost(self) -> None:
        """The client has sent its last byte; it may still read."""
        self._no_more = True
        if self._state != OPEN:
            self._close()
            return
        for stream in [*self.streams.values()]:
            if not stream.ended:
                self._forget(stream)
                stream.fail(DownstreamGone("request body cut short"))
        if self.streams:
            self._look_after()
        else:
            self._close()

    def writeConnectionLost(self) -> None:
        """Our own half-close is done."""

    # -- IPushProducer: the transport's word on whether the client takes our bytes

    def pauseProducing(self) -> None:
        """The client reads slower than we write."""
        self.sender.full = True
        self._stalled_at = -1
        self.deadline = min(self.deadline, self.now() + PERIOD)

    def resumeProducing(self) -> None:
        """What we wrote has left."""
        sender = self.sender
        sender.full = False
        self._stalled_at = -1
        if self._reading_stopped and self._state == OPEN:
            self._reading_stopped = False
            self.transport.resumeProducing()
        if self._state == OPEN:
            self._set_deadline()
            sender.flush()
            for stream in [*self.streams.values()]:
                if stream.paused and not sender.full and not stream.queued:
                    stream.relieved()

    def stopProducing(self) -> None:
        """The transport is going; connectionLost follows."""

    # -- frames

    def _take(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        """One frame. Raises `Http2Error`."""
        if self._assembly is not None:
            self._go_on_with_block(kind, flags, number, payload)
        elif kind == fr.HEADERS and number:
            if self._awaits_settings:
                raise Http2Error(PROTOCOL_ERROR, "no SETTINGS at the beginning")
            block = payload
            if flags & (fr.PADDED | fr.WITH_PRIORITY):
                block = fr.header_block(flags, NO_STREAM, payload)
            if flags & fr.END_HEADERS:
                self._take_block(number, flags, block)
            else:
                self._begin_block(number, flags, block)
            if flags & fr.WITH_PRIORITY:
                fr.header_block(flags, number, payload)  # a stream of its own
        elif kind == fr.DATA and number:
            self._take_data(flags, number, payload)
        else:
            self._take_other(kind, flags, number, payload)

    def _take_other(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        """A frame that is neither of a head nor of a body."""
        if kind == fr.OVERSIZED:
            raise fr.too_large(flags)
        fr.check(kind, number, len(payload))
        if self._awaits_settings and (kind != fr.SETTINGS or flags & fr.ACK):
            raise Http2Error(PROTOCOL_ERROR, "no SETTINGS at the beginning")
        if self._odd.strain(self.now(), self._worked + self.sender.frames):
            what = f"too many frames that ask for nothing: {fr.kind_name(kind)}"
            raise Http2Error(ENHANCE_YOUR_CALM, what)
        if kind == fr.WINDOW_UPDATE:
            self._widen(number, payload)
        elif kind == fr.SETTINGS:
            self._take_settings(flags, payload)
        elif kind == fr.PING:
            self._take_ping(flags, payload)
        elif kind == fr.RST_STREAM:
            self._take_reset(number)
        elif kind == fr.PRIORITY:
            fr.check_dependency(number, payload)
        elif kind == fr.PRIORITY_UPDATE:
            self._reprioritize(payload)
        elif kind == fr.PUSH_PROMISE:
            raise Http2Error(PROTOCOL_ERROR, "PUSH_PROMISE from a client")
        elif kind == fr.CONTINUATION:
            raise Http2Error(PROTOCOL_ERROR, "CONTINUATION of nothing")
        elif kind == fr.GOAWAY:
            self._go()  # it opens no more streams; those that are open go on

    def _begin_block(self, number: int, flags: int, first: bytes) -> None:
        shared = self.shared
        self._assembly = Assembly(
            number, flags, first, 2 * shared.limits.head_bytes, shared.h2.continuations
        )
        self._head_due = self.now() + shared.timeouts.head
        self.watch(self._head_due)

    def _go_on_with_block(
        self, kind: int, flags: int, number: int, payload: bytes
    ) -> None:
        assembly = self._assembly
        assert assembly is not None
        block = assembly.add(kind, flags, number, payload)
        if block is not None:
            self._assembly = None
            self._head_due = NEVER
            self._set_deadline()
            self._take_block(number, assembly.flags, block)

    def _take_block(self, number: int, flags: int, block: bytes) -> None:
        """A whole header block: a request, or the trailers of one."""
        ended = bool(flags & fr.END_STREAM)
        if number <= self._last:
            self._take_trailers(number, ended, block)
            return
        if not number & 1:
            raise Http2Error(PROTOCOL_ERROR, "stream of a server")
        if self._final:
            self._decode(block)
            return  # beyond the last one that we said we would take
        if number != self._last + 2 and number != 1:
            self._closed.skip(self._last + 1, number - 1)
        self._last = number
        self._worked += 1
        streams = self.streams
        try:
            decoded: Decoded | None = self._decoder.decode(block)
            problem: BadMessage | None = None
        except BadMessage as error:
            decoded, problem = None, error
        if len(streams) >= self.shared.h2.streams:
            if not ended:
                self._closed.cut(number)
            self._strain_resets()
            self.sender.send(fr.rst_stream(number, REFUSED_STREAM))
            return
        head = None
        if decoded is not None:
            try:
                head = self.shared.heads.head_of(decoded, ended)
            except BadMessage as error:
                problem = error
        stream = self._open(number, head, ended)
        if problem is not None:
            self._refuse(stream, problem)

    def _open(self, number: int, head: RequestHead | None, ended: bool) -> Stream:
        """A new stream; its exchange begins when this read has been looked at."""
        upgrades = head is not None and bool(head.block.upgrade) and not ended
        stream = (WebSocketStream if upgrades else Stream)(self, number, head)
        self.streams[number] = stream
        self.requests += 1
        if len(self.streams) == 1:
            self.deadline = min(self._go_due, self._head_due)
        if head is not None:
            block = head.block
            if b"priority" in block.raw:
                said = block.get(b"priority")
                if said is not None:
                    stream.prioritize(said)
            if self._urgencies:
                said = self._urgencies.pop(number, None)
                if said is not None:
                    stream.prioritize(said)
        if not ended:
            if isinstance(stream, WebSocketStream):
                stream.expect_tunnel()
            else:
                length = head.block.length if head is not None else None
                waits = head is not None and head.awaits_continue
                try:
                    stream.expect_body(length, waits)
                except BadMessage as error:
                    self._refuse(stream, error)
                    return stream
        if head is not None:
            self._beginning.append(stream)
        if self.requests == self.shared.requests:
            self._go()
        return stream

    def _refuse(self, stream: Stream, error: BadMessage) -> None:
        """A request that is not served."""
        if not isinstance(error, Malformed):
            stream.refuse(error)
            return
        self._record(stream, error)
        raise Http2Error(PROTOCOL_ERROR, error.reason, stream.id)

    def _record(self, stream: Stream, error: BadMessage) -> None:
        """Have a request that is reset in the log, as the HTTP/1.1 request that gets a 400."""
        stream.malformed = True
        self.shared.refused(stream, error, False)

    def _take_trailers(self, number: int, ended: bool, block: bytes) -> None:
        """A header block on a stream that is not new."""
        stream = self.streams.get(number)
        if stream is None and not self._closed.is_cut(number):
            if self._closed.was_skipped(number):
                raise Http2Error(PROTOCOL_ERROR, "stream that was left out")
            raise Http2Error(STREAM_CLOSED, "HEADERS on a closed stream")
        if stream is not None and stream.ended:
            self._decode(block)
            raise Http2Error(STREAM_CLOSED, "HEADERS after the end", number)
        try:
            fields = self._decoder.decode(block).fields
            lines = trailer_lines(fields)
        except BadMessage as error:
            if stream is None:
                return
            raise Http2Error(PROTOCOL_ERROR, error.reason, number) from None
        if stream is None:
            if ended:
                self._closed.ended(number)
            return
        if not ended:
            raise Http2Error(PROTOCOL_ERROR, "trailers that end nothing", number)
        self._end_of_body(stream, lines)

    def _decode(self, block: bytes) -> None:
        """For the sake of the table only."""
        try:
            self._decoder.decode(block)
        except BadMessage:
            pass

    def _take_data(self, flags: int, number: int, payload: bytes) -> None:
        if self._awaits_settings:
            raise Http2Error(PROTOCOL_ERROR, "no SETTINGS at the beginning")
        data = fr.content(flags, payload)
        size = len(payload)
        self._allowance.take(size)
        if (not data or len(data) * 8 < size) and not flags & fr.END_STREAM:
            # Empty, or mostly padding.
            if self._odd.strain(self.now(), self._worked + self.sender.frames):
                raise Http2Error(ENHANCE_YOUR_CALM, "too many empty DATA frames")
        else:
            self._worked += 1
        stream = self.streams.get(number)
        if stream is None:
            if number > self._last:
                raise Http2Error(PROTOCOL_ERROR, "DATA on an idle stream")
            if not self._closed.is_cut(number):
                raise Http2Error(STREAM_CLOSED, "DATA on a closed stream")
            self._taken(size)
            if flags & fr.END_STREAM:
                self._closed.ended(number)
            return
        self._taken(size)
        if stream.ended:
            raise Http2Error(STREAM_CLOSED, "DATA after the end", number)
        try:
            stream.body_data(data, size)
        except BadMessage as error:
            stream.ended = bool(flags & fr.END_STREAM)
            stream.refuse(error)
            return
        if flags & fr.END_STREAM and self.streams.get(number) is stream:
            self._end_of_body(stream, b"")

    def _end_of_body(self, stream: Stream, trailers: bytes) -> None:
        stream.body_end(trailers)
        if stream.over:
            self._forget(stream)

    def _taken(self, size: int) -> None:
        """`size` bytes of flow control have come: the connection's window is widened, unless too much waits here."""
        if self._held <= self.shared.h2.buffer_bytes:
            more = self._allowance.due(size)
            if more:
                self.sender.send(fr.window_update(0, more))
        else:
            self._allowance.owed += size

    def hold(self, size: int) -> None:
        """`size` bytes wait for a target."""
        self._held += size

    def release(self, size: int) -> None:
        """They do not any more."""
        if size:
            self._held -= size
            self._taken(0)

    def update_window(self, number: int, more: int) -> None:
        """Let a stream send on."""
        self.sender.send(fr.window_update(number, more))

    def _widen(self, number: int, payload: bytes) -> None:
        sender = self.sender
        if not number:
            more = fr.window_increment(0, payload)
            sender.window = widened(sender.window, more)
            sender.unblock()
            return
        if number > self._last:
            raise Http2Error(PROTOCOL_ERROR, "WINDOW_UPDATE on an idle stream")
        more = fr.window_increment(number, payload)
        stream = self.streams.get(number)
        if stream is not None:
            stream.window = widened(stream.window, more, number)
            self._unblock(stream)

    def _unblock(self, stream: Stream) -> None:
        if stream.window > 0 and stream.queued:
            stream.stalled(False)
            self.sender.wait(stream)

    def _take_settings(self, flags: int, payload: bytes) -> None:
        if flags & fr.ACK:
            check_acknowledgement(payload)
            return
        peer = self.peer_settings
        window, table = peer.window, peer.table_bytes
        peer.take(payload)
        if self._awaits_settings:
            self._awaits_settings = False
            self._head_due = NEVER
        if peer.table_bytes != table:
            self.encoder.table_size(peer.table_bytes)
        if peer.window != window:
            more = peer.window - window
            for stream in self.streams.values():
                stream.window = widened(stream.window, more)
                self._unblock(stream)
        self.sender.send(SETTINGS_ACK)
        if not self.requests:
            self._set_deadline()

    def _take_ping(self, flags: int, payload: bytes) -> None:
        if not flags & fr.ACK:
            self.sender.send(fr.ping(payload, ack=True))
        elif payload == _GOODBYE:
            self._go_finally()

    def _take_reset(self, number: int) -> None:
        if number > self._last:
            raise Http2Error(PROTOCOL_ERROR, "RST_STREAM on an idle stream")
        self._closed.ended(number)
        stream = self.streams.get(number)
        if stream is not None:
            answered = stream.over
            self._forget(stream)
            stream.fail(DownstreamGone("client reset the stream"))
            if not answered:
                self._strain_resets()

    def _strain_resets(self) -> None:
        if self._resets.strain(self.now()):
            raise Http2Error(ENHANCE_YOUR_CALM, "too many streams reset")

    def _reprioritize(self, payload: bytes) -> None:
        number = fr.number(payload) & fr.MOST_STREAM
        if not number:
            raise Http2Error(PROTOCOL_ERROR, "PRIORITY_UPDATE of no stream")
        stream = self.streams.get(number)
        if stream is not None:
            stream.prioritize(payload[4:])
        elif number > self._last and len(payload) <= 68:
            # Of one that is to come (RFC 9218 section 7.1).
            if len(self._urgencies) >= self.shared.h2.streams:
                self._urgencies.clear()
            self._urgencies[number] = payload[4:]

    # -- streams

    def _begin_all(self) -> None:
        beginning, self._beginning = self._beginning, []
        for stream in beginning:
            head = stream.head
            if head is not None and self.streams.get(stream.id) is stream:
                stream.begin(head)

    def _forget(self, stream: Stream) -> None:
        """It is closed."""
        if self.streams.pop(stream.id, None) is None:
            return
        stream.over = True
        held, stream.held = stream.held, 0
        self.release(held)
        if stream.queued or stream.ending is not None:
            self.sender.drop(stream)
        if not self.streams:
            self._all_done()

    def _all_done(self) -> None:
        """No stream is open."""
        if self._state != OPEN:
            return
        if self._final or self._no_more:
            self._close()
        elif not self.sender.full:
            self.deadline = min(self._idle_until(), self._go_due, self._head_due)

    def finished(self, stream: Stream) -> None:
        """Its answer is complete. Who goes on sending its request is told that nobody reads it (section 8.1)."""
        if stream.ended and not stream.queued:
            streams = self.streams
            if streams.pop(stream.id, None) is not None and not streams:
                self._all_done()
            return
        if not stream.ended and not self._no_more:
            if not stream.can_tunnel:
                stream.await_end()
                return
            self._closed.cut(stream.id)
            self.sender.send(fr.rst_stream(stream.id, NO_ERROR))
        self._forget(stream)

    def reset(self, stream: Stream, code: int) -> None:
        """End it at once."""
        if self.streams.get(stream.id) is stream:
            if not stream.ended:
                self._closed.cut(stream.id)
            self.sender.send(fr.rst_stream(stream.id, code))
            self._forget(stream)

    def cancel(self, stream: Stream, code: int, why: str) -> None:
        """The same, for what its client does not do."""
        self.reset(stream, code)
        stream.fail(DownstreamGone(why))

    def _break_stream(self, error: Http2Error) -> None:
        """A stream's rules were broken (section 5.4.2)."""
        number = error.stream
        stream = self.streams.get(number)
        self._strain_resets()
        if stream is not None:
            self.reset(stream, error.code)
            stream.fail(DownstreamError(error.reason, 400))
        else:
            self.sender.send(fr.rst_stream(number, error.code))

    def _fail_all(self, error: ProxyError) -> None:
        self._beginning = []
        streams, self.streams = self.streams, {}
        for stream in streams.values():
            stream.over = True
            self.sender.drop(stream)
            stream.fail(error)

    # -- what the sender tells

    def overfull(self) -> None:
        """The client takes none of our frames: none of its own are read."""
        if not self._reading_stopped:
            self._reading_stopped = True
            self.transport.pauseProducing()

    # -- deadlines

    def watch(self, due: float) -> None:
        """Something has to have happened then."""
        if due < self.deadline:
            self.deadline = due

    def _set_deadline(self) -> None:
        """After a change of what is waited for."""
        if self.streams:
            self.deadline = min([each.due for each in self.streams.values()])
            self.watch(min(self._go_due, self._head_due))
            if self._no_more:
                self._look_after()
        else:
            self.deadline = min(self._idle_until(), self._go_due, self._head_due)

    def _idle_until(self) -> float:
        return self.now() + self.acceptor.idle_seconds

    def expired(self, now: float) -> None:
        """The time for something is over."""
        if self._state in (LINGER, CLOSED):
            self._settle(now)
            return
        unread = self._reading_stopped or self._no_more
        if unread and has_hung_up(self.transport):
            self._abort()
            return
        waiting = pending_bytes(self.transport) or int(self.sender.full)
        untaken = untaken_bytes(self.transport) if waiting else 0
        if waiting and untaken != self._stalled_at:
            self._stalled_at = untaken
            self.deadline = now + self.shared.timeouts.write
            return
        if waiting:
            self._abort()
            return
        if self._go_due <= now:
            self._go_finally()
            if self._state == OPEN:
                self._set_deadline()
        elif self._head_due <= now:
            if self._awaits_settings:
                self._break(Http2Error(PROTOCOL_ERROR, "no SETTINGS in time"))
            else:
                self._break(Http2Error(ENHANCE_YOUR_CALM, "header block took too long"))
        elif not self.streams:
            self._leave(NO_ERROR, b"idle")
        else:
            self._look_at_streams(now)

    def _look_at_streams(self, now: float) -> None:
        for stream in [*self.streams.values()]:
            if self._no_more and not stream.started:
                self._forget(stream)
                stream.fail(
                    DownstreamGone("client closed its side and there was no answer yet")
                )
            elif stream.due <= now:
                stream.expired(now)
        if self._state == OPEN:
            self._set_deadline()

    def _look_after(self) -> None:
        """Nobody tells when a client is gone that has sent its last byte."""
        gone = self.shared.timeouts.gone
        started = all(each.started for each in self.streams.values())
        soon = LOOK_SECONDS if started or gone == NEVER else gone
        self.watch(self.now() + soon)

    # -- the end

    def _go(self) -> None:
        """Take no more requests, gracefully: those on their way are still served (section 6.8)."""
        if not self._leaving and self._state <= OPEN:
            self._leaving = True
            self._go_due = self.now() + GOAWAY_SECONDS
            self.watch(self._go_due)
            self.sender.send(fr.goaway(fr.MOST_STREAM, NO_ERROR) + fr.ping(_GOODBYE))

    def _go_finally(self) -> None:
        """The second step: what was not here by now is not served."""
        if self._leaving and not self._final and self._state == OPEN:
            self._final = True
            self._go_due = NEVER
            self.sender.send(fr.goaway(self._last, NO_ERROR))
            if not self.streams:
                self._close()

    def _leave(self, code: int, why: bytes) -> None:
        """Say why, and close."""
        if not self._final:
            self._final = True
            self.sender.send(fr.goaway(self._last, code, why))
        self._close()

    def _break(self, error: Http2Error) -> None:
        """The connection's rules were broken (section 5.4.1)."""
        self._log.debug(
            "HTTP/2 connection of {client} ended: {error}",
            client=self.peer.address,
            error=error,
        )
        self._assembly = None
        self._state = LINGER
        self._final = True
        said = fr.goaway(self._last, error.code, error.reason.encode())
        self.sender.send(said)
        self._fail_all(DownstreamError(error.reason, 400))
        self._close()

    def _close(self) -> None:
        """Close after what was gathered has left. What still comes is thrown away, for a while."""
        if self._state == CLOSED:
            return
        self._state = LINGER
        self.sender.full = False  # the transport queues what it cannot send
        self.sender.flush()
        self.sender.closed = True
        if self._no_more:
            self._hang_up()
            return
        now = self.now()
        self.deadline = now + CLOSE_SECONDS
        end_writing(self.transport)
        self.sender.full = False
        if self._reading_stopped:
            self._reading_stopped = False
            self.transport.resumeProducing()

    def _settle(self, now: float) -> None:
        """See that the client has taken what was said last."""
        untaken = untaken_bytes(self.transport)
        if untaken:
            if self._rest is None:
                self._rest = Leftover(self.shared.timeouts.write)
            self.deadline = self._rest.next_look(untaken, now)
            if self.deadline <= now:
                self._abort()
        elif self._state == LINGER:
            self._hang_up()
        else:
            self._abort()

    def _hang_up(self) -> None:
        self._state = CLOSED
        self.deadline = self.now() + CLOSE_SECONDS
        self.transport.unregisterProducer()
        self.transport.loseConnection()

    def _abort(self) -> None:
        self._state = CLOSED
        self.deadline = NEVER
        self.sender.closed = True
        self.transport.abortConnection()

    # -- what the acceptor asks

    @property
    def address(self) -> str:
        """The client's."""
        return self.peer.address

    @property
    def idle(self) -> bool:
        """No request is open, and it is not new."""
        return not self.streams and self._state != PREFACE and self.requests > 0

    def shed(self) -> bool:
        """Close an idle connection, to make room."""
        if self._state != OPEN:
            self._hang_up()
            return True
        self._leave(NO_ERROR, b"too many connections")
        return True

    def shut(self) -> None:
        """The proxy stops now: exchanges that are going on are cut."""
        if self._state == CLOSED:
            return
        if self.streams:
            self._final = True
            self.sender.send(fr.goaway(self._last, NO_ERROR, b"the proxy stopped"))
            self.sender.flush()
            self._state = CLOSED
            self._fail_all(Shutdown("the proxy stopped"))
            self._abort()
        else:
            self._leave(NO_ERROR, b"the proxy stopped")
            self._hang_up()

    def drain(self, until: float) -> None:
        """The proxy is stopping: gracefully, in two steps."""
        self._go()
        if not self.streams:
            self.deadline = min(self.deadline, until)
        if not self.acceptor.patient:
            for stream in [*self.streams.values()]:
                if isinstance(stream, WebSocketStream):
                    stream.going_away()
