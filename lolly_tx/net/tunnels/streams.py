"""The streams of a session: who opens them and who answers, and what all of them may have waiting here.

Imports: domain, net.http2, net.tunnels, wire, wire.hpack, wire.http2, Twisted. Used by:
net.tunnels, service.tunnels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocolFactory, IReactorTime
from twisted.python.failure import Failure

from lolly_tx.domain.errors import ConnectFailed
from lolly_tx.net.http2.sending import Sender
from lolly_tx.net.tunnels.errors import NoRoom, ServiceRefused, SessionLost
from lolly_tx.net.tunnels.heart import Heart
from lolly_tx.net.tunnels.stream import TunnelAddress, TunnelStream
from lolly_tx.wire.errors import BadMessage
from lolly_tx.wire.grammar import HeadLimits
from lolly_tx.wire.hpack.decoder import BlockMemory, Decoder
from lolly_tx.wire.hpack.encoder import Encoder, LineMemory, field
from lolly_tx.wire.http2 import frames as fr
from lolly_tx.wire.http2_errors import (
    CANCEL,
    COMPRESSION_ERROR,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
    Http2Error,
    name_of,
)

STREAM_WINDOW = 262144
"""Bytes that the peer may send ahead on a stream, at first; less where `memory` has no more for each."""
LARGEST_STREAM_WINDOW = 4 << 20
"""The same once they were seen to be taken as they come."""
MOST_ROUND_TRIPS = 2.0
"""A window that comes in no more than that is what holds its sender up. In more it would only fill queues on the way,
in which all other streams wait as well."""
HEAD_BYTES = 8192
"""Of the fields that open a stream, or answer that."""
_REASON = b"lolly-reason"
_PRINTABLE = bytes(byte if 32 <= byte < 127 else 63 for byte in range(256))


class StreamsOwner(Protocol):
    """Who serves what the peer asks for."""

    def asked(self, stream: TunnelStream) -> None:
        """The peer has opened `stream`: attach somebody, and `accept` or `refuse` it, at once or later."""


@attrs.frozen
class SessionSettings:
    """`heartbeat`: seconds of silence until the peer is asked; after two it is gone. `streams`: open at once.

    `memory`: bytes that may wait here for who reads them, on all streams together.
    """

    heartbeat: float = 15.0
    streams: int = 256
    memory: int = 128 << 20

    @property
    def first_window(self) -> int:
        """Of a stream: half of the memory is for them, the other half for those that are read fast."""
        return max(16384, min(STREAM_WINDOW, self.memory // (2 * self.streams)))


class Streams:
    """Those of one session (`net.tunnels.stream.Carrier`). `open`: by number. `opens`: this side opens them.

    `one_over`: called when one is closed. `last`: the highest number there was. `leaving`: there are no new ones.
    """

    def __init__(
        self,
        owner: StreamsOwner,
        name: str,
        given: SessionSettings,
        sender: Sender,
        clock: IReactorTime,
        now: Callable[[], float],
        heart: Heart,
        *,
        opens: bool,
        one_over: Callable[[], None],
    ) -> None:
        self.open: dict[int, TunnelStream] = {}
        self.sender = sender
        self.given = given
        self.leaving = False
        self.served = self.last = self.granted = 0
        self._received = self._sent = 0
        limits = HeadLimits(head_bytes=HEAD_BYTES, fields=20, line_bytes=HEAD_BYTES)
        self.encoder = Encoder(LineMemory(0))
        self._decoder = Decoder(BlockMemory(limits, most_bytes=0))
        self._owner = owner
        self._name = name
        self._clock = clock
        self._heart = heart
        self.now = now
        self._opens = opens
        self._one_over = one_over
        self._next = 1
        self._answers: dict[int, tuple[Deferred[Any], IProtocolFactory]] = {}

    # -- what the peer says of them

    def known(self, number: int) -> None:
        """Raise for a stream that nobody has opened."""
        if number and (number > self.last or not number % 2):
            raise Http2Error(PROTOCOL_ERROR, "a frame of a stream that is not open")

    def was_reset(self, number: int, code: int) -> None:
        """The peer has ended one, which may have ended here before."""
        stream = self.open.get(number)
        if stream is None:
            return
        if number in self._answers:
            kind = NoRoom if code == REFUSED_STREAM else ServiceRefused
            stream.lose(Failure(kind(f"the connector says {name_of(code)}")))
        else:
            stream.was_reset(code)

    def drop(self, number: int, code: int) -> None:
        """A stream broke its rules, or cannot be."""
        stream = self.open.get(number)
        self.sender.send(fr.rst_stream(number, code))
        if stream is not None:
            stream.lose(Failure(SessionLost("broken rules")))

    def head(self, number: int, flags: int, block: bytes) -> None:
        """A whole header block. Raises `Http2Error`."""
        try:
            fields = dict(self._decoder.decode(block).fields)
        except BadMessage as error:
            raise Http2Error(COMPRESSION_ERROR, "a header block is wrong") from error
        if self._opens:
            self._answered(number, flags, fields)
        else:
            self._asked(number, flags, fields)

    def _asked(self, number: int, flags: int, fields: dict[bytes, bytes]) -> None:
        if not number % 2 or number <= self.last:
            raise Http2Error(PROTOCOL_ERROR, "a stream with a number that is not new")
        self.last = number
        if fields.get(b":method") != b"CONNECT":
            raise Http2Error(PROTOCOL_ERROR, "a stream that is no CONNECT", number)
        if self.leaving or len(self.open) >= self.given.streams:
            raise Http2Error(REFUSED_STREAM, "no room", number)
        service = fields.get(b":authority", b"").decode("ascii", "replace")
        client = fields.get(b"lolly-client", b"").decode("ascii", "replace")
        stream = self._begin(number, TunnelAddress(self._name, service, client))
        if flags & fr.END_STREAM:
            stream.ended()
        self._owner.asked(stream)

    def _answered(self, number: int, flags: int, fields: dict[bytes, bytes]) -> None:
        self.known(number)
        stream = self.open.get(number)
        if stream is None:
            return
        answer = self._answers.get(number)
        if answer is None:
            if flags & fr.END_STREAM:
                stream.ended()  # trailers: nobody wants them
                return
            raise Http2Error(PROTOCOL_ERROR, "a second head", number)
        status = fields.get(b":status", b"")
        if status != b"200":
            why = fields.get(_REASON, b"")[:200].decode("utf-8", "replace")
            stream.lose(Failure(ServiceRefused(why or "the service was not reached")))
            return
        waiting, factory = self._answers.pop(number)
        protocol = factory.buildProtocol(stream.address)
        if protocol is None:
            stream.abortConnection()
            waiting.errback(Failure(ConnectFailed("nobody wants the connection")))
            return
        if flags & fr.END_STREAM:
            stream.input_ended = True
        stream.attach(protocol)
        waiting.callback(protocol)

    # -- streams

    def _begin(self, number: int, address: TunnelAddress) -> TunnelStream:
        first = self.given.first_window
        stream = TunnelStream(self, number, address, self.sender.peer.window, first)
        self.granted += first
        self.open[number] = stream
        self.served += 1
        return stream

    @property
    def received(self) -> int:
        """Bytes that have come on all of them."""
        return self._received + sum(one.received for one in self.open.values())

    @property
    def sent(self) -> int:
        """Bytes that were sent on them."""
        return self._sent + sum(one.sent for one in self.open.values())

    @property
    def has_room(self) -> bool:
        """Another stream may be opened."""
        most = min(self.given.streams, self.sender.peer.streams)
        return (
            not self.leaving and len(self.open) < most and self._next < fr.MOST_STREAM
        )

    def connect(self, service: str, factory: IProtocolFactory) -> Deferred[Any]:
        """A connection to `service` of the connector: fires with the protocol that `factory` makes.

        Errbacks with `NoRoom`, `ServiceRefused` and `SessionLost`, and with the cancellation.
        """
        number = self._next
        waiting: Deferred[Any] = Deferred(lambda _: self._given_up(number))
        if not self.has_room:
            waiting.errback(Failure(NoRoom("the tunnel takes no more streams")))
            return waiting
        self._next += 2
        self.last = number
        self._begin(number, TunnelAddress(self._name, service))
        self._answers[number] = (waiting, factory)
        block = self.encoder.fields(b"")
        block += field(b":method", b"CONNECT") + field(b":authority", service.encode())
        self.sender.send(fr.headers(number, block, False, fr.LEAST_FRAME_BYTES))
        return waiting

    def _given_up(self, number: int) -> None:
        """Nobody waits for it any more; the Deferred fails by its cancellation."""
        self._answers.pop(number, None)
        stream = self.open.get(number)
        if stream is not None:
            self.reset(stream, CANCEL)
            stream.lose(Failure(SessionLost("cancelled")))

    def accept(self, stream: TunnelStream) -> None:
        """The service is there."""
        if stream.connected:
            block = self.encoder.answer(200, b"")
            self.sender.send(fr.headers(stream.id, block, False, fr.LEAST_FRAME_BYTES))

    def refuse(self, stream: TunnelStream, why: str) -> None:
        """The service is not there."""
        if stream.connected:
            words = why.encode("ascii", "replace").translate(_PRINTABLE)[:200]
            lines = b"\r\n%b: %b\r\n" % (_REASON, words)
            block = self.encoder.answer(502, lines)
            self.sender.send(fr.headers(stream.id, block, True, fr.LEAST_FRAME_BYTES))
            stream.lose(Failure(ConnectFailed(why)))

    # -- net.tunnels.stream.Carrier

    def credit(self, stream: TunnelStream, size: int) -> None:
        """See `Carrier`."""
        if not self.sender.closed:
            self.sender.send(fr.window_update(stream.id, size))

    def may_grow(self, stream: TunnelStream, seconds: float) -> bool:
        """See `Carrier`."""
        size, shortest = stream.allowance.size, self._heart.shortest
        if shortest is None or seconds > MOST_ROUND_TRIPS * shortest:
            return False
        others = self.given.streams - len(self.open)
        free = self.given.memory - self.granted - others * self.given.first_window
        if size >= LARGEST_STREAM_WINDOW or size > free:
            return False
        self.granted += size
        return True

    def reset(self, stream: TunnelStream, code: int) -> None:
        """See `Carrier`."""
        if not self.sender.closed:
            self.sender.send(fr.rst_stream(stream.id, code))

    def over(self, stream: TunnelStream, reason: Failure) -> None:
        """See `Carrier`."""
        self.open.pop(stream.id, None)
        self._received += stream.received
        self._sent += stream.sent
        self.granted -= stream.allowance.size
        answer = self._answers.pop(stream.id, None)
        if answer is not None:
            answer[0].errback(reason)
        self._one_over()

    def soon(self, stream: TunnelStream) -> None:
        """See `Carrier`."""
        self._clock.callLater(0, stream.settle)
