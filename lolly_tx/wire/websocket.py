"""Where WebSocket frames of a server begin and end (RFC 6455 section 5.2), and one frame of ours.

A frame can only be put between two others. `Frames` follows the bytes of one direction and
looks at nothing but the heads:

    1 byte    FIN, 3 reserved bits, opcode
    1 byte    mask bit, length: itself up to 125, or 126 and 127 for the 2 or 8 bytes that follow
    payload

Imports: nothing of ours. Used by: net.
"""

from __future__ import annotations

GOING_AWAY = b"\x88\x02\x03\xe9"
"""A server's Close frame with status 1001: it is being shut down."""

_CLOSE = 8
_OPCODES = frozenset((0, 1, 2, _CLOSE, 9, 10))


class Frames:
    """Follows the frames of one server.

    `left`: payload bytes of the current frame that are still to come. `closing`: its Close
    has begun. `unknown`: these are no frames, so no boundary can be told any more.
    """

    __slots__ = ("_head", "closing", "left", "unknown")

    def __init__(self) -> None:
        self._head = b""
        self.left = 0
        self.closing = False
        self.unknown = False

    @property
    def at_boundary(self) -> bool:
        """Between two frames."""
        return not (self.left or self._head or self.unknown)

    def feed(self, data: bytes) -> None:
        """The server has sent `data`."""
        at = 0
        while at < len(data) and not self.unknown:
            at = self._step(data, at)

    def end_of_frame(self, data: bytes) -> int:
        """Follow `data` up to the end of the current frame; how many bytes that are."""
        at = 0
        while at < len(data) and not self.at_boundary:
            at = self._step(data, at)
        return at

    def skip(self, count: int) -> None:
        """`count` bytes of the current payload have passed by another way."""
        self.left -= count

    def _step(self, data: bytes, at: int) -> int:
        """Read one head or one payload of `data`, or what is there of it; where it ends."""
        if self.unknown:
            return len(data)
        if self.left:
            taken = min(self.left, len(data) - at)
            self.left -= taken
            return at + taken
        before = len(self._head)
        head = self._head + data[at : at + 10 - before]
        size = _head_size(head)
        if len(head) < max(size, 2):
            self._head = head
            return len(data)
        self._head = b""
        self._begin(head[:size])
        return at + size - before

    def _begin(self, head: bytes) -> None:
        opcode, length = head[0] & 15, head[1]
        if len(head) > 2:
            length = int.from_bytes(head[2:])
        control = opcode >= _CLOSE
        if (
            opcode not in _OPCODES
            or head[1] & 128  # a server does not mask
            or (control and (len(head) > 2 or head[0] < 128))
            or length >> 63
        ):
            self.unknown = True
            return
        self.left = length
        self.closing = self.closing or opcode == _CLOSE


def _head_size(head: bytes) -> int:
    """How long the head is that begins so; 0 when that cannot be told yet."""
    if len(head) < 2:
        return 0
    return {126: 4, 127: 10}.get(head[1] & 127, 2)
