"""Tests of routes that answer themselves: what clients get, what is counted, what the log says."""

from __future__ import annotations

from typing import Any

from tests.proxy.world import get
from tests.service.changes.test_reload import ReloadTestCase
from tests.service.test_build import BuildTestCase

TEXT = r"""
[listener.web]
endpoint = "tcp:8080"
[[route]]
path = "=/old"
redirect = { to = "https://$host/new?$query", status = 301 }
[[route]]
path = "=/away"
redirect = { to = "/here/$arg_to" }
[[route]]
path = "/down"
respond = { status = 503, body = "back soon", headers = { Retry-After = "60" } }
[[route]]
path = "/hello"
respond = { body = "<p>$header_x_name</p>", headers = { Content-Type = "text/html", X-Path = "$path" } }
[[route]]
path = "/packed"
use = [{ type = "compress" }]
respond = { body = "%s" }
[[route]]
path = "/led/"
use = [{ type = "compress", least = 1 }, { type = "strip_prefix", prefix = "/led" }]
redirect = { to = "$uri", status = 301 }
[[route]]
path = "/none"
respond = { status = 204 }
[[route]]
path = "/"
pool = "app"
[pool.app]
targets = ["http://127.0.0.1:9001"]
[access_log]
path = "access.log"
buffer_size = 0
format = "$method $uri $status $bytes_sent $route $pool $upstream"
[request_id]
""".replace("%s", "x" * 2000)


class AnsweringTests(BuildTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.service = self.started(TEXT)

    def ask(self, path: str, more: str = "") -> bytes:
        client = self.client()
        client.send(get(path, more))
        answer: bytes = client.take()
        return answer

    def log(self) -> Any:
        return (self.folder / "access.log").read_text().splitlines()

    def test_redirect(self) -> None:
        """Clients are led where the settings say, with a short page."""
        answer = self.ask("/old?a=1")
        self.assertTrue(answer.startswith(b"HTTP/1.1 301 Moved Permanently\r\n"))
        self.assertIn(b"\r\nLocation: https://x/new?a=1\r\n", answer)
        self.assertIn(b"\r\nX-Request-Id: ", answer)
        self.assertTrue(answer.endswith(b"\r\n\r\n301 Moved Permanently\n"))
        self.assertEqual(self.log(), ["GET /old?a=1 301 22 * =/old - -"])

    def test_redirect_of_a_stranger(self) -> None:
        """A parameter leads to no other host."""
        answer = self.ask("/away?to=//evil.example%0d%0aX:1")
        self.assertIn(b"\r\nLocation: /here///evil.example%0d%0aX:1\r\n", answer)

    def test_no_host(self) -> None:
        """Who has no name cannot be sent to it under another scheme."""
        client = self.client()
        client.send(b"GET /old HTTP/1.0\r\n\r\n")
        self.assertIn(b" 400 Bad Request\r\n", client.take())

    def test_respond(self) -> None:
        """Status, fields and body are those of the settings."""
        answer = self.ask("/down/x")
        self.assertTrue(answer.startswith(b"HTTP/1.1 503 Service Unavailable\r\n"))
        self.assertIn(b"\r\nRetry-After: 60\r\n", answer)
        self.assertIn(b"\r\nContent-Type: text/plain; charset=utf-8\r\n", answer)
        self.assertTrue(
            answer.endswith(b"\r\nContent-Length: 9\r\n\r\nback soon"), answer
        )
        self.assertEqual(self.log()[-1], "GET /down/x 503 9 * /down - -")

    def test_values(self) -> None:
        """What a client sends is no markup, and ends no line."""
        answer = self.ask("/hello/%0d%0aX:1", "X-Name: <b>\r\n")
        self.assertIn(b"<p>&lt;b&gt;</p>", answer)
        self.assertIn(b"\r\nX-Content-Type-Options: nosniff\r\n", answer)
        self.assertNotIn(b"X-Path", answer)
        self.assertIn(b"\r\nX-Path: /hello/x\r\n", self.ask("/hello/x"))

    def test_bodies(self) -> None:
        """HEAD and 204 have none; that of a request is read past."""
        client = self.client()
        client.send(b"HEAD /down HTTP/1.1\r\nHost: x\r\n\r\n")
        self.assertTrue(client.take().endswith(b"\r\nContent-Length: 9\r\n\r\n"))
        client.send(b"POST /none HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nabcde")
        answer = client.take()
        self.assertTrue(answer.startswith(b"HTTP/1.1 204 No Content\r\n"))
        self.assertNotIn(b"Content-Length", answer)
        client.send(get("/down"))
        self.assertIn(b"HTTP/1.1 503 ", client.take())

    def test_behind_middleware(self) -> None:
        """The log has what the client got, and what it asked for, where middleware makes another answer or request."""
        packed = self.ask("/packed", "Accept-Encoding: gzip\r\n")
        body = packed.partition(b"\r\n\r\n")[2]
        self.assertLess(len(body), 2000)
        self.assertEqual(self.log()[-1], f"GET /packed 200 {len(body)} * /packed - -")
        led = self.ask("/led/on", "Accept-Encoding: gzip\r\n")
        body = led.partition(b"\r\n\r\n")[2]
        self.assertIn(b"\r\nLocation: /on\r\n", led)
        self.assertIn(b"\r\nContent-Encoding: gzip\r\n", led)
        self.assertNotEqual(len(body), 22)
        self.assertEqual(self.log()[-1], f"GET /led/on 301 {len(body)} * /led/ - -")

    def test_counted(self) -> None:
        """They are counted by status, as refusals are, and no pool sees them."""
        self.ask("/down")
        self.ask("/old")
        codes = self.service.resources["web"].proxy.refused_codes
        self.assertEqual(codes, {503: 1, 301: 1})
        self.assertEqual(self.reactor.tcpClients, [])


class ReloadedTests(ReloadTestCase):
    def test_reload(self) -> None:
        """Other settings answer the next request, and what was counted stays."""
        self.start(TEXT)
        client = self.client()
        client.send(get("/down"))
        self.assertIn(b"back soon", client.take())
        changes: Any = self.reload(TEXT.replace("back soon", "later"))
        self.assertIn("route", str(changes))
        client.send(get("/down"))
        self.assertIn(b"later", client.take())
        codes = self.service.resources["web"].proxy.refused_codes
        self.assertEqual(codes, {503: 2})
