"""Forward proxies as curl and httpx use them: URLs, CONNECT and SOCKS5, by TLS and without, logged in or not, chained.

And a target of a pool that is behind one, which is checked through it.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import tempfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import trustme

from lolly_tx.config import load
from lolly_tx.service.build import build
from tests.net.fakes import SteppingTestCase
from tests.proxy.forwardworld import USERS

BODY = b"x" * (1 << 20)

CONFIG = r"""
[forward.plain]
endpoint = "tcp:0:interface=127.0.0.1"
{users}
ports = ["any"]
allow_targets = ["127.0.0.0/8"]
udp = true
[forward.secure]
endpoint = "tcp:0:interface=127.0.0.1"
allow = ["127.0.0.0/8"]
ports = ["any"]
allow_targets = ["127.0.0.0/8"]
tls.certificate = "proxy.pem"
"""
BEYOND = r"""
[forward.near]
endpoint = "tcp:0:interface=127.0.0.1"
allow = ["127.0.0.0/8"]
ports = ["any"]
allow_targets = ["127.0.0.0/8"]
parents = [{{ proxy = "http://alice:secret@127.0.0.1:{port}" }}]
[forward.nearby]
endpoint = "tcp:0:interface=127.0.0.1"
allow = ["127.0.0.0/8"]
ports = ["any"]
allow_targets = ["127.0.0.0/8"]
parents = [{{ proxy = "pool:uplinks", speaks = "socks5", user = "alice", password = "secret" }}]
[pool.uplinks]
targets = ["tcp://127.0.0.1:{port}"]

[listener.web]
endpoint = "tcp:0:interface=127.0.0.1"
[[route]]
pool = "far"
[pool.far]
targets = [{{ endpoint = 'socks5:127.0.0.1:{origin}:via=127.0.0.1\:{port}:user=alice:password_file={password}' }}]
checks = [{{ name = "page", type = "http", interval = "200ms" }}]
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
        self.service = self.started(CONFIG.format(users=USERS))

    def started(self, text: str) -> Any:
        """A service with these settings."""
        path = self.folder / "lolly.toml"
        path.write_text(text)
        service = build(self.reactor, load(str(path), {}))
        service.privilegedStartService()
        service.startService()
        self.addCleanup(service.stopService)
        return service

    def before_it(self) -> Any:
        """Another service, all of whose ways go by the first one's forward proxy."""
        password = self.folder / "password"
        password.write_text("secret\n")
        return self.started(
            BEYOND.format(
                port=self.port_of("forward plain"),
                origin=self.origin.server_port,
                password=password,
            )
        )

    def port_of(self, place: str, service: Any = None) -> int:
        """Where one listens, of the first service or of `service`."""
        listeners = (service or self.service).listeners
        port: int = listeners.places[place].port.getHost().port
        return port

    def curl(self, place: str, scheme: str, *words: str, service: Any = None) -> str:
        """Status of the proxy's answer to CONNECT, that of the answer, and bytes, by way of a proxy."""
        port = self.port_of(f"forward {place}", service)
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

    def test_chained(self) -> None:
        """Through a parent that asks for a login, by each protocol, on either side: everything comes."""
        near = self.before_it()
        for place in ("near", "nearby"):
            for scheme, words, connected in (
                ("http", (), "000"),
                ("http", ("-p",), "200"),
                ("socks5h", (), "000"),
            ):
                got = self.curl(place, scheme, *words, service=near)
                self.assertEqual(got, f"0 {connected} 200 {len(BODY)}", (place, scheme))

    def test_datagrams(self) -> None:
        """A client of SOCKS5 sends datagrams and gets the answers, nobody else; with its connection that ends."""
        far, client, stranger = (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(3)
        )
        for one in (far, client, stranger):
            self.addCleanup(one.close)
            one.bind(("127.0.0.1", 0))
            one.setblocking(False)
        asking = socket.create_connection(
            ("127.0.0.1", self.port_of("forward plain")), timeout=5
        )
        self.addCleanup(asking.close)
        asking.sendall(b"\5\1\2" + b"\1\5alice\6secret" + b"\5\3\0\1" + bytes(6))
        said = self.drain(asking, 14)
        self.assertEqual(said[:8], b"\5\2" + b"\1\0" + b"\5\0\0\1")
        relay = socket.inet_ntoa(said[8:12]), int.from_bytes(said[12:14])
        head = b"\0\0\0\1" + socket.inet_aton("127.0.0.1")
        head += far.getsockname()[1].to_bytes(2)
        client.sendto(head + b"ping", relay)
        asked, asker = self.datagram(far)
        self.assertEqual(asked, b"ping")
        far.sendto(b"pong", asker)
        self.assertEqual(self.datagram(client), (head + b"pong", relay))
        stranger.sendto(head + b"mine", relay)
        client.sendto(head + b"again", relay)
        self.assertEqual(self.datagram(far)[0], b"again")
        asking.close()

        def refused() -> bool:
            with contextlib.suppress(BlockingIOError):
                try:
                    client.sendto(head + b"late", relay)
                    client.recv(100)
                except ConnectionRefusedError:
                    return True
            return False

        client.connect(relay)
        self.spin(refused, "the end of the relay")

    def datagram(self, at: socket.socket) -> tuple[bytes, Any]:
        """The next one that comes, and where it is from."""
        got: list[tuple[bytes, Any]] = []

        def step() -> bool:
            with contextlib.suppress(BlockingIOError):
                got.append(at.recvfrom(65536))
            return bool(got)

        self.spin(step, "a datagram")
        return got[0]

    def fetched(self, url: str, proxy: str | None = None) -> str:
        """Status and size of what httpx gets, or its error."""
        done: list[str] = []

        def run() -> None:
            try:
                with httpx.Client(proxy=proxy, timeout=25, trust_env=False) as client:
                    got = client.get(url)
                done.append(f"{got.status_code} {len(got.content)}")
            except httpx.HTTPError as error:
                done.append(type(error).__name__)

        Thread(target=run, daemon=True).start()
        self.spin(lambda: done, "httpx")
        return done[0]

    def test_httpx(self) -> None:
        """A client of Python, which logs in at once."""
        port, size = self.port_of("forward plain"), len(BODY)
        url = f"http://127.0.0.1:{self.origin.server_port}/"
        for login, came in (
            ("alice:secret@", f"200 {size}"),
            ("alice:wrong@", "407"),
            ("", "407"),
        ):
            got = self.fetched(url, f"http://{login}127.0.0.1:{port}")
            self.assertTrue(got.startswith(came), (login, got))

    def test_target_behind_a_proxy(self) -> None:
        """Its checks go the same way as requests, and so does what they find."""
        near = self.before_it()
        pool = near.running_pools["far"].pool
        [node] = pool.nodes.values()
        forward = self.service.forwards["plain"]
        self.spin(lambda: forward.counters.served, "a check through the proxy")
        self.assertTrue(node.available)
        url = f"http://127.0.0.1:{self.port_of('web', near)}/"
        self.assertEqual(self.fetched(url), f"200 {len(BODY)}")
        self.origin.shutdown()
        self.origin.server_close()
        self.spin(lambda: not node.available, "the check's verdict")
