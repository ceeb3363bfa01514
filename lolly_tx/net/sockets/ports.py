"""What listening sockets do at their end.

Mixed in before Twisted's ports.

Imports: Twisted. Used by: net.sockets.eager.
"""

from __future__ import annotations

from typing import Any

from twisted.internet import tcp

MOST_WAITING = 4096
"""Connections taken at the end: no kernel's queue is longer by default (somaxconn)."""


class LastCall(tcp.Port):
    """A port that accepts who waits in the kernel's queue before it closes.

    They have been told that they are connected, and would be reset. An adopted socket's
    queue is left to its next owner.
    """

    @property
    def is_lent(self) -> bool:
        """The socket is somebody else's, too: it is not shut down, nor its queue emptied, when this port is closed."""
        return not self._shouldShutdown

    @is_lent.setter
    def is_lent(self, lent: bool) -> None:
        self._shouldShutdown = not lent

    def _closeSocket(self, orderly: bool) -> None:
        if self._shouldShutdown:
            self.numberAccepts = MOST_WAITING
            self.doRead()
        super()._closeSocket(orderly)

    @classmethod
    def _fromListeningDescriptor(cls, *place: Any) -> Any:
        port: Any = super()._fromListeningDescriptor(*place)
        port._shouldShutdown = False  # Twisted forgets it for UNIX sockets
        return port


class LastCallUNIX(LastCall):
    """The same for UNIX sockets, whose adopted ones keep path and mode: they are their owner's."""

    _bindPath: bytes

    @classmethod
    def _fromListeningDescriptor(cls, *place: Any) -> Any:
        port: Any = super()._fromListeningDescriptor(*place)
        # What is not in the file system is given no mode and is not unlinked.
        port._bindPath = b"\0" + port._bindPath
        return port
