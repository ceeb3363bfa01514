"""TCP and UNIX transports that write at once, for any reactor made of descriptors.

Twisted's transports queue every write, arm the poller and send on the next round: two
`epoll_ctl` and one event per write. The classes here try `send` first when nothing is
queued, and keep every other rule of the stock transports (half-close, producers,
aborts, the order of callbacks) by leaving those cases to the stock code.

    divert_reads / divert_writes: a `net.sockets.splice.Relay` moves bytes itself,
    called back in place of doRead / after the queue drained

`net.sockets.eager` has a reactor make these. At the end are questions that any transport can be asked.

Imports: net.sockets, Twisted. Used by: net, net.checks, net.files, net.http1,
net.http2, net.sockets.direct, net.sockets.eager, net.sockets.splice, net.sockets.tls,
net.streams, net.tunnels, proxy.files.
"""

from __future__ import annotations

import fcntl
import select
import socket
import struct
import termios
from collections.abc import Iterable
from contextlib import suppress
from functools import update_wrapper
from types import FunctionType
from typing import Any, Protocol

from twisted.internet import abstract, tcp, unix
from twisted.internet.interfaces import ISSLTransport
from twisted.internet.main import CONNECTION_DONE, CONNECTION_LOST
from twisted.python.failure import Failure

from lolly_tx.net.sockets.at_once import CLOSED, AtOnce
from lolly_tx.net.sockets.descriptors import handle_of

BULK_BYTES = 8 * 16375
"""The same of a long body that is copied: eight DATA frames of HTTP/2, each of which fills a TLS record."""

PROBES = (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4))
"""Of an idle connection: seconds until the first, between two, and how many may be lost."""

UNSENT_BYTES = 131072
"""That wait in the kernel, of a connection that many share."""
_NOTSENT_LOWAT = getattr(socket, "TCP_NOTSENT_LOWAT", 25)
_OPTIONS = [
    (getattr(socket, name), value)
    for name, value in PROBES
    if hasattr(socket, name)  # not every system has them
]

_INT = struct.Struct("i")


class Diversion(Protocol):
    """What takes the place of a transport's reading or writing: a relay."""

    def source_ready(self) -> Exception | None:
        """There is something to read. The result is doRead's."""

    def sink_ready(self) -> Exception | None:
        """There is room, and no queued byte left. The result is doWrite's."""

    def transport_lost(self, transport: SocketTransport, reason: Failure) -> None:
        """`transport` is about to close; its descriptor is still valid."""


