"""What header blocks of a client do: they open streams, or end them (RFC 9113 sections 4.3, 5.1.1 and 8.1).

    HEADERS, CONTINUATION ... --> block --> head --> stream --begin()--> exchange

Exchanges begin when everything that came in one read has been looked at (`begin`): whoever opens streams and resets
them at once costs no backend anything.

Imports: net, net.http2, wire, wire.hpack, wire.http2. Used by: net.http2.server,
net.http2.watch.
"""

from __future__ import annotations

from typing import Final

from lolly_tx.net.deadlines import NEVER
from lolly_tx.net.http2.ending import Ending
from lolly_tx.net.http2.patience import OddFrames
from lolly_tx.net.http2.sending import Sender
from lolly_tx.net.http2.stream import Connection, Stream
from lolly_tx.net.http2.streams import Streams
from lolly_tx.net.http2.websocket import WebSocketStream
from lolly_tx.wire.errors import BadMessage
from lolly_tx.wire.hpack.decoder import Decoder
from lolly_tx.wire.http2 import frames as fr
from lolly_tx.wire.http2.blocks import Assembly
from lolly_tx.wire.http2.requests import Malformed, trailer_lines
from lolly_tx.wire.http2_errors import (
    ENHANCE_YOUR_CALM,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
    STREAM_CLOSED,
    Http2Error,
)
from lolly_tx.wire.message import RequestHead

NO_STREAM: Final = -1
_PRIORITY: Final = b"\r\npriority: "


def _priority_in(lines: bytes) -> bytes:
    """The value of the Priority field, b"" without one."""
    at = lines.find(_PRIORITY)
    if at < 0:
        return b""
    at += len(_PRIORITY)
    return lines[at : lines.find(b"\r", at)]


