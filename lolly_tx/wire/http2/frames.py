"""HTTP/2 frames: bytes to tuples, the rules that each frame keeps by itself, and back (RFC 9113 sections 4 and 6).

    reader.read(data) -> [(kind, flags, stream, payload), ...]     whole frames; what is cut off waits for more
    check(kind, stream, size)                                      the size and the stream that the kind allows
    header_block(...), content(...), window_increment(...) ...     what a payload says

Server and client share all of it; what a frame means for a stream is theirs to know.

Imports: wire, wire.http2. Used by: net.checks, net.http2, net.tunnels,
wire.http2.blocks, wire.http2.settings.
"""

from __future__ import annotations

from struct import Struct
from typing import Any, Final

from lolly_tx.wire.http2 import framing
from lolly_tx.wire.http2_errors import (
    FRAME_SIZE_ERROR,
    PROTOCOL_ERROR,
    Http2Error,
)

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""What a client begins with (RFC 9113 section 3.4)."""

DATA: Final = 0
HEADERS: Final = 1
PRIORITY: Final = 2
RST_STREAM: Final = 3
SETTINGS: Final = 4
PUSH_PROMISE: Final = 5
PING: Final = 6
GOAWAY: Final = 7
WINDOW_UPDATE: Final = 8
CONTINUATION: Final = 9
PRIORITY_UPDATE: Final = 0x10
"""RFC 9218 section 7.1."""
OVERSIZED: Final = -1
"""In place of a frame whose header promises more than is allowed; nothing is read after it."""

ACK = END_STREAM = 0x1
END_HEADERS: Final = 0x4
PADDED: Final = 0x8
WITH_PRIORITY: Final = 0x20

LEAST_FRAME_BYTES: Final = 16384
MOST_FRAME_BYTES: Final = (1 << 24) - 1
"""Of payload: what everybody must take, and what the 24 bits of a length can say (section 4.2)."""

MOST_STREAM: Final = (1 << 31) - 1

Frame = tuple[int, int, int, bytes]
"""Kind, flags, stream and payload."""

_HEADER: Final = Struct(">HBBBL")
_pack = _HEADER.pack
_unpack = _HEADER.unpack_from
_LONG: Final = Struct(">L")

_answer_frames: Final = framing.answer_frames

frame_header = _HEADER.pack
"""The header of a frame: its payload's size as its high 16 bits and its low 8, the kind, the flags, the stream."""


class FrameReader:
    """Cuts what a peer sends into frames.

    `largest`: payload that is taken, in bytes. `in_pass`: cuts whole frames at once (`framing.split_frames`); None:
    nothing does.
    """

    __slots__ = ("_in_pass", "_kept", "largest")

    def __init__(
        self, largest: int = LEAST_FRAME_BYTES, in_pass: Any = framing.split_frames
    ) -> None:
        self.largest = largest
        self._in_pass = in_pass
        self._kept = b""

    @property
    def within_frame(self) -> bool:
        """The last bytes that came are the beginning of a frame."""
        return bool(self._kept)

    def read(self, data: bytes) -> list[Frame]:
        """The frames that `data` completes. The last may be `OVERSIZED`."""
        if self._kept:
            data = self._kept + data
            self._kept = b""
        found: list[Frame] = []
        at, end = 0, len(data)
        if self._in_pass is not None:
            found, at = self._in_pass(data, self.largest)
        while end - at >= 9:
            high, low, kind, flags, stream = _unpack(data, at)
            size = high << 8 | low
            if size > self.largest:
                found.append((OVERSIZED, kind, stream & MOST_STREAM, b""))
                return found
            begin = at + 9
            if end - begin < size:
                break
            at = begin + size
            found.append((kind, flags, stream & MOST_STREAM, data[begin:at]))
        if at != end:
            self._kept = data[at:]
        return found


# What kinds there are: of a stream (True), of the connection (False) or of both (None), and how long
# they are: least, and a multiple beyond that (0: exactly so).
_RULES: Final = {
    DATA: (True, 0, 1),
    HEADERS: (True, 0, 1),
    PRIORITY: (True, 5, 0),
    RST_STREAM: (True, 4, 0),
    SETTINGS: (False, 0, 6),
    PUSH_PROMISE: (True, 4, 1),
    PING: (False, 8, 0),
    GOAWAY: (False, 8, 1),
    WINDOW_UPDATE: (None, 4, 0),
    CONTINUATION: (True, 0, 1),
    PRIORITY_UPDATE: (False, 4, 1),
}
_NAMES: Final = {
    DATA: "DATA",
    HEADERS: "HEADERS",
    PRIORITY: "PRIORITY",
    RST_STREAM: "RST_STREAM",
    SETTINGS: "SETTINGS",
    PUSH_PROMISE: "PUSH_PROMISE",
    PING: "PING",
    GOAWAY: "GOAWAY",
    WINDOW_UPDATE: "WINDOW_UPDATE",
    CONTINUATION: "CONTINUATION",
    PRIORITY_UPDATE: "PRIORITY_UPDATE",
}


def kind_name(kind: int) -> str:
    """What RFC 9113 calls it."""
    return _NAMES.get(kind, f"frame type {kind:#x}")


