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
from twisted.internet.main import CONNECTION_DONE
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.python.lockfile import FilesystemLock

MOST_WAITING = 4096
"""Connections taken at the end: no kernel's queue is longer by default (somaxconn)."""

_DONE = Failure(CONNECTION_DONE)

_ATTACH_FILTER = 26
"""SO_ATTACH_FILTER of Linux, which the socket module has no name for."""

_NOBODY_NEW = ctypes.create_string_buffer(
    b"".join(
        struct.pack("HBBI", *each)
        for each in (
            (0x30, 0, 0, 13),  # load the byte of a TCP header that holds the flags
            (0x45, 0, 1, 2),  # is SYN among them?
            (0x06, 0, 0, 0),  # then nothing of it passes
            (0x06, 0, 0, 0xFFFFFFFF),  # else all of it
        )
    )
)
"""A program for that: what begins a connection does not pass, what completes one does."""

LAST_CALL_SECONDS = 0.001
"""How long those who are half way to a connection have for the other half, before a socket closes."""


def hear_nobody(listening: socket.socket) -> None:
    """Have the kernel begin no more connections for `listening`, without a word to those who ask.

    Who comes between the last accept and the close would be told that there is a connection, and then be reset. Not
    heard, he asks again a second later, and finds who listens there then. Where it cannot be had, all is as without.
    """
    if listening.family in (socket.AF_INET, socket.AF_INET6):
        program = struct.pack("HP", 4, ctypes.addressof(_NOBODY_NEW))
        with suppress(OSError):
            listening.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, program)


class LastCall(tcp.Port):
    """A port that accepts who waits in the kernel's queue before it closes.

    They have been told that they are connected, and would be reset. So would be those who are half way there: a TCP
    port takes nobody new for LAST_CALL_SECONDS, and only then ends. An adopted socket's queue is left to its next
    owner.
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

    def loseConnection(self, connDone: Failure = _DONE) -> Any:
        """Listen no more; fires when that is so."""
        if self.disconnecting:
            return self.deferred
        if self.is_lent or not self.connected or self.addressFamily == socket.AF_UNIX:
            return super().loseConnection(connDone)
        hear_nobody(self.socket)
        self.disconnecting = True
        clock: Any = self.reactor
        self.deferred = deferLater(clock, LAST_CALL_SECONDS, self._end, connDone)
        return self.deferred

    def _end(self, reason: Failure) -> None:
        if self.connected:  # and not ended with the reactor
            self.stopReading()
            self.connectionLost(reason)

    stopListening = loseConnection

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