class Heads:
    """Those of `connection`. `begun`: requests so far. `assembly`: the block of which more is to come.

    `due`: when what is waited for has to be here: the rest of a block.
    """

    __slots__ = (
        "_beginning",
        "_connection",
        "_decoder",
        "_ending",
        "_odd",
        "_sender",
        "_shared",
        "_streams",
        "_urgencies",
        "assembly",
        "begun",
        "due",
    )

    def __init__(
        self,
        connection: Connection,
        sender: Sender,
        streams: Streams,
        ending: Ending,
        odd: OddFrames,
    ) -> None:
        self._connection = connection
        self._shared = connection.shared
        self._sender = sender
        self._streams = streams
        self._ending = ending
        self._odd = odd
        self._decoder = Decoder(connection.shared.blocks)
        self._beginning: list[Stream] = []
        self._urgencies: dict[int, bytes] = {}
        self.assembly: Assembly | None = None
        self.begun = 0
        self.due = NEVER

    # -- blocks

    def take_frame(self, flags: int, number: int, payload: bytes) -> None:
        """HEADERS. Raises `Http2Error`."""
        block = payload
        if flags & (fr.PADDED | fr.WITH_PRIORITY):
            block = fr.header_block(flags, NO_STREAM, payload)
        if flags & fr.END_HEADERS:
            self.take(number, flags, block)
        else:
            shared = self._shared
            most = 2 * shared.limits.head_bytes
            self.assembly = Assembly(
                number, flags, block, most, shared.h2.continuations
            )
            self.due = self._connection.now() + shared.timeouts.head
            self._connection.watch(self.due)
        if flags & fr.WITH_PRIORITY:
            fr.header_block(flags, number, payload)  # a stream of its own

    def go_on(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        """The next frame within a block. Raises `Http2Error`."""
        assembly = self.assembly
        assert assembly is not None
        block = assembly.add(kind, flags, number, payload)
        if block is not None:
            self.assembly = None
            self.due = NEVER
            self._connection.set_deadline()
            self.take(number, assembly.flags, block)

    def take(self, number: int, flags: int, block: bytes) -> None:
        """A whole header block: a request, or the trailers of one. Raises `Http2Error`."""
        ended = flags & fr.END_STREAM == fr.END_STREAM
        streams = self._streams
        last = streams.last
        if number <= last:
            self._take_trailers(number, ended, block)
            return
        if not number & 1:
            raise Http2Error(PROTOCOL_ERROR, "stream of a server")
        if number != last + 2 and number != 1:
            streams.closed.skip(last + 1, number - 1)
        streams.last = number
        if self._ending.final:
            self._pass_over(number, ended, block)
            return
        self._odd.worked += 1
        shared = self._shared
        if len(streams.open) >= shared.most_streams:
            self._turn_away(number, ended, block)
            return
        try:
            head = shared.heads.head_of(self._decoder.decode(block), ended)
        except BadMessage as error:
            self._refuse(self._open(number, None, ended), error)
            return
        if ended:
            stream = Stream(self._connection, number, head)
            self._add(stream, head)
            self._beginning.append(stream)
        else:
            self._open(number, head, False)

    def _pass_over(self, number: int, ended: bool, block: bytes) -> None:
        """A stream beyond the last one that we said we would take: what comes on it is ignored (section 6.8)."""
        self._odd.strain(fr.HEADERS, self._connection.now())
        if not ended:
            self._streams.closed.cut(number)
        self._decode(block)

    def _turn_away(self, number: int, ended: bool, block: bytes) -> None:
        """There are enough streams."""
        streams = self._streams
        self._decode(block)
        if not ended:
            streams.closed.cut(number)
        streams.strain()
        self._sender.send(fr.rst_stream(number, REFUSED_STREAM))

    def _decode(self, block: bytes) -> None:
        """For the sake of the table only."""
        try:
            self._decoder.decode(block)
        except BadMessage:
            pass

    def _take_trailers(self, number: int, ended: bool, block: bytes) -> None:
        """A header block on a stream that is not new."""
        streams = self._streams
        stream = streams.open.get(number)
        if stream is None and not streams.closed.is_cut(number):
            if streams.closed.was_skipped(number):
                raise Http2Error(PROTOCOL_ERROR, "stream that was left out")
            raise Http2Error(STREAM_CLOSED, "HEADERS on a closed stream")
        if stream is not None and stream.ended:
            self._decode(block)
            raise Http2Error(STREAM_CLOSED, "HEADERS after the end", number)
        if stream is None:
            self._odd.strain(fr.HEADERS, self._connection.now())
            self._decode(block)  # on its way when we reset it
            if ended:
                streams.closed.ended(number)
            return
        try:
            lines = trailer_lines(self._decoder.decode(block).fields)
        except BadMessage as error:
            raise Http2Error(PROTOCOL_ERROR, error.reason, number) from None
        if not ended:
            raise Http2Error(PROTOCOL_ERROR, "trailers that end nothing", number)
        streams.end_of_body(stream, lines)

    # -- requests

    def _add(self, stream: Stream, head: RequestHead | None) -> None:
        """A new stream."""
        streams = self._streams.open
        if not streams:
            self._connection.deadline = min(self._ending.due, self.due)
        streams[stream.id] = stream
        self.begun += 1
        if self.begun == self._shared.requests:
            self._ending.go()
        if head is not None:
            said = head.block.priority
            if said is None:
                said = head.block.priority = _priority_in(head.block.raw)
            if said:
                stream.prioritize(said)
        if self._urgencies:
            updated = self._urgencies.pop(stream.id, None)
            if updated is not None:
                stream.prioritize(updated)

    def _open(self, number: int, head: RequestHead | None, ended: bool) -> Stream:
        """A new stream with a body, or a request that is not served."""
        connection = self._connection
        stream: Stream
        if head is not None and head.block.upgrade:
            stream = tunnel = WebSocketStream(connection, number, head)
            self._add(stream, head)
            tunnel.expect_tunnel()
        else:
            stream = Stream(connection, number, head)
            self._add(stream, head)
            if ended:
                return stream
            length = head.block.length if head is not None else None
            waits = head is not None and head.awaits_continue
            try:
                stream.expect_body(length, waits)
            except BadMessage as error:
                self._refuse(stream, error)
                return stream
        if head is not None:
            self._beginning.append(stream)
        return stream

    def _refuse(self, stream: Stream, error: BadMessage) -> None:
        """A request that is not served."""
        if not isinstance(error, Malformed):
            stream.refuse(error)
            return
        # In the log as the HTTP/1.1 request that gets a 400.
        stream.malformed = True
        self._shared.refused(stream, error, False)
        raise Http2Error(PROTOCOL_ERROR, error.reason, stream.id)

    def reprioritize(self, payload: bytes) -> None:
        """PRIORITY_UPDATE (RFC 9218 section 7.1). Raises `Http2Error`."""
        number = fr.number(payload) & fr.MOST_STREAM
        if not number & 1:
            raise Http2Error(PROTOCOL_ERROR, "PRIORITY_UPDATE of no request")
        streams = self._streams
        stream = streams.open.get(number)
        if stream is not None:
            stream.prioritize(payload[4:])
        elif number > streams.last:
            # Of one that is to come: those, and the ones that are open, are as many as may be open.
            known = self._urgencies
            if known and min(known) <= streams.last:  # left out by the client
                known = {n: said for n, said in known.items() if n > streams.last}
                self._urgencies = known
            if number not in known:
                if len(known) + len(streams.open) >= self._shared.h2.streams:
                    said = "PRIORITY_UPDATE of more streams than may be open"
                    raise Http2Error(PROTOCOL_ERROR, said)
            known[number] = payload[4:68]

    def begin(self) -> None:
        """What came has been looked at: let the exchanges begin whose streams are still open."""
        beginning = self._beginning
        if beginning:
            self._beginning = []
            streams = self._streams
            for stream in beginning:
                head = stream.head
                if head is not None and streams.open.get(stream.id) is stream:
                    stream.begin(head)

    def late(self) -> Http2Error:
        """What it means that `due` is over."""
        if self.assembly is not None:
            return Http2Error(ENHANCE_YOUR_CALM, "header block took too long")
        return Http2Error(PROTOCOL_ERROR, "no SETTINGS in time")
