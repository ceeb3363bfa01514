"""Tests of files behind middleware: what it changes of requests and answers holds for them, too."""

from __future__ import annotations

import gzip

from tests.proxy.world import get
from tests.service.test_build import BuildTestCase
from tests.service.test_serving_files import Served

TEXT = """
[listener.web]
endpoint = "tcp:8080"
[[route]]
path = "/static/"
use = [{ type = "strip_prefix", prefix = "/static" }, "small", "from"]
files = { root = "www", listing = true }
[[route]]
path = "/fixed"
use = [{ type = "replace_path", to = "/raw" }]
files = { root = "www" }
[middleware.small]
type = "compress"
encodings = ["gzip"]
[middleware.from]
type = "headers"
response = { set = { X-From = "here" } }
[access_log]
path = "access.log"
buffer_size = 0
format = "$method $uri $status $bytes_sent"
"""


class BehindTests(Served, BuildTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.make_files()
        (self.folder / "www" / "long.txt").write_text("long text " * 1000)
        (self.folder / "www" / "big.txt").write_text("big text " * 20000)
        self.service = self.started(TEXT)
        self.use_fake_threads()

    def head(self, answer: bytes) -> bytes:
        """Of an answer."""
        return answer.partition(b"\r\n\r\n")[0]

    def test_redirect(self) -> None:
        """A folder is led to where the client is, not to where its files are."""
        self.assertIn(
            b"\r\nLocation: /static/raw/?x=1\r\n", self.ask("/static/raw?x=1")
        )
        self.assertIn(b"\r\nLocation: /fixed/\r\n", self.ask("/fixed"))
        self.assertIn(b"\r\nLocation: /raw/\r\n", self.ask("/fixed/"))

    def test_fields(self) -> None:
        """Refusals pass middleware, too."""
        for path in ("/static/index.html", "/static/nope"):
            self.assertIn(b"\r\nX-From: here\r\n", self.ask(path))

    def test_packed(self) -> None:
        """Files are packed, small or large; parts of them are not, and the log has what was sent."""
        accept = "Accept-Encoding: gzip\r\n"
        for name in ("long", "big"):
            answer = self.ask(f"/static/{name}.txt", accept)
            self.assertIn(b"\r\nContent-Encoding: gzip\r\n", answer)
            self.assertIn(b'\r\nETag: W/"', answer)
            self.assertNotIn(b"Accept-Ranges", answer)
        client = self.client()
        client.send(get("/static/long.txt", accept))
        body = client.take().partition(b"\r\n\r\n")[2]
        text = (self.folder / "www" / "long.txt").read_bytes()
        self.assertEqual(gzip.decompress(body), text)
        log = (self.folder / "access.log").read_text().splitlines()
        self.assertEqual(log[-1], f"GET /static/long.txt 200 {len(body)}")
        self.assertEqual(log[0], log[-1])
        self.assertLess(int(log[1].split()[-1]), 1000)
        part = self.ask("/static/long.txt", accept + "Range: bytes=0-3\r\n")
        self.assertTrue(part.startswith(b"HTTP/1.1 206 "))
        self.assertTrue(part.endswith(b"long"))
        self.assertNotIn(b"Content-Encoding", part)
