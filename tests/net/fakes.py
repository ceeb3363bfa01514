"""Transports and reactors for the tests of the I/O adapters.

`MemoryTransport` needs no socket. `SteppingTestCase` drives real sockets of this process
on an uninstalled reactor, one bounded round at a time: no waiting for the clock.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from twisted.internet import interfaces, protocol
from twisted.internet.main import CONNECTION_LOST
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from lolly_tx.net.sockets.reactor import LollyReactor
from lolly_tx.net.sockets.transports import PlainServer

PATIENCE_SECONDS = 10
"""How long a test goes round before it gives up."""


class MemoryTransport(StringTransport):
    """Keeps what is written. `queued`: bytes it claims not to have sent yet."""

    secure = False

    def __init__(self, *args: Any, queued: int = 0, **named: Any) -> None:
        super().__init__(*args, **named)
        self.queued = queued
        self.half_closed = False

    def pending_bytes(self) -> int:
        """What the test set."""
        return self.queued

    def loseWriteConnection(self) -> None:
        """Note the half-close."""
        self.half_closed = True

    @property
    def paused(self) -> bool:
        """Whether the protocol asked not to be given more."""
        return self.producerState == "paused"


class Recorder(protocol.Protocol):
    """Keeps all that happens to it."""

    def __init__(self) -> None:
        self.received = bytearray()
        self.reason: Any = None
        self.on_data: Callable[[bytes], object] = lambda data: None

    def dataReceived(self, data: bytes) -> None:
        """Keep the bytes."""
        self.received += data
        self.on_data(data)

    def connectionLost(self, reason: Any = None) -> None:
        """Keep the class of the reason."""
        self.reason = reason.type


@implementer(interfaces.IHalfCloseableProtocol)
class HalfCloseRecorder(Recorder):
    """The same, told of half-closes."""

    def __init__(self) -> None:
        super().__init__()
        self.halves: list[str] = []

    def readConnectionLost(self) -> None:
        """The peer will send no more."""
        self.halves.append("read")

    def writeConnectionLost(self) -> None:
        """Our half is closed."""
        self.halves.append("write")


class RecordingFactory(protocol.Factory):
    """Makes Recorders and keeps them in `served`."""

    noisy = False

    def __init__(self) -> None:
        self.served: list[Recorder] = []

    def buildProtocol(self, addr: Any) -> Any:
        """One more."""
        self.served.append(Recorder())
        return self.served[-1]


@implementer(interfaces.IPushProducer, interfaces.IPullProducer)
class RecordingProducer:
    """Keeps what it was asked."""

    def __init__(self, resume: Callable[[], object] = lambda: None) -> None:
        self.calls: list[str] = []
        self._resume = resume

    def pauseProducing(self) -> None:
        """Pause."""
        self.calls.append("pause")

    def resumeProducing(self) -> None:
        """Resume, or the next piece."""
        self.calls.append("resume")
        self._resume()

    def stopProducing(self) -> None:
        """The consumer is gone."""
        self.calls.append("stop")


def socket_pair(
    send_buffer: int | None = None,
) -> tuple[socket.socket, socket.socket]:
    """Two connected TCP sockets on loopback. The second is the test's, blocking."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(1)
        theirs = socket.create_connection(listening.getsockname(), timeout=10)
        ours, _ = listening.accept()
    if send_buffer is not None:
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, send_buffer)
    return ours, theirs


def reset(sock: socket.socket) -> None:
    """Close so that the peer gets a RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    sock.close()


def open_descriptors() -> int:
    """How many descriptors this process has open."""
    return len(os.listdir("/proc/self/fd"))


class SteppingTestCase(SynchronousTestCase):
    """Tests with a reactor of their own that is never installed or run."""

    reactor_class: Callable[[], Any] = LollyReactor

    def setUp(self) -> None:
        """A fresh reactor."""
        self.reactor = self.reactor_class()
        self.addCleanup(self._close)

    def _close(self) -> None:
        for selectable in self.reactor.removeAll():
            selectable.connectionLost(Failure(CONNECTION_LOST))
        self.reactor.iterate(0)
        if hasattr(self.reactor, "_poller"):
            self.reactor._poller.close()
        self.reactor.waker.connectionLost(None)

    def spin(self, until: Callable[[], object], what: str = "it") -> None:
        """Run rounds until it is so; the test fails if it never is."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not until():
            if time.monotonic() > deadline:
                self.fail(f"waited in vain for {what}")
            self.reactor.iterate(0.01)

    def spin_until_lost(self, proto: Any) -> None:
        """Run rounds until the protocol's connection is lost."""
        self.spin(lambda: proto.reason, "connectionLost")

    def rounds(self, count: int = 5) -> None:
        """Run some rounds in which nothing need happen."""
        for _ in range(count):
            self.reactor.iterate(0)

    def accepted(
        self,
        proto: Any = None,
        transport_class: Any = PlainServer,
        send_buffer: int | None = None,
        **server: Any,
    ) -> tuple[Any, Recorder, socket.socket]:
        """A connected transport, its protocol, and the test's end as a socket."""
        proto = Recorder() if proto is None else proto
        ours, theirs = socket_pair(send_buffer)
        self.addCleanup(theirs.close)
        port = SimpleNamespace(_realPortNumber=0, **server)
        transport = transport_class(
            ours, proto, ("127.0.0.1", 1), port, 0, self.reactor
        )
        proto.makeConnection(transport)
        return transport, proto, theirs

    def drain(self, sock: socket.socket, size: int | None = None) -> bytes:
        """Read `size` bytes (None: to the end) while the reactor goes round."""
        sock.setblocking(False)
        got = bytearray()

        def step() -> bool:
            try:
                while size is None or len(got) < size:
                    data = sock.recv(1 << 18)
                    if not data:
                        return True
                    got.extend(data)
            except BlockingIOError:
                return False
            return True

        self.spin(step, "the other end's bytes")
        return bytes(got)
