"""Forward proxies as curl uses them: URLs, CONNECT and SOCKS5, with TLS to the proxy and without, logged in or not."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import trustme

from lolly_tx.config import load
from lolly_tx.service.build import build
from tests.net.fakes import SteppingTestCase
from tests.proxy.forwardworld import USERS

BODY = b"x" * (1 << 20)

CONFIG = """
[forward.plain]
endpoint = "tcp:0:interface=127.0.0.1"
{users}
ports = ["any"]
allow_targets = ["127.0.0.0/8"]
[forward.secure]
endpoint = "tcp:0:interface=127.0.0.1"
allow = ["127.0.0.0/8"]
ports = ["any"]
allow_targets = ["127.0.0.0/8"]
tls.certificate = "proxy.pem"
"""


class _Origin(BaseHTTPRequestHandler):
    """Sends the same to everybody."""

    def do_GET(self) -> None:
        """Answer."""
        self.send_response(200)
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY)

    def log_message(self, *words: object) -> None:
        """Say nothing."""


class ForwardTests(SteppingTestCase):
    def setUp(self) -> None:
        """An origin, and two proxies."""
        super().setUp()
        if shutil.which("curl") is None:
            self.skipTest("there is no curl")
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        authority = trustme.CA()
        issued = authority.issue_cert("127.0.0.1")
        issued.private_key_and_cert_chain_pem.write_to_path(self.folder / "proxy.pem")
        authority.cert_pem.write_to_path(self.folder / "ca.pem")
        self.origin = ThreadingHTTPServer(("127.0.0.1", 0), _Origin)
        serving = Thread(target=self.origin.serve_forever, daemon=True)
        serving.start()
        self.addCleanup(self.origin.server_close)
        self.addCleanup(self.origin.shutdown)
        path = self.folder / "lolly.toml"
        path.write_text(CONFIG.format(users=USERS))
        self.service = build(self.reactor, load(str(path), {}))
        self.service.privilegedStartService()
        self.service.startService()
        self.addCleanup(self.service.stopService)

    def curl(self, place: str, scheme: str, *words: str) -> str:
        """Status of the proxy's answer to CONNECT, that of the answer, and bytes, by way of a proxy."""
        port = self.service.listeners.places[f"forward {place}"].port.getHost().port
        url = f"http://127.0.0.1:{self.origin.server_port}/"
        told = "%{http_connect} %{http_code} %{size_download}"
        command = ["curl", "-s", "-m", "25", "-o", "/dev/null", "-w", told]
        command += ["-x", f"{scheme}://127.0.0.1:{port}", *words, url]
        done: list[str] = []

        def run() -> None:
            found = subprocess.run(
                command, capture_output=True, text=True, timeout=28, check=False
            )
            done.append(f"{found.returncode} {found.stdout}")

        Thread(target=run, daemon=True).start()
        self.spin(lambda: done, "curl")
        return done[0]

    def test_logged_in_and_not(self) -> None:
        """With the password everything comes, however it is asked for; without it nothing does."""
        size = len(BODY)
        right, wrong = ("-U", "alice:secret"), ("-U", "alice:wrong")
        for scheme, words, connected in (
            ("http", (), "000"),
            ("http", ("-p",), "200"),
            ("socks5", (), "000"),
            ("socks5h", (), "000"),
        ):
            got = self.curl("plain", scheme, *words, *right)
            self.assertEqual(got, f"0 {connected} 200 {size}", (scheme, words))
        self.assertEqual(self.curl("plain", "http", *wrong)[:9], "0 000 407")
        self.assertEqual(self.curl("plain", "http", "-p")[:10], "56 407 000")
        for said in ((), wrong):
            self.assertEqual(self.curl("plain", "socks5", *said)[:3], "97 ")

    def test_tls_to_the_proxy(self) -> None:
        """An HTTPS proxy serves both as well."""
        trusted = ("--proxy-cacert", str(self.folder / "ca.pem"))
        for words, connected in (((), "000"), (("-p",), "200")):
            got = self.curl("secure", "https", *trusted, *words)
            self.assertEqual(got, f"0 {connected} 200 {len(BODY)}")
