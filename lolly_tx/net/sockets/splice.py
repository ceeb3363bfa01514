"""Moving bytes from one socket to another inside the kernel.

A `Relay` takes over the reading of one transport and the writing of another and moves
bytes with splice(2) through a pipe; they never enter user space. Measured: a fifth of
the CPU a copying relay needs (benchmarks/relay.py).

    source socket --splice--> pipe --splice--> sink socket

    waiting for the source: the pipe is empty, the source is watched for reading
    waiting for the sink:   the pipe holds bytes (or the sink's own queue does),
                            the sink is watched for writing, the source is not watched

The source is read only while the pipe is empty, so EAGAIN from it can mean but one
thing. A relay holds a pipe only while bytes are in it: a thousand idle tunnels hold
none.

Imports: net.sockets, Twisted. Used by: net, net.files, net.http1,
net.sockets.standstill, proxy, proxy.chains, proxy.files, testing.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from typing import Any

from twisted.internet.main import CONNECTION_LOST
from twisted.python.failure import Failure

from lolly_tx.net.sockets.transports import SocketTransport

__all__ = [
    "SINK",
    "SINK_LOST",
    "SOURCE",
    "SOURCE_EOF",
    "SOURCE_RESET",
    "Pipe",
    "PipePool",
    "Relay",
    "can_splice",
]

SOURCE_EOF = "source_eof"
"""The source ended, in good order, before `remaining` bytes had come."""
SOURCE_RESET = "source_reset"
"""The source's connection was reset, aborted or otherwise lost."""
SINK_LOST = "sink_lost"
"""The sink's connection was lost, or takes no more bytes."""

SOURCE = "source"
SINK = "sink"

PIPE_BYTES = 1 << 20
"""Capacity asked for: the most an ordinary user may have (fs.pipe-max-size)."""

KEPT_PIPES = 16
"""Idle pipes kept. The kernel grants a user 64 MiB of pipes in all (fs.pipe-user-
pages-soft); a quarter of it leaves room for the relays at work and for others."""

EVENT_BYTES = 1 << 20
"""The most one relay moves before the reactor may serve other connections."""

ROUND_BYTES = 128 << 20
"""What all relays together may move in one round of the reactor, about 30 ms. When there
are so many that EVENT_BYTES each would be more, each has a share of it: 600 times 1 MiB
held everybody else for 0.2 s."""

LEAST_SHARE_BYTES = 1 << 18
"""The smallest share; less costs twice the CPU for each byte, and a round has 512 events
at most."""

WORTH_ANOTHER_BYTES = 65536
"""A read of less has most likely emptied the source: another would only say so."""

COPY_BYTES = 65536
_DONE = "done"

# The kernel may only be asked to try: a socket's pipe end may block otherwise.
_FLAGS = getattr(os, "SPLICE_F_MOVE", 0) | getattr(os, "SPLICE_F_NONBLOCK", 0)


def can_splice(source: Any, sink: Any) -> bool:
    """Whether a `Relay` can serve these two: plain, connected sockets of ours."""
    return hasattr(os, "splice") and all(
        isinstance(transport, SocketTransport)
        and not transport.secure
        and not transport.TLS
        and bool(transport.connected)
        for transport in (source, sink)
    )


class Pipe:
    """The two ends of a pipe. `held`: bytes in it."""

    __slots__ = ("held", "read_fd", "size", "write_fd")

    def __init__(self, size: int) -> None:
        self.read_fd, self.write_fd = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.held = 0
        try:
            self.size = fcntl.fcntl(self.write_fd, fcntl.F_SETPIPE_SZ, size)
        except OSError:
            # Over the user's share of pipe memory: the size it came with will do.
            self.size = fcntl.fcntl(self.write_fd, fcntl.F_GETPIPE_SZ)

    def close(self) -> None:
        """Close both ends; what it holds is lost."""
        os.close(self.read_fd)
        os.close(self.write_fd)


