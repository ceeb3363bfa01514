"""A real Redis (or Valkey) that can be stopped, killed and started again; `WHY_NOT` says why there is none here."""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator

PROGRAM = shutil.which("valkey-server") or shutil.which("redis-server")
WHY_NOT = "" if PROGRAM else "needs redis-server or valkey-server"


class RedisServer:
    """One on a UNIX socket of its own, so that nobody takes its port; it keeps nothing on the disk."""

    def __init__(self, folder: str) -> None:
        self.path = f"{folder}/store.sock"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; it listens a moment later."""
        assert PROGRAM is not None
        self._process = subprocess.Popen(
            [PROGRAM, "--port", "0", "--unixsocket", self.path, "--save", ""]
            + ["--dir", self._folder],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )

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
def redis_server() -> Iterator[RedisServer]:
    """One that is started."""
    with tempfile.TemporaryDirectory() as folder:
        server = RedisServer(folder)
        server.start()
        try:
            yield server
        finally:
            server.kill()
