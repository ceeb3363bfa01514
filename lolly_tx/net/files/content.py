"""The content of an open file, taken without waiting for the disk where the kernel has it, and in a thread where not.

Imports: net.files. Used by: net.files.relay, proxy.files.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from time import monotonic

from lolly_tx.net.files.threads import Threads

PROBED_BYTES = 1 << 19
"""Between two bytes that are looked at: what was read together leaves memory together, most likely."""

SEEN_SECONDS = 1.0
"""What was in memory is for so long: a file that many want is not asked for again and again."""
SEEN = 1024
"""Windows remembered of a file; a client that takes all of a large one sees each but once."""

_NOWAIT = getattr(os, "RWF_NOWAIT", 0)

Arrived = Callable[[bytes | None, Exception | None], None]


class OpenFile:
    """A descriptor open for reading that is closed when nobody needs it any more, a thread included."""

    __slots__ = ("_fd", "_holders", "_seen", "_threads")

    def __init__(self, fd: int, threads: Threads) -> None:
        self._fd = fd
        self._holders = 1
        self._threads = threads
        self._seen: dict[tuple[int, int], float] = {}

    @property
    def fd(self) -> int:
        """The descriptor."""
        return self._fd

    def hold(self) -> OpenFile:
        """One holder more, who releases it in turn."""
        self._holders += 1
        return self

    def release(self) -> None:
        """The holder needs it no more: it, or a call that is under way, was the last."""
        self._holders -= 1
        if not self._holders:
            fd, self._fd = self._fd, -1
            os.close(fd)

    def is_warm(self, start: int, size: int) -> bool:
        """Whether the kernel has these bytes in memory, as far as some of them tell, or have told a moment ago.

        False where the file system does not say.
        """
        now = monotonic()
        window = (start, size)
        if self._seen.get(window, now) > now:
            return True
        byte = bytearray(1)
        last = start + size - 1
        try:
            for at in (*range(start, last, PROBED_BYTES), last):
                # 0: it has become shorter, which is found out without waiting.
                os.preadv(self._fd, [byte], at, _NOWAIT)
        except OSError:
            return False
        if len(self._seen) >= SEEN:
            self._seen.clear()
        self._seen[window] = now + SEEN_SECONDS
        return True

    def warm(
        self, start: int, size: int, done: Callable[[Exception | None], None]
    ) -> None:
        """Have the kernel read these bytes, and begin with those behind them."""
        fd = self._fd

        def work() -> None:
            os.posix_fadvise(fd, start + size, size, os.POSIX_FADV_WILLNEED)
            os.preadv(fd, [bytearray(size)], start)

        self._elsewhere(work, lambda _, error: done(error))

    def read_now(self, start: int, size: int) -> bytes | None:
        """At most `size` bytes, b"" at the end; None: they are not in memory, or the file system does not say."""
        space = bytearray(size)
        try:
            count = os.preadv(self._fd, [space], start, _NOWAIT)
        except OSError:
            return None
        return bytes(space) if count == size else bytes(memoryview(space)[:count])

    def read(self, start: int, size: int, done: Arrived) -> None:
        """The same by a thread: `done(data, None)` or `done(None, error)`."""
        fd = self._fd
        self._elsewhere(lambda: os.pread(fd, size, start), done)

    def _elsewhere(self, work: Callable[[], object], done: Callable[..., None]) -> None:
        """Hold the descriptor while a thread uses it: its number must not become another's."""
        self._holders += 1

        def told(result: object, error: Exception | None) -> None:
            self.release()
            done(result, error)

        self._threads.call(work, told)
