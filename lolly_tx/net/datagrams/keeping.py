"""Clients that stay with this process when another one reads the socket they send to: after an upgrade.

    client that has a session here --> a socket of its own, bound as the shared one is, connected to that client
    everybody else                 --> the shared socket, which the other process reads

Of several sockets at one address the kernel takes the one that is connected to the sender. So a session goes on with
its target, from the port that the target knows, until it ends; with its socket closed its client is the other one's.

Imports: net.datagrams, Twisted. Used by: net.datagrams.port.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any, Protocol

from twisted.python.failure import Failure

from lolly_tx.net.datagrams.session import DatagramSession
from lolly_tx.net.datagrams.sockets import text_of, why_dropped

AT_ONCE = 16
"""Datagrams of one client that are read in one turn; what does not fit is first in the next."""

MOST_KEPT = 1024
"""Clients, those that were heard last: for each datagram the kernel looks through all sockets of its port."""

_PLAIN = (0, 4, 16)
"""Bytes of the addresses of ours that can be bound to as they are: those of one link need more."""


MakeKept = Callable[[DatagramSession, socket.socket], socket.socket]


class KeepingPort(Protocol):
    """What a kept client asks of its port (`net.datagrams.port`)."""

    reactor: Any
    buffer: memoryview
    now: Callable[[], float]
    sessions: dict[Any, DatagramSession]


def connected_to(session: DatagramSession, listening: socket.socket) -> socket.socket:
    """A socket that gets what the client of `session` sends to `listening`, which others may share. Raises OSError."""
    made = socket.socket(listening.family, socket.SOCK_DGRAM)
    try:
        made.setblocking(False)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        host, *rest = listening.getsockname()
        made.bind((text_of(session.asked_at) or host, *rest))
        made.connect(session.client)
    except OSError:
        made.close()
        raise
    return made


class KeptClient:
    """Reads what the client of `session` sends."""

    def __init__(
        self, port: KeepingPort, session: DatagramSession, made: socket.socket
    ) -> None:
        self._port = port
        self._session = session
        self._socket = made
        port.reactor.addReader(self)

    def doRead(self) -> None:
        """Datagrams have come."""
        port, session = self._port, self._session
        view, now = port.buffer, port.now()
        for _ in range(AT_ONCE):
            try:
                size, client = self._socket.recvfrom_into(view)
            except BlockingIOError:
                return
            except OSError as error:
                session.site.dropped(why_dropped(error), True)
                return
            if client == session.client:
                found: DatagramSession | None = session
            else:  # it came in the moment before this was connected
                key = (
                    client
                    if session.key == session.client
                    else (client, session.key[1])
                )
                found = port.sessions.get(key)
            if found is None or not found.forward(view[:size], now):
                session.site.dropped("no new sessions here", True)
            if session.closed:
                return

    def close(self) -> None:
        """Its client is somebody else's from now on."""
        self._port.reactor.removeReader(self)
        self._socket.close()

    def fileno(self) -> int:
        """Of its socket."""
        return self._socket.fileno()

    def logPrefix(self) -> str:
        """What the log calls it."""
        return "kept client"

    def connectionLost(self, reason: Failure) -> None:
        """The reactor stops, or has been told something of the client (ICMP), which may listen again."""
        if self._port.reactor.running and self._socket.fileno() != -1:
            self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            self._port.reactor.addReader(self)


class Keeping:
    """The kept clients of `port`. `make(session, listening)`: a socket for one. Raises OSError."""

    def __init__(
        self,
        port: KeepingPort,
        make: MakeKept,
    ) -> None:
        self._port = port
        self._make = make
        self._kept: dict[Any, KeptClient] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def keep(self, listening: socket.socket) -> None:
        """Keep all that there are, as far as there are descriptors for them."""
        sessions = [
            one
            for key, one in self._port.sessions.items()
            if key not in self._kept and len(one.asked_at) in _PLAIN
        ]
        sessions.sort(key=lambda one: one.heard_at, reverse=True)
        if not sessions:
            return
        level, name = socket.SOL_SOCKET, socket.SO_REUSEPORT
        shared = listening.getsockopt(level, name)
        listening.setsockopt(level, name, 1)
        try:
            for one in sessions[: MOST_KEPT - len(self._kept)]:
                made = self._make(one, listening)
                self._kept[one.key] = KeptClient(self._port, one, made)
        except OSError:
            return  # the rest has new sessions in the other process
        finally:
            listening.setsockopt(level, name, shared)

    def forget(self, key: Any) -> None:
        """A session is over."""
        kept = self._kept.pop(key, None)
        if kept is not None:
            kept.close()
