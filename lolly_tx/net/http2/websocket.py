"""A WebSocket over HTTP/2 (RFC 8441): a stream that becomes the end of a tunnel.

The tunnel writes to a transport and pauses it; here that is the stream, whose windows hold up who sends too fast.

Imports: domain, net, net.http1, net.http2, wire, Twisted. Used by: net.http2.heads,
net.http2.server.
"""

from __future__ import annotations

from typing import Final

from twisted.internet.main import CONNECTION_LOST
from twisted.python.failure import Failure

from lolly_tx.domain.errors import ProxyError
from lolly_tx.net.deadlines import NEVER
from lolly_tx.net.doors import BODILESS
from lolly_tx.net.http1.upgraded import Upgraded
from lolly_tx.net.http2.inflow import Inflow
from lolly_tx.net.http2.stream import Stream
from lolly_tx.wire.http2_errors import CANCEL
from lolly_tx.wire.message import RequestHead

_UPGRADE: Final = (b"connection", b"upgrade", b"sec-websocket-accept")


def without_upgrade(fields: bytes) -> bytes:
    """The field lines of a 101 without what only HTTP/1.1 says."""
    return b"\r\n".join(
        [
            line
            for line in fields.split(b"\r\n")
            if line.partition(b":")[0].lower() not in _UPGRADE
        ]
    )


def _refusal(status: int) -> int:
    """The status of an answer that is no 101. A success would tell the client that its WebSocket is open."""
    return 502 if 200 <= status < 300 else status


class WebSocketStream(Stream):
    """The stream of an extended CONNECT. What comes before the target has agreed waits, within the window."""

    _end: Upgraded | None = None

    @property
    def can_tunnel(self) -> bool:
        """That is what it is for."""
        return True

    def expect_tunnel(self) -> None:
        """The client sends on, without a limit and for as long as it wants."""
        self.ended = False
        self._inflow = Inflow(self.connection.sender, self.id)

    def begin(self, head: RequestHead) -> None:
        """Let the exchange begin: what it needs to know has come."""
        self.head = None
        open_exchange = self.connection.shared.open_exchange
        open_exchange(self, head, BODILESS)

    def _deliver(self, data: bytes) -> None:
        if self._end is not None:
            self._end.received(data)
        else:
            self.early += data

    def _deliver_end(self, trailers: bytes) -> None:
        if self._end is not None:
            self._end.ended()

    def interim(self, status: int, reason: bytes, fields: bytes) -> None:
        """The 101 is a 200 here (section 5)."""
        if status == 101 and not self.started:
            self.started = True
            block = self.connection.encoder.answer(200, without_upgrade(fields))
            self.connection.sender.send_head(self, block, False)
        else:
            super().interim(status, reason, fields)

    def answer(self, status: int, reason: bytes, fields: bytes, body: bytes) -> None:
        """See `Stream`."""
        super().answer(_refusal(status), reason, fields, body)

    def start(self, status: int, reason: bytes, fields: bytes, framing: int) -> None:
        """See `Stream`."""
        super().start(_refusal(status), reason, fields, framing)

    def tunnel_end(self) -> Upgraded:
        """The stream as the end of a tunnel."""
        self._end = end = Upgraded(TunnelDoor(self))
        return end

    def fail(self, error: ProxyError) -> None:
        """The stream is gone."""
        end, self._end = self._end, None
        if end is not None:
            end.lost(Failure(CONNECTION_LOST))
        super().fail(error)

    def going_away(self) -> None:
        """The proxy stops: let the client know."""
        if self._end is not None:
            self._end.going_away()

    def hand_over(self) -> bytes:
        """All that comes is the tunnel's from now on. Returns what came before."""
        self.exchange = None
        self.deadline = NEVER
        early, self.early = self.early, b""
        return early

    def close(self) -> None:
        """The tunnel is over."""
        self._end = None
        if not self.over and self.ending is None:
            self.finish()

    def _pause(self) -> None:
        if self._end is not None:
            self._end.pause()

    def relieved(self) -> None:
        """There is room for more."""
        self.paused = False
        if self._end is not None:
            self._end.resume()


class StreamTransport:
    """What a tunnel asks of a transport, done by a stream."""

    __slots__ = ("_stream",)

    secure = False

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def write(self, data: bytes) -> None:
        """Send bytes."""
        if data and self._stream.ending is None and not self._stream.over:
            self._stream.write(data)

    def unregisterProducer(self) -> None:
        """Nothing: pausing goes by the stream."""

    def loseWriteConnection(self) -> None:
        """Send no more."""
        if self._stream.ending is None and not self._stream.over:
            self._stream.finish()

    def loseConnection(self) -> None:
        """The same: the stream is closed when the client has said its last word, too."""
        self.loseWriteConnection()

    def abortConnection(self) -> None:
        """Cut it."""
        self._stream.connection.streams.reset(self._stream, CANCEL)

    def pauseProducing(self) -> None:
        """Take no more from the client."""
        self._stream.pause_request()

    def resumeProducing(self) -> None:
        """Go on."""
        self._stream.resume_request()

    def pending_bytes(self) -> int:
        """What waits here."""
        return self._stream.queued

    def untaken_bytes(self) -> int:
        """The same."""
        return self._stream.queued


class TunnelDoor:
    """The stream as the protocol that lets go of its connection (`net.http1.upgraded.Upgradable`)."""

    __slots__ = ("_stream", "transport")

    def __init__(self, stream: WebSocketStream) -> None:
        self._stream = stream
        self.transport = StreamTransport(stream)

    @property
    def write_seconds(self) -> float:
        """As of answers."""
        return self._stream.write_seconds

    @property
    def input_ended(self) -> bool:
        """The client has sent its last byte."""
        return self._stream.ended

    @property
    def leaving(self) -> bool:
        """The proxy stops."""
        acceptor = self._stream.connection.acceptor
        return acceptor.draining and not acceptor.patient

    def hand_over(self) -> bytes:
        """All that comes is the tunnel's from now on."""
        return self._stream.hand_over()

    def writing_ended(self) -> None:
        """The server has sent its last byte."""

    def tunnel_over(self, had_its_time: bool) -> None:
        """Close the stream in good order."""
        self._stream.close()
