"""What listening sockets do at their end.

Mixed in before Twisted's ports.

Imports: Twisted. Used by: net.sockets.eager.
"""

from __future__ import annotations

import ctypes
import os
import socket
import struct
from contextlib import suppress
from typing import Any

from twisted.internet import tcp
from twisted.python.lockfile import FilesystemLock

MOST_WAITING = 4096
"""Connections taken at the end: no kernel's queue is longer by default (somaxconn)."""


_ATTACH_FILTER = 26
"""SO_ATTACH_FILTER of Linux, which the socket module has no name for."""

_NOTHING_PASSES = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0))
"""A program for that: one instruction, "return 0 bytes"."""


def hear_nobody(listening: socket.socket) -> None:
    """Have the kernel take no more clients for `listening`, without a word to them.

    Who comes between the last accept and the close would be told that there is a connection, and then be reset. Not
    heard, he asks again a second later, and finds who listens there then. Where it cannot be had, all is as without.
    """
    if listening.family in (socket.AF_INET, socket.AF_INET6):
        program = struct.pack("HP", 1, ctypes.addressof(_NOTHING_PASSES))
        with suppress(OSError):
            listening.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, program)


class LastCall(tcp.Port):
    """A port that accepts who waits in the kernel's queue before it closes.

    They have been told that they are connected, and would be reset. An adopted socket's
    queue is left to its next owner.
    """

    _owned = False

    @property
    def is_lent(self) -> bool:
        """The socket is somebody else's, too: it is not shut down, nor its queue emptied, when this port is closed."""
        return not self._shouldShutdown

    @is_lent.setter
    def is_lent(self, lent: bool) -> None:
        self._shouldShutdown = not lent

    def inherit(self, listening: socket.socket, owned: bool) -> None:
        """Let `startListening` take this socket, which listens already, in place of a new one.

        `owned`: it is ours to end, as if it were new; otherwise it is somebody else's, too.
        """
        self._preexistingSocket = listening
        self._owned = owned

    def startListening(self) -> None:
        """Listen."""
        super().startListening()
        if self._owned:
            self.is_lent = False

    def lend(self) -> None:
        """Another process listens on the socket from now on: nothing of it is ended with this port."""
        self.is_lent = True

    def _closeSocket(self, orderly: bool) -> None:
        if self._shouldShutdown:
            hear_nobody(self.socket)
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
    lockFile: FilesystemLock | None
    wantPID: int

    def inherit(self, listening: socket.socket, owned: bool) -> None:
        """The same; the lock beside the path, if there is one, is that of this process already."""
        super().inherit(listening, owned)
        self.wantPID, locked = 0, bool(self.wantPID)
        if not owned:
            self._bindPath = b"\0" + self._bindPath
        elif locked and self._bindPath[:1] != b"\0":
            self.lockFile = FilesystemLock(os.fsdecode(self._bindPath + b".lock"))
            self.lockFile.locked = True

    def lend(self) -> None:
        """The same; path and lock stay."""
        super().lend()
        self._bindPath = b"\0" + self._bindPath
        self.lockFile = None

    @classmethod
    def _fromListeningDescriptor(cls, *place: Any) -> Any:
        port: Any = super()._fromListeningDescriptor(*place)
        # What is not in the file system is given no mode and is not unlinked.
        port._bindPath = b"\0" + port._bindPath
        return port
