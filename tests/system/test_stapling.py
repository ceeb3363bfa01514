"""Staples of a running proxy, as clients get them: asked for by one process, shown by all, kept over a restart."""

from __future__ import annotations

import json
import shutil
import socket
import tempfile
import threading
import urllib.request
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography.x509 import ocsp
from OpenSSL import SSL

from tests.net.authority import Authority
from tests.system.test_proxy import SystemTestCase, free_port, wait_for

CONFIG = """\
workers = {workers}
state_dir = "{folder}/state"
[admin]
endpoint = "tcp:{admin}:interface=127.0.0.1"
[listener.secure]
endpoint = "tcp:{port}:interface=127.0.0.1"
tls.certificate = ["{folder}/a.pem", "{folder}/b.pem"]
tls.ocsp = true
[[route]]
pool = "app"
[pool.app]
targets = ["http://127.0.0.1:9"]
"""
TIMEOUT = 10
CONNECTIONS = 12
"""So many are shared by two workers with all but certainty."""


class StaplingTests(SystemTestCase):
    def setUp(self) -> None:
        """An authority with a responder, and two of its certificates."""
        self.place = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.place)
        self.authority = Authority()
        self.leaves: list[Any] = []
        self.responder = self.responding()
        url = f"http://127.0.0.1:{self.responder.server_port}/ocsp"
        for name in ("a", "b"):
            path = self.place / f"{name}.pem"
            self.leaves.append(self.authority.write(path, f"{name}.test", url=url))
        self.port, self.admin = free_port(), free_port()

    def responding(self) -> ThreadingHTTPServer:
        """The responder, in a thread."""
        authority, leaves = self.authority, self.leaves

        class Answer(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                """About the certificate that is asked for."""
                body = self.rfile.read(int(self.headers["Content-Length"]))
                number = ocsp.load_der_ocsp_request(body).serial_number
                [leaf] = [one for one in leaves if one.serial_number == number]
                authority.wall = float(int(datetime.now(UTC).timestamp()))
                der = authority.respond(leaf)
                self.send_response(200)
                self.send_header("Content-Type", "application/ocsp-response")
                self.send_header("Content-Length", str(len(der)))
                self.end_headers()
                self.wfile.write(der)

            def log_message(self, *words: object) -> None:
                """Say nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        self.addCleanup(thread.join, TIMEOUT)
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        return server

    def start(self, workers: int) -> Any:
        """A proxy."""
        process = self.proxy(
            CONFIG.format(
                workers=workers, folder=self.place, admin=self.admin, port=self.port
            )
        )
        self.addCleanup(self.end, process)
        wait_for(lambda: self.shown() is not None, "the proxy")
        return process

    def end(self, process: Any) -> None:
        """And its end."""
        process.terminate()
        process.wait(20)

    def shown(self) -> list[dict[str, Any]] | None:
        """What the admin side says of the certificates."""
        try:
            url = f"http://127.0.0.1:{self.admin}/api/certificates"
            with urllib.request.urlopen(url, timeout=TIMEOUT) as answer:
                return list(json.load(answer)["certificates"])
        except OSError:
            return None

    def staple(self, name: str) -> bytes | None:
        """What a client gets that asks for `name`; None: it gets no connection."""
        found: list[bytes] = []

        def take(connection: SSL.Connection, der: bytes, data: object) -> bool:
            found.append(der)
            return True

        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        context.set_ocsp_client_callback(take)
        try:
            plain = socket.create_connection(("127.0.0.1", self.port), TIMEOUT)
        except OSError:
            return None
        with plain:
            plain.settimeout(None)  # OpenSSL's would not wait
            client = SSL.Connection(context, plain)
            client.set_tlsext_host_name(name.encode())
            client.request_ocsp()
            client.set_connect_state()
            try:
                client.do_handshake()
            except SSL.Error:
                return None
        return found[0]

    def number(self, name: str) -> int:
        """Of which certificate the staple for `name` speaks; 0: there is none."""
        der = self.staple(name)
        return ocsp.load_der_ocsp_response(der).serial_number if der else 0

    def test_kept_over_a_restart(self) -> None:
        """Each name gets that of its own certificate; who starts again has them though the responder is away."""
        first = self.start(1)
        names = ("a.test", "b.test")
        numbers = [leaf.serial_number for leaf in self.leaves]
        wait_for(lambda: [self.number(n) for n in names] == numbers, "the staples")
        shown = self.shown()
        assert shown is not None
        self.assertEqual([one["ocsp"]["status"] for one in shown], ["good", "good"])
        self.end(first)
        asked = self.authority.asked
        self.responder.shutdown()
        self.start(1)
        wait_for(lambda: self.staple("a.test") is not None, "the listener")
        self.assertEqual([self.number(name) for name in names], numbers)
        self.assertEqual(self.authority.asked, asked)

    def test_workers(self) -> None:
        """One process asks, every worker shows what it has heard."""
        self.start(2)
        number = self.leaves[1].serial_number

        def everywhere() -> bool:
            return all(self.number("b.test") == number for _ in range(CONNECTIONS))

        wait_for(everywhere, "the staple from all workers")
        self.assertEqual(self.authority.asked, 2)
