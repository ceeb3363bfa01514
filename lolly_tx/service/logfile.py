"""A file that lines are appended to: a path, or standard output.

May import: the standard library. Used by: service.build (the access log's file).

Writing never waits. A regular file takes what it is given; a pipe or a terminal is asked
first, because a reader that stopped (`twistd -n ... | less`) would otherwise hold the
whole proxy. Standard output is not switched to non-blocking mode: the mode belongs to
everybody who shares it, such as the shell.
"""

from __future__ import annotations

import os
import select
import stat

# A write of up to this many bytes to a pipe that poll(2) calls writable does not block.
_PIPE_WRITE_BYTES = select.PIPE_BUF


class LogFile:
    """Appends bytes to `path`, or to standard output when it is "-".

    Raises `OSError` when the file cannot be opened. `stdout`: the descriptor that "-"
    stands for.
    """

    def __init__(self, path: str, *, stdout: int = 1) -> None:
        self.path = path
        self._owned = path != "-"
        self._fd = self._open() if self._owned else stdout
        self._look()

    def _open(self) -> int:
        # Non-blocking, so that opening a named pipe nobody reads fails at once.
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
        return os.open(self.path, flags, 0o640)

    def _look(self) -> None:
        """Learn what kind of file this is and begin at the start of a line."""
        self._poll: select.poll | None = None
        if not stat.S_ISREG(os.fstat(self._fd).st_mode):
            self._poll = select.poll()
            self._poll.register(self._fd, select.POLLOUT)
        self._rest = b""

    def write(self, data: bytes) -> None:
        """Append `data`, whole lines.

        Raises `BlockingIOError` when the reader has not yet taken what it was given
        before, and `OSError` when the disk is full or the reader is gone. A line that
        was written in part is completed by a later call, so that no two lines mix.
        """
        if self._fd < 0:
            raise ValueError("the log file is closed")
        if self._rest:
            self._rest = self._push(self._rest)
            if self._rest:
                raise BlockingIOError("the reader of the log is behind")
        self._rest = self._push(data)

    def _push(self, data: bytes) -> bytes:
        """Write what can be written without waiting; return what is left of `data`."""
        done = 0
        try:
            while done < len(data):
                if self._poll is None:
                    done += os.write(self._fd, data[done:])
                elif self._poll.poll(0):
                    done += os.write(self._fd, data[done : done + _PIPE_WRITE_BYTES])
                else:
                    break
        except BlockingIOError:
            pass
        except OSError:
            if done:
                whole = data[done - 1 : done] == b"\n"
                torn = data[done:].partition(b"\n")[0] + b"\n"
                self._rest = b"" if whole else torn
            raise
        return data[done:]

    def reopen(self) -> None:
        """Open the path anew, after a rotation moved the file away.

        When that fails, `OSError` is raised and the old file stays in use. Standard
        output stays as it is.
        """
        if not self._owned:
            return
        fresh = self._open()
        os.close(self._fd)
        self._fd = fresh
        self._look()

    def close(self) -> None:
        """Let go of the file; standard output stays open. Safe to call twice."""
        if self._owned and self._fd >= 0:
            os.close(self._fd)
        self._fd = -1
