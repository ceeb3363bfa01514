"""The HTTP/2 client side of one connection to a target (RFC 9113), shared by exchanges: frames to its parts.

    bytes --FrameReader--> frames --+--> answers    heads and bodies, to `request`
                                    +--> windows    of what we send, and the target's settings
                                    +--> streams    resets, GOAWAY
    requests --request--> sender --once a turn--> transport      `backlog`: what it does not take
    deadline --> watch          GOAWAY, age, broken rules --> ending

Each exchange has a `net.http2.request.ClientStream`; `net.multiplexed.Multiplexed` says who gets one. Nothing is sent
on a connection before its target has greeted us: who speaks no HTTP/2 is found out while nothing was asked yet.

Imports: domain, net, net.http2, net.sockets, wire, wire.hpack, wire.http2, Twisted.
Used by: service.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.interfaces import (
    IHalfCloseableProtocol,
    IProtocol,
    IPushProducer,
)
from twisted.python.failure import Failure
from zope.interface import classImplements

from lolly_tx.domain.errors import (
    ConnectionReset,
    NoHttp2,
    ProxyError,
)
from lolly_tx.net.deadlines import NEVER
from lolly_tx.net.http2.answers import Answers
from lolly_tx.net.http2.backlog import Backlog
from lolly_tx.net.http2.client_ending import CLOSED, OPEN, ClientEnding
from lolly_tx.net.http2.client_shared import ClientShared
from lolly_tx.net.http2.client_streams import ClientStreams
from lolly_tx.net.http2.client_watch import ClientWatch
from lolly_tx.net.http2.patience import OddFrames
from lolly_tx.net.http2.request import ClientStream
from lolly_tx.net.http2.sending import Sender
from lolly_tx.net.http2.windows import Windows
from lolly_tx.net.multiplexed import Multiplexed
from lolly_tx.net.sockets.transports import is_quiet
from lolly_tx.net.upstreams import UpstreamLimits
from lolly_tx.wire.errors import BadMessage
from lolly_tx.wire.hpack.encoder import Encoder
from lolly_tx.wire.http2 import frames as fr
from lolly_tx.wire.http2.settings import PeerSettings
from lolly_tx.wire.http2_errors import PROTOCOL_ERROR, Http2Error

ODD_FRAMES: Final = 1000
"""Frames that ask for nothing, at once; a tenth of them more each second."""
BUFFER_BYTES: Final = 1 << 20
"""Of requests' bodies that wait for windows of a connection."""
H2: Final = b"h2"


