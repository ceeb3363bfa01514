"""What targets answer: header blocks and bodies, for the streams they belong to (RFC 9113 sections 4.3, 6.1 and 8.1).

Imports: net.http2, wire, wire.hpack, wire.http2. Used by: net.http2.client.
"""

from __future__ import annotations

from typing import Final

from lolly_tx.net.http2.client_shared import ClientShared
from lolly_tx.net.http2.client_streams import ClientStreams
from lolly_tx.net.http2.intake import Intake
from lolly_tx.net.http2.patience import OddFrames
from lolly_tx.net.http2.request import ClientStream
from lolly_tx.net.http2.sending import Sender
from lolly_tx.wire.hpack.decoder import Decoder
from lolly_tx.wire.http2 import frames as fr
from lolly_tx.wire.http2.blocks import Assembly
from lolly_tx.wire.http2.requests import trailer_lines
from lolly_tx.wire.http2.responses import response_head
from lolly_tx.wire.http2_errors import PROTOCOL_ERROR, Http2Error
from lolly_tx.wire.message import ResponseHead

CONTINUATIONS: Final = 8
"""Frames of a header block after its first."""


class Answers:
    """Those of one connection. `assembly`: the header block of which more is to come.

    What is taken raises `Http2Error`, and `BadMessage` for what only its stream breaks.
    """

    __slots__ = (
        "_decoder",
        "_intake",
        "_most_bytes",
        "_odd",
        "_streams",
        "_touched",
        "assembly",
    )

    def __init__(
        self,
        shared: ClientShared,
        sender: Sender,
        streams: ClientStreams,
        odd: OddFrames,
    ) -> None:
        self._streams = streams
        self._odd = odd
        # What a stream holds is bounded by its own window.
        self._intake = Intake(sender, 0)
        self._decoder = Decoder(shared.blocks)
        self._most_bytes = 2 * shared.limits.head_bytes
        self._touched: dict[int, ClientStream] = {}
        self.assembly: Assembly | None = None

    def take_headers(self, flags: int, number: int, payload: bytes, now: float) -> None:
        """The first frame of a header block, or all of it."""
        block = fr.header_block(flags, number, payload)
        if flags & fr.END_HEADERS:
            self._take_block(number, flags, block, now)
        else:
            self.assembly = Assembly(
                number, flags, block, self._most_bytes, CONTINUATIONS
            )

    def go_on(
        self, kind: int, flags: int, number: int, payload: bytes, now: float
    ) -> None:
        """The next frame within a block."""
        assembly = self.assembly
        assert assembly is not None
        block = assembly.add(kind, flags, number, payload)
        if block is not None:
            self.assembly = None
            self._take_block(number, assembly.flags, block, now)

    def _take_block(self, number: int, flags: int, block: bytes, now: float) -> None:
        """A whole one: the head of a response, or trailers."""
        streams = self._streams
        streams.check(fr.HEADERS, number)
        decoded = self._decoder.decode(block)
        stream = streams.open.get(number)
        ended = bool(flags & fr.END_STREAM)
        if stream is None:
            streams.check_cut(fr.HEADERS, number)
            self._odd.strain(fr.HEADERS, now)  # on its way when we reset it
            if ended:
                streams.ended(number)
            return
        self._odd.worked += 1
        if stream.head is not None:
            if not ended:
                raise Http2Error(PROTOCOL_ERROR, "trailers that end nothing", number)
            stream.take_end(trailer_lines(decoded.fields), b"")
            return
        head: ResponseHead | None = decoded.made
        if head is None:
            head = decoded.made = response_head(decoded.fields)
            if decoded.never:
                head.block.never = decoded.unindexed
        stream.take_head(head, ended, now)
        if not ended:
            self._touched[number] = stream

    def take_data(self, flags: int, number: int, payload: bytes, now: float) -> None:
        """A piece of a body."""
        data = fr.content(flags, payload)
        size = len(payload)
        self._streams.check(fr.DATA, number)
        self._intake.came(size)
        self._intake.taken(size)
        self._odd.weigh(flags, data, size, now)
        ended = bool(flags & fr.END_STREAM)
        stream = self._streams.open.get(number)
        if stream is None:
            self._streams.check_cut(fr.DATA, number)  # on its way when we reset it
            if ended:
                self._streams.ended(number)
            return
        stream.take_data(data, size, ended, now)
        if not ended:
            self._touched[number] = stream

    def broken(self, number: int, reason: str, now: float) -> None:
        """The target broke the rules on a stream (section 5.4.2)."""
        stream = self._streams.open.get(number)
        if stream is not None:
            stream.breaks(reason)
        else:
            self._odd.strain(fr.RST_STREAM, now)

    def pass_on(self) -> None:
        """A read has been looked at: what waits for more of it goes on as it is."""
        if self._touched:
            touched, self._touched = self._touched, {}
            for stream in touched.values():
                if not stream.ended:
                    stream.read_is_over()
