"""Threads for what may have to wait for a disk: a pool of their own, so that a slow disk holds up nothing else.

Twisted's pool is joined when it stops, and a disk that hangs would hold the end of the process; these threads are
daemons.

Imports: Twisted. Used by: net.files.content, proxy.files, service.
"""

from __future__ import annotations

from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from typing import Any, Protocol

from twisted.logger import Logger

THREADS = 8
"""A local disk answers that many questions at once without being slower; one that hangs holds that many threads."""

Work = Callable[[], Any]
Done = Callable[[Any, Exception | None], None]
"""Takes the result, and None, or None and what was raised."""


class Threads(Protocol):
    """Where calls that may wait are made."""

    def call(self, work: Work, done: Done) -> None:
        """Have `work` called in a thread, and then `done` in the event loop, never before `call` returns."""

    def stop(self) -> None:
        """Take no more calls."""


class FileThreads:
    """The threads of a process for its files. They come as they are needed, and stay until `stop`."""

    _log = Logger()

    def __init__(self, reactor: Any, most: int = THREADS) -> None:
        self._reactor = reactor
        self._most = most
        self._calls: SimpleQueue[tuple[Work, Done] | None] = SimpleQueue()
        self._under_way = 0
        self._threads = 0
        self._stopped = False

    def __repr__(self) -> str:
        return f"<FileThreads: {self._threads}, {self._under_way} calls>"

    def call(self, work: Work, done: Done) -> None:
        """See `Threads`. After `stop` nothing is called."""
        if self._stopped:
            return
        self._under_way += 1
        if self._under_way > self._threads and self._threads < self._most:
            self._threads += 1
            name = f"files-{self._threads}"
            Thread(target=self._serve, name=name, daemon=True).start()
        self._calls.put((work, done))

    def _serve(self) -> None:
        while (one := self._calls.get()) is not None:
            work, done = one
            result = error = None
            try:
                result = work()
            except Exception as raised:
                error = raised
            self._reactor.callFromThread(self._tell, done, result, error)
            del one, work, done, result, error

    def _tell(self, done: Done, result: Any, error: Exception | None) -> None:
        self._under_way -= 1
        try:
            done(result, error)
        except Exception:
            self._log.failure("What a thread brought could not be taken")

    def stop(self) -> None:
        """Let each thread end with the call that it is in."""
        if not self._stopped:
            self._stopped = True
            for _ in range(self._threads):
                self._calls.put(None)