class PipePool:
    """Pipes that are empty and wait for the next relay.

    `size`: capacity asked for, in bytes. `keep`: how many idle ones are kept open.
    `relays`: how many relays that use it are at work.
    """

    def __init__(self, size: int = PIPE_BYTES, keep: int = KEPT_PIPES) -> None:
        self._size = size
        self._keep = keep
        self._idle: list[Pipe] = []
        self.relays = 0

    def __repr__(self) -> str:
        return f"<PipePool of {self._size} bytes each, {len(self._idle)} idle>"

    def take(self) -> Pipe:
        """An empty pipe. OSError: no more descriptors."""
        return self._idle.pop() if self._idle else Pipe(self._size)

    def give_back(self, pipe: Pipe) -> None:
        """Keep `pipe` for another, or close it: when it is not empty, or one too many.

        Bytes left in a pooled pipe would reach somebody else's client.
        """
        if pipe.held or len(self._idle) >= self._keep:
            pipe.close()
        else:
            self._idle.append(pipe)

    def close(self) -> None:
        """Close the idle pipes."""
        while self._idle:
            self._idle.pop().close()


# Kernel buffers belong to the process, not to a configuration; nothing is in them when
# they are here. A pool of one's own can be given to each relay.
_SHARED = PipePool()


class Relay:
    """One direction of bytes between two transports, at work once it is made.

    `source`, `sink`: transports `can_splice` agrees to. Bytes queued in the sink go
    first. `remaining`: how many bytes to move, > 0; None: until the source ends.
    `on_done()`: all moved (delivered to the sink's socket); both transports are in
    normal mode again. After `remaining` bytes the source is read normally unless the
    callback pauses it. After an end of file it is NOT read, or it would report its end
    a second time: lose it, or resume it to have the stock report.
    `on_error(reason)`: it ends here, with one of SOURCE_EOF, SOURCE_RESET, SINK_LOST.
    The transport that failed is then lost by the reactor in the ordinary way; the
    other one is given back. After SOURCE_EOF the source is not read, as above.
    `on_progress(count)`: bytes were delivered; at most once for an event. `patience`:
    seconds the sink may take nothing, for whoever watches the relay.

    One of `on_done` and `on_error` is called once, never from the constructor, and
    nothing after `cancel()`. Attributes: `moved`, bytes delivered to the sink;
    `waiting_for`, SOURCE or SINK: whose fault a standstill is.
    """

    __slots__ = (
        "_on_done",
        "_on_error",
        "_on_progress",
        "_pipe",
        "_pipes",
        "_remaining",
        "_sink",
        "_sink_fd",
        "_source",
        "_source_fd",
        "active",
        "moved",
        "patience",
        "waiting_for",
    )

    def __init__(
        self,
        source: SocketTransport,
        sink: SocketTransport,
        remaining: int | None,
        *,
        on_done: Callable[[], object],
        on_error: Callable[[str], object],
        on_progress: Callable[[int], object] | None = None,
        patience: float = float("inf"),
        pipes: PipePool | None = None,
    ) -> None:
        if remaining is not None and remaining <= 0:
            raise ValueError(f"a relay of {remaining} bytes: nothing to move")
        self._source = source
        self._sink = sink
        self._source_fd = source.fileno()
        self._sink_fd = sink.fileno()
        self._remaining = remaining
        self._on_done = on_done
        self._on_error = on_error
        self._on_progress = on_progress
        self._pipes = _SHARED if pipes is None else pipes
        self._pipes.relays += 1
        self._pipe: Pipe | None = None
        self.patience = patience
        self.moved = 0
        self.active = True
        self.waiting_for = ""
        source.divert_reads(self)
        sink.divert_writes(self)
        if sink.pending_bytes():
            self._wait_for_sink()
        else:
            self._wait_for_source()

    def __repr__(self) -> str:
        state = f"waiting for {self.waiting_for}" if self.active else "over"
        return (
            f"<Relay {self._source!r} -> {self._sink!r}, {self.moved} moved, {state}>"
        )

    @property
    def untaken(self) -> int:
        """Bytes that the sink's kernel has and its peer has not confirmed."""
        return self._sink.untaken_bytes()

    # -- what the transports call

    def source_ready(self) -> Exception | None:
        """The source can be read: in place of its doRead."""
        if self.waiting_for == SINK:
            # An event of the same round as the one that made us wait.
            self._source.stopReading()
            return None
        return self._pump(self._source)

    def sink_ready(self) -> Exception | None:
        """The sink can be written and its queue is empty: in place of its doWrite."""
        return self._pump(self._sink)

    def transport_lost(self, transport: SocketTransport, reason: Failure) -> None:
        """One of the two is about to close."""
        self._finish(SOURCE_RESET if transport is self._source else SINK_LOST)

    # -- what the owner calls

    def cancel(self) -> int:
        """Stop, with no callback. Returns how many bytes taken from the source are lost.

        Both transports are in normal mode; the source is not being read. With 0 lost
        and the source resumed, everything can go on; else abort them.
        """
        lost = 0 if self._pipe is None else self._pipe.held
        if self.active:
            self._detach()
            self._source.stopReading()
        return lost

    # -- the work

    def _pump(self, caller: SocketTransport) -> Exception | None:
        """Move what can be moved now; the result is doRead's or doWrite's."""
        before = self.moved
        outcome = self._move()
        if self._on_progress is not None and self.moved != before:
            self._on_progress(self.moved - before)
        if not outcome:
            return None
        self._finish(outcome)
        if outcome == SOURCE_RESET:
            lost = self._source
        elif outcome == SINK_LOST:
            lost = self._sink
        else:
            return None
        if lost is caller:
            return CONNECTION_LOST
        lost.fail()
        return None

    def _move(self) -> str:
        """Both splices in turn until one side has had enough: "" or how it ended."""
        share = max(ROUND_BYTES // self._pipes.relays, LEAST_SHARE_BYTES)
        budget = min(share, EVENT_BYTES)
        while True:
            pipe = self._pipe
            if pipe is not None and pipe.held:
                try:
                    count = os.splice(
                        pipe.read_fd, self._sink_fd, pipe.held, flags=_FLAGS
                    )
                except BlockingIOError:
                    count = 0
                except OSError:
                    return SINK_LOST
                pipe.held -= count
                self.moved += count
                if pipe.held:
                    self._wait_for_sink()
                    return ""
            if self._remaining == 0:
                return _DONE
            if budget <= 0:
                break
            try:
                count = self._take(budget)
            except BlockingIOError:
                break
            except OSError:
                return SOURCE_RESET
            if not count:
                return _DONE if self._remaining is None else SOURCE_EOF
            if self._remaining is not None:
                self._remaining -= count
            if self._sink.pending_bytes():
                self._wait_for_sink()
                return ""
            if count < WORTH_ANOTHER_BYTES and self.waiting_for == SOURCE:
                # Most likely that was all; the reactor knows when it was not.
                budget = 0
            budget -= count
        self._release()
        self._wait_for_source()
        return ""

    def _take(self, most: int) -> int:
        """Read from the source into the pipe. 0: end of file; BlockingIOError."""
        pipe = self._pipe
        if pipe is None:
            try:
                pipe = self._pipe = self._pipes.take()
            except OSError:
                return self._copy()
        wanted = min(pipe.size, most)
        if self._remaining is not None and self._remaining < wanted:
            wanted = self._remaining
        pipe.held = os.splice(self._source_fd, pipe.write_fd, wanted, flags=_FLAGS)
        return pipe.held

    def _copy(self) -> int:
        """The same without a pipe: there are no descriptors left to make one."""
        wanted = COPY_BYTES
        if self._remaining is not None and self._remaining < wanted:
            wanted = self._remaining
        data = self._source.socket.recv(wanted)
        self._sink.write(data)
        self.moved += len(data)
        return len(data)

    def _wait_for_source(self) -> None:
        if self.waiting_for != SOURCE:
            self.waiting_for = SOURCE
            self._sink.stopWriting()
            self._source.startReading()

    def _wait_for_sink(self) -> None:
        if self.waiting_for != SINK:
            self.waiting_for = SINK
            self._source.stopReading()
        # Always: the stock doWrite stops writing when it has drained its queue.
        self._sink.startWriting()

    def _release(self) -> None:
        if self._pipe is not None:
            self._pipes.give_back(self._pipe)
            self._pipe = None

    def _detach(self) -> None:
        self.active = False
        self._pipes.relays -= 1
        self._release()
        self._source.restore_reads()
        self._sink.restore_writes()

    def _finish(self, outcome: str) -> None:
        if not self.active:
            return
        self._detach()
        if outcome == _DONE and self._remaining == 0:
            self._source.resumeProducing()
        else:
            self._source.stopReading()
        if outcome == _DONE:
            self._on_done()
        else:
            self._on_error(outcome)
