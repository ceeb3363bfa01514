"""UDP in memory, for the tests of sessions: a port whose clients and targets are lists."""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Sequence
from typing import Any, cast

from twisted.internet.task import Clock

from lolly_tx.domain.node import Node
from lolly_tx.net.datagrams.acceptor import DatagramAcceptor
from lolly_tx.net.datagrams.port import DatagramPort
from lolly_tx.net.datagrams.session import DatagramSession
from lolly_tx.net.deadlines import Deadlines
from lolly_tx.net.sockets.acceptor import Census
from tests.domain.pools import pool_of

HERE = ("127.0.0.1", 5353)


class FakeSocket:
    """What sockets are asked here. `inbox`: what is read next, datagrams or errors. `outbox`: what was sent."""

    family = socket.AF_INET
    last = 100

    def __init__(self, name: Any = HERE) -> None:
        self.name = name
        self.inbox: deque[Any] = deque()
        self.outbox: list[Any] = []
        self.trouble: list[OSError] = []
        self.pending = 0
        FakeSocket.last += 1
        self.number = FakeSocket.last

    def _next(self) -> Any:
        if not self.inbox:
            raise BlockingIOError
        found = self.inbox.popleft()
        if isinstance(found, OSError):
            raise found
        return found

    def recvfrom_into(self, view: memoryview) -> Any:
        data, client = self._next()
        view[: len(data)] = data
        return len(data), client

    def recvmsg_into(self, views: list[memoryview], size: int) -> Any:
        data, client, ancillary = self._next()
        views[0][: len(data)] = data
        return len(data), ancillary, 0, client

    def recv_into(self, view: memoryview) -> int:
        data: bytes = self._next()
        view[: len(data)] = data
        return len(data)

    def _sent(self, what: Any) -> None:
        if self.trouble:
            raise self.trouble.pop(0)
        self.outbox.append(what)

    def send(self, data: Any) -> None:
        self._sent(bytes(data))

    def sendto(self, data: Any, client: Any) -> None:
        self._sent((bytes(data), client))

    def sendmsg(self, parts: Any, *rest: Any) -> None:
        joined = b"".join(bytes(each) for each in parts)
        self._sent((joined, *rest) if rest else joined)

    def getsockname(self) -> Any:
        return self.name

    def getsockopt(self, level: int, name: int) -> int:
        return self.pending

    def setblocking(self, on: bool) -> None:
        pass

    def fileno(self) -> int:
        return self.number

    def close(self) -> None:
        self.number = -1


class FakeReactor(Clock):
    """Knows who reads."""

    running = True

    def __init__(self) -> None:
        super().__init__()
        self.readers: list[Any] = []

    def addReader(self, reader: Any) -> None:
        if reader not in self.readers:
            self.readers.append(reader)

    def removeReader(self, reader: Any) -> None:
        if reader in self.readers:
            self.readers.remove(reader)


class FakeSite:
    """Opens sessions to nodes of a pool at once, or as a test says."""

    idle = 60.0

    def __init__(self, now: Any) -> None:
        self.pool = pool_of("a", "b")
        self.now = now
        self.fit = True
        self.at_once = True
        self.header = b""
        self.avoided: list[Sequence[Node]] = []
        self.drops: list[tuple[str, bool]] = []
        self.ends: list[str] = []

    def find(self, session: DatagramSession, avoid: Sequence[Node]) -> None:
        self.avoided.append(avoid)
        session.lease = self.pool.acquire(self.now(), avoid=avoid)
        session.header = self.header
        if self.at_once:
            session.open("10.0.0.1", 53)

    def stays(self, node: Node, since: float, now: float) -> bool:
        return self.fit

    def dropped(self, why: str, upwards: bool) -> None:
        self.drops.append((why, upwards))

    def over(self, session: DatagramSession, error: Any) -> None:
        self.ends.append(session.why)


class World:
    """A port, its acceptor, and the sockets its sessions have made."""

    def __init__(self, most: int = 3, name: Any = HERE, site: Any = None) -> None:
        self.reactor = FakeReactor()
        now = self.reactor.seconds
        self.deadlines = Deadlines(self.reactor, now)
        self.deadlines.start()
        self.site = FakeSite(now) if site is None else site
        self.made: list[FakeSocket] = []
        self.dialled: list[tuple[str, int]] = []
        self.trouble: list[OSError] = []
        """What the next connects come to."""
        self.census = Census(0, 0)
        self.acceptor = DatagramAcceptor(
            "stream s",
            self.site,
            deadlines=self.deadlines,
            census=self.census,
            most=most,
            connect=self._connect,
        )
        self.socket: Any = cast(Any, FakeSocket(name))
        self.port = DatagramPort(self.reactor, self.socket, self.acceptor)
        self.port.startListening()

    def _connect(self, address: str, port: int) -> Any:
        self.dialled.append((address, port))
        if self.trouble:
            raise self.trouble.pop(0)
        self.made.append(FakeSocket())
        return self.made[-1]

    def say(self, data: bytes, port: int = 1, host: str = "10.9.9.9") -> None:
        """A client sends that."""
        self.socket.inbox.append((data, (host, port)))
        self.port.doRead()

    def session(self, port: int = 1) -> DatagramSession:
        """That of a client."""
        return self.port.sessions["10.9.9.9", port]

    def leases(self) -> int:
        """Those that are held."""
        return sum(node.in_flight for node in self.site.pool.nodes.values())

    def pass_time(self, seconds: float) -> None:
        """Let the deadlines be looked at all the while."""
        self.reactor.pump([0.1] * round(seconds * 10))
