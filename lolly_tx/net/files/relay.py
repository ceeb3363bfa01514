"""Moving the bytes of a file to a socket inside the kernel.

A `FileRelay` takes over the writing of a transport, as a `net.sockets.splice.Relay` does, and has sendfile(2) move
the bytes. sendfile waits for no peer, but for the disk it does: so each window of the file is only sent when the kernel
has it in memory, and else a thread has it read first.

    waiting for the sink:    the socket is watched for writing
    waiting for the source:  a thread reads the next window, the socket is not watched

A client that does not read costs the descriptor of its file, and no memory.

Imports: net.files, net.sockets, Twisted. Used by: proxy.files.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

from twisted.internet.main import CONNECTION_LOST
from twisted.python.failure import Failure

from lolly_tx.net.files.content import OpenFile
from lolly_tx.net.sockets.splice import (
    SINK,
    SINK_LOST,
    SOURCE,
    SOURCE_EOF,
)
from lolly_tx.net.sockets.transports import SocketTransport

SOURCE_FAILED = "source_failed"
"""The disk did not give what was asked of it."""

TURN_BYTES = 2 << 20
"""The most one relay sends before the reactor may serve other connections: some 0.2 ms."""

WINDOW_BYTES = 1 << 20
"""Looked at in one go, and read by a thread in one go."""

_DISK = frozenset((errno.EIO, errno.EINVAL, errno.ESTALE, errno.EOVERFLOW))


class FileRelay:
    """Sends `count` bytes of `file` from `start` on; `begin` begins.

    `sink`: a transport that `net.sockets.splice.can_splice` agrees to; what is queued in it goes first.
    `on_done()`: all is with the sink's socket. `on_error(reason)`: it ends here, with SOURCE_EOF (the file has
    become shorter), SOURCE_FAILED or SINK_LOST. One of them is called once, and nothing after `cancel()`.
    `patience`: seconds the sink may take nothing, for whoever watches the relay. `moved`, `waiting_for`,
    `active`: as of a `Relay`. The file is the owner's to release.
    """

    __slots__ = (
        "_at",
        "_file",
        "_left",
        "_on_done",
        "_on_error",
        "_sink",
        "_socket_fd",
        "_warm",
        "active",
        "moved",
        "patience",
        "waiting_for",
    )

    def __init__(
        self,
        file: OpenFile,
        start: int,
        count: int,
        sink: SocketTransport,
        *,
        on_done: Callable[[], object],
        on_error: Callable[[str], object],
        patience: float,
    ) -> None:
        self._file = file
        self._at = self._warm = start
        self._left = count
        self._sink = sink
        self._socket_fd = sink.fileno()
        self._on_done = on_done
        self._on_error = on_error
        self.patience = patience
        self.moved = 0
        self.active = True
        self.waiting_for = SINK

    def __repr__(self) -> str:
        state = f"waiting for {self.waiting_for}" if self.active else "over"
        return f"<FileRelay {self.moved} moved, {self._left} left, {state}>"

    @property
    def untaken(self) -> int:
        """Bytes that the sink's kernel has and its peer has not confirmed."""
        return self._sink.untaken_bytes()

    def begin(self) -> None:
        """Send what can be sent now; it may be over when this returns."""
        self._sink.divert_writes(self)
        if self._sink.pending_bytes():
            self._sink.startWriting()
        else:
            self._go_on()

    # -- what the transport calls

    def source_ready(self) -> Exception | None:
        """Nothing: the transport is read as before."""

    def sink_ready(self) -> Exception | None:
        """The sink can be written and its queue is empty: in place of its doWrite."""
        if self.waiting_for == SOURCE:
            # An event of the same round as the one that made us wait.
            self._sink.stopWriting()
            return None
        return CONNECTION_LOST if self._pump() == SINK_LOST else None

    def transport_lost(self, transport: SocketTransport, reason: Failure) -> None:
        """The sink is about to close."""
        self._finish(SINK_LOST)

    # -- what the owner calls

    def cancel(self) -> None:
        """Stop, with no callback; the sink is in normal mode again."""
        if self.active:
            self._detach()

    # -- the work

    def _go_on(self) -> None:
        if self._pump() == SINK_LOST:
            self._sink.fail()

    def _pump(self) -> str:
        """Move what can be moved now: "" or how it ended."""
        outcome = self._move()
        if outcome is None:
            return ""
        self._finish(outcome)
        return outcome

    def _move(self) -> str | None:
        """Send until the sink has had enough: None, "" for all is sent, or what went wrong."""
        budget = TURN_BYTES
        while self._left:
            size = min(self._left, WINDOW_BYTES)
            if self._at >= self._warm:
                if not self._file.is_warm(self._at, size):
                    self._wait_for_source(size)
                    return None
                self._warm = self._at + size
            try:
                sent = os.sendfile(
                    self._socket_fd,
                    self._file.fd,
                    self._at,
                    min(self._left, self._warm - self._at),
                )
            except BlockingIOError:
                break
            except OSError as error:
                return SOURCE_FAILED if error.errno in _DISK else SINK_LOST
            if not sent:
                return SOURCE_EOF
            self._at += sent
            self._left -= sent
            self.moved += sent
            budget -= sent
            if budget <= 0:
                break
        if not self._left:
            return ""
        # Always: the stock doWrite stops writing when it has drained its queue.
        self._sink.startWriting()
        return None

    def _wait_for_source(self, size: int) -> None:
        self.waiting_for = SOURCE
        self._sink.stopWriting()
        self._file.warm(self._at, size, self._arrived)

    def _arrived(self, error: Exception | None) -> None:
        """The thread has had the next window read."""
        if not self.active:
            return
        self.waiting_for = SINK
        if error is not None:
            self._finish(SOURCE_FAILED)
            return
        self._warm = self._at + min(self._left, WINDOW_BYTES)
        self._go_on()

    def _detach(self) -> None:
        self.active = False
        self._sink.restore_writes()

    def _finish(self, outcome: str) -> None:
        if not self.active:
            return
        self._detach()
        if outcome:
            self._on_error(outcome)
        else:
            self._on_done()
