"""Header blocks that come in pieces: HEADERS, then CONTINUATION, and nothing between (RFC 9113 section 4.3).

Imports: wire, wire.http2. Used by: net.checks, net.http2, net.tunnels.
"""

from __future__ import annotations

from lolly_tx.wire.http2.frames import CONTINUATION, END_HEADERS, kind_name
from lolly_tx.wire.http2_errors import (
    ENHANCE_YOUR_CALM,
    PROTOCOL_ERROR,
    Http2Error,
)


class Assembly:
    """A header block of `stream` that has begun with the piece `first` of a frame with `flags`.

    `most_bytes`: of the block, as it is on the wire; `most_frames`: of CONTINUATION. They bound what is kept for a peer
    that never ends it, so they are looked at before anything is decoded.
    """

    __slots__ = ("_frames", "_most_bytes", "_pieces", "_size", "flags", "stream")

    def __init__(
        self, stream: int, flags: int, first: bytes, most_bytes: int, most_frames: int
    ) -> None:
        self.stream = stream
        self.flags = flags
        self._pieces = [first]
        self._size = len(first)
        self._frames = most_frames
        self._most_bytes = most_bytes
        self._check()

    def add(self, kind: int, flags: int, stream: int, payload: bytes) -> bytes | None:
        """The next frame, whatever it is. The whole block, if that was its end; raises `Http2Error`."""
        if kind != CONTINUATION or stream != self.stream:
            what = f"{kind_name(kind)} within a header block"
            raise Http2Error(PROTOCOL_ERROR, what)
        self._frames -= 1
        self._size += len(payload)
        self._check()
        self._pieces.append(payload)
        return b"".join(self._pieces) if flags & END_HEADERS else None

    def _check(self) -> None:
        if self._size > self._most_bytes:
            raise Http2Error(ENHANCE_YOUR_CALM, "header block too large")
        if self._frames < 0:
            raise Http2Error(ENHANCE_YOUR_CALM, "too many CONTINUATION frames")
