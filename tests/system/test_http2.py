"""HTTP/2 on the running proxy: curl, httpx and nghttp, over TLS and without."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

import httpx
import trustme

from tests.system.origin import PIECE
from tests.system.test_proxy import (
    MIB,
    PATIENCE,
    SystemTestCase,
    free_port,
    listening,
    resident,
    wait_for,
)

CONFIG = """
[access_log]
path = "access.log"
flush = "50ms"
[listener.plain]
endpoint = "tcp:{plain}:interface=127.0.0.1"
h2c = true
[listener.secure]
endpoint = "tcp:{secure}:interface=127.0.0.1"
tls.certificate = "server.pem"
[listener.old]
endpoint = "tcp:{old}:interface=127.0.0.1"
tls.certificate = "server.pem"
http2 = false
[[route]]
pool = "app"
[pool.app]
targets = ["http://127.0.0.1:{origin}"]
"""


class Http2Tests(SystemTestCase):
    ports: dict[str, int]

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        ca = trustme.CA()
        ca.cert_pem.write_to_path(str(cls.folder / "ca.pem"))
        issued = ca.issue_cert("localhost")
        issued.private_key_and_cert_chain_pem.write_to_path(
            str(cls.folder / "server.pem")
        )
        cls.ports = {name: free_port() for name in ("plain", "secure", "old")}
        _, cls.ports["origin"] = cls.origin()
        cls.running = cls.proxy(CONFIG.format(**cls.ports))
        wait_for(lambda: listening(cls.ports["old"]), "the proxy")

    def curl(self, *words: str) -> str:
        """What curl prints."""
        if shutil.which("curl") is None:
            self.skipTest("there is no curl")
        done = subprocess.run(
            ["curl", "-sS", "--cacert", str(self.folder / "ca.pem"), *words],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def url(self, listener: str, path: str) -> str:
        """Of a listener."""
        scheme = "http" if listener == "plain" else "https"
        return f"{scheme}://localhost:{self.ports[listener]}{path}"

    def hash_of(self, size: int) -> str:
        """Of what the origin sends as so many bytes."""
        whole = (PIECE * (size // len(PIECE) + 1))[:size]
        return hashlib.sha256(whole).hexdigest()

    def test_what_is_spoken(self):
        """HTTP/2 where it is offered and asked for, HTTP/1.1 with everybody else on the same port."""
        for listener, words, version in (
            ("secure", ("--http2",), "2"),
            ("secure", ("--http1.1",), "1.1"),
            ("old", ("--http2",), "1.1"),
            ("plain", ("--http2-prior-knowledge",), "2"),
            ("plain", ("--http1.1",), "1.1"),
            ("plain", ("--http2",), "1.1"),
        ):
            said = self.curl(
                *words,
                *("-o", "/dev/null", "-w", "%{http_version} %{http_code}"),
                self.url(listener, "/p/hello"),
            )
            self.assertEqual(said, f"{version} 200", (listener, words))
        wait_for(
            lambda: "HTTP/2.0" in Path(self.folder / "access.log").read_text(),
            "the log",
        )

    def test_bodies(self):
        """Long bodies pass both ways whole, over TLS and without, with flat memory."""
        sent = self.folder / "sent"
        sent.write_bytes(PIECE * 256)
        for listener, version in (
            ("secure", "--http2"),
            ("plain", "--http2-prior-knowledge"),
        ):
            for path in ("big", "chunks", "rest"):
                got = self.folder / "got"
                self.curl(
                    version,
                    *("-o", str(got)),
                    self.url(listener, f"/p/{path}/{16 * MIB}"),
                )
                found = hashlib.sha256(got.read_bytes()).hexdigest()
                self.assertEqual(found, self.hash_of(16 * MIB), path)
            for length in ([], ["-H", "Content-Length:"]):
                said = self.curl(
                    version,
                    *length,
                    *("-T", str(sent)),
                    self.url(listener, "/p/sum"),
                )
                self.assertIn(hashlib.sha256(PIECE * 256).hexdigest(), said)
        before = resident(self.running.pid)
        self.curl(
            "--http2", "-o", "/dev/null", self.url("secure", f"/p/big/{256 * MIB}")
        )
        self.assertLess(resident(self.running.pid) - before, 8 * MIB)

    def test_httpx(self):
        """Another client library: many requests at once on one connection."""
        with httpx.Client(
            http2=True, verify=str(self.folder / "ca.pem"), timeout=PATIENCE
        ) as client:
            for n in range(50):
                response = client.get(self.url("secure", "/p/hello"))
                self.assertEqual(response.http_version, "HTTP/2")
                self.assertEqual(response.status_code, 200)
                response = client.post(self.url("secure", "/p/mirror"), content=PIECE)
                self.assertEqual(response.content, PIECE, n)

    def test_nghttp(self):
        """Many streams at once, without a failure."""
        if shutil.which("h2load") is None:
            self.skipTest("there is no h2load")
        for listener in ("plain", "secure"):
            url = self.url(listener, "/p/hello")
            done = subprocess.run(
                ["h2load", "-n", "2000", "-c", "4", "-m", "100", url],
                capture_output=True,
                text=True,
                timeout=PATIENCE,
            )
            self.assertIn("2000 succeeded, 0 failed, 0 errored", done.stdout)
