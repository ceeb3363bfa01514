"""The HTTP/2 server side of one client connection (RFC 9113): frames to its parts.

    bytes --FrameReader--> frames --+--> heads      header blocks, which open streams and end them
                                    +--> bodies     DATA: here, to `stream`; what may come: `intake`
                                    +--> windows    of what we send, and the client's settings
                                    +--> streams    resets
    answers --stream--> sender --once a turn--> transport        `backlog`: what it does not take
    deadline --> watch          drain, idle, broken rules --> ending

Each request is a `net.http2.stream.Stream`, which is the door in of its exchange. The parts know each other where they
have to and this class as little as possible; what belongs to one of them is in no other.

Imports: domain, net, net.http2, net.sockets, wire, wire.hpack, wire.http2, Twisted.
Used by: net.http2.choosing.
"""

from __future__ import annotations

from typing import Any, Final

from twisted.internet.interfaces import (
    IHalfCloseableProtocol,
    IProtocol,
    IPushProducer,
)
from twisted.python.failure import Failure
from zope.interface import classImplements

from lolly_tx.domain.errors import DownstreamGone
from lolly_tx.net.deadlines import NEVER
from lolly_tx.net.doors import Peer
from lolly_tx.net.http2.backlog import Backlog
from lolly_tx.net.http2.ending import GOODBYE, LINGER, OPEN, PREFACE, Ending
from lolly_tx.net.http2.heads import Heads
from lolly_tx.net.http2.intake import Intake
from lolly_tx.net.http2.patience import OddFrames
from lolly_tx.net.http2.sending import Sender
from lolly_tx.net.http2.shared import Http2Shared
from lolly_tx.net.http2.stream import Connection
from lolly_tx.net.http2.streams import Streams
from lolly_tx.net.http2.watch import Watch
from lolly_tx.net.http2.websocket import WebSocketStream
from lolly_tx.net.http2.windows import Windows
from lolly_tx.net.sockets.acceptor import Acceptor
from lolly_tx.net.sockets.transports import is_secure
from lolly_tx.wire.errors import BadMessage
from lolly_tx.wire.hpack.encoder import Encoder
from lolly_tx.wire.http2 import frames as fr
from lolly_tx.wire.http2.settings import PeerSettings
from lolly_tx.wire.http2_errors import (
    NO_ERROR,
    PROTOCOL_ERROR,
    STREAM_CLOSED,
    Http2Error,
)

WHOLE: Final = fr.END_HEADERS | fr.END_STREAM


