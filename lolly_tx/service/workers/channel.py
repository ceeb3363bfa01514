"""Messages between the processes of one proxy: JSON objects, each with its length before it, and descriptors.

    4 bytes, big endian: the length | a JSON object; its "fds", if it has any, says how many descriptors came with it

Both ends run the same code, so a message that cannot be read is a bug or a stranger, and ends the connection. `Channel`
is for a reactor, `read_message` and `write_message` for a process that has none.

Imports: Twisted. Used by: service.workers.
"""

from __future__ import annotations

import json
import os
import socket
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from twisted.internet.interfaces import IFileDescriptorReceiver
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

Message = dict[str, Any]

LARGEST_MESSAGE = 64 << 20
"""Bytes; the settings of a proxy are the largest that is sent."""

MOST_DESCRIPTORS = 250
"""Of one message to a process without a reactor: the kernel takes 253 at once."""

_LENGTH = 4


class BadMessage(Exception):
    """What came is no message."""


def encode(message: Mapping[str, Any]) -> bytes:
    """A message as it is sent."""
    text = json.dumps(message, separators=(",", ":")).encode()
    return len(text).to_bytes(_LENGTH) + text


class Inbox:
    """Puts messages together from pieces of bytes, and descriptors that come before the message they belong to."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._descriptors: deque[int] = deque()

    def descriptor(self, fd: int) -> None:
        """A descriptor has come."""
        self._descriptors.append(fd)

    def feed(self, data: bytes) -> list[tuple[Message, list[int]]]:
        """The messages that are complete now, each with its descriptors. Raises `BadMessage`."""
        self._data += data
        found = []
        while (one := self._next()) is not None:
            count = one.get("fds", 0)
            if count > len(self._descriptors):
                raise BadMessage("descriptors are missing")
            found.append((one, [self._descriptors.popleft() for _ in range(count)]))
        return found

    def _next(self) -> Message | None:
        data = self._data
        if len(data) < _LENGTH:
            return None
        end = _LENGTH + int.from_bytes(data[:_LENGTH])
        if end > LARGEST_MESSAGE:
            raise BadMessage("the message is too long")
        if len(data) < end:
            return None
        try:
            one = json.loads(data[_LENGTH:end])
        except ValueError as error:
            raise BadMessage(str(error)) from error
        del data[:end]
        if not isinstance(one, dict):
            raise BadMessage("the message is no object")
        return one

    def close(self) -> None:
        """Close the descriptors that belong to nothing."""
        while self._descriptors:
            os.close(self._descriptors.popleft())


@implementer(IFileDescriptorReceiver)
class Channel(Protocol):
    """One end, on a reactor.

    `on_message(message, descriptors)`: the descriptors are its own from then on. `on_lost`: the other end is gone.
    """

    log: ClassVar[Logger] = Logger()

    def __init__(
        self,
        on_message: Callable[[Message, list[int]], None],
        on_lost: Callable[[], None],
    ) -> None:
        self._inbox = Inbox()
        self._on_message = on_message
        self._on_lost = on_lost
        self._open = False

    def connectionMade(self) -> None:
        """The connection is there."""
        self._open = True

    @property
    def open(self) -> bool:
        """The other end is there, as far as is known."""
        return self._open

    def send(self, message: Message, descriptors: Sequence[int] = ()) -> None:
        """Send one; to nobody, when the other end is gone. The descriptors stay the sender's, and open for now."""
        if not self._open:
            return
        transport: Any = self.transport
        for fd in descriptors:
            transport.sendFileDescriptor(fd)
        if descriptors:
            message = {**message, "fds": len(descriptors)}
        transport.write(encode(message))

    def fileDescriptorReceived(self, descriptor: int) -> None:
        """A descriptor, before the message that it belongs to."""
        self._inbox.descriptor(descriptor)

    def dataReceived(self, data: bytes) -> None:
        """Take the messages; one that fails hinders no other."""
        transport: Any = self.transport
        try:
            messages = self._inbox.feed(data)
        except BadMessage as error:
            self.log.error("A message between processes: {error}", error=error)
            transport.abortConnection()
            return
        for message, descriptors in messages:
            try:
                self._on_message(message, descriptors)
            except Exception:
                self.log.failure("A message of {kind}", kind=message.get("t"))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The other end is gone."""
        self._open = False
        self._inbox.close()
        self._on_lost()

    def close(self) -> None:
        """End the connection, when what was sent has gone out."""
        if self._open:
            transport: Any = self.transport
            transport.loseConnection()


def attach(reactor: Any, end: socket.socket, channel: Channel) -> None:
    """Let `channel` speak over `end`, which is closed here: the reactor has a copy of its own."""
    end.setblocking(False)
    reactor.adoptStreamConnection(
        end.fileno(), socket.AF_UNIX, Factory.forProtocol(lambda: channel)
    )
    end.close()


def read_message(end: socket.socket, inbox: Inbox) -> list[tuple[Message, list[int]]]:
    """What has come on a blocking socket, once something has. Raises `BadMessage`, EOFError when the other is gone."""
    data, descriptors, _, _ = socket.recv_fds(end, 1 << 16, MOST_DESCRIPTORS)
    for fd in descriptors:
        inbox.descriptor(fd)
    if not data:
        raise EOFError
    return inbox.feed(data)


def write_message(end: socket.socket, message: Message) -> None:
    """Send one on a blocking socket. Raises OSError."""
    end.sendall(encode(message))
