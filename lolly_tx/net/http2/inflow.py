"""The body that comes on one stream: how much there is, and how much more its sender may send ahead.

The window begins small and grows once the other side was seen to take what comes: then it is the way there and back
that limits how fast it is.

Imports: net.http2, wire.http2. Used by: net.http2.request, net.http2.stream,
net.http2.websocket.
"""

from __future__ import annotations

from lolly_tx.net.http2.sending import Sender
from lolly_tx.net.http2.shared import LARGEST_STREAM_WINDOW, STREAM_WINDOW
from lolly_tx.wire.http2.flow import Allowance
from lolly_tx.wire.http2.frames import window_update


class Inflow:
    """On the stream `number`. `received`: bytes of the body. `held`: of flow control, that wait to be taken."""

    __slots__ = ("_allowance", "_number", "_sender", "held", "received")

    def __init__(self, sender: Sender, number: int) -> None:
        self._sender = sender
        self._number = number
        self._allowance = Allowance(STREAM_WINDOW)
        self.received = self.held = 0

    def came(self, data: bytes, size: int) -> None:
        """`data`, which is `size` bytes of flow control. Raises `Http2Error` for more than was allowed."""
        self._allowance.take(size, self._number)
        self.received += len(data)

    def give_back(self, size: int, grows: bool = True) -> None:
        """`size` bytes were taken on: as many more may come. `grows`: there is somebody who takes them."""
        allowance = self._allowance
        if self.received >= allowance.size and allowance.size < LARGEST_STREAM_WINDOW:
            if grows:
                allowance.grow(allowance.size * 2)
        more = allowance.due(size)
        if more:
            self._sender.send(window_update(self._number, more))

    def release(self) -> int:
        """Nothing waits any more; how much that was."""
        held, self.held = self.held, 0
        return held
