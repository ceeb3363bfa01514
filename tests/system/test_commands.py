"""`lolly run` as a process, and the commands that ask it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import re
import select
import signal
import socket
import stat
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
from pathlib import Path
from typing import Any

import trustme
from twisted.trial.unittest import TestCase

from lolly_tx.commands.client import AdminClient, CannotAsk

DEADLINE = 60.0
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


class ProcessTestCase(TestCase):
    """A folder with a configuration, the proxy as a process, and commands that ask it."""

    timeout = 120

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

    def end(self, process: subprocess.Popen[Any]) -> None:
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


class RunTests(ProcessTestCase):
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
        log.rename(self.folder / "access.log.2")
        admin = AdminClient(f"unix:{self.folder}/admin.sock", TOKEN)
        self.assertEqual(admin.post("/api/logs/reopen"), {"reopened": True})
        self.assertTrue(log.exists())
        # One change of the settings waits for the one before: that of the signal is over then.
        self.assertEqual(self.lolly("reload")[0], 0)
        self.assertIsNone(process.poll())
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=DEADLINE)
        self.assertEqual(process.returncode, 0, out)
        self.assertEqual(out.count("is in force: nothing has changed"), 2, out)
        self.assertIn("opened anew", out)
        self.assertNotIn(TOKEN, out)

    def test_admin_socket(self) -> None:
        """The admin socket is for owner and group, unless its endpoint has another mode; what is none is refused."""
        text, path = self.config.read_text(), self.folder / "admin.sock"
        for said, mode in (("", 0o660), (":mode=600", 0o600), (":mode=666", 0o666)):
            self.config.write_text(text.replace("admin.sock", f"admin.sock{said}"))
            process = self.start()
            self.assertTrue(self.lolly("status")[1].startswith("ready\n"))
            self.assertEqual(stat.S_IMODE(path.stat().st_mode), mode)
            process.terminate()
            process.communicate(timeout=DEADLINE)
            self.assertFalse(path.exists())
        self.config.write_text(text.replace("admin.sock", "admin.sock:mode=999"))
        done = subprocess.run(
            [*self.command, "check", str(self.config)],
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
        )
        self.assertEqual(done.returncode, 1)
        self.assertRegex(
            done.stdout, r"lolly.toml:\d+: admin.endpoint: has the mode \"999\""
        )

    def test_port_in_use(self) -> None:
        """What it cannot listen on is said once on a terminal, and to each of two readers."""
        text = self.config.read_text()
        with socket.create_server(("127.0.0.1", 0)) as taken:
            endpoint = f"tcp:{taken.getsockname()[1]}:interface=127.0.0.1"
            # A cache with files has threads by then, which must not keep the process.
            cached = f'[cache.pages]\ndir = "{self.folder}/cache"\n[[route]]\npath = "/cached"\npool = "app"\n'
            cached += 'use = [{ type = "cache", cache = "pages" }]\n'
            self.config.write_text(
                f'{text}[listener.taken]\nendpoint = "{endpoint}"\n{cached}'
            )
            command = [*self.command, "run", str(self.config)]
            for streams in (subprocess.STDOUT, subprocess.PIPE):
                said = subprocess.run(
                    command,
                    env=self.environ,
                    stdout=subprocess.PIPE,
                    stderr=streams,
                    text=True,
                    timeout=DEADLINE,
                )
                self.assertEqual(said.returncode, 1)
                for out in (said.stdout, said.stderr):
                    if out is not None:
                        self.assertEqual(out.count(f"cannot listen on {endpoint}"), 1)

    def test_nothing_answers(self) -> None:
        """When nothing runs, a command says so in one line and exits 1."""
        status, out, err = self.lolly("status")
        self.assertEqual((status, out), (1, ""))
        self.assertRegex(err, r"^lolly: nothing answers at unix:.*: no such file.*\n$")


class OneLinerTests(ProcessTestCase):
    """A proxy without a file."""

    def test_life(self) -> None:
        """It serves, answers the commands, keeps its settings over a reload and an upgrade, and ends in good order."""
        log = self.folder / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [
                    *(*self.command, "reverse-proxy", "--to", "unix:app.sock"),
                    *("--from", "unix:web.sock", "--admin", "unix:admin.sock"),
                ],
                env=self.environ,
                cwd=self.folder,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self.addCleanup(self.end, process)
        self.until((self.folder / "admin.sock").exists)
        serves = "serves the command line: pools app; listeners web"
        self.until(lambda: serves in log.read_text())
        # The proxy's own answer will do: nobody is behind it.
        self.assertIn("502", self.ask("web.sock"))
        client = AdminClient(f"unix:{self.folder}/admin.sock")
        self.assertTrue(client.get("/readyz")["ready"])
        process.send_signal(signal.SIGHUP)
        self.until(lambda: "is in force: nothing has changed" in log.read_text())
        process.send_signal(signal.SIGUSR2)
        self.until(lambda: log.read_text().count(serves) == 2)
        self.until(lambda: self.ask("web.sock"))
        self.assertIn("502", self.ask("web.sock"))
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(DEADLINE), 0, log.read_text())

    def ask(self, name: str) -> str:
        """The status line of an answer."""
        with socket.socket(socket.AF_UNIX) as asking:
            asking.settimeout(DEADLINE)
            asking.connect(str(self.folder / name))
            asking.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            return asking.makefile().readline()


class TopTests(ProcessTestCase):
    """`lolly top` on a terminal."""

    def opened(self) -> tuple[int, subprocess.Popen[Any]]:
        """A terminal, and the command on it, which shows the proxy by now."""
        ours, theirs = pty.openpty()
        self.addCleanup(os.close, ours)
        self.addCleanup(os.close, theirs)
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 120, 0, 0))
        self.before = termios.tcgetattr(theirs)
        process = subprocess.Popen(
            [*self.command, "top", "--config", str(self.config)],
            env=self.environ,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        self.addCleanup(self.end, process)
        self.theirs = theirs
        self.shows(ours, b"All targets take requests", b"app/a", b"\x1b[?1049h")
        return ours, process

    def shows(self, terminal: int, *words: bytes) -> None:
        """Wait until the terminal has shown all of `words`."""
        shown, until = b"", time.monotonic() + DEADLINE
        while any(word not in shown for word in words):
            left = until - time.monotonic()
            ready = left > 0 and select.select([terminal], [], [], left)[0]
            self.assertTrue(ready, f"{words!r} not in {shown[-2000:]!r}")
            shown += os.read(terminal, 65536)

    def left(self, terminal: int, process: subprocess.Popen[Any], status: int) -> None:
        """It ends with `status`, and the terminal is as it was."""
        self.shows(terminal, b"\x1b[?25h\x1b[?1049l")
        self.assertEqual(process.wait(DEADLINE), status)
        self.assertEqual(termios.tcgetattr(self.theirs), self.before)

    def test_ends(self) -> None:
        """It ends by q, Ctrl-C or a signal, and the terminal is as it was before; meanwhile it shows what changes."""
        self.start()
        terminal, process = self.opened()
        self.assertNotEqual(termios.tcgetattr(self.theirs), self.before)
        admin = AdminClient(f"unix:{self.folder}/admin.sock", TOKEN)
        admin.post("/api/pools/app/a/drain")
        self.shows(terminal, b"app: 1 of 1 out by the operator", b"WRONG NOW")
        admin.post("/api/pools/app/a/enable")
        size = struct.pack("HHHH", 3, 40, 0, 0)
        fcntl.ioctl(self.theirs, termios.TIOCSWINSZ, size)
        process.send_signal(signal.SIGWINCH)
        os.write(terminal, b"jjk q")
        self.left(terminal, process, 0)
        terminal, process = self.opened()
        process.send_signal(signal.SIGINT)
        self.left(terminal, process, 0)
        terminal, process = self.opened()
        process.send_signal(signal.SIGTERM)
        self.left(terminal, process, 128 + signal.SIGTERM)

    def test_proxy_that_stops(self) -> None:
        """When the proxy is gone, what is shown is called stale; when it is back, it is shown again."""
        proxy = self.start()
        terminal, process = self.opened()
        self.end(proxy)
        self.shows(terminal, b"STALE, ", b"nothing answers at unix:")
        (self.folder / "admin.sock").unlink()
        (self.folder / "web.sock").unlink()
        self.start()
        self.shows(terminal, b"All targets take requests\x1b[0m\x1b[K\r\r\nlolly_tx")
        os.write(terminal, b"q")
        self.left(terminal, process, 0)

    def test_suspended(self) -> None:
        """Ctrl-Z gives the terminal back until it goes on."""
        self.start()
        terminal, process = self.opened()
        process.send_signal(signal.SIGTSTP)
        self.shows(terminal, b"\x1b[?25h\x1b[?1049l")
        self.until(lambda: " T " in self.stat(process.pid))
        self.assertEqual(termios.tcgetattr(self.theirs), self.before)
        process.send_signal(signal.SIGCONT)
        self.shows(terminal, b"\x1b[?1049h", b"All targets take requests")
        os.write(terminal, b"q")
        self.left(terminal, process, 0)

    def stat(self, pid: int) -> str:
        return Path(f"/proc/{pid}/stat").read_text()


class StreamTests(ProcessTestCase):
    """Commands never end in a traceback, whatever becomes of their standard streams."""

    def ends(self, *argv: str | bytes, **streams: Any) -> tuple[int, str]:
        """Status and standard error of a command."""
        streams.setdefault("stdout", subprocess.DEVNULL)
        process = subprocess.Popen(
            [*self.command, *argv], env=self.environ, stderr=subprocess.PIPE, **streams
        )
        _, err = process.communicate(timeout=DEADLINE)
        self.assertNotIn(b"Traceback", err)
        self.assertNotIn(b"Exception ignored", err)
        return process.returncode, err.decode()

    def test_reader_that_left(self) -> None:
        """A reader that has enough, as `head` has, is no failure."""
        reader, writer = os.pipe()
        os.close(reader)
        self.addCleanup(os.close, writer)
        for argv in (["check", "--reference"], ["--help"], ["check", str(self.config)]):
            self.assertEqual(self.ends(*argv, stdout=writer), (0, ""), argv)

    def test_full_disk(self) -> None:
        """Output that cannot be written is a failure, in one line."""
        with open("/dev/full", "w") as full:
            status, err = self.ends("check", "--reference", stdout=full)
        self.assertEqual(status, 1)
        self.assertRegex(err, r"^lolly: .*No space left on device\n$")

    def test_closed_streams(self) -> None:
        """Without a standard output there is nothing to say."""
        code = "import os, sys; os.close(1); os.execv(sys.executable, sys.argv[1:])"
        argv = [sys.executable, "-c", code, *self.command, "check", "--defaults"]
        said = subprocess.run(
            argv, env=self.environ, stderr=subprocess.PIPE, timeout=DEADLINE
        )
        self.assertEqual((said.returncode, said.stderr), (0, b""))

    def test_bytes(self) -> None:
        """File names, targets and addresses of any bytes are told about in one line."""
        odd = b"\xff\xfe\x1b[2J\n\xe2\x80"
        (Path(os.fsdecode(os.fsencode(self.folder) + b"/" + odd))).write_bytes(odd)
        for argv, expected in (
            ((b"check", odd), 1),
            ((b"check", os.fsencode(self.folder) + b"/" + odd), 1),
            ((b"check", os.fsencode(self.folder)), 1),
            ((b"drain", odd, odd, b"-a", b"unix:" + odd), 1),
            ((b"explain", odd, b"--path", odd, b"--host", odd, b"-c", odd), 1),
            ((b"status", b"-a", b"http://" + odd), 1),
            ((b"status", b"-a", b"http://" + b"a" * 70 + b".b:80"), 1),
            ((b"status", b"-t", odd), 1),
            ((b"simulate", odd, odd), 1),
            ((b"run", odd), 1),
            ((odd,), 2),
            ((b"events", b"-n", odd), 2),
        ):
            status, _ = self.ends(*argv)
            self.assertEqual(status, expected, argv)
        self.environ |= {"LC_ALL": "C", "PYTHONUTF8": "0", "LOLLY_TOKEN": "\udcff"}
        self.assertEqual(self.ends(b"check", odd)[0], 1)
        self.assertEqual(self.ends(b"drain", odd, odd)[0], 1)

    def test_interrupt(self) -> None:
        """Ctrl-C while a command waits ends it without a word."""
        with socket.create_server(("127.0.0.1", 0)) as silent:
            process = subprocess.Popen(
                [
                    *self.command,
                    "status",
                    "-a",
                    f"http://127.0.0.1:{silent.getsockname()[1]}",
                ],
                env=self.environ,
                stderr=subprocess.PIPE,
            )
            self.addCleanup(self.end, process)
            silent.settimeout(DEADLINE)
            connection, _ = silent.accept()
            with connection:
                process.send_signal(signal.SIGINT)
                _, err = process.communicate(timeout=DEADLINE)
        self.assertEqual((process.returncode, err), (130, b""))


class LogTests(ProcessTestCase):
    """The log of a process, whoever starts it and whoever reads it."""

    def configure(self, more: str) -> int:
        """Add to the configuration; a port that is free for its listener."""
        with socket.create_server(("127.0.0.1", 0)) as free:
            port: int = free.getsockname()[1]
        text = CONFIG.format(folder=self.folder)
        text = text.replace(
            'access_log = { path = "access.log", flush = "10ms" }',
            'access_log = { path = "-", flush = "10ms" }',
        )
        pem = self.folder / "site.pem"
        trustme.CA().issue_cert("x").private_key_and_cert_chain_pem.write_to_path(pem)
        self.config.write_text(
            f'{text}{more}[listener.secure]\ntls.certificate = "{pem}"\n'
            f'endpoint = "tcp:{port}:interface=127.0.0.1"\n'
        )
        return port

    def test_a_reader_that_stopped(self) -> None:
        """With a full pipe as standard output everybody is served: bad handshakes, requests, and the stop."""
        port = self.configure('[log]\nlevel = "debug"\n')
        process = self.start()
        for number in range(150):
            with socket.create_connection(("127.0.0.1", port), DEADLINE) as client:
                client.sendall(b"GET /%d HTTP/1.1\r\n\r\n" % number)
                with contextlib.suppress(ConnectionError):
                    client.recv(100)
        path = "x" * 7000
        for _ in range(60):
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(DEADLINE)
                client.connect(f"{self.folder}/web.sock")
                client.sendall(f"GET /{path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
                self.assertIn(b"HTTP/1.1 50", client.recv(1000))
        self.assertEqual(self.lolly("events")[0], 0)
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=DEADLINE)
        self.assertEqual(process.returncode, 0)
        self.assertLess(out.count("TLS handshake failed"), 15)
        repeated = re.findall(r"handshake failed.* \.\.\. repeated ([0-9]+) time", out)
        first = out.count("TLS handshake failed") - len(repeated)
        self.assertEqual(first + sum(map(int, repeated)), 150)
        self.assertEqual(out.count(path), 60)

    def test_levels_under_twistd(self) -> None:
        """The level and the form hold under `twistd -n`, to a file and to standard output; the start is one line."""
        for more, where in ((["--logfile", "t.log"], "t.log"), ([], "")):
            for level, there in (("info", True), ("warn", False)):
                self.configure(f'[log]\nlevel = "{level}"\nformat = "json"\n')
                (self.folder / "t.log").unlink(missing_ok=True)
                process = subprocess.Popen(
                    [
                        sys.executable,
                        "-c",
                        "from twisted.scripts.twistd import run; run()",
                        "-n",
                        "--pidfile=",
                        *more,
                        "lolly",
                        "--config",
                        str(self.config),
                    ],
                    env=self.environ,
                    cwd=self.folder,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                )
                self.addCleanup(self.end, process)
                self.until(lambda: self.lolly("status")[0] == 0)
                process.send_signal(signal.SIGTERM)
                out, _ = process.communicate(timeout=DEADLINE)
                text = (self.folder / where).read_text() if where else out
                lines = [json.loads(line) for line in text.splitlines()]
                starts = [line for line in lines if "serves" in line["message"]]
                self.assertEqual(len(starts), there, text)
                levels = [line["level"] for line in lines]
                self.assertEqual("info" in levels, there, text)
                if starts:
                    self.assertRegex(
                        starts[0]["message"],
                        r"^lolly_tx [0-9.]+ \(.+\) serves .*lolly\.toml: pools app;"
                        r" listeners web \(unix:.*\), secure \(tcp:",
                    )


class AnswerTests(TestCase):
    """Answers that are none, over a socket."""

    timeout = 30

    def ask(self, answer: bytes, token: str = "") -> object:
        """What a client makes of `answer`."""
        with tempfile.TemporaryDirectory() as folder:
            path = f"{folder}/s"
            with socket.socket(socket.AF_UNIX) as listening:
                listening.bind(path)
                listening.listen()

                def serve() -> None:
                    connection, _ = listening.accept()
                    with connection:
                        self.asked = connection.recv(65536)
                        connection.sendall(answer)

                thread = threading.Thread(target=serve)
                thread.start()
                try:
                    return AdminClient(f"unix:{path}", token).get("/x")
                finally:
                    thread.join(DEADLINE)

    def response(self, status: int, body: bytes) -> bytes:
        return b"HTTP/1.1 %d R\r\nContent-Length: %d\r\n\r\n%b" % (
            status,
            len(body),
            body,
        )

    def test_good(self) -> None:
        """A good answer is what it says, and the token goes with the question."""
        self.assertEqual(self.ask(self.response(200, b'{"a": 1}'), TOKEN), {"a": 1})
        self.assertIn(b"Authorization: Bearer " + TOKEN.encode(), self.asked)

    def test_refusals(self) -> None:
        """A refusal is told in the words of the endpoint, with a hint where one helps."""
        for answer, message in (
            (self.response(404, b'{"error": "no such pool"}'), "no such pool"),
            (self.response(401, b'{"error": "a token"}'), r"a token \(set LOLLY_TOKEN"),
            (self.response(500, b"[]"), "status 500"),
            (self.response(200, b"<html>"), "is no lolly admin endpoint"),
            (b"SSH-2.0-x\r\n", "nothing answers at"),
            (b"", "nothing answers at"),
        ):
            with self.assertRaisesRegex(CannotAsk, message):
                self.ask(answer)
