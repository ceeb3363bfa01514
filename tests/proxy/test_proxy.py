"""Tests of routing and of what is answered without a backend."""

from __future__ import annotations

from ipaddress import ip_network

from tests.proxy.world import GET, OK, WorldTestCase, get, post


class ProxyTests(WorldTestCase):
    def answered(self, request: bytes, **settings) -> bytes:
        """Our own answer to `request`."""
        self.made = world = self.world(**settings)
        client = world.client()
        client.send(request)
        self.assertEqual(world.connects(), [])
        return client.take()

    def test_no_route(self):
        """Where no route leads is 404, and is recorded as such."""
        got = self.answered(GET, path="/app/")
        self.assertTrue(got.startswith(b"HTTP/1.1 404 Not Found\r\n"))
        self.assertNotIn(b"Connection: close", got)
        [(head, status, why)] = self.made.refusals
        self.assertEqual((head.target, status, why), (b"/", 404, "no route"))

    def test_path_of_two_meanings(self):
        """A path that backends read differently is refused, and nothing follows it."""
        request = get("/app/..;/admin") + GET
        got = self.answered(request, path="/app/")
        self.assertTrue(got.startswith(b"HTTP/1.1 400 Bad Request\r\n"))
        self.assertIn(b"Connection: close", got)
        self.assertEqual(1, got.count(b"HTTP/1.1 "))
        [(head, status, why)] = self.made.refusals
        self.assertEqual((status, why), (400, "dots with parameters in the path"))

    def test_methods(self):
        """CONNECT, TRACE and TRACK are not served."""
        for method in (b"TRACE", b"TRACK"):
            got = self.answered(method + GET[3:])
            self.assertTrue(got.startswith(b"HTTP/1.1 405 "))
            self.assertIn(b"\r\nAllow: ", got)
        got = self.answered(b"CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n")
        self.assertTrue(got.startswith(b"HTTP/1.1 405 "))

    def test_options(self):
        """OPTIONS is forwarded unless it must go no further."""
        got = self.answered(b"OPTIONS" + get("/", "Max-Forwards: 0\r\n")[3:])
        self.assertTrue(got.startswith(b"HTTP/1.1 200 "))
        self.assertIn(b"\r\nAllow: ", got)
        for request in (b"OPTIONS" + GET[3:], b"OPTIONS *" + GET[5:]):
            world = self.world()
            client = world.client()
            client.send(request)
            backend = world.accept()
            self.assertTrue(backend.take().startswith(request[:10]))
            backend.send(OK)

    def test_bad_host(self):
        """A Host that is none is refused."""
        got = self.answered(GET.replace(b"Host: x", b"Host: x/y"))
        self.assertTrue(got.startswith(b"HTTP/1.1 400 "))

    def test_body_of_a_refused_request(self):
        """The body of a request that is refused is swallowed, then the end."""
        got = self.answered(post(10, b"abc"), path="/app/")
        self.assertIn(b"Connection: close\r\n", got)

    def test_nothing_of_the_client(self):
        """Our pages repeat nothing of the request."""
        got = self.answered(get("/<script>".replace("<", "%3C")), path="/app/")
        self.assertNotIn(b"script", got)

    def test_head(self):
        """A refused HEAD gets no body."""
        got = self.answered(b"HEAD" + GET[3:], path="/app/")
        self.assertTrue(got.endswith(b"\r\n\r\n"))

    def test_trusted(self):
        """Of a trusted peer the forwarding fields are continued and believed."""
        world = self.world(trusted=(ip_network("192.0.2.0/24"),))
        client = world.client()
        client.send(get("/", "X-Forwarded-For: 198.51.100.7\r\n"))
        exchange = client.protocol.exchange
        backend = world.accept()
        self.assertIn(b"X-Forwarded-For: 198.51.100.7, 192.0.2.1\r\n", backend.take())
        self.assertEqual(
            world.proxy.introduction.client_of(exchange.peer, exchange.head),
            "198.51.100.7",
        )
        backend.send(OK)

    def test_without_a_log(self):
        """Without anybody who wants to know, refusals are answered all the same."""
        world = self.world(path="/app/")
        world.proxy.own.on_refusal = None
        client = world.client()
        client.send(GET + b"nonsense\r\n\r\n")
        self.assertEqual(client.take().count(b"HTTP/1.1 4"), 2)
        self.assertEqual(world.proxy.refusals, 2)
