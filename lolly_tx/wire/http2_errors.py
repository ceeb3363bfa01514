"""What is wrong with HTTP/2 frames, as values, with the codes of RFC 9113 section 7.

Imports: nothing of ours. Used by: net.checks, net.http2, net.tunnels, wire.hpack,
wire.http2.blocks, wire.http2.flow, wire.http2.frames, wire.http2.settings.
"""

from __future__ import annotations

NO_ERROR = 0x0
PROTOCOL_ERROR = 0x1
INTERNAL_ERROR = 0x2
FLOW_CONTROL_ERROR = 0x3
SETTINGS_TIMEOUT = 0x4
STREAM_CLOSED = 0x5
FRAME_SIZE_ERROR = 0x6
REFUSED_STREAM = 0x7
CANCEL = 0x8
COMPRESSION_ERROR = 0x9
CONNECT_ERROR = 0xA
ENHANCE_YOUR_CALM = 0xB
INADEQUATE_SECURITY = 0xC
HTTP_1_1_REQUIRED = 0xD

NAMES = (
    "NO_ERROR",
    "PROTOCOL_ERROR",
    "INTERNAL_ERROR",
    "FLOW_CONTROL_ERROR",
    "SETTINGS_TIMEOUT",
    "STREAM_CLOSED",
    "FRAME_SIZE_ERROR",
    "REFUSED_STREAM",
    "CANCEL",
    "COMPRESSION_ERROR",
    "CONNECT_ERROR",
    "ENHANCE_YOUR_CALM",
    "INADEQUATE_SECURITY",
    "HTTP_1_1_REQUIRED",
)


def name_of(code: int) -> str:
    """The name of an error code; of an unknown one, its number."""
    return NAMES[code] if code < len(NAMES) else f"error {code:#x}"


class Http2Error(Exception):
    """The peer has broken a rule (RFC 9113 section 5.4).

    `code`: what to tell it. `reason`: one line for the log and for the debug data of GOAWAY, without the peer's bytes.
    `stream`: the one that it costs; 0: the whole connection.
    """

    def __init__(self, code: int, reason: str, stream: int = 0) -> None:
        super().__init__(f"{name_of(code)}: {reason}")
        self.code = code
        self.reason = reason
        self.stream = stream
