"""Tests of routes at work: conditions, hosts, captures, and what stays of them over a reload."""

from __future__ import annotations

from tests.proxy.world import get
from tests.service.test_build import BuildTestCase

TEXT = r"""
trusted_proxies = ["192.0.2.1"]
[listener.web]
endpoint = "tcp:8080"
[[route]]
path = "~^/user/(?P<id>[0-9]+)(/.*)?$"
redirect = { to = "/u/$id$2", status = 302 }
[[route]]
host = '~^(?P<shop>[a-z]+)\.shop\.test$'
respond = { body = "$shop" }
[[route]]
path = "/"
respond = { body = "any" }
[[route]]
path = "/"
client = "10.0.0.0/8"
respond = { body = "inside" }
[[route]]
path = "/"
client = "10.0.0.0/8"
method = "POST"
respond = { body = "posted" }
[[route]]
path = "/files"
query = { v = "2" }
header = { X-Beta = "~^(1|yes)$" }
respond = { body = "beta" }
"""


class RoutingTests(BuildTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.service = self.started(TEXT)

    def ask(
        self, path: str = "/", more: str = "", method: str = "GET", host: str = "x"
    ) -> str:
        """The body of the answer, or where it leads."""
        client = self.client()
        request = get(path, more).replace(b"Host: x", b"Host: " + host.encode())
        client.send(request.replace(b"GET", method.encode(), 1))
        head, _, body = client.take().partition(b"\r\n\r\n")
        for line in head.split(b"\r\n"):
            if line.startswith(b"Location: "):
                to: str = line[10:].decode()
                return to
        found: str = body.decode()
        return found

    def test_conditions(self) -> None:
        """The route with the most conditions that hold serves a request."""
        inside = "X-Forwarded-For: 10.1.2.3\r\n"
        self.assertEqual(self.ask(), "any")
        self.assertEqual(self.ask(more=inside), "inside")
        self.assertEqual(self.ask(more=inside, method="POST"), "posted")
        self.assertEqual(self.ask(method="POST"), "any")
        self.assertEqual(self.ask("/files/x?v=2", "X-Beta: yes\r\n"), "beta")
        self.assertEqual(self.ask("/files/x?v=2", "X-Beta: no\r\n"), "any")
        self.assertEqual(self.ask("/files/x?v=2", inside), "inside")

    def test_methods(self) -> None:
        """A request that another method would have a route for gets 405, others 404."""
        any_path = 'path = "/"\nrespond = { body = "any" }'
        put_only = 'path = "/m"\nmethod = "PUT"\nrespond = {}'
        self.started(TEXT.replace("8080", "8090").replace(any_path, put_only))
        client = self.client(8090)
        client.send(get("/m"))
        answer = client.take()
        self.assertTrue(answer.startswith(b"HTTP/1.1 405 "), answer)
        self.assertIn(b"\r\nAllow: PUT\r\n", answer)
        client.send(get("/n"))
        self.assertTrue(client.take().startswith(b"HTTP/1.1 404 "))

    def test_captures(self) -> None:
        """What expressions capture, of paths by number and name, of hosts by name."""
        self.assertEqual(self.ask("/user/42"), "/u/42")
        self.assertEqual(self.ask("/user/42/a%20b?x"), "/u/42/a%20b")
        self.assertEqual(self.ask("/user/42%0d%0aX:1"), "any")
        self.assertEqual(self.ask("/", host="blue.shop.test:8080"), "blue")
        self.assertEqual(self.ask("/", host="b1.shop.test"), "any")
