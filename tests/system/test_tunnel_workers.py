"""A tunnel that several processes serve: whichever has the connector, all of them reach its services."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from tests.system import test_workers as workers

SECRET = "sixteen letters!"


class TunnelWorkersTests(workers.WorkersTestCase):
    """`echo`: a service that ends with "bye" where its client has ended, or with a reset."""

    def setUp(self) -> None:
        super().setUp()
        self.echo = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(self.echo.close)
        threading.Thread(target=self.serve, daemon=True).start()
        with socket.socket() as one, socket.socket() as two:
            for probe in (one, two):
                probe.bind(("127.0.0.1", 0))
            self.edge, self.published = one.getsockname()[1], two.getsockname()[1]

    def serve(self) -> None:
        """Serve until the socket is closed."""
        while True:
            try:
                client, _ = self.echo.accept()
            except OSError:
                return
            threading.Thread(target=self.serve_one, args=(client,), daemon=True).start()

    def serve_one(self, client: socket.socket) -> None:
        with client:
            while data := client.recv(65536):
                if data == b"reset":
                    linger = b"\1\0\0\0\0\0\0\0"
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                    return
                client.sendall(data)
            client.sendall(b"bye")

    def begin(self) -> None:
        """The server with its workers."""
        self.start(
            top=f"""
[tunnel.edge]
endpoint = "tcp:{self.edge}:interface=127.0.0.1"
[tunnel.edge.connectors.home]
secret = "{SECRET}"
services = ["web", "echo"]
hosts = ["home.example.com"]
ports = [{self.published}]
[pool.far]
targets = [{{ endpoint = "tunnel:home:web" }}]
health = {{ path = "/health", interval = "200ms" }}
[[route]]
host = "far.example.com"
pool = "far"
"""
        )

    def connector(self) -> subprocess.Popen[Any]:
        """A process with a connector."""
        path = self.folder / f"connector-{time.monotonic_ns()}.toml"
        path.write_text(
            f"""
[connector.home]
server = "tcp:127.0.0.1:{self.edge}"
secret = "{SECRET}"
services = {{ web = "tcp:127.0.0.1:{self.origins[0].port}", echo = "tcp:127.0.0.1:{self.echo.getsockname()[1]}" }}
publish = [{{ service = "web", host = "home.example.com" }}, {{ service = "echo", port = {self.published} }}]
"""
        )
        root = str(Path(__file__).parents[2])
        made = subprocess.Popen(
            [sys.executable, "-m", "lolly_tx.cli", "run", str(path)],
            env={**os.environ, "PYTHONPATH": root},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.addCleanup(made.wait)
        self.addCleanup(made.kill)
        return made

    def connected(self) -> int:
        """How many connections of connectors the server shows."""
        shown = self.stats()["tunnels"]["tunnels"]["edge"]["home"]
        return len(shown["connected"])

    def standing(self) -> tuple[int, str]:
        """How many targets of the pool "far" are available, and why its one is not."""
        [pool] = [
            one for one in self.ask("/api/pools")[1]["pools"] if one["name"] == "far"
        ]
        return pool["available"], pool["targets"][0]["why_not"]

    def fetch(self) -> int:
        """The status of a request for the published host, on a connection of its own."""
        asking = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            asking.request("GET", "/", headers={"Host": "home.example.com"})
            answer = asking.getresponse()
            answer.read()
            return answer.status
        finally:
            asking.close()

    def test_every_worker(self) -> None:
        """Hosts, ports and checks are served by all, with ends and resets; and again behind a killed worker."""
        self.begin()
        self.assertEqual(self.standing(), (0, "not connected"))
        self.assertEqual(self.fetch(), 503)
        self.connector()
        self.until(lambda: self.connected() == 1, "the connector")
        self.until(lambda: self.fetch() == 200, "all know of it")
        self.assertEqual({self.fetch() for _ in range(30)}, {200})
        self.assertEqual(self.standing(), (1, ""))
        self.until(lambda: self.origins[0].checks > 1, "checks of the supervisor")
        for _ in range(6):
            client = socket.create_connection(("127.0.0.1", self.published), timeout=30)
            data = os.urandom(300_000)
            threading.Thread(target=client.sendall, args=(data,), daemon=True).start()
            got = b""
            while len(got) < len(data):
                got += client.recv(65536)
            self.assertEqual(got, data)
            client.shutdown(socket.SHUT_WR)
            self.assertEqual(client.recv(10), b"bye")
            self.assertEqual(client.recv(10), b"")
            client.close()
            client = socket.create_connection(("127.0.0.1", self.published), timeout=30)
            client.sendall(b"reset")
            with self.assertRaises(ConnectionResetError):
                client.recv(10)
            client.close()
        [pid, _] = self.pids()
        os.kill(pid, signal.SIGKILL)
        self.until(lambda: pid not in self.pids() and len(self.pids()) == 2, "it")
        self.until(lambda: self.connected() == 1, "the connector is back")
        self.until(lambda: self.fetch() == 200, "all know of it")
        self.assertEqual({self.fetch() for _ in range(20)}, {200})
