"""What listening sockets do at their end, and while nobody is to come in.

Mixed in before Twisted's ports.

Imports: net.sockets, Twisted. Used by: net.sockets.eager.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from typing import Any

from twisted.internet import tcp
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.main import CONNECTION_DONE
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.python.lockfile import FilesystemLock

from lolly_tx.net.sockets.refusing import (
    hear_nobody,
    hide,
    is_hidden,
    listen_again,
    listens,
    refuse,
    reveal,
)

MOST_WAITING = 4096
"""Connections taken at the end: no kernel's queue is longer by default (somaxconn)."""

_DONE = Failure(CONNECTION_DONE)

LAST_CALL_SECONDS = 0.001
"""How long those who are half way to a connection have for the other half, before a socket closes."""


class LastCall(tcp.Port):
    """A port that accepts who waits in the kernel's queue before it closes.

    They have been told that they are connected, and would be reset. So would be those who are half way there: a TCP
    port takes nobody new for LAST_CALL_SECONDS, and only then ends. An adopted socket's queue is left to its next
    owner.
    """

    _owned = False
    resting = False
    """Nobody new is taken, until `wake`."""
    _refusing: IDelayedCall | None = None

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

    def rest(self, *, last_call: bool | None = None) -> None:
        """Take nobody new until `wake`. Does nothing when that is so already. Raises OSError, and goes on then.

        `last_call`: who waits in the queue is accepted, and who comes later is refused; otherwise the socket is
        somebody else's as well, and who comes waits in its queue. None: by whose it is.
        """
        if self.resting:
            return
        if self.is_lent if last_call is None else not last_call:
            self.resting = True
            self.stopReading()
            return
        self._hide()
        self.resting = True
        if not listens(self.socket):  # it was taken over from one that rests
            self.stopReading()
            return
        hear_nobody(self.socket)
        clock: Any = self.reactor
        self._refusing = clock.callLater(LAST_CALL_SECONDS, self._refuse)

    def _refuse(self) -> None:
        self._refusing = None
        self.numberAccepts = MOST_WAITING
        self.doRead()
        self.stopReading()
        refuse(self.socket)

    def wake(self, *, listen: bool | None = None) -> None:
        """Take clients again. `listen`: see to the socket, too; None: if it is ours. Raises OSError, and rests on."""
        if not self.resting:
            return
        if not self.is_lent if listen is None else listen:
            listen_again(self.socket, self.backlog)
            self._reveal()
        self._settle_rest()
        self.resting = False
        self.startReading()

    def _settle_rest(self) -> None:
        timer, self._refusing = self._refusing, None
        if timer is not None:
            timer.cancel()

    def _hide(self) -> None:
        """Nothing leads to a TCP socket but its address."""

    _reveal = _hide

    def connectionLost(self, reason: Failure) -> None:
        """It is over."""
        self._settle_rest()
        super().connectionLost(reason)

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

    def _logConnectionLostMsg(self) -> None:
        """A line in the log, but not for a socket that others go on with: nothing is closed (Twisted's name)."""
        if not self.is_lent:
            super()._logConnectionLostMsg()

    def _end(self, reason: Failure) -> None:
        if self.connected:  # and not ended with the reactor
            self.stopReading()
            self.connectionLost(reason)

    stopListening = loseConnection

    def _closeSocket(self, orderly: bool) -> None:
        if self._shouldShutdown and listens(self.socket):
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

    def _hide(self) -> None:
        """Nobody finds it by its path; who has found it stays in its queue."""
        if self._bindPath[:1] != b"\0":
            hide(os.fsdecode(self._bindPath))

    def _reveal(self) -> None:
        if self._bindPath[:1] != b"\0":
            reveal(os.fsdecode(self._bindPath))

    def connectionLost(self, reason: Failure) -> None:
        """It is over; its path is removed as ever."""
        if self.resting:
            with suppress(OSError):
                self._reveal()
        super().connectionLost(reason)

    def startListening(self) -> None:
        """Listen; a path that the code before has hidden is not looked for, and `rest` is to follow."""
        path = self._bindPath
        if self._owned and path[:1] != b"\0" and is_hidden(os.fsdecode(path)):
            self._bindPath = b"\0" + path
        super().startListening()
        if self._owned:
            self._bindPath = path

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
