"""`twistd lolly` as a daemon: how it starts, how it fails to, and whose its files are."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from unittest import skipUnless

from twisted.trial.unittest import SynchronousTestCase

from tests.system.test_proxy import ENVIRONMENT, TWISTD, free_port, wait_for

CONFIG = """\
[access_log]
path = "access.log"
flush = "50ms"
[events.file]
path = "events.jsonl"
[listener.web]
endpoint = "{endpoint}"
health = true
[[route]]
pool = "app"
[pool.app]
targets = ["http://127.0.0.1:9"]
"""
NOBODY = 65534
AS_ROOT = skipUnless(os.geteuid() == 0, "only root may become somebody else")


class DaemonTestCase(SynchronousTestCase):
    command = TWISTD

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.folder.chmod(0o777)
        self.pidfile = self.folder / "lolly.pid"
        self.addCleanup(self.kill)

    def twistd(self, endpoint: str, *options: str) -> subprocess.CompletedProcess[str]:
        """What the command says, and how it ends."""
        (self.folder / "lolly.toml").write_text(CONFIG.format(endpoint=endpoint))
        words = ["--pidfile", str(self.pidfile), "--logfile", "twistd.log", *options]
        return subprocess.run(
            [*self.command, *words, "lolly", "--config", "lolly.toml"],
            cwd=self.folder,
            env=ENVIRONMENT,
            capture_output=True,
            text=True,
            timeout=30,
        )

    def processes(self) -> list[int]:
        """Those that are at work in the folder, zombies left out."""
        found = []
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if entry.name.isdigit() and os.readlink(entry / "cwd") == str(
                    self.folder
                ):
                    found.append(int(entry.name))
        return found

    def kill(self) -> None:
        """Leave nothing behind."""
        for pid in self.processes():
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)

    def assert_nothing_left(self) -> None:
        """No process and no pid file."""
        wait_for(lambda: not self.processes(), "the end of the daemon")
        self.assertFalse(self.pidfile.exists())

    @contextlib.contextmanager
    def running(self, *options: str) -> Iterator[tuple[int, int]]:
        """A daemon: its port and its process."""
        port = free_port()
        done = self.twistd(f"tcp:{port}:interface=127.0.0.1", *options)
        self.assertEqual((done.returncode, done.stderr), (0, ""), done)
        pid = int(self.pidfile.read_text())
        try:
            yield port, pid
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
            wait_for(lambda: not self.processes(), "the end of the daemon")

    def get(self, port: int, path: str) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        with contextlib.closing(connection):
            connection.request("GET", path)
            return connection.getresponse().status


class StartTests(DaemonTestCase):
    def test_starts(self) -> None:
        """The command ends with 0 when the daemon serves, and the daemon takes its pid file along."""
        with self.running() as (port, _):
            self.assertEqual(self.get(port, "/readyz"), 200)
        self.assert_nothing_left()

    def test_port_in_use(self) -> None:
        """A port that somebody has: one line that names it, status 1, and nothing is left."""
        options: tuple[tuple[str, ...], ...] = ((), ("--umask", "022"))
        if os.geteuid() == 0:
            options += (("--uid", str(NOBODY), "--gid", str(NOBODY)),)
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            for words in options:
                endpoint = f"tcp:{port}:interface=127.0.0.1"
                done = self.twistd(endpoint, *words)
                self.assertEqual(done.returncode, 1)
                [line] = done.stderr.splitlines()
                self.assertTrue(
                    line.startswith(f"lolly: cannot listen on {endpoint}: "), line
                )
                self.assertEqual(done.stdout, "")
                self.assert_nothing_left()

    def test_other_endpoints(self) -> None:
        """What the daemon itself finds out is told by twistd, in short, and nothing is left."""
        done = self.twistd("unix:/no/such/folder/s")
        self.assertEqual(done.returncode, 1)
        self.assertIn("cannot listen on unix:/no/such/folder/s", done.stderr)
        self.assert_nothing_left()
        text = (self.folder / "twistd.log").read_text()
        self.assertIn("cannot listen on unix:/no/such/folder/s: ", text)

    def test_standard_output(self) -> None:
        """A daemon that is to log to standard output does not start."""
        done = self.twistd("tcp:0:interface=127.0.0.1", "--logfile", "-")
        self.assertEqual(done.returncode, 1)
        self.assertIn("no standard output", done.stderr)

    def test_no_right_to_be_somebody(self) -> None:
        """Who may not become somebody else hears of it; the command does not wait for ever."""
        refused = (
            "from twisted.scripts import _twistd_unix as unix, twistd\n"
            "def refuse(*words): raise PermissionError(1, 'not permitted')\n"
            "unix.switchUID = refuse\n"
            "twistd.run()\n"
        )
        self.command = [sys.executable, "-c", refused]
        done = self.twistd("tcp:0:interface=127.0.0.1", "--gid", str(os.getgid()))
        self.assertEqual(done.returncode, 1)
        self.assertIn("lolly could not start", done.stderr)
        self.assert_nothing_left()


class LogTests(DaemonTestCase):
    NAMES = ("access.log", "events.jsonl", "twistd.log")

    def rotate(self, port: int, pid: int) -> None:
        """Move the logs away and have them opened anew."""
        self.assertEqual(self.get(port, "/readyz"), 200)  # its signals are heard now
        for name in self.NAMES:
            (self.folder / name).rename(self.folder / f"{name}.1")
        os.kill(pid, signal.SIGUSR1)
        wait_for((self.folder / "twistd.log").exists, "a new log")
        self.get(port, "/after")
        line = wait_for(
            lambda: (self.folder / "access.log").read_text(), "a line in it"
        )
        self.assertIn("/after", line)
        text = (self.folder / "twistd.log").read_text()
        self.assertIn("the log files were opened anew", text)

    def test_rotation(self) -> None:
        """SIGUSR1 opens every log anew, twistd's own one too."""
        with self.running() as (port, pid):
            self.rotate(port, pid)

    @AS_ROOT
    def test_owner(self) -> None:
        """Logs belong to whom the daemon becomes, so that it can open them anew."""
        before = self.folder / "events.jsonl"
        before.write_text("")
        before.chmod(0o666)
        words = ("--uid", str(NOBODY), "--gid", str(NOBODY))
        with self.running(*words) as (port, pid):
            for name, owner in zip(self.NAMES, (NOBODY, 0, NOBODY), strict=True):
                found = (self.folder / name).stat()
                self.assertEqual((found.st_uid, found.st_gid), (owner, owner), name)
            self.rotate(port, pid)
            self.assertEqual((self.folder / "access.log").stat().st_uid, NOBODY)
