"""Static files by a real process: plain, over TLS, over HTTP/2, and what becomes of them while they are sent."""

from __future__ import annotations

import hashlib
import os
import socket
import ssl
from typing import Any

import httpx
import trustme

from tests.system.test_proxy import SystemTestCase, free_port, listening, wait_for

CONFIG = """
[listener.plain]
endpoint = "tcp:{plain}:interface=127.0.0.1"
[listener.secure]
endpoint = "tcp:{secure}:interface=127.0.0.1"
tls.certificate = "{folder}/site.pem"
[[route]]
files = {{ root = "{folder}/www", precompressed = ["gzip"], listing = true }}
[timeouts]
write = "2s"
"""
SIZE = 24 << 20


class FilesTests(SystemTestCase):
    """One process for all."""

    plain: int
    secure: int
    trust: ssl.SSLContext

    @classmethod
    def setUpClass(cls) -> None:
        """A root, a certificate, and the process."""
        super().setUpClass()
        authority = trustme.CA()
        issued = authority.issue_cert("127.0.0.1")
        (cls.folder / "site.pem").write_bytes(
            issued.private_key_pem.bytes() + issued.cert_chain_pems[0].bytes()
        )
        cls.trust = ssl.create_default_context()
        authority.configure_trust(cls.trust)
        root = cls.folder / "www"
        root.mkdir()
        (root / "index.html").write_text("<h1>hello</h1>")
        (root / "index.html.gz").write_bytes(b"packed")
        cls.content = os.urandom(SIZE)
        (root / "big.bin").write_bytes(cls.content)
        cls.plain, cls.secure = free_port(), free_port()
        cls.proxy(
            CONFIG.format(plain=cls.plain, secure=cls.secure, folder=cls.folder),
            name="files.toml",
        )
        wait_for(lambda: listening(cls.plain) and listening(cls.secure), "listeners")

    content: bytes

    def client(self, **named: Any) -> httpx.Client:
        """A client that trusts the certificate."""
        client = httpx.Client(verify=self.trust, timeout=30, **named)
        self.addCleanup(client.close)
        return client

    @property
    def urls(self) -> tuple[tuple[str, bool], ...]:
        """Each way to get there, and whether it is HTTP/2."""
        secure = f"https://127.0.0.1:{self.secure}"
        return (
            (f"http://127.0.0.1:{self.plain}", False),
            (secure, False),
            (secure, True),
        )

    def test_every_way(self) -> None:
        """The same file by sendfile, over TLS and over HTTP/2: whole, in parts, and not again."""
        wanted = hashlib.sha256(self.content).digest()
        for url, http2 in self.urls:
            client = self.client(http1=not http2, http2=http2)
            whole = client.get(f"{url}/big.bin")
            self.assertEqual(whole.http_version, "HTTP/2" if http2 else "HTTP/1.1")
            self.assertEqual(hashlib.sha256(whole.content).digest(), wanted)
            part = client.get(
                f"{url}/big.bin", headers={"Range": "bytes=1000000-3000000"}
            )
            self.assertEqual(part.status_code, 206)
            self.assertEqual(part.content, self.content[1000000:3000001])
            parts = client.get(f"{url}/big.bin", headers={"Range": "bytes=0-9,-10"})
            self.assertIn(self.content[-10:], parts.content)
            self.assertEqual(len(parts.content), int(parts.headers["content-length"]))
            again = client.get(
                f"{url}/big.bin", headers={"If-None-Match": whole.headers["etag"]}
            )
            self.assertEqual((again.status_code, again.content), (304, b""))
            head = client.head(f"{url}/big.bin")
            self.assertEqual(head.headers["content-length"], str(SIZE))
            plain = client.get(f"{url}/", headers={"Accept-Encoding": "identity"})
            self.assertEqual(plain.text, "<h1>hello</h1>")
            listing = client.get(f"{url}/big.bin/")
            self.assertEqual(listing.status_code, 404)

    def ask(self, path: str) -> socket.socket:
        """A connection that has asked, with little room for the answer."""
        asking = socket.socket()
        self.addCleanup(asking.close)
        asking.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        asking.settimeout(30)
        asking.connect(("127.0.0.1", self.plain))
        asking.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        return asking

    def test_shrinks(self) -> None:
        """A file that becomes shorter while it is sent ends the connection before its length is reached."""
        path = self.folder / "www" / "shrinks.bin"
        path.write_bytes(self.content)
        asking = self.ask("/shrinks.bin")
        got = len(asking.recv(1000))
        os.truncate(path, 1000)
        try:
            while data := asking.recv(1 << 20):
                got += len(data)
        except ConnectionResetError:
            pass
        self.assertLess(got, SIZE)

    def test_replaced(self) -> None:
        """A file that is replaced while it is sent is sent as it was."""
        path = self.folder / "www" / "replaced.bin"
        path.write_bytes(self.content)
        asking = self.ask("/replaced.bin")
        asking.recv(10)
        other = path.with_suffix(".new")
        other.write_bytes(b"new")
        other.rename(path)
        rest = bytearray()
        while len(rest) < SIZE:
            rest += asking.recv(1 << 20)
        self.assertTrue(rest.endswith(self.content[-1000:]))

    def test_client_that_reads_nothing(self) -> None:
        """It is cut off, and others are served meanwhile."""
        asking = self.ask("/big.bin")
        status, _ = self.get(self.plain, "/index.html")
        self.assertEqual(status, 200)

        def is_over() -> bool:
            try:
                return asking.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0
            except OSError:
                return True

        wait_for(is_over, "the end of a client that reads nothing")

    def test_traversal(self) -> None:
        """Nothing beside the root is had by any spelling, byte for byte."""
        (self.folder / "secret").write_text("SECRET")
        for path in ("/../secret", "/%2e%2e/secret", "/..%2fsecret", "/..\\secret"):
            asking = self.ask(path)
            answer = asking.recv(65536)
            self.assertRegex(answer, rb"^HTTP/1.1 40[04] ")
            self.assertNotIn(b"SECRET", answer)