class SocketTransport(AtOnce, tcp.Connection):
    """What our transports add to Twisted's: eager writes, diversions, `pending_bytes`.

    Mixed in before a stock class. `secure`: the bytes on the wire are encrypted by this
    transport.
    """

    doRead: Any  # in the stock classes also a mixin's lambda
    secure = False
    _reads_to: Diversion | None = None
    _writes_to: Diversion | None = None

    def __init_subclass__(cls, **named: Any) -> None:
        """Give each class bytecode of its own for what every message passes through.

        CPython fits bytecode to the types that it meets. Shared by the two ends of a
        proxy it would fit neither, which costs 2 % of a small request.
        """
        super().__init_subclass__(**named)
        for name in ("write", "doRead"):
            shared = getattr(cls, name)
            if not isinstance(shared, FunctionType):
                continue  # it is compiled
            own = FunctionType(
                shared.__code__.replace(),
                shared.__globals__,
                name,
                shared.__defaults__,
                shared.__closure__,
            )
            setattr(cls, name, update_wrapper(own, shared))

    def __init__(self, *args: Any, **named: Any) -> None:
        # What `write` looks at, on the instance: there it is found three times as fast.
        self.disconnecting = self._writeDisconnecting = self._aborting = False
        self.TLS = False
        self.dataBuffer = b""
        super().__init__(*args, **named)
        # Not there where a socket could not be made.
        made: socket.socket | None = getattr(self, "socket", None)
        self.handle: Any = CLOSED if made is None else handle_of(made)

    # -- writing

    def _write_later(self, data: Any) -> None:
        tcp.Connection.write(self, data)

    def _queue(self, data: bytes | memoryview) -> None:
        self._tempDataBuffer.append(data)  # type: ignore[arg-type]  # joined later
        self._tempDataLen += len(data)
        self._maybePauseProducer()
        self.startWriting()

    def writeSequence(self, iovec: Iterable[bytes]) -> None:
        """Send the parts as one write."""
        # sendmsg's vector saves the copy and was no faster, from 100 bytes to 60 KB.
        self.write(b"".join(iovec))

    def pending_bytes(self) -> int:
        """How many bytes are queued in user space."""
        return len(self.dataBuffer) - self.offset + self._tempDataLen

    def untaken_bytes(self) -> int:
        """Those, and what the kernel has and the peer's kernel has not confirmed (SIOCOUTQ)."""
        queued = self.pending_bytes()
        try:
            answer = fcntl.ioctl(self.fileno(), termios.TIOCOUTQ, _INT.pack(0))
        except (OSError, ValueError):  # a system that does not say; no socket any more
            return queued
        unconfirmed: int = _INT.unpack(answer)[0]
        return queued + unconfirmed

    # -- diversions

    def divert_reads(self, relay: Diversion) -> None:
        """Call `relay.source_ready` in place of doRead, until `restore_reads`."""
        self._reads_to = relay
        if not self._aborting:
            self.doRead = relay.source_ready

    def restore_reads(self) -> None:
        """Read for the protocol again. Whether it is reading now is not changed."""
        self._reads_to = None
        if not self._aborting:
            self.__dict__.pop("doRead", None)

    def divert_writes(self, relay: Diversion) -> None:
        """Call `relay.sink_ready` when writable and nothing is queued any more."""
        self._writes_to = relay
        if not self._aborting:
            self.doWrite = self._diverted_write  # type: ignore[method-assign]  # ditto

    def restore_writes(self) -> None:
        """End of `divert_writes`; stops writing unless something is left to write."""
        self._writes_to = None
        if not self._aborting:
            self.__dict__.pop("doWrite", None)
        if not (self.pending_bytes() or self.disconnecting or self._writeDisconnecting):
            self.stopWriting()

    def _diverted_write(self) -> Exception | None:
        if self.pending_bytes() or self.disconnecting or self._writeDisconnecting:
            why = super().doWrite()
            if why is not None or self.pending_bytes():
                return why  # type: ignore[no-any-return]  # an untyped stock method
        # The stock code resumes a producer when it drained: the relay may be gone.
        relay = self._writes_to
        return None if relay is None else relay.sink_ready()

    # -- the end

    def loseConnection(self) -> None:
        """Close when everything has left, in good order.

        With nothing to wait for the kernel is not asked whether it has room: the end comes
        with the next round.
        """
        if (
            self.connected
            and self.producer is None
            and self._writes_to is None
            and not (self.pending_bytes() or self.disconnecting or self._aborting)
            and not (self._writeDisconnecting or self._writeDisconnected)
            and not (self.secure or self.TLS)
        ):
            self.disconnecting = True
            self.stopReading()
            self.reactor.callLater(0, self._leave)  # type: ignore[attr-defined]  # IReactorTime as well
        else:
            super().loseConnection()

    def loseWriteConnection(self) -> None:
        """Send no more when everything has left; with nothing to wait for, from now on."""
        if self._writeDisconnected:
            return  # the stock code would try to send something, and fail
        if (
            self.connected
            and self.producer is None
            and self._writes_to is None
            and not (self.pending_bytes() or self.disconnecting or self._aborting)
            and not (self._writeDisconnecting or self.secure or self.TLS)
        ):
            self._writeDisconnecting = self._writeDisconnected = True
            self._closeWriteConnection()
        else:
            super().loseWriteConnection()

    def _leave(self) -> None:
        # What was written in between is sent first; the writer ends the connection then.
        if not self.pending_bytes():
            self.connectionLost(Failure(CONNECTION_DONE))

    def fail(self) -> None:
        """Lose the connection in the next round: a relay met its socket's error."""
        self._broken = True
        self.stopReading()
        self.reactor.callLater(  # type: ignore[attr-defined]  # ditto
            0, self.connectionLost, Failure(CONNECTION_LOST)
        )

    def _closeSocket(self, orderly: bool) -> None:
        self.handle = CLOSED  # the number of the descriptor will be somebody else's
        super()._closeSocket(orderly)

    def connectionLost(self, reason: Failure) -> None:
        """Tell the relays first, while the descriptor is valid, then the protocol."""
        for relay in (self._reads_to, self._writes_to):
            if relay is not None:
                relay.transport_lost(self, reason)
        super().connectionLost(reason)


