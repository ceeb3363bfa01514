"""The process as systemd runs it: what it is told, and the sockets it passes."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO

from twisted.trial.unittest import SynchronousTestCase

from tests.system.test_proxy import ENVIRONMENT, ROOT

SECONDS = 60.0
CONFIG = """\
[listener.web]
endpoint = "{endpoint}"
health = true
[[route]]
pool = "app"
[pool.app]
targets = ["http://127.0.0.1:9"]
"""
PASS_SOCKET = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ["LISTEN_PID"] = str(os.getpid())
os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""


class SystemdTests(SynchronousTestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.file = self.folder / "lolly.toml"
        self.log = self.folder / "log"

    def start(
        self,
        endpoint: str,
        listening: socket.socket | None = None,
        *,
        workers: int = 1,
        **environ: str,
    ) -> subprocess.Popen[bytes]:
        self.file.write_text(
            f"workers = {workers}\n" + CONFIG.format(endpoint=endpoint)
        )
        run = ["-m", "lolly_tx.cli", "run", str(self.file)]
        command = [sys.executable, *run]
        fds: tuple[int, ...] = ()
        if listening is not None:
            fds = (listening.fileno(),)
            command = [sys.executable, "-c", PASS_SOCKET, str(fds[0]), *run]
        output: IO[bytes]
        with self.log.open("wb") as output:
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**ENVIRONMENT, **environ},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=fds,
            )
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def said(self, ear: socket.socket, word: str) -> list[str]:
        """The next message with `word`; those of the watchdog in between are not of interest."""
        while True:
            lines = ear.recv(4096).decode().split("\n")
            if word in lines or word not in ("WATCHDOG=1",) and lines != ["WATCHDOG=1"]:
                self.assertIn(word, lines, self.log.read_text())
                return lines

    def told(self, address: str) -> None:
        """From the start to the end, with a reload and an upgrade in between."""
        ear = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(ear.close)
        ear.bind("\0" + address[1:] if address.startswith("@") else address)
        ear.settimeout(SECONDS)
        process = self.start(
            "tcp:0:interface=127.0.0.1", NOTIFY_SOCKET=address, WATCHDOG_USEC="200000"
        )
        pid = f"MAINPID={process.pid}"
        self.assertIn(pid, self.said(ear, "READY=1"))
        self.said(ear, "WATCHDOG=1")
        before = time.monotonic() * 1e6
        process.send_signal(signal.SIGHUP)
        lines = self.said(ear, "RELOADING=1")
        [at] = [each[15:] for each in lines if each.startswith("MONOTONIC_USEC=")]
        self.assertTrue(before < int(at) < time.monotonic() * 1e6)
        self.said(ear, "READY=1")
        self.file.write_text("nonsense = 1\n")
        process.send_signal(signal.SIGHUP)
        self.said(ear, "RELOADING=1")
        self.said(ear, "READY=1")
        self.file.write_text(CONFIG.format(endpoint="tcp:0:interface=127.0.0.1"))
        process.send_signal(signal.SIGUSR2)
        self.said(ear, "RELOADING=1")
        self.assertIn(pid, self.said(ear, "READY=1"))
        self.said(ear, "WATCHDOG=1")
        process.send_signal(signal.SIGTERM)
        self.said(ear, "STOPPING=1")
        self.assertEqual(process.wait(SECONDS), 0)

    def test_told(self) -> None:
        """READY, WATCHDOG, RELOADING with its time, READY after a reload that failed, too; MAINPID never changes."""
        self.told(str(self.folder / "notify"))

    def test_abstract(self) -> None:
        """The same at an address that is not in the file system."""
        self.told(f"@lolly-test-{os.getpid()}")

    def test_socket(self) -> None:
        """A listener takes the socket of its name, or the one that its endpoint says; after an upgrade, too."""
        names = {"tcp:80": "web", "systemd:domain=INET:name=other": "other"}
        for endpoint, name in names.items():
            with socket.socket() as listening:
                listening.bind(("127.0.0.1", 0))
                listening.listen()
                port = listening.getsockname()[1]
                process = self.start(
                    endpoint, listening, LISTEN_FDS="1", LISTEN_FDNAMES=name
                )
            # Nobody has to wait for it: the queue is there.
            self.assertEqual(self.status(port), 200)
            process.send_signal(signal.SIGUSR2)
            until = time.monotonic() + SECONDS
            while "New code serves" not in self.log.read_text():
                self.assertLess(time.monotonic(), until, self.log.read_text())
                time.sleep(0.05)
            self.assertEqual(self.status(port), 200)
            process.send_signal(signal.SIGTERM)
            self.assertEqual(process.wait(SECONDS), 0)

    def test_socket_of_workers(self) -> None:
        """All of them accept on it, and READY is said when they do."""
        ear = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(ear.close)
        ear.bind(str(self.folder / "notify"))
        ear.settimeout(SECONDS)
        with socket.socket() as listening:
            listening.bind(("127.0.0.1", 0))
            listening.listen()
            port = listening.getsockname()[1]
            process = self.start(
                "systemd:name=web",
                listening,
                workers=2,
                LISTEN_FDS="1",
                LISTEN_FDNAMES="web",
                NOTIFY_SOCKET=str(self.folder / "notify"),
            )
        self.said(ear, "READY=1")
        self.assertEqual(self.log.read_text().count(" serves, process "), 2)
        self.assertEqual(self.status(port), 200)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(SECONDS), 0)

    def status(self, port: int) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
        try:
            connection.request("GET", "/healthz")
            return connection.getresponse().status
        finally:
            connection.close()
