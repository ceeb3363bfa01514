"""Bytes of bodies that a peer may send on a connection, for all its streams together.

What has come is given back, and the peer may send as much more, unless too much waits here for those who take it.

Imports: net.http2, wire.http2. Used by: net.http2.answers, net.http2.server,
net.http2.stream.
"""

from __future__ import annotations

from lolly_tx.net.http2.sending import Sender
from lolly_tx.net.http2.shared import CONNECTION_WINDOW
from lolly_tx.wire.http2.flow import Allowance
from lolly_tx.wire.http2.frames import window_update


class Intake:
    """See the module. `most_held`: bytes that wait here before nothing more is given back."""

    __slots__ = ("_allowance", "_held", "_most_held", "_sender")

    def __init__(self, sender: Sender, most_held: int) -> None:
        self._sender = sender
        self._most_held = most_held
        self._allowance = Allowance(CONNECTION_WINDOW)
        self._held = 0

    def came(self, size: int) -> None:
        """`size` bytes of flow control. Raises `Http2Error`."""
        self._allowance.take(size)

    def taken(self, size: int) -> None:
        """They are dealt with, or wait at their stream, which holds them."""
        if self._held <= self._most_held:
            more = self._allowance.due(size)
            if more:
                self._sender.send(window_update(0, more))
        else:
            self._allowance.owed += size

    def hold(self, size: int) -> None:
        """`size` bytes wait for who takes them."""
        self._held += size

    def release(self, size: int) -> None:
        """They do not any more."""
        if size:
            self._held -= size
            self.taken(0)
