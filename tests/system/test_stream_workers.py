"""Streams in several processes: they serve, count together, and outlive reloads and upgrades."""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from tests.system.test_proxy import free_port
from tests.system.test_upgrade import TOKEN, UpgradeTestCase

SECONDS = 60.0
PLACES = 6
"""Sessions that the target of the TCP stream takes."""

CONFIG = """\
workers = 2
[timeouts]
shutdown = "1s"
[admin]
endpoint = "unix:{folder}/admin.sock"
token = "{token}"
[stream.t]
endpoint = "tcp:{tcp}:interface=127.0.0.1"
pool = "app"
idle_timeout = "{idle}m"
[stream.u]
endpoint = "udp:{udp}:interface=127.0.0.1"
pool = "words"
[pool.app]
targets = [{{ url = "tcp://127.0.0.1:{target}", max_conns = {places} }}]
[pool.words]
targets = ["udp://127.0.0.1:{words}"]
"""


def echo(client: socket.socket) -> None:
    """A target's side of a session."""
    with client, contextlib.suppress(OSError):
        while data := client.recv(4096):
            client.sendall(data)


class StreamWorkersTests(UpgradeTestCase):
    def setUp(self) -> None:
        """A target of each kind in this process."""
        super().setUp()
        self.target = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.words = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.words.bind(("127.0.0.1", 0))
        for one in (self.target, self.words):
            self.addCleanup(one.close)
        for run in (self._accept, self._answer):
            threading.Thread(target=run, daemon=True).start()
        self.udp = free_port()
        self.write(idle=1)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.target.accept()
                threading.Thread(target=echo, args=(client,), daemon=True).start()

    def _answer(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                data, client = self.words.recvfrom(4096)
                self.words.sendto(data, client)

    def write(self, idle: int) -> None:
        """Have these settings in the file."""
        self.file.write_text(
            CONFIG.format(
                folder=self.folder,
                token=TOKEN,
                tcp=self.port,
                udp=self.udp,
                target=self.target.getsockname()[1],
                words=self.words.getsockname()[1],
                places=PLACES,
                idle=idle,
            )
        )

    def until(self, check: Callable[[], object], what: str) -> None:
        """Wait until it is so."""
        until = time.monotonic() + SECONDS
        while not check():
            log = (self.folder / "log").read_text()[-2000:]
            self.assertLess(time.monotonic(), until, f"{what}: {log}")
            time.sleep(0.02)

    def session(self) -> socket.socket | None:
        """A client that has a target; None: it was cut, for there was no place."""
        with contextlib.suppress(ConnectionError):
            made = socket.create_connection(("127.0.0.1", self.port), SECONDS)
            self.addCleanup(made.close)
            made.sendall(b"?")
            if made.recv(1):
                return made
        return None

    def full(self) -> list[socket.socket]:
        """As many as there are places for; one more has none."""
        found = [self.session() for _ in range(PLACES + 3)]
        there = [one for one in found if one is not None]
        self.assertEqual(found[PLACES:], [None] * 3)
        self.assertEqual(len(there), PLACES)
        return there

    def talker(self) -> socket.socket:
        """A client of the other stream."""
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.settimeout(0.5)
        made.connect(("127.0.0.1", self.udp))
        self.addCleanup(made.close)
        return made

    def alive(self, *clients: socket.socket) -> None:
        """Each hears what it says; of datagrams one may get lost."""
        for number, client in enumerate(clients):
            word = b"%d" % number
            if client.type == socket.SOCK_STREAM:
                client.sendall(word)
                self.assertEqual(client.recv(64), word)
            else:
                self.until(lambda c=client, w=word: self._heard(c, w), "an answer")  # type: ignore[misc]

    def _heard(self, client: socket.socket, word: bytes) -> bool:
        try:
            client.send(word)
            return client.recv(64) == word
        except OSError:
            return False

    @staticmethod
    def is_over(client: socket.socket) -> bool:
        """Whether the proxy has ended it."""
        client.settimeout(0.1)
        try:
            return client.recv(64) == b""
        except TimeoutError:
            return False
        except ConnectionError:
            return True

    def workers(self) -> Any:
        """Those that serve."""
        return self.admin.get("/api/stats")["workers"]

    def test_life(self) -> None:
        """Two processes share the places of a target; what is open lives on in reloads and an upgrade, until a stop."""
        process = self.start()
        self.until(self._are_there, "both workers")
        old = self.full()
        talkers = [self.talker() for _ in range(6)]
        self.alive(*old, *talkers)
        # A place that is given back is anybody's, whichever process had it.
        old.pop().close()
        again: list[socket.socket] = []
        self.until(lambda: self._again(again), "the place that is free")
        old += again
        for idle in range(2, 7):
            self.write(idle=idle)
            said = self.admin.post("/api/reload")
            self.assertIn("idle_timeout", str(said))
            self.alive(*old, *talkers)
        done = self.upgrade()
        self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)
        self.alive(*old)
        self.alive(*talkers, *(self.talker() for _ in range(4)))
        # The new code counts anew: a target may have what the old one still has besides.
        # Who still gets to the old one, before it stops listening, has no place.
        new: list[socket.socket] = []
        for _ in range(PLACES):
            self.until(lambda: self._again(new), "a place of the new code")
        self.assertEqual([self.session() for _ in range(3)], [None] * 3)
        self.alive(*old, *new)
        old.pop().close()
        self.alive(*old, *new)
        # A stop leaves both codes' sessions the time that it has, and no more.
        process.send_signal(signal.SIGTERM)
        self.until(lambda: all(map(self.is_over, old + new)), "the end of their time")
        self.assertEqual(process.wait(SECONDS), 0)

    def _again(self, found: list[socket.socket]) -> bool:
        made = self.session()
        if made is not None:
            found.append(made)
        return made is not None

    def _are_there(self) -> bool:
        try:
            return [one["serving"] for one in self.workers()] == [True, True]
        except Exception:
            return False