def check(kind: int, stream: int, size: int) -> None:
    """Raise `Http2Error` for a stream, or a size of the payload, that frames of this `kind` never have.

    Kinds that nobody knows pass: they are ignored (section 5.5).
    """
    rule = _RULES.get(kind)
    if rule is None:
        return
    of_stream, least, step = rule
    if of_stream is not None and of_stream != bool(stream):
        where = "the connection" if of_stream else "a stream"
        raise Http2Error(PROTOCOL_ERROR, f"{_NAMES[kind]} on {where}")
    beyond = size - least
    if beyond < 0 or (beyond % step if step else beyond):
        # Of a stream only: PRIORITY, which changes nothing (section 6.3).
        costs = stream if kind == PRIORITY else 0
        raise Http2Error(FRAME_SIZE_ERROR, f"{_NAMES[kind]} of {size} bytes", costs)


def too_large(kind: int) -> Http2Error:
    """The error of an `OVERSIZED` frame, which is the connection's: it may have carried a header block."""
    return Http2Error(FRAME_SIZE_ERROR, f"{kind_name(kind)} larger than allowed")


# -- what payloads say


def content(flags: int, payload: bytes) -> bytes:
    """The payload of DATA without its padding (section 6.1)."""
    if not flags & PADDED:
        return payload
    if not payload:
        raise Http2Error(FRAME_SIZE_ERROR, "frame cut within its padding")
    if payload[0] >= len(payload):
        raise Http2Error(PROTOCOL_ERROR, "padding longer than its frame")
    return payload[1 : len(payload) - payload[0]]


def header_block(flags: int, stream: int, payload: bytes) -> bytes:
    """The piece of a header block in HEADERS (section 6.2). What it says of dependencies is not used."""
    size = len(payload)
    payload = content(flags, payload)
    if flags & WITH_PRIORITY:
        if size < (6 if flags & PADDED else 5):
            raise Http2Error(FRAME_SIZE_ERROR, "HEADERS cut within its priority")
        if len(payload) < 5:
            raise Http2Error(PROTOCOL_ERROR, "padding longer than its frame")
        check_dependency(stream, payload)
        return payload[5:]
    return payload


def check_dependency(stream: int, payload: bytes) -> None:
    """Raise `Http2Error` for a stream that is said to depend on itself (RFC 7540 section 5.3.1)."""
    if number(payload) & MOST_STREAM == stream:
        raise Http2Error(PROTOCOL_ERROR, "stream that depends on itself", stream)


def window_increment(stream: int, payload: bytes) -> int:
    """What a WINDOW_UPDATE adds (section 6.9)."""
    more = number(payload) & MOST_STREAM
    if not more:
        raise Http2Error(PROTOCOL_ERROR, "WINDOW_UPDATE by nothing", stream)
    return more


def number(payload: bytes) -> int:
    """The first four bytes: an error code, a stream."""
    value: int = _LONG.unpack_from(payload)[0]
    return value


def goaway_says(payload: bytes) -> tuple[int, int, bytes]:
    """The last stream, the error code and the debug data of a GOAWAY (section 6.8)."""
    return number(payload) & MOST_STREAM, number(payload[4:8]), payload[8:]


# -- frames to send


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """One frame."""
    size = len(payload)
    return _pack(size >> 8, size & 255, kind, flags, stream) + payload


def headers(stream: int, block: bytes, end: bool, most: int) -> bytes:
    """A whole header block: HEADERS, and CONTINUATION where `most` bytes of payload do not do."""
    flags = END_STREAM if end else 0
    size = len(block)
    if size <= most:
        return (
            _pack(size >> 8, size & 255, HEADERS, flags | END_HEADERS, stream) + block
        )
    pieces = [frame(HEADERS, flags, stream, block[:most])]
    for at in range(most, size, most):
        last = END_HEADERS if at + most >= size else 0
        pieces.append(frame(CONTINUATION, last, stream, block[at : at + most]))
    return b"".join(pieces)


def whole_answer(stream: int, block: bytes, body: bytes) -> bytes:
    """HEADERS with a header block, and DATA that ends the stream; each of at most `LEAST_FRAME_BYTES`."""
    if _answer_frames is not None:
        return _answer_frames(stream, block, body)
    many, size = len(block), len(body)
    head = _pack(many >> 8, many & 255, HEADERS, END_HEADERS, stream)
    return head + block + _pack(size >> 8, size & 255, DATA, END_STREAM, stream) + body


def rst_stream(stream: int, code: int) -> bytes:
    """The end of a stream (section 6.4)."""
    return frame(RST_STREAM, 0, stream, _LONG.pack(code))


def goaway(last: int, code: int, debug: bytes = b"") -> bytes:
    """The end of a connection; streams up to `last` may have been dealt with (section 6.8)."""
    return frame(GOAWAY, 0, 0, _LONG.pack(last) + _LONG.pack(code) + debug)


def window_update(stream: int, more: int) -> bytes:
    """Room for `more` bytes; `stream` 0: on the connection."""
    return frame(WINDOW_UPDATE, 0, stream, _LONG.pack(more))


def ping(payload: bytes, ack: bool = False) -> bytes:
    """A PING of eight bytes, or the answer to one (section 6.7)."""
    return frame(PING, ACK if ack else 0, 0, payload)