class Http2Client:
    """One connection to a target (`net.multiplexed.SharedConnection`). `shared`: what it has in common with others."""

    __slots__ = (
        "__weakref__",
        "_answers",
        "_backlog",
        "_born",
        "_ending",
        "_odd",
        "_reader",
        "_watch",
        "_windows",
        "deadline",
        "encoder",
        "factory",
        "heard",
        "now",
        "ready",
        "scheme",
        "sender",
        "shared",
        "streams",
        "transport",
        "upstream",
    )

    def __init__(self, shared: ClientShared, upstream: Multiplexed) -> None:
        self.factory: Any = None
        self.transport: Any = None
        self.shared = shared
        self.upstream = upstream
        self.now = upstream.now
        self.scheme = b"https" if shared.alpn else b"http"
        self.deadline = NEVER
        self.heard = 0
        self.ready = False
        self.encoder = Encoder(shared.lines)
        self.sender = Sender(
            self, PeerSettings(is_server=True), shared.turn, BUFFER_BYTES
        )
        self.streams = ClientStreams(self, self.sender)
        self._windows = Windows(self.sender, self.encoder, self.streams)
        self._odd = OddFrames(ODD_FRAMES, self.sender)
        self._backlog = Backlog(self, self.sender)
        self._born = upstream.now()
        self._ending = ClientEnding(self, self.sender, self.streams)
        self._answers = Answers(shared, self.sender, self.streams, self._odd)
        self._watch = ClientWatch(
            self, self.sender, self.streams, self._ending, self._backlog
        )
        self._reader = fr.FrameReader()

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
        self._watch.greeting()
        if self.shared.alpn and getattr(transport, "negotiatedProtocol", None) != H2:
            said = "the target does not agree on HTTP/2 (ALPN h2)"
            self._ending.fail(NoHttp2(said))
            return
        transport.write(self.shared.greeting)

    def connectionMade(self) -> None:
        """Nothing: makeConnection has done it."""

    def connectionLost(self, reason: Failure) -> None:
        """The connection is over, whoever ended it."""
        self._ending.stop()
        self.deadline = NEVER
        upstream = self.upstream
        upstream.deadlines.discard(self)
        self.streams.fail_all(None, reason)
        upstream.lost(self, self.failed or ConnectionReset("connection closed"))

    def readConnectionLost(self) -> None:
        """The target has sent its last byte: no answer will come any more."""
        self.transport.abortConnection()
        self._ending.stop()
        self.streams.fail_all(None)

    def writeConnectionLost(self) -> None:
        """Our own half-close is done."""

    def dataReceived(self, data: bytes) -> None:
        """Bytes from the target."""
        ending = self._ending
        if ending.state == CLOSED:
            return
        now = self.now()
        self._watch.heard(now)
        answers = self._answers
        try:
            for kind, flags, number, payload in self._reader.read(data):
                self.heard += 1
                try:
                    self._take(kind, flags, number, payload, now)
                except Http2Error as error:
                    if not error.stream:
                        raise
                    answers.broken(error.stream, error.reason, now)
                except BadMessage as error:
                    answers.broken(number, error.reason, now)
                if ending.state == CLOSED:
                    return
        except Http2Error as error:
            ending.broke(error)
            return
        answers.pass_on()

    # -- IPushProducer: the transport's word on whether the target takes our bytes

    def pauseProducing(self) -> None:
        """The target reads slower than we write."""
        self._backlog.begins()
        self._watch.writing()

    def resumeProducing(self) -> None:
        """What we wrote has left."""
        self._backlog.ends()
        if self._ending.state != CLOSED:
            self._backlog.read_on()
        self._backlog.relieve([*self.streams.open.values()])

    def stopProducing(self) -> None:
        """The transport is going; connectionLost follows."""

    # -- frames

    def _take(
        self, kind: int, flags: int, number: int, payload: bytes, now: float
    ) -> None:
        """One frame. Raises `Http2Error`, and `BadMessage` for what only its stream breaks."""
        answers = self._answers
        if answers.assembly is not None:
            answers.go_on(kind, flags, number, payload, now)
            return
        if not self.ready and (kind != fr.SETTINGS or flags & fr.ACK):
            raise Http2Error(PROTOCOL_ERROR, "no SETTINGS at the beginning")
        if kind == fr.DATA and number:
            answers.take_data(flags, number, payload, now)
        elif kind == fr.HEADERS and number:
            answers.take_headers(flags, number, payload, now)
        else:
            self._take_other(kind, flags, number, payload, now)

    def _take_other(
        self, kind: int, flags: int, number: int, payload: bytes, now: float
    ) -> None:
        """A frame that is neither of a head nor of a body."""
        if kind == fr.OVERSIZED:
            raise fr.too_large(flags)
        fr.check(kind, number, len(payload))
        self._odd.strain(kind, now)
        if kind == fr.WINDOW_UPDATE:
            if number:
                self.streams.check(kind, number)
            self._windows.widen(number, payload)
        elif kind == fr.SETTINGS:
            streams = self.sender.peer.streams
            if self._windows.settings(flags, payload):
                self._greeted(self.sender.peer.streams > streams)
        elif kind == fr.PING:
            if not flags & fr.ACK:
                self.sender.send(fr.ping(payload, ack=True))
        elif kind == fr.RST_STREAM:
            self.streams.was_reset(number, fr.number(payload))
        elif kind == fr.GOAWAY:
            last, code, _ = fr.goaway_says(payload)
            self._ending.leave()
            self.streams.not_processed(last, code)
        elif kind == fr.PUSH_PROMISE:
            raise Http2Error(PROTOCOL_ERROR, "PUSH_PROMISE that was not allowed")
        elif kind == fr.CONTINUATION:
            raise Http2Error(PROTOCOL_ERROR, "CONTINUATION of nothing")
        elif kind == fr.PRIORITY_UPDATE:  # RFC 9218 section 7.1
            raise Http2Error(PROTOCOL_ERROR, "PRIORITY_UPDATE from a server")

    def _greeted(self, takes_more: bool) -> None:
        """The target has said what it takes, for the first time or anew."""
        if not self.ready:
            self.ready = True
            self._ending.state = OPEN
            self._watch.rest()
            self.upstream.greeted(self)
        elif takes_more:
            self.upstream.serve()

    # -- what its owner asks

    @property
    def failed(self) -> ProxyError | None:
        """Why it was closed before it was `ready`."""
        return self._ending.failed

    @property
    def streams_open(self) -> int:
        """Taken and not ended."""
        return self.streams.taken

    @property
    def room(self) -> int:
        """Streams that may be opened now."""
        if self._ending.leaving or not self.ready:
            return 0
        return self.streams.room

    def open_stream(self) -> ClientStream | None:
        """One for an exchange, or None."""
        if self.room <= 0:
            return None
        limits = self.limits
        if limits.lifetime and self.now() - self._born >= limits.lifetime:
            self._ending.leave()
            return None
        stream = self.streams.take()
        if limits.requests and self.streams.served >= limits.requests:
            self._ending.leave()
        return stream

    def looks_closed(self) -> bool:
        """Something has come that was not read yet, while it is idle: most likely a good-bye."""
        return not is_quiet(self.transport)

    def limits_changed(self) -> None:
        """Those of the upstream are others now."""
        if not self.streams.taken and self._ending.state == OPEN:
            self._watch.rest()

    def retire(self) -> None:
        """Take no more streams; close after the last one."""
        self._ending.leave()

    def leave(self) -> None:
        """Its target is no more, and the time of what is on it over."""
        self._ending.fail(ConnectionReset("the target left the pool"))

    # -- what its parts ask

    def works(self) -> None:
        """A first stream is open, or the last one that there can be."""
        if len(self.streams.open) == 1:
            self._watch.work()
        if self.streams.used_up:
            self._ending.leave()

    def freed(self) -> None:
        """A stream has ended."""
        ending = self._ending
        idle = not self.streams.taken
        if ending.leaving:
            if idle:
                ending.close()
            return
        upstream = self.upstream
        if idle:
            self._watch.rest()
            upstream.rests(self)
        if self.ready:
            upstream.serve()

    def overfull(self) -> None:
        """The target takes none of our frames: none of its own are read."""
        self._backlog.stop_reading()

    def soon(self, call: Callable[[], None]) -> None:
        """Do that in the next turn."""
        self.upstream.deadlines.clock.callLater(0, call)

    def watch(self, due: float) -> None:
        """Something has to have happened then."""
        if due < self.deadline:
            self.deadline = due

    # -- what the deadlines tell

    def expired(self, now: float) -> None:
        """The time for something is over."""
        if self._ending.state == CLOSED:
            self.deadline = NEVER
            self.transport.abortConnection()
        else:
            self._watch.expired(now)

    def stood_still(self, seconds: float, now: float) -> None:
        """The process did."""
        for stream in [*self.streams.open.values()]:
            if stream.sink is not None:
                stream.sink.stood_still(seconds, now)


classImplements(Http2Client, IProtocol, IHalfCloseableProtocol, IPushProducer)