class PlainServer(SocketTransport, tcp.Server):
    """An accepted TCP connection."""


class PlainClient(SocketTransport, tcp.Client):
    """A TCP connection we opened."""

    def createInternetSocket(self) -> socket.socket:
        """A non-blocking socket with TCP_NODELAY: we write whole messages."""
        created: socket.socket = super().createInternetSocket()
        created.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
        return created


class UNIXTransport(SocketTransport):
    """The same for UNIX sockets. Descriptors sent to us are dropped by the kernel."""

    _sendmsgQueue: list[int]

    def write(self, data: bytes) -> None:
        """Send `data`; by the stock code while descriptors wait to go with it."""
        if self._sendmsgQueue:
            abstract.FileDescriptor.write(self, data)
        else:
            super().write(data)


class PlainUNIXServer(UNIXTransport, unix.Server):
    """An accepted UNIX connection."""


class PlainUNIXClient(UNIXTransport, unix.Client):
    """A UNIX connection we opened."""


def pending_bytes(transport: Any) -> int:
    """Bytes queued in user space by any transport; 0 for one that cannot tell."""
    count = getattr(transport, "pending_bytes", None)
    return 0 if count is None else count()


def untaken_bytes(transport: Any) -> int:
    """What was written and the peer has not taken; any change is progress of the peer.

    The kernel keeps megabytes for a slow reader, and takes no more of ours until a third
    of them has left. One system call: for when a deadline is looked at, not for every
    write. As `pending_bytes` for a transport that cannot tell.
    """
    count = getattr(transport, "untaken_bytes", None)
    return pending_bytes(transport) if count is None else count()


def is_quiet(transport: Any) -> bool:
    """Nothing has arrived on an idle connection that was not read yet, no end of file either (one system call)."""
    # Twisted's TLS is a protocol with the plain transport below it. Of TLS bytes that
    # wait there most are a goodbye.
    plain = getattr(transport, "transport", transport)
    try:
        plain.getHandle().recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return True
    except (OSError, AttributeError):
        pass
    return False


def has_hung_up(transport: Any) -> bool:
    """Whether the connection is dead both ways, found out without reading from it.

    A transport that is neither read nor written is out of the reactor's sight. False for
    one that has no descriptor of its own.
    """
    descriptor = getattr(transport, "fileno", int)()
    if descriptor <= 0:
        return False
    watch = select.poll()
    watch.register(descriptor, 0)  # errors and hang-ups are always reported
    return bool(watch.poll(0))


def probe_when_idle(transport: Any) -> None:
    """Have the kernel ask an idle peer whether it is there (TCP keep-alive).

    One that has vanished without a word is then lost after two minutes. Does nothing
    for what is no TCP connection.
    """
    sock = getattr(transport, "socket", None)
    if isinstance(sock, socket.socket):
        with suppress(OSError):  # a UNIX socket has no such options
            for option, value in _OPTIONS:
                sock.setsockopt(socket.IPPROTO_TCP, option, value)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


def queue_little(transport: Any) -> None:
    """Have the kernel take no more ahead than it is about to send, so that who is in a hurry waits here and not there.

    Does nothing for what is no TCP connection, or where the kernel cannot.
    """
    sock = getattr(transport, "socket", None)
    if isinstance(sock, socket.socket):
        with suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, _NOTSENT_LOWAT, UNSENT_BYTES)


def is_secure(transport: Any) -> bool:
    """Whether the wire is encrypted, for any transport, Twisted's TLS included."""
    return ISSLTransport.providedBy(transport) or getattr(transport, "secure", False)
