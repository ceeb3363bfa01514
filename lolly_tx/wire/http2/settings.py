"""The settings that the ends of an HTTP/2 connection tell each other (RFC 9113 section 6.5).

Imports: wire, wire.http2. Used by: net.checks, net.http2, net.tunnels.
"""

from __future__ import annotations

from collections.abc import Iterable
from struct import Struct

from lolly_tx.wire.http2.flow import FIRST_WINDOW, MOST_WINDOW
from lolly_tx.wire.http2.frames import (
    ACK,
    LEAST_FRAME_BYTES,
    MOST_FRAME_BYTES,
    SETTINGS,
    frame,
)
from lolly_tx.wire.http2_errors import (
    FLOW_CONTROL_ERROR,
    FRAME_SIZE_ERROR,
    PROTOCOL_ERROR,
    Http2Error,
)

HEADER_TABLE_SIZE = 0x1
ENABLE_PUSH = 0x2
MAX_CONCURRENT_STREAMS = 0x3
INITIAL_WINDOW_SIZE = 0x4
MAX_FRAME_SIZE = 0x5
MAX_HEADER_LIST_SIZE = 0x6
ENABLE_CONNECT_PROTOCOL = 0x8
"""RFC 8441 section 3."""
NO_RFC7540_PRIORITIES = 0x9
"""RFC 9218 section 2.1."""

UNLIMITED = (1 << 32) - 1

_PAIR = Struct(">HL")

_FLAGS = {
    ENABLE_PUSH: "ENABLE_PUSH",
    ENABLE_CONNECT_PROTOCOL: "ENABLE_CONNECT_PROTOCOL",
    NO_RFC7540_PRIORITIES: "NO_RFC7540_PRIORITIES",
}


class PeerSettings:
    """What the peer has said; before that, what the standard supposes.

    `table_bytes`: of its header table. `streams`: that it lets be open at once. `window`: of a new stream, bytes.
    `frame_bytes`: payload it takes. `list_bytes`: of a header list. `connects`: it takes extended CONNECT.
    `is_server`: the peer is one, which must not promise to be pushed to.
    """

    __slots__ = (
        "connects",
        "frame_bytes",
        "is_server",
        "list_bytes",
        "streams",
        "table_bytes",
        "window",
    )

    def __init__(self, is_server: bool = False) -> None:
        self.is_server = is_server
        self.table_bytes = 4096
        self.streams = UNLIMITED
        self.window = FIRST_WINDOW
        self.frame_bytes = LEAST_FRAME_BYTES
        self.list_bytes = UNLIMITED
        self.connects = False

    def take(self, payload: bytes) -> None:
        """Take over the payload of a SETTINGS frame, in order; raises `Http2Error`. Unknown ones are ignored."""
        for key, value in _PAIR.iter_unpack(payload):
            if key == HEADER_TABLE_SIZE:
                self.table_bytes = value
            elif key == MAX_CONCURRENT_STREAMS:
                self.streams = value
            elif key == INITIAL_WINDOW_SIZE:
                if value > MOST_WINDOW:
                    raise Http2Error(
                        FLOW_CONTROL_ERROR, "INITIAL_WINDOW_SIZE too large"
                    )
                self.window = value
            elif key == MAX_FRAME_SIZE:
                if not LEAST_FRAME_BYTES <= value <= MOST_FRAME_BYTES:
                    raise Http2Error(PROTOCOL_ERROR, "MAX_FRAME_SIZE out of range")
                self.frame_bytes = value
            elif key == MAX_HEADER_LIST_SIZE:
                self.list_bytes = value
            elif key in _FLAGS:
                self._take_flag(key, value)

    def _take_flag(self, key: int, value: int) -> None:
        pushes = key == ENABLE_PUSH and self.is_server
        if value > (0 if pushes else 1):
            raise Http2Error(PROTOCOL_ERROR, f"{_FLAGS[key]} of {value}")
        if key == ENABLE_CONNECT_PROTOCOL:
            if self.connects and not value:
                # RFC 8441 section 3: who has said so once cannot take it back.
                raise Http2Error(PROTOCOL_ERROR, "ENABLE_CONNECT_PROTOCOL taken back")
            self.connects = bool(value)


def check_acknowledgement(payload: bytes) -> None:
    """Raise `Http2Error` for an acknowledgement that says more (section 6.5)."""
    if payload:
        raise Http2Error(FRAME_SIZE_ERROR, "SETTINGS acknowledgement with a payload")


def settings(pairs: Iterable[tuple[int, int]]) -> bytes:
    """A SETTINGS frame."""
    return frame(SETTINGS, 0, 0, b"".join([_PAIR.pack(*pair) for pair in pairs]))


SETTINGS_ACK = frame(SETTINGS, ACK, 0)
