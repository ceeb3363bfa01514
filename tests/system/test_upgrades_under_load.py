"""Upgrades and ends of processes while clients are served: what is under way ends whole, and nobody is refused."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

from tests.system.test_upgrade import CONFIG, SECONDS, TOKEN, UpgradeTestCase
from tests.system.test_workers import WorkersTestCase

BODY = Random(1).randbytes(1 << 20)
PIECES = 48
"""MiB of a download: more than all buffers on its way hold."""

ASKING = b"GET /%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


def serve(client: socket.socket) -> None:
    """A target's side: a long body for /long, else a short one."""
    with client, contextlib.suppress(OSError):
        asked = client.recv(4096)
        pieces = PIECES if b" /long" in asked else 0
        head = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
        client.sendall(head % (pieces * len(BODY)))
        for _ in range(pieces):
            client.sendall(BODY)


def children(pid: int) -> list[str]:
    """The processes that a process has started and that are there, zombies included."""
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def pipes(pid: int) -> int:
    """How many ends of pipes a process has open."""
    found = 0
    for each in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            found += os.readlink(each).startswith("pipe:")
    return found


class UpgradeUnderLoadTests(UpgradeTestCase):
    def setUp(self) -> None:
        """A target in this process."""
        super().setUp()
        self.target = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.addCleanup(self.target.close)
        text = CONFIG.format(folder=self.folder, port=self.port, token=TOKEN)
        url = f'"http://127.0.0.1:{self.target.getsockname()[1]}"'
        self.file.write_text(
            text.replace('"http://127.0.0.1:9", "http://127.0.0.1:10"', url)
        )
        accepting = threading.Thread(target=self.accept, daemon=True)
        accepting.start()

    def accept(self) -> None:
        """Serve whoever comes."""
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.target.accept()
                threading.Thread(target=serve, args=(client,), daemon=True).start()

    def asked(self, path: bytes) -> socket.socket:
        """A client that has asked."""
        client = socket.create_connection(("127.0.0.1", self.port), SECONDS)
        client.sendall(ASKING % path)
        return client

    @contextlib.contextmanager
    def load(self) -> Iterator[list[str]]:
        """A client that connects anew all the time; how each fared."""
        found: list[str] = []
        ending = threading.Event()

        def run() -> None:
            while not ending.wait(0.005):
                try:
                    with self.asked(b"") as client:
                        head = client.recv(15)
                    found.append("answered" if head[9:12] == b"200" else repr(head))
                except OSError as error:
                    found.append(repr(error))

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield found
        finally:
            ending.set()
            thread.join(SECONDS)

    def test_spliced_download(self) -> None:
        """One inside the kernel ends whole in the old process, which goes then; nobody is refused meanwhile."""
        process = self.start()
        self.pools()
        idle = pipes(process.pid)
        with self.asked(b"long") as client, client.makefile("rb") as reading:
            while reading.readline() != b"\r\n":
                pass
            got = hashlib.sha256(reading.read(len(BODY)))
            until = time.monotonic() + SECONDS
            while pipes(process.pid) <= idle:
                self.assertLess(time.monotonic(), until, "nothing is spliced")
                time.sleep(0.01)
            with self.load() as found:
                done = self.upgrade()
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertEqual(set(found), {"answered"})
            self.assertEqual(len(children(process.pid)), 1)
            with self.asked(b"") as other:
                self.assertEqual(other.recv(12), b"HTTP/1.1 200")
            for _ in range(PIECES - 1):
                got.update(reading.read(len(BODY)))
            self.assertEqual(reading.read(), b"")
        wanted = hashlib.sha256()
        for _ in range(PIECES):
            wanted.update(BODY)
        self.assertEqual(got.hexdigest(), wanted.hexdigest())
        until = time.monotonic() + SECONDS
        while children(process.pid):
            self.assertLess(time.monotonic(), until, "the old process is there still")
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(SECONDS), 0)
        log = (self.folder / "log").read_text()
        self.assertRegex(
            log, r"The old process \d+: Stopping: \d connections?, \d exchange"
        )
        self.assertRegex(
            log, r"The old process \d+: Stopping: all connections have end"
        )


class EndOfAWorkerTests(WorkersTestCase):
    def test_no_connection_is_lost(self) -> None:
        """A worker that is told to end under load loses nobody: others take who comes (granian#567)."""
        self.start()
        with self.load(4, pause=0.005) as found:
            self.until(lambda: len(found) > 50)
            before = self.pids()
            os.kill(before[0], signal.SIGTERM)
            self.until(
                lambda: len(self.pids()) == 2 and before[0] not in self.pids(),
                "there is another one",
            )
            count = len(found)
            self.until(lambda: len(found) > count + 50)
        self.assertEqual({status for _, status in found}, {200})
