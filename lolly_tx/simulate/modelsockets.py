"""Sockets of datagrams that are none: what a port and its sessions ask of theirs, for a simulation.

Imports: nothing of ours. Used by: simulate.conversations.
"""

from __future__ import annotations

import errno
import socket
from collections import deque
from collections.abc import Callable
from typing import Any


class ModelReactor:
    """Knows who reads, and has them read when something has come."""

    running = True

    def __init__(self) -> None:
        self._readers: dict[int, Any] = {}
        self._last = 0

    def number(self) -> int:
        """One for another socket."""
        self._last += 1
        return self._last

    def addReader(self, reader: Any) -> None:
        """Have it read from now on."""
        self._readers[reader.fileno()] = reader

    def removeReader(self, reader: Any) -> None:
        """Let it read no more."""
        self._readers.pop(reader.fileno(), None)

    def wake(self, made: ModelSocket) -> None:
        """There is something to read."""
        reader = self._readers.get(made.number)
        if reader is not None:
            reader.doRead()


class PortSocket:
    """Where clients send. `inbox`: sizes, and who sent them. `came_back(asked)`: called for each answer.

    `asked`: when that was sent which is answered now, seconds.
    """

    family = socket.AF_INET

    def __init__(self, came_back: Callable[[float], None]) -> None:
        self.inbox: deque[tuple[int, tuple[str, int]]] = deque()
        self.asked = 0.0
        self._came_back = came_back

    def recvfrom_into(self, view: memoryview) -> tuple[int, tuple[str, int]]:
        """What a client sent; nobody looks at the bytes."""
        if not self.inbox:
            raise BlockingIOError
        return self.inbox.popleft()

    def sendto(self, data: memoryview, client: tuple[str, int]) -> None:
        """An answer has come through."""
        self._came_back(self.asked)

    def getsockname(self) -> tuple[str, int]:
        """An address that needs no care."""
        return "127.0.0.1", 0

    def fileno(self) -> int:
        """None of the sockets of sessions."""
        return 0


class ModelSocket:
    """A session's own. `ask(self, target)`: told of each datagram to `target`. `inbox`: sizes of answers, or errors."""

    __slots__ = ("_ask", "_target", "closed", "inbox", "number")

    def __init__(
        self, number: int, ask: Callable[[ModelSocket, str], None], target: str
    ) -> None:
        self.number = number
        self.inbox: deque[int | OSError] = deque()
        self.closed = False
        self._ask = ask
        self._target = target

    def refuse(self) -> None:
        """The target's machine has said that nobody is there."""
        self.inbox.append(OSError(errno.ECONNREFUSED, "connection refused"))

    def send(self, data: bytes | memoryview) -> None:
        """A datagram goes to the target."""
        self._ask(self, self._target)

    def recv_into(self, view: memoryview) -> int:
        """What has come from there."""
        if not self.inbox:
            raise BlockingIOError
        found = self.inbox.popleft()
        if isinstance(found, OSError):
            raise found
        return found

    def fileno(self) -> int:
        """As the reactor knows it."""
        return self.number

    def close(self) -> None:
        """Nothing comes any more."""
        self.closed = True
