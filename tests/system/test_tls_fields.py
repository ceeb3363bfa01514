"""What TLS knows of a client, told to targets and to the access log, and sites; over HTTP/1.1 and HTTP/2."""

from __future__ import annotations

import json
import shutil
import ssl
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from tests.system.test_proxy import SystemTestCase, free_port, listening, wait_for

CONFIG = """\
[access_log]
path = "{folder}/access.log"
flush = "50ms"
format = "json"
[access_log.fields]
tls = "$tls_version"
cipher = "$tls_cipher"
sni = "$tls_server_name"
alpn = "$tls_alpn"
verify = "$tls_verify"
subject = "$tls_subject"
fingerprint = "$tls_fingerprint"
[listener.secure]
endpoint = "tcp:{port}:interface=127.0.0.1"
tls.certificate = "{folder}/site.pem"
tls.client_ca = "{folder}/ca.pem"
[listener.secure.tls.fields]
X-Tls-Version = "$tls_version"
X-Tls-Alpn = "$tls_alpn"
X-Tls-Name = "$tls_server_name"
X-Tls-Verify = "$tls_verify"
X-Tls-Fingerprint = "$tls_fingerprint"
[[listener.secure.tls.site]]
host = "admin.test"
client = "require"
[[route]]
pool = "app"
[pool.app]
targets = ["http://127.0.0.1:{origin}"]
"""


class Echo(BaseHTTPRequestHandler):
    """Says which of our fields it was sent."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """As JSON."""
        names = [name for name in self.headers if name.lower().startswith("x-tls-")]
        said = {name.lower(): self.headers.get_all(name) for name in names}
        body = json.dumps(said).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words: object) -> None:
        """Say nothing."""


class TLSFieldsTests(SystemTestCase):
    def setUp(self) -> None:
        """A proxy with a site of its own for one name."""
        self.place = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.place)
        self.authority = trustme.CA()
        self.authority.cert_pem.write_to_path(self.place / "ca.pem")
        issued = self.authority.issue_cert("a.test", "admin.test")
        issued.private_key_and_cert_chain_pem.write_to_path(self.place / "site.pem")
        origin = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
        origin.daemon_threads = True
        thread = threading.Thread(target=origin.serve_forever, daemon=True)
        thread.start()
        self.addCleanup(origin.server_close)
        self.addCleanup(origin.shutdown)
        self.port = free_port()
        process = self.proxy(
            CONFIG.format(folder=self.place, port=self.port, origin=origin.server_port)
        )
        self.addCleanup(process.wait, 20)
        self.addCleanup(process.terminate)
        wait_for(lambda: listening(self.port), "the proxy")

    def client(self, http2: bool, own: trustme.LeafCert | None = None) -> httpx.Client:
        """One that trusts the authority; `own`: its certificate."""
        context = ssl.create_default_context(cafile=str(self.place / "ca.pem"))
        if own is not None:
            own.configure_cert(context)
        client = httpx.Client(
            http1=not http2, http2=http2, verify=context, timeout=20, trust_env=False
        )
        self.addCleanup(client.close)
        return client

    def ask(self, client: httpx.Client, name: str, host: str) -> httpx.Response:
        """On a connection that asks for `name`, for `host`."""
        return client.get(
            f"https://127.0.0.1:{self.port}/",
            headers={"Host": host, "X-Tls-Verify": "SUCCESS", "X_Tls_Name": "me"},
            extensions={"sni_hostname": name},
        )

    def lines(self, count: int) -> list[dict[str, Any]]:
        """Those of the access log, once there are so many."""
        log = self.place / "access.log"

        def read() -> list[dict[str, Any]]:
            text = log.read_text() if log.exists() else ""
            found = [json.loads(line) for line in text.splitlines()]
            return found if len(found) >= count else []

        return list(wait_for(read, "the access log"))

    def test_told(self) -> None:
        """Targets and the log hear what TLS knows, and nothing of what the client says under those names."""
        own = self.authority.issue_cert("client.test")
        pem = own.cert_chain_pems[0].bytes()
        leaf = x509.load_pem_x509_certificate(pem)
        fingerprint = leaf.fingerprint(SHA256()).hex()
        for number, http2 in enumerate((False, True)):
            alpn = "h2" if http2 else "http/1.1"
            nobody, somebody = self.client(http2), self.client(http2, own)
            told = self.ask(nobody, "a.test", "a.test")
            self.assertEqual(told.http_version, "HTTP/2" if http2 else "HTTP/1.1")
            expected = {
                "x-tls-version": ["TLSv1.3"],
                "x-tls-alpn": [alpn],
                "x-tls-name": ["a.test"],
                "x-tls-verify": ["NONE"],
            }
            self.assertEqual(told.json(), expected)
            expected["x-tls-name"] = ["admin.test"]
            expected["x-tls-verify"] = ["SUCCESS"]
            expected["x-tls-fingerprint"] = [fingerprint]
            for _ in range(2):  # the connection is the same
                told = self.ask(somebody, "admin.test", "admin.test")
                self.assertEqual(told.json(), expected)
            first, second, third = self.lines(3 * number + 3)[-3:]
            self.assertEqual(
                (first["tls"], first["alpn"], first["sni"], first["verify"]),
                ("TLSv1.3", alpn, "a.test", "NONE"),
            )
            self.assertEqual((first["subject"], first["fingerprint"]), (None, None))
            self.assertTrue(first["cipher"].startswith("TLS_"))
            self.assertIn("O=trustme", second["subject"])
            for one in (second, third):
                self.assertEqual(
                    (one["sni"], one["verify"], one["fingerprint"]),
                    ("admin.test", "SUCCESS", fingerprint),
                )

    def test_sites(self) -> None:
        """A host outside of the site of its connection is answered with 421, and the connection goes on."""
        own = self.authority.issue_cert("client.test")
        for number, http2 in enumerate((False, True)):
            nobody, somebody = self.client(http2), self.client(http2, own)
            answers = [
                self.ask(client, name, host).status_code
                for client, name, host in (
                    (nobody, "a.test", "admin.test"),
                    (nobody, "a.test", "a.test"),
                    (somebody, "admin.test", "a.test"),
                    (somebody, "admin.test", "admin.test"),
                )
            ]
            self.assertEqual(answers, [421, 200, 421, 200])
            refused = self.lines(4 * number + 4)[-4]
            self.assertEqual((refused["status"], refused["sni"]), (421, "a.test"))
            with self.assertRaises(httpx.TransportError):
                self.ask(self.client(http2), "admin.test", "admin.test")