class Http2Server(Connection):
    """One client connection. `shared`: what it has in common with its listener's others."""

    __slots__ = (
        "__weakref__",
        "_awaits_settings",
        "_backlog",
        "_ending",
        "_heads",
        "_odd",
        "_reader",
        "_start",
        "_streams",
        "_watch",
        "_windows",
        "factory",
        "transport",
    )

    def __init__(self, shared: Http2Shared, acceptor: Acceptor, client: str) -> None:
        self.factory: Any = None
        self.transport: Any = None
        self.acceptor = acceptor
        self.now = acceptor.now
        self.shared = shared
        self.peer = Peer(client, acceptor.name, shared.secure, shared.introduce)
        self.deadline = NEVER
        h2 = shared.h2
        self.encoder = Encoder(shared.lines)
        self.sender = Sender(self, PeerSettings(), shared.turn, h2.buffer_bytes)
        self.intake = Intake(self.sender, h2.buffer_bytes)
        self.streams = self._streams = streams = Streams(self, self.sender, h2.resets)
        self._windows = Windows(self.sender, self.encoder, streams)
        self._odd = OddFrames(h2.odd_frames, self.sender)
        self._backlog = Backlog(self, self.sender)
        self._ending = Ending(
            self, self.sender, self._streams, self._backlog, shared.timeouts.write
        )
        self._heads = Heads(self, self.sender, self._streams, self._ending, self._odd)
        self._watch = Watch(
            self, self._streams, self._heads, self._ending, self._backlog
        )
        self._reader = fr.FrameReader()
        self._start = b""
        self._awaits_settings = True

    # -- IProtocol

    def makeConnection(self, transport: Any) -> None:
        """A client has connected, and speaks HTTP/2."""
        self.transport = self.peer.transport = transport
        transport.registerProducer(self, True)
        acceptor = self.acceptor
        self.peer.secure = self.shared.secure or is_secure(transport)
        self.deadline = self._heads.due = self.now() + self.shared.timeouts.head
        acceptor.connected(self)
        self.sender.send(self.shared.greeting)
        if acceptor.draining:
            self.drain(self.now() + acceptor.idle_seconds)

    def connectionMade(self) -> None:
        """Nothing: makeConnection has done it."""

    def connectionLost(self, reason: Failure) -> None:
        """The connection is over, whoever ended it."""
        self._ending.lost()
        self.acceptor.lost(self)
        self._streams.fail_all(DownstreamGone("client closed the connection"))
        self.peer.gone()

    def dataReceived(self, data: bytes) -> None:
        """Bytes from the client."""
        ending, heads = self._ending, self._heads
        if ending.state == PREFACE:
            data = self._start + data
            if not data.startswith(fr.PREFACE):
                if fr.PREFACE.startswith(data):
                    self._start = data
                else:
                    ending.broke(Http2Error(PROTOCOL_ERROR, "no connection preface"))
                return
            ending.state = OPEN
            self._start = b""
            data = data[len(fr.PREFACE) :]
        if ending.state != OPEN:
            return
        try:
            for kind, flags, number, payload in self._reader.read(data):
                try:
                    if (
                        kind == fr.HEADERS
                        and flags == WHOLE
                        and number
                        and heads.assembly is None
                        and not self._awaits_settings
                    ):
                        heads.take(number, flags, payload)  # most of what comes
                    else:
                        self._take(kind, flags, number, payload)
                except Http2Error as error:
                    if not error.stream:
                        raise
                    self._streams.broken(error)
                if ending.state != OPEN:
                    return
        except Http2Error as error:
            ending.broke(error)
            return
        heads.begin()

    def readConnectionLost(self) -> None:
        """The client has sent its last byte; it may still read."""
        streams = self._streams
        streams.silent = True
        if self._ending.state != OPEN:
            self._ending.close()
            return
        for stream in [*streams.open.values()]:
            if not stream.ended:
                streams.drop(stream, "request body cut short")
        if streams.open:
            self._watch.look_after()
        else:
            self._ending.close()

    def writeConnectionLost(self) -> None:
        """Our own half-close is done."""

    # -- IPushProducer: the transport's word on whether the client takes our bytes

    def pauseProducing(self) -> None:
        """The client reads slower than we write."""
        self._backlog.begins()
        self._watch.writing()

    def resumeProducing(self) -> None:
        """What we wrote has left."""
        self._backlog.ends()
        if self._ending.state == OPEN:
            self._backlog.read_on()
            self._watch.set()
            self._backlog.relieve([*self._streams.open.values()])

    def stopProducing(self) -> None:
        """The transport is going; connectionLost follows."""

    # -- frames

    def _take(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        """One frame. Raises `Http2Error`."""
        if self._heads.assembly is not None:
            self._heads.go_on(kind, flags, number, payload)
        elif (kind == fr.HEADERS or kind == fr.DATA) and number:
            if self._awaits_settings:
                raise Http2Error(PROTOCOL_ERROR, "no SETTINGS at the beginning")
            if kind == fr.HEADERS:
                self._heads.take_frame(flags, number, payload)
            else:
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
        self._odd.strain(kind, self.now())
        if kind == fr.WINDOW_UPDATE:
            if number:
                self._streams.check(kind, number)
            self._windows.widen(number, payload)
        elif kind == fr.SETTINGS:
            if self._windows.settings(flags, payload):
                self._greeted()
        elif kind == fr.PING:
            if not flags & fr.ACK:
                self.sender.send(fr.ping(payload, ack=True))
            elif payload == GOODBYE:
                self._ending.go_finally()
        elif kind == fr.RST_STREAM:
            self._streams.was_reset(number)
        elif kind == fr.PRIORITY:
            fr.check_dependency(number, payload)
        elif kind == fr.PRIORITY_UPDATE:
            self._heads.reprioritize(payload)
        elif kind == fr.PUSH_PROMISE:
            raise Http2Error(PROTOCOL_ERROR, "PUSH_PROMISE from a client")
        elif kind == fr.CONTINUATION:
            raise Http2Error(PROTOCOL_ERROR, "CONTINUATION of nothing")
        elif kind == fr.GOAWAY:
            self._ending.go()  # it opens no more streams; those that are open go on

    def _greeted(self) -> None:
        """The client has said what it takes, for the first time or anew."""
        if self._awaits_settings:
            self._awaits_settings = False
            self._heads.due = NEVER
        if not self._heads.begun:
            self._watch.set()

    def _take_data(self, flags: int, number: int, payload: bytes) -> None:
        data = fr.content(flags, payload)
        size = len(payload)
        self.intake.came(size)
        self._odd.weigh(flags, data, size, self.now())
        streams = self._streams
        stream = streams.open.get(number)
        if stream is None:
            streams.check_cut(fr.DATA, number)
            self.intake.taken(size)
            if flags & fr.END_STREAM:
                streams.closed.ended(number)
            return
        self.intake.taken(size)
        if stream.ended:
            raise Http2Error(STREAM_CLOSED, "DATA after the end", number)
        try:
            stream.body_data(data, size)
        except BadMessage as error:
            stream.ended = bool(flags & fr.END_STREAM)
            stream.refuse(error)
            return
        if flags & fr.END_STREAM and streams.open.get(number) is stream:
            streams.end_of_body(stream, b"")

    # -- what its parts ask

    def overfull(self) -> None:
        """The client takes none of our frames: none of its own are read."""
        self._backlog.stop_reading()

    def watch(self, due: float) -> None:
        """Something has to have happened then."""
        if due < self.deadline:
            self.deadline = due

    def set_deadline(self) -> None:
        """What is waited for has changed."""
        self._watch.set()

    def rests(self) -> None:
        """No stream is open."""
        ending = self._ending
        if ending.state != OPEN:
            return
        if ending.final or self._streams.silent:
            ending.close()
        elif not self.sender.full:
            self._watch.rest()

    # -- what the acceptor asks

    def expired(self, now: float) -> None:
        """The time for something is over."""
        self._watch.expired(now)

    @property
    def address(self) -> str:
        """The client's."""
        return self.peer.address

    @property
    def idle(self) -> bool:
        """No request is open, and it is not new."""
        return not self._streams.open and self._heads.begun > 0

    def shed(self) -> bool:
        """Close an idle connection, to make room."""
        if self._ending.state >= LINGER:
            self._ending.hang_up()
        else:
            self._ending.leave(NO_ERROR, b"too many connections")
        return True

    def shut(self) -> None:
        """The proxy stops now: exchanges that are going on are cut."""
        self._ending.stop()

    def drain(self, until: float) -> None:
        """The proxy is stopping: gracefully, in two steps."""
        self._ending.go()
        if not self._streams.open:
            self.watch(until)
        if not self.acceptor.patient:
            for stream in [*self._streams.open.values()]:
                if isinstance(stream, WebSocketStream):
                    stream.going_away()


classImplements(Http2Server, IProtocol, IHalfCloseableProtocol, IPushProducer)
