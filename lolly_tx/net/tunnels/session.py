"""A tunnel at work, after its handshake: HTTP/2 frames, each stream a `CONNECT` to a service.

    server                                         connector
    PRI ..., SETTINGS, WINDOW_UPDATE        -->
                                            <--    SETTINGS, WINDOW_UPDATE
    HEADERS :method CONNECT, :authority web -->                                    it connects to its service
                                            <--    HEADERS :status 200, or 502 with lolly-reason
    DATA ...                                <->    DATA ...                        END_STREAM: a half-close
    PING                                    <->    PING                            when nothing was heard for a while
    GOAWAY                                  <->                                    no new streams; close after the last

The server is the HTTP/2 client of the connection, although the connector has made it: it is the one who asks. Bytes
of the connection as a whole are given back as they come, those of a stream as they are taken on, so a stream that
nobody reads holds up no other; what all streams may have waiting here is bounded by `memory`.

Imports: net, net.http2, net.sockets, net.tunnels, wire, wire.http2, Twisted. Used by:
net.tunnels.connection, net.tunnels.directory, net.tunnels.door, net.tunnels.siblings.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Protocol

from twisted.logger import Logger
from twisted.python.failure import Failure

from lolly_tx.net.deadlines import NEVER, Deadlines
from lolly_tx.net.http2.backlog import Backlog
from lolly_tx.net.http2.sending import Sender
from lolly_tx.net.http2.windows import Windows
from lolly_tx.net.sockets.transports import queue_little
from lolly_tx.net.tunnels.errors import SessionLost
from lolly_tx.net.tunnels.heart import Heart
from lolly_tx.net.tunnels.streams import (
    HEAD_BYTES,
    SessionSettings,
    Streams,
    StreamsOwner,
)
from lolly_tx.net.turn import Turn
from lolly_tx.wire.http2 import frames as fr
from lolly_tx.wire.http2.blocks import Assembly
from lolly_tx.wire.http2.flow import FIRST_WINDOW, Allowance
from lolly_tx.wire.http2.settings import (
    INITIAL_WINDOW_SIZE,
    MAX_CONCURRENT_STREAMS,
    PeerSettings,
    settings,
)
from lolly_tx.wire.http2_errors import (
    NO_ERROR,
    PROTOCOL_ERROR,
    Http2Error,
    name_of,
)

CONNECTION_WINDOW = 16 << 20
"""On all streams together, on their way."""
_MOST_CONTINUATIONS = 4
_GONE_SECONDS = 2.0
LEAVING_SECONDS = 1.0
LINGER_SECONDS = 3.0
"""A server that stops waits so long without a stream before it closes: its clients may still ask for one."""


class SessionOwner(StreamsOwner, Protocol):
    """Who had the handshake."""

    def session_over(self, why: str) -> None:
        """It takes no more streams, and has none; its connection is closed or about to be."""

    def session_leaving(self) -> None:
        """There are to be no new streams, and those there are go on. A server is told each second until they end."""


class Session:
    """See the module. `peer_name`: the connector's name, on both sides. `opens`: this side opens the streams."""

    log: ClassVar[Logger] = Logger()

    def __init__(
        self,
        owner: SessionOwner,
        transport: Any,
        peer_name: str,
        given: SessionSettings,
        *,
        opens: bool,
        deadlines: Deadlines,
        turn: Turn,
    ) -> None:
        self.transport = transport
        self.peer_name = peer_name
        self.given = given
        self.opens = opens
        self.deadline = NEVER
        self.closed = self.going = False
        self.why = ""
        self._empty_until = NEVER
        self.since = deadlines.now()
        self.heart = Heart(given.heartbeat, self.since)
        self._owner = owner
        self._deadlines = deadlines
        self._now: Callable[[], float] = deadlines.now
        self._preface = b"" if opens else fr.PREFACE
        self._reader = fr.FrameReader()
        self._assembly: Assembly | None = None
        self.sender = Sender(self, PeerSettings(), turn, given.memory)
        self.streams = Streams(
            owner,
            peer_name,
            given,
            self.sender,
            deadlines.clock,
            deadlines.now,
            self.heart,
            opens=opens,
            one_over=self._close_if_done,
        )
        self._windows = Windows(self.sender, self.streams.encoder, self.streams)
        self._backlog = Backlog(self, self.sender)
        self._allowance = Allowance(CONNECTION_WINDOW)

    @property
    def _over(self) -> bool:
        """What was just done may have closed it."""
        return self.closed

    @property
    def leaving(self) -> bool:
        """It is about to end: somebody else is to be asked first."""
        return self.streams.leaving or self.going

    # -- its beginning and its end

    def start(self) -> None:
        """The handshake is done: begin."""
        said = [(INITIAL_WINDOW_SIZE, self.given.first_window)]
        if not self.opens:
            said.append((MAX_CONCURRENT_STREAMS, self.given.streams))
        greeting = fr.PREFACE if self.opens else b""
        more = fr.window_update(0, CONNECTION_WINDOW - FIRST_WINDOW)
        asked = self.heart.begin(self._now())
        self.sender.send(greeting + settings(said) + more + asked)
        queue_little(self.transport)
        self.transport.registerProducer(self, True)
        self.deadline = self.heart.next_look(self._now())
        self._deadlines.add(self)

    def drain(self) -> None:
        """Have no new streams, tell the peer so, and close after the last one."""
        if self.closed or self.streams.leaving:
            return
        self.streams.leaving = True
        self.sender.send(fr.goaway(self.streams.last, NO_ERROR))
        self._hurry()
        self._close_if_done()

    def _hurry(self) -> None:
        """Who keeps connections through it for later is told to let them go, now and again."""
        if self.opens:
            self.deadline = min(self.deadline, self._now())

    def announce(self) -> None:
        """Have the connector look for another server; streams are still opened, until there were none for a while."""
        if not self.closed and not self.leaving:
            self.going = True
            self.sender.send(fr.goaway(self.streams.last, NO_ERROR))
            self._close_if_done()

    def _close_if_done(self) -> None:
        if self.streams.open or self.closed:
            return
        if self.streams.leaving:
            self._close("told to go")
        elif self.going:
            self._empty_until = self._now() + LINGER_SECONDS
            self.deadline = min(self.deadline, self._empty_until)

    def _close(self, why: str) -> None:
        """In good order: what is queued leaves first."""
        self.sender.full = False
        self.sender.flush()
        self._stop(why)
        # Who does not close as well within that time is cut off.
        self.deadline = self._now() + _GONE_SECONDS
        self._deadlines.add(self)
        self.transport.unregisterProducer()
        self.transport.loseConnection()

    def abort(self, why: str) -> None:
        """Cut it: its streams are lost."""
        if not self.closed:
            self._stop(why)
            self.transport.abortConnection()

    def _stop(self, why: str) -> None:
        if self.closed:
            return
        self.closed = self.streams.leaving = True
        self.why = why
        self.deadline = NEVER
        self._deadlines.discard(self)
        self.sender.closed = True
        for stream in [*self.streams.open.values()]:
            stream.lose(Failure(SessionLost(f"the tunnel has ended: {why}")))
        self._owner.session_over(why)

    def lost(self, reason: Failure) -> None:
        """Its connection is gone."""
        self._deadlines.discard(self)
        self._stop("connection lost" if not self.leaving else "told to go")

    def _broke(self, error: Http2Error) -> None:
        """The peer broke the rules of the connection."""
        self.log.warn(
            "tunnel of {name} ended: {error}", name=self.peer_name, error=error
        )
        self.sender.send(
            fr.goaway(self.streams.last, error.code, error.reason.encode())
        )
        self._close(f"broken rules: {error.reason}")

    # -- what time brings

    def expired(self, now: float) -> None:
        """Ask a silent peer whether it is there; give it up when it does not answer."""
        if self.closed:
            self.deadline = NEVER
            self.transport.abortConnection()
        elif self.heart.stopped(now):
            self.abort(f"no heartbeat in {2 * self.heart.seconds:g} s")
        elif self.going and not self.streams.open and now >= self._empty_until:
            self._close("told to go")
        else:
            asked = self.heart.ask(now)
            if asked:
                self.sender.send(asked)
            self.deadline = self.heart.next_look(now)
            if self.opens and self.streams.leaving:
                self._owner.session_leaving()
                self.deadline = min(self.deadline, now + LEAVING_SECONDS)
            elif not self.streams.open:
                self.deadline = min(self.deadline, self._empty_until)

    def stood_still(self, seconds: float, now: float) -> None:
        """Of this process: that is not the peer's silence."""
        self.heart.stood_still(seconds, now)

    # -- what comes

    def receive(self, data: bytes) -> None:
        """Bytes from the peer."""
        if self._over:
            return
        self.heart.heard = self._now()
        if self._preface:
            data = self._after_preface(data)
        for kind, flags, number, payload in self._reader.read(data):
            try:
                if not self._over:
                    self._frame(kind, flags, number, payload)
            except Http2Error as error:
                if not error.stream:
                    self._broke(error)
                    return
                self.streams.drop(error.stream, error.code)

    def _after_preface(self, data: bytes) -> bytes:
        preface, size = self._preface, min(len(data), len(self._preface))
        if data[:size] != preface[:size]:
            self._broke(Http2Error(PROTOCOL_ERROR, "no preface"))
            return b""
        self._preface = preface[size:]
        return data[size:]

    def _frame(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        if kind == fr.OVERSIZED:
            raise fr.too_large(flags)
        fr.check(kind, number, len(payload))
        if self._assembly is not None:
            block = self._assembly.add(kind, flags, number, payload)
            if block is not None:
                flags, self._assembly = self._assembly.flags, None
                self.streams.head(number, flags, block)
        elif kind == fr.DATA:
            self._data(number, flags, payload)
        elif kind == fr.HEADERS:
            piece = fr.header_block(flags, number, payload)
            if flags & fr.END_HEADERS:
                self.streams.head(number, flags, piece)
            else:
                self._assembly = Assembly(
                    number, flags, piece, HEAD_BYTES, _MOST_CONTINUATIONS
                )
        elif kind == fr.WINDOW_UPDATE:
            self.streams.known(number)
            self._windows.widen(number, payload)
        elif kind == fr.RST_STREAM:
            self.streams.known(number)
            self.streams.was_reset(number, fr.number(payload))
        elif kind == fr.SETTINGS:
            self._windows.settings(flags, payload)
        elif kind == fr.PING:
            self._ponged(flags, payload)
        elif kind == fr.GOAWAY:
            self._told_to_go(payload)
        elif kind in (fr.PUSH_PROMISE, fr.CONTINUATION):
            raise Http2Error(PROTOCOL_ERROR, f"unexpected {fr.kind_name(kind)}")

    def _data(self, number: int, flags: int, payload: bytes) -> None:
        self.streams.known(number)
        size = len(payload)
        self._allowance.take(size)
        more = self._allowance.due(size)
        if more:
            self.sender.send(fr.window_update(0, more))
        stream = self.streams.open.get(number)
        if stream is None:
            return  # it is over on this side, and the peer is being told
        if stream.input_ended:
            raise Http2Error(PROTOCOL_ERROR, "DATA behind the end of a stream", number)
        stream.came(fr.content(flags, payload), size)
        if flags & fr.END_STREAM:
            stream.ended()

    def _ponged(self, flags: int, payload: bytes) -> None:
        if flags & fr.ACK:
            self.heart.answered(payload, self._now())
        else:
            self.sender.send(fr.ping(payload, ack=True))

    def _told_to_go(self, payload: bytes) -> None:
        last, code, debug = fr.goaway_says(payload)
        if code != NO_ERROR:
            why = debug[:200].decode("utf-8", "replace")
            self.abort(f"the other end says {name_of(code)} {why!r}")
            return
        if not self.leaving:
            # A server still asks for streams then, until it has what its own clients wait for.
            self.streams.leaving = self.opens
            if self.opens:
                self._hurry()
            else:
                self._owner.session_leaving()
        if self.opens:
            for stream in [one for one in self.streams.open.values() if one.id > last]:
                stream.lose(Failure(SessionLost("not taken: the connector leaves")))
        self._close_if_done()

    # -- IPushProducer, of the transport

    def pauseProducing(self) -> None:
        """The transport takes no more."""
        self._backlog.begins()

    def resumeProducing(self) -> None:
        """It does."""
        self._backlog.ends()
        self._backlog.read_on()
        self._backlog.relieve([*self.streams.open.values()])

    def stopProducing(self) -> None:
        """The connection is going."""

    def overfull(self) -> None:
        """Too much waits to be told to a peer that takes nothing: read no more from it."""
        self._backlog.stop_reading()
