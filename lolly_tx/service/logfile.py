"""A file that lines are appended to: a path, or standard output.

Imports: nothing of ours. Used by: service.build, service.process, service.records,
service.registry, service.surroundings, service.workers.

Writing never waits. A regular file takes what it is given; a pipe, a socket or a terminal may have a reader that
stopped (`twistd -n ... | less`), which would otherwise hold the whole proxy. What it does not take at once is kept, up
to a bound. Standard output is not switched to non-blocking mode: the mode belongs to everybody who shares it, such as
the shell. Instead it is opened once more for ourselves, a socket is asked not to wait with each write, and where
neither can be, a write is only made when poll(2) says that it will not block.
"""

from __future__ import annotations

import os
import select
import socket
import stat
import time
from collections import deque
from contextlib import suppress

BACKLOG_BYTES = 1 << 20
"""Kept of what a reader does not take; some 5,000 lines."""

LAST_SECONDS = 1.0
"""What a reader that is behind gets at the end of the process."""

# A write of up to this many bytes to a pipe that poll(2) calls writable does not block.
_PIPE_WRITE_BYTES = select.PIPE_BUF


class LogFile:
    """Appends bytes to `path`, or to standard output when it is "-".

    Raises `OSError` when the file cannot be opened. `stdout`: the descriptor that "-"
    stands for; it is looked at when the first line is written. `backlog_bytes`: the most
    that is kept for a reader. `whole_lines`: other processes write to the same pipe, so that each write has to be whole
    lines, of at most as many bytes as a pipe takes in one piece; only longer lines may be mixed with theirs.
    """

    def __init__(
        self,
        path: str,
        *,
        stdout: int = 1,
        backlog_bytes: int = BACKLOG_BYTES,
        whole_lines: bool = False,
    ) -> None:
        self.path = path
        self._owned = path != "-"
        self.descriptor = stdout
        """What "-" stands for."""
        self._backlog_bytes = backlog_bytes
        self._whole_lines = whole_lines
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._cut = False  # what was written last is the beginning of a line
        self._closed = False
        self._fd = -1
        if self._owned:
            self._use(self._open())

    @property
    def waiting(self) -> bool:
        """A reader has not taken all yet, or a full disk."""
        return bool(self._waiting)

    @property
    def waiting_bytes(self) -> int:
        """How much that is."""
        return self._waiting_bytes

    @property
    def waiting_lines(self) -> int:
        """How many lines, one that was begun included."""
        return sum(data.count(b"\n") for data in self._waiting)

    def _open(self) -> int:
        """Open the file; one that has to be made can be read by whoever can read the one in use."""
        # Non-blocking, so that opening a named pipe nobody reads fails at once.
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
        try:
            made = os.open(self.path, flags | os.O_EXCL, 0o640)
        except FileExistsError:
            return os.open(self.path, flags, 0o640)
        if self._fd >= 0:
            # A daemon has another umask than who made the first file.
            old = os.fstat(self._fd)
            with suppress(OSError):
                os.fchown(made, -1, old.st_gid)
            with suppress(OSError):
                os.fchmod(made, stat.S_IMODE(old.st_mode))
        return made

    def _use(self, fd: int) -> None:
        """Write to `fd` from now on, and learn what kind of file it is."""
        self._fd = fd
        self._poll: select.poll | None = None
        self._socket: socket.socket | None = None
        mode = os.fstat(fd).st_mode
        if stat.S_ISSOCK(mode):
            self._socket = socket.socket(fileno=os.dup(fd))
        elif not self._owned and not stat.S_ISREG(mode):
            # Another description of the same pipe or terminal has a mode of its own.
            again = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
            try:
                self._fd = os.open(f"/proc/self/fd/{fd}", again)
            except OSError:
                self._poll = select.poll()
                self._poll.register(fd, select.POLLOUT)

    def write(self, data: bytes, *, extra_bytes: int = 0) -> None:
        """Append `data`, whole lines: all of them, or none when it raises.

        Raises `BlockingIOError` when the reader is too far behind, and `OSError` when the
        disk is full or the reader is gone. What was written in part is completed by a
        later call, so that no two lines mix. `extra_bytes`: kept for a reader beyond the
        bound, of who has more to say than the others that write here.
        """
        if self._closed:
            raise ValueError("the log file is closed")
        if self._fd < 0:
            self._use(self.descriptor)
        self.flush()
        if self._waiting:
            if self._waiting_bytes + len(data) > self._backlog_bytes + extra_bytes:
                raise BlockingIOError("the reader of the log is behind")
            self._keep(data)
            return
        done, error = self._push(data)
        if error is not None and not done:
            raise error
        self._cut = data[done - 1 : done] != b"\n" if done else False
        self._keep(data[done:])

    def flush(self) -> None:
        """Let the reader have what it did not take before, as far as it takes it now. Raises as `write` does."""
        waiting = self._waiting
        while waiting:
            data = waiting[0]
            done, error = self._push(data)
            self._waiting_bytes -= done
            if done:
                self._cut = data[done - 1 : done] != b"\n"
            if done < len(data):
                waiting[0] = data[done:]
                if error is not None:
                    raise error
                return
            waiting.popleft()

    def _keep(self, data: bytes) -> None:
        if data:
            self._waiting.append(data)
            self._waiting_bytes += len(data)

    def drain(self, seconds: float) -> None:
        """Wait so long at most for a reader that is behind; for the end, when nobody is served any more."""
        end = time.monotonic() + seconds
        try:
            while self._waiting and (left := end - time.monotonic()) > 0:
                poll = select.poll()
                poll.register(self._fd, select.POLLOUT)
                poll.poll(left * 1000)
                self.flush()
        except OSError:
            return

    def _push(self, data: bytes) -> tuple[int, OSError | None]:
        """Write what can be written without waiting: how many bytes it was, and what went wrong after them."""
        done = 0
        try:
            while done < len(data):
                if self._socket is not None:
                    done += self._socket.send(data[done:], socket.MSG_DONTWAIT)
                elif self._poll is None:
                    end = self._end_of_lines(data, done)
                    done += os.write(self._fd, data[done:end])
                elif self._poll.poll(0):
                    done += os.write(self._fd, data[done : done + _PIPE_WRITE_BYTES])
                else:
                    break
        except BlockingIOError:
            pass
        except OSError as error:
            return done, error
        return done, None

    def _end_of_lines(self, data: bytes, start: int) -> int:
        """How far one write may go."""
        if not self._whole_lines:
            return len(data)
        end = min(start + _PIPE_WRITE_BYTES, len(data))
        return data.rfind(b"\n", start, end) + 1 or end

    def reopen(self) -> None:
        """Open the path anew, after a rotation moved the file away.

        The new file has the mode and the group of the old one, unless somebody made it
        already. Lines that wait go to the new file, but for the rest of one that was begun in
        another. When that fails, `OSError` is raised and the old file stays in use. Standard
        output stays as it is.
        """
        if not self._owned:
            return
        fresh = self._open()
        if self._cut and not os.path.sameopenfile(fresh, self._fd):
            left = b"".join(self._waiting).partition(b"\n")[2]
            self._waiting.clear()
            self._waiting_bytes = 0
            self._keep(left)
            self._cut = False
        self._let_go()
        self._use(fresh)

    def close(self) -> None:
        """Let go of the file; standard output stays open. Safe to call twice."""
        self._let_go()
        self._closed = True

    def _let_go(self) -> None:
        if self._fd >= 0:
            if self._socket is not None:
                self._socket.close()
            if self._fd != self.descriptor or self._owned:
                os.close(self._fd)
        self._fd = -1
