"""Tests of what a user of nginx expects of routes: hosts, methods, precedence, and bytes that stay."""

from __future__ import annotations

from lolly_tx.config.load import parse
from lolly_tx.service.changes.guard import sample
from lolly_tx.service.workers.parcel import packed, unpacked
from tests.proxy.world import OK, get
from tests.service.test_build import BuildTestCase

TEXT = r"""
[listener.web]
endpoint = "tcp:8080"
[[route]]
host = "www.example.com"
pool = "exact"
[[route]]
host = "*.example.com"
pool = "suffix"
[[route]]
host = "www.example.*"
path = "/start/"
split = [{ pool = "exact" }, { pool = "suffix", weight = 0 }]
split_key = "$client"
[[route]]
host = "api.test"
path = "/api/v1/"
pool = "exact"
[[route]]
host = "api.test"
path = "/api/"
header = { X-Beta = "~^1" }
query = { v = "2" }
client = "192.0.2.0/24"
pool = "suffix"
[[route]]
host = "api.test"
path = "~*\\.PHP$"
respond = { status = 403 }
[[route]]
host = "api.test"
path = "=/gone"
redirect = { to = "/" }
[pool.exact]
targets = ["http://127.0.0.1:9001"]
[pool.suffix]
targets = ["http://127.0.0.1:9002"]
"""


class CaseTests(BuildTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.service = self.started(TEXT)

    def ask(self, path: str, host: str, method: str = "GET", more: str = "") -> str:
        """The port of the target that gets a request and its first line, or the status of an answer from here."""
        client = self.client()
        request = get(path, more).replace(b"Host: x", b"Host: " + host.encode())
        client.send(request.replace(b"GET", method.encode(), 1))
        if not self.reactor.tcpClients:
            return str(client.take()[9:12].decode())
        port = self.reactor.tcpClients[-1][1]
        target = self.backend(port)
        line = target.take().partition(b"\r\n")[0].decode()
        target.send(OK)
        self.pass_time(0.1)
        target.lose()
        return f"{port} {line}"

    def test_hosts(self) -> None:
        """Case, port and a final dot do not count; a name beats a suffix, that a start; others get 404."""
        for host, port in (
            ("www.example.com", "9001"),
            ("WWW.Example.COM.:8080", "9001"),
            ("a.b.example.com", "9002"),
        ):
            self.assertEqual(self.ask("/", host)[:4], port, host)
        self.assertEqual(self.ask("/start/", "www.example.net")[:4], "9001")
        for host in ("example.com", "www.example.net", "other", "[::1]"):
            self.assertEqual(self.ask("/", host), "404", host)

    def test_methods(self) -> None:
        """Every method is routed, whatever it is called."""
        for method in ("PATCH", "OPTIONS", "DELETE", "PROPFIND", "QUERY"):
            self.assertEqual(
                self.ask("/x", "www.example.com", method), f"9001 {method} /x HTTP/1.1"
            )

    def test_bytes_stay(self) -> None:
        """Whatever the path is compared as, the target gets what the client has sent."""
        for path in ("/a%2Fb%3Fc?x=1", "/@scope/pkg", "//a/./b/../c%41", "/a;p=1/b"):
            self.assertEqual(
                self.ask(path, "www.example.com"), f"9001 GET {path} HTTP/1.1"
            )

    def test_precedence(self) -> None:
        """The longest prefix wins, expressions beat it, without regard to case where that is asked for."""
        beta = "X-Beta: 12\r\n"
        for path, more, found in (
            ("/api/v1/users", "", "9001 GET /api/v1/users HTTP/1.1"),
            ("/api/users?v=2", beta, "9002 GET /api/users?v=2 HTTP/1.1"),
            ("/api/users?v=2", "", "404"),
            ("/api/users", beta, "404"),
            ("/api/v1/x.php", "", "403"),
            ("/api/v1/x.PhP?v=2", beta, "403"),
            ("/gone", "", "308"),
            ("/gone/", "", "404"),
        ):
            self.assertEqual(self.ask(path, "api.test", more=more), found, path)

    def test_workers(self) -> None:
        """Such settings reach other processes as they are."""
        config = parse(TEXT)
        self.assertEqual(unpacked(packed(config)), config)

    def test_on_trial(self) -> None:
        """A redirect is no failure to those who judge new settings, a refusal is one."""
        before = sample(self.service)
        self.ask("/gone", "api.test")
        after = sample(self.service)
        self.assertEqual(
            (after.requests - before.requests, after.errors - before.errors), (1, 0)
        )
        self.ask("/", "nobody")
        last = sample(self.service)
        self.assertEqual(
            (last.requests - after.requests, last.errors - after.errors), (1, 1)
        )
