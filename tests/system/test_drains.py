"""Drains of listeners on real processes, and what a stop says of itself."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import time
from typing import Any

from lolly_tx.commands.client import CannotAsk
from tests.system.test_upgrade import CONFIG, SECONDS, TOKEN, UpgradeTestCase
from tests.system.test_workers import DEADLINE, WorkersTestCase


def ask(where: Any) -> str:
    """What becomes of a client who asks there."""
    family = socket.AF_UNIX if isinstance(where, str) else socket.AF_INET
    with socket.socket(family) as client:
        client.settimeout(SECONDS)
        try:
            client.connect(where)
        except ConnectionRefusedError:
            return "refused"
        except FileNotFoundError:
            return "nothing there"
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        return "answered" if client.recv(1) else "closed"


class OneProcessTests(UpgradeTestCase):
    """The process that serves is the one that is asked."""

    def places(self) -> dict[str, Any]:
        """The listeners by name."""
        found = self.admin.get("/api/listeners")["listeners"]
        return {one["name"]: one for one in found}

    def test_listeners(self) -> None:
        """A port and a path are given up and had again, over an upgrade in between; nothing is left at the end."""
        process = self.start()
        self.pools()
        tcp, path = ("127.0.0.1", self.port), str(self.folder / "web.sock")
        self.assertEqual((ask(tcp), ask(path)), ("answered", "answered"))
        for name in ("web", "local"):
            self.admin.post(f"/api/listeners/{name}/drain")
        # What connects before the last call is over is answered, whatever comes later is not.
        until = time.monotonic() + SECONDS
        while (ask(tcp), ask(path)) != ("refused", "nothing there"):
            self.assertLess(time.monotonic(), until)
        done = self.upgrade()
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.pools()
        self.assertEqual((ask(tcp), ask(path)), ("refused", "nothing there"))
        states = {name: one["state"] for name, one in self.places().items()}
        self.assertEqual((states["web"], states["local"]), ("drained", "drained"))
        self.assertEqual(states["[admin]"], "up")
        for name in ("web", "local"):
            self.admin.post(f"/api/listeners/{name}/enable")
        self.assertEqual((ask(tcp), ask(path)), ("answered", "answered"))
        self.admin.post("/api/listeners/local/drain")
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(SECONDS), 0)
        left = sorted(each.name for each in self.folder.iterdir())
        self.assertEqual(left, ["log", "lolly.toml"])

    def test_stop_says_how_far_it_is(self) -> None:
        """While a client is waited for the admin side tells of it, and the log has the count and the end."""
        with socket.create_server(("127.0.0.1", 0)) as target:
            text = CONFIG.format(folder=self.folder, port=self.port, token=TOKEN)
            self.file.write_text(
                text.replace(
                    'http://127.0.0.1:9"',
                    f'http://127.0.0.1:{target.getsockname()[1]}"',
                ).replace(', "http://127.0.0.1:10"', "")
            )
            process = self.start()
            self.pools()
            with socket.create_connection(("127.0.0.1", self.port), SECONDS) as client:
                client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                target.settimeout(SECONDS)
                served, _ = target.accept()
                process.send_signal(signal.SIGTERM)
                until = time.monotonic() + SECONDS
                while True:
                    ready = self.admin.get_even_if_unready("/readyz")
                    if not ready["ready"]:
                        break
                    self.assertLess(time.monotonic(), until)
                self.assertEqual(ready["reasons"][-1], "draining")
                left = ready["draining"]
                self.assertEqual((left["connections"], left["in_flight"]), (1, 1))
                with served:
                    served.recv(4096)
                    served.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                    self.assertIn(b"Connection: close\r\n", client.recv(4096))
            self.assertEqual(process.wait(SECONDS), 0)
        self.assertRaises(CannotAsk, self.admin.get, "/readyz")
        log = (self.folder / "log").read_text()
        self.assertIn("Stopping: 1 connection, 1 exchange in flight", log)
        self.assertIn("Stopping: all connections have ended", log)


class SeveralProcessesTests(WorkersTestCase):
    """The supervisor is asked, workers do it."""

    def place(self) -> dict[str, Any]:
        """The listener."""
        shown = self.ask("/api/listeners")[1]["listeners"]
        found: dict[str, Any] = next(one for one in shown if one["name"] == "web")
        return found

    def say(self, word: str) -> dict[str, Any]:
        """The operator's word."""
        status, answer = self.ask(f"/api/listeners/web/{word}", "POST")
        self.assertEqual(status, 200, answer)
        found: dict[str, Any] = answer
        return found

    def test_listener(self) -> None:
        """Every worker takes nobody new, also one that is made meanwhile; connections end; then all serve again."""
        self.start()
        where = ("127.0.0.1", self.port)
        keep = http.client.HTTPConnection(*where, timeout=DEADLINE)
        self.addCleanup(keep.close)
        self.assertEqual(self.get(keep), 200)
        self.until(lambda: self.place()["open"] == 1, "the connection is counted")
        self.assertIsNotNone(self.place()["oldest_seconds"])
        self.say("drain")
        # Half of the slots each; what a worker has still accepted it answers.
        self.until(lambda: {ask(where) for _ in range(16)} == {"refused"})
        before = self.pids()
        os.kill(before[0], signal.SIGKILL)
        self.until(lambda: len(self.pids()) == 2 and self.pids() != before)
        self.assertEqual({ask(where) for _ in range(16)}, {"refused"})
        self.until(lambda: self.place()["state"] == "drained", "all have left")
        events = self.ask("/api/events")[1]["events"]
        self.until(lambda: "drained" in str(self.ask("/api/events")[1]["events"]))
        self.assertEqual(
            [
                (one["target"], one["new"])
                for one in events
                if one["fact"] == "listener"
            ][:1],
            [("web", "drain")],
        )
        self.assertEqual(self.say("enable")["state"], "up")
        for _ in range(16):
            self.assertEqual(self.get(), 200)

    def test_stop_says_how_far_it_is(self) -> None:
        """While workers end what they do the admin side tells of all of them together, and so does the log."""
        self.origins[0].seconds = 5.0
        self.start()
        with self.load(3) as found:
            self.until(lambda: self.target()["in_flight"] == 3)
            self.process.send_signal(signal.SIGTERM)
            self.until(lambda: not self.ask("/readyz")[1]["ready"])
            left = self.ask("/readyz")[1]["draining"]
            self.assertEqual((left["connections"], left["in_flight"]), (3, 3))
            self.until(lambda: [status for _, status in found].count(200) == 3)
        self.assertEqual(self.process.wait(DEADLINE), 0)
        self.until(lambda: any("have ended" in line for line in self.lines))
        said = [line for line in self.lines if "Stopping: " in line]
        self.assertIn("3 connections, 3 exchanges in flight", said[0])
        self.assertIn("all connections have ended", said[-1])
