"""A real Redis (or Valkey) that can be stopped, killed and started again; where there is none see `engines.program`."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import tempfile
from collections.abc import Iterator

from tests.system.engines import program


class RedisServer:
    """One on a UNIX socket of its own, so that nobody takes its port; it keeps nothing on the disk.

    `more`: arguments, for another socket beside it.
    """

    def __init__(self, folder: str, *more: str) -> None:
        self.path = f"{folder}/store.sock"
        self._program = program("redis-server", "redis-server", "valkey-server")
        self._folder = folder
        self._more = more
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; it listens a moment later."""
        self._process = subprocess.Popen(
            [self._program, "--port", "0", "--unixsocket", self.path, "--save", ""]
            + ["--dir", self._folder, *self._more],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )

    @property
    def ended(self) -> bool:
        """It has ended by itself, as it does when it cannot do what it is told to."""
        return self._process is not None and self._process.poll() is not None

    def freeze(self) -> None:
        """It stands still, with its connections open."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """It goes on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """It is gone, with all it knew."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()


@contextlib.contextmanager
def redis_server(*more: str) -> Iterator[RedisServer]:
    """One that is started. `more`: see `RedisServer`."""
    with tempfile.TemporaryDirectory() as folder:
        server = RedisServer(folder, *more)
        server.start()
        try:
            yield server
        finally:
            server.kill()
