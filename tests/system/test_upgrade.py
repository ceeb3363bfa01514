"""An upgrade as an operator does it, and what must not be lost by one."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.commands.client import AdminClient, CannotAsk
from tests.system.test_proxy import ENVIRONMENT, ROOT, free_port

SECONDS = 20.0
TOKEN = "a-token-of-a-test"
CONFIG = """\
[admin]
endpoint = "unix:{folder}/admin.sock"
token = "{token}"
[listener.web]
endpoint = "tcp:{port}:interface=127.0.0.1"
[listener.local]
endpoint = "unix:{folder}/web.sock"
[[route]]
pool = "app"
[pool.app]
targets = ["http://127.0.0.1:9", "http://127.0.0.1:10"]
"""


class UpgradeTestCase(SynchronousTestCase):
    """A process of its own, and who operates it."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.port = free_port()
        config = CONFIG.format(folder=self.folder, port=self.port, token=TOKEN)
        self.file = self.folder / "lolly.toml"
        self.file.write_text(config)
        self.admin = AdminClient(f"unix:{self.folder}/admin.sock", TOKEN)

    def start(self, *before: str) -> subprocess.Popen[bytes]:
        """`before`: folders whose modules are found first."""
        path = os.pathsep.join([*before, ENVIRONMENT["PYTHONPATH"]])
        with (self.folder / "log").open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "lolly_tx.cli", "run", str(self.file)],
                cwd=ROOT,
                env={**ENVIRONMENT, "PYTHONPATH": path},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def pools(self) -> Any:
        """What is known, as soon as somebody answers."""
        until = time.monotonic() + SECONDS
        while True:
            try:
                return self.admin.get("/api/pools/app")
            except CannotAsk:
                self.assertLess(time.monotonic(), until, "nobody answers")
                time.sleep(0.05)

    def served_in_vain(self) -> dict[str, int]:
        """Ask for something that no target is there for; what is counted then, by status."""
        with closing(
            http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS)
        ) as asking:
            asking.request("GET", "/")
            status = asking.getresponse().status
        return {str(status): 1}

    def upgrade(self) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [
                sys.executable,
                "-m",
                "lolly_tx.cli",
                "upgrade",
                "--admin",
                self.admin.url,
            ],
            cwd=ROOT,
            env={**ENVIRONMENT, "LOLLY_TOKEN": TOKEN},
            capture_output=True,
            text=True,
            timeout=120,
        )

    def until_ended(self, count: int) -> None:
        """Wait until the old code of so many upgrades is gone."""
        until = time.monotonic() + SECONDS
        while (said := (self.folder / "log").read_text()).count("has ended (") < count:
            self.assertLess(time.monotonic(), until, said[-2000:])
            time.sleep(0.05)


class UpgradeTests(UpgradeTestCase):
    def test_upgrade(self) -> None:
        """The same process, sockets and paths, and the operator's word holds; a refusal exits 1 and changes nothing."""
        process = self.start()
        self.pools()
        self.admin.post("/api/pools/app/127.0.0.1:10/drain")
        counted = self.served_in_vain()
        names = ("admin.sock", "web.sock")
        inodes = [os.stat(self.folder / name).st_ino for name in names]
        done = self.upgrade()
        self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)
        known = {one["id"][-2:]: one["enabled"] for one in self.pools()["targets"]}
        self.assertEqual(known, {"-9": "up", "10": "drain"})
        served = self.admin.get("/api/stats")["pools"]["app"]["served"]
        self.assertEqual(served["web"]["codes"], counted)
        for name, inode in zip(names, inodes, strict=True):
            self.assertEqual(os.stat(self.folder / name).st_ino, inode)
        good = self.file.read_text()
        self.file.write_text(good + "nonsense = 1\n")
        refused = self.upgrade()
        self.assertEqual((refused.returncode, refused.stdout), (1, ""))
        self.assertIn("nonsense", refused.stderr)
        self.assertEqual(len(self.pools()["targets"]), 2)
        self.assertIsNone(process.poll())
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(SECONDS), 0)
        left = sorted(path.name for path in self.folder.iterdir())
        self.assertEqual(left, ["log", "lolly.toml"])

    def test_workers(self) -> None:
        """One process becomes several and several become fewer, with all that is known, and nobody is refused."""
        process = self.start()
        self.pools()
        self.admin.post("/api/pools/app/127.0.0.1:10/drain")
        names = ("admin.sock", "web.sock")
        inodes = [os.stat(self.folder / name).st_ino for name in names]
        good = self.file.read_text()
        asked = 0
        for number, workers in enumerate((2, 1), 1):
            self.file.write_text(f"workers = {workers}\n" + good)
            done = self.upgrade()
            self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)
            self.until_ended(number)  # who it takes until then is counted by nobody
            for _ in range(8):
                with socket.create_connection(("127.0.0.1", self.port), 20) as client:
                    client.sendall(b"GET / HTTP/1.0\r\n\r\n")
                    self.assertIn(b"HTTP/1.1 50", client.recv(4096))
                asked += 1
            self.until_accepted(asked)
            stats = self.admin.get("/api/stats")
            self.assertEqual(
                [one["serving"] for one in stats["workers"]], [True] * workers
            )
            known = {one["id"][-2:]: one["enabled"] for one in self.pools()["targets"]}
            self.assertEqual(known, {"-9": "up", "10": "drain"})
            for name, inode in zip(names, inodes, strict=True):
                self.assertEqual(os.stat(self.folder / name).st_ino, inode)
        self.assertIsNone(process.poll())
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(SECONDS), 0)
        left = sorted(path.name for path in self.folder.iterdir())
        self.assertEqual(left, ["log", "lolly.toml"])

    def until_accepted(self, count: int) -> None:
        """Wait until so many connections are counted, over all workers there ever were."""
        until = time.monotonic() + SECONDS
        while True:
            stats = self.admin.get("/api/stats")
            accepted = stats["listeners"]["web"]["accepted"]
            if accepted == count:
                return
            self.assertLess(time.monotonic(), until, f"{accepted} of {count}")
            time.sleep(0.05)

    def test_second_instance(self) -> None:
        """A second instance does not silently share the port, before an upgrade or after it."""
        self.start()
        self.pools()
        config = json.dumps(str(self.folder / "second"))
        for _ in range(2):
            second = self.folder / "second.toml"
            second.write_text(
                f'[listener.web]\nendpoint = "tcp:{self.port}:interface=127.0.0.1"\n'
                '[[route]]\npool = "app"\n[pool.app]\ntargets = ["http://127.0.0.1:9"]\n'
                f"[access_log]\npath = {config}\n"
            )
            tried = subprocess.run(
                [sys.executable, "-m", "lolly_tx.cli", "run", str(second)],
                cwd=ROOT,
                env=ENVIRONMENT,
                capture_output=True,
                text=True,
                timeout=30,
            )
            self.assertEqual(tried.returncode, 1)
            self.assertIn("Address already in use", tried.stdout + tried.stderr)
            self.assertEqual(self.upgrade().returncode, 0)
