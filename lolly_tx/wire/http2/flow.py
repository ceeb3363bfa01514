"""Flow control windows (RFC 9113 sections 5.2 and 6.9): plain numbers that may be negative.

    what we may send      widened by WINDOW_UPDATE and by another INITIAL_WINDOW_SIZE, which can take away, too
    what the peer may     `Allowance`: what it has sent is given back when it was dealt with

Imports: wire. Used by: net.http2, net.tunnels, wire.http2.settings.
"""

from __future__ import annotations

from typing import Final

from lolly_tx.wire.http2_errors import FLOW_CONTROL_ERROR, Http2Error

FIRST_WINDOW: Final = 65535
"""Of a stream and of a connection, before anybody has said another."""
MOST_WINDOW: Final = (1 << 31) - 1


def widened(window: int, more: int, stream: int = 0) -> int:
    """`window` and `more`; raises `Http2Error` for what no window may be."""
    window += more
    if window > MOST_WINDOW:
        raise Http2Error(FLOW_CONTROL_ERROR, "window too large", stream)
    return window


class Allowance:
    """What the peer may send on a stream or a connection.

    `size`: of the window. `left`: of it, bytes that may still come. `owed`: that have come and were dealt with, and are
    not given back yet; that is worth a frame when half of the window is (`due`).
    """

    __slots__ = ("left", "owed", "size")

    def __init__(self, size: int) -> None:
        self.size = size
        self.left = size
        self.owed = 0

    def take(self, count: int, stream: int = 0) -> None:
        """`count` bytes have come; raises `Http2Error` for more than was allowed."""
        self.left -= count
        if self.left < 0:
            raise Http2Error(FLOW_CONTROL_ERROR, "more than its window allows", stream)

    def due(self, done: int) -> int:
        """`done` more bytes were dealt with. What to give back now, mostly nothing."""
        self.owed += done
        if self.owed * 2 < self.size or self.owed <= 0:
            return 0
        return self.give()

    def give(self) -> int:
        """Give back all that is owed; how much that is."""
        more, self.owed = self.owed, 0
        self.left += more
        return max(more, 0)

    def grow(self, size: int) -> None:
        """Let the window be so large from the next time on that something is given back."""
        self.owed += size - self.size
        self.size = size
