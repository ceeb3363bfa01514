"""`lolly run` as a process, and the commands that ask it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from twisted.trial.unittest import TestCase

DEADLINE = 20.0
TOKEN = "0123456789abcdef"
CONFIG = """\
access_log = {{ path = "access.log", flush = "10ms" }}
[admin]
endpoint = "unix:{folder}/admin.sock"
token = "${{LOLLY_TOKEN}}"
[listener.web]
endpoint = "unix:{folder}/web.sock"
[[route]]
pool = "app"
[pool.app]
targets = [{{ url = "http://127.0.0.1:9", id = "a" }}]
"""


class RunTests(TestCase):
    timeout = 60

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.config = self.folder / "lolly.toml"
        self.config.write_text(CONFIG.format(folder=folder.name))
        root = str(Path(__file__).parents[2])
        path = os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])
        self.environ = os.environ | {"LOLLY_TOKEN": TOKEN, "PYTHONPATH": path}
        self.command = [sys.executable, "-m", "lolly_tx.cli"]

    def start(self) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [*self.command, "run", str(self.config)],
            env=self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.addCleanup(self.end, process)
        self.until(lambda: (self.folder / "admin.sock").exists())
        return process

    def end(self, process: subprocess.Popen[str]) -> None:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=DEADLINE)

    def until(self, there: object) -> None:
        deadline = time.monotonic() + DEADLINE
        while not there():  # type: ignore[operator]  # any question without parameters
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.02)

    def lolly(self, *argv: str) -> tuple[int, str, str]:
        said = subprocess.run(
            [*self.command, *argv, "--config", str(self.config)],
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
        )
        return said.returncode, said.stdout, said.stderr

    def test_life(self) -> None:
        """It runs, answers the commands, reopens its log at SIGUSR1, survives SIGHUP, and ends in good order."""
        process = self.start()
        status, out, err = self.lolly("status")
        self.assertEqual((status, err), (0, ""))
        self.assertTrue(out.startswith("ready\n"), out)
        self.assertEqual(
            self.lolly("drain", "app", "a"),
            (0, "app/a: draining, 0 exchanges in flight\n", ""),
        )
        self.assertIn(
            "back when the operator enables it", self.lolly("explain", "app")[1]
        )
        log = self.folder / "access.log"
        log.rename(self.folder / "access.log.1")
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGUSR1)
        self.until(log.exists)
        self.assertIsNone(process.poll())
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=DEADLINE)
        self.assertEqual(process.returncode, 0, out)
        self.assertIn("reloading is not available yet", out)
        self.assertIn("opened anew", out)
        self.assertNotIn(TOKEN, out)

    def test_nothing_answers(self) -> None:
        """When nothing runs, a command says so in one line and exits 1."""
        status, out, err = self.lolly("status")
        self.assertEqual((status, out), (1, ""))
        self.assertRegex(err, r"^lolly: nothing answers at unix:.*: no such file.*\n$")
