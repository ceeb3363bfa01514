"""Tests of reverse_proxy: mounted in a Site or a klein app, with nothing else around it."""

from __future__ import annotations

from typing import Any

from klein import Klein
from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.main import CONNECTION_DONE
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.server import Site

from lolly_tx.domain.events import Event
from lolly_tx.net.library.pools import balanced
from lolly_tx.proxy.resource import ReverseProxyResource
from lolly_tx.service.standalone import reverse_proxy
from tests.net.fakes import MemoryTransport
from tests.proxy.world import OK, get, post

URLS = ("http://127.0.0.1:9001", "http://127.0.0.1:9002")
CLIENT = IPv4Address("TCP", "192.0.2.9", 4000)


class Transport(MemoryTransport):
    """One that can be aborted, as all are."""

    def abortConnection(self) -> None:
        self.disconnecting = True


class Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor: Any = MemoryReactorClock()
        self.made: list[ReverseProxyResource] = []

    def tearDown(self) -> None:
        for each in self.made:
            each.close()

    def to(self, *where: Any, **settings: Any) -> ReverseProxyResource:
        made = reverse_proxy(self.reactor, *(where or (URLS,)), **settings)
        self.made.append(made)
        return made

    def client(self, resource: Any) -> Any:
        """A client of a site with `resource` at its root: `protocol` takes its bytes."""
        site = Site(resource, reactor=self.reactor)
        transport = Transport(lenient=True, peerAddress=CLIENT)
        transport.protocol = site.buildProtocol(CLIENT)  # type: ignore[attr-defined]
        transport.protocol.makeConnection(transport)  # type: ignore[attr-defined]
        return transport

    def accept(self) -> Any:
        """The latest connect comes about; the target's end."""
        transport = Transport(lenient=True)
        built = self.reactor.tcpClients[-1][2].buildProtocol(CLIENT)
        transport.protocol = built  # type: ignore[attr-defined]
        built.makeConnection(transport)
        return transport

    def sent(self, resource: Any, request: bytes) -> bytes:
        """What the target of `resource` gets for `request`; it answers that all is well."""
        client = self.client(resource)
        client.protocol.dataReceived(request)
        target = self.accept()
        got = bytes(target.value())
        target.protocol.dataReceived(OK)
        self.assertTrue(client.value().startswith(b"HTTP/1.1 200 OK\r\n"))
        self.assertTrue(client.value().endswith(b"ok"))
        client.protocol.connectionLost(Failure(CONNECTION_DONE))
        target.protocol.connectionLost(Failure(CONNECTION_DONE))
        return got


def mounted(resource: Resource, *path: bytes) -> Resource:
    """A site's root with `resource` at `path`."""
    for name in reversed(path):
        above = Resource()
        above.putChild(name, resource)
        resource = above
    return resource


class SiteTests(Case):
    def test_root(self) -> None:
        """The root of a site: targets take turns, and get the client's address and Host."""
        resource = self.to()
        for _ in URLS:
            sent = self.sent(resource, get("/a?b"))
            self.assertTrue(sent.startswith(b"GET /a?b HTTP/1.1\r\nHost: x\r\n"))
            self.assertIn(b"X-Forwarded-For: 192.0.2.9\r\n", sent)
        self.assertEqual(
            sorted(port for _, port, *_ in self.reactor.tcpClients), [9001, 9002]
        )

    def test_prefix_kept(self) -> None:
        """Below a prefix the target gets the whole path, byte for byte."""
        root = mounted(self.to(), b"api", b"v1")
        for path in (
            "/api/v1",
            "/api/v1/",
            "/api/v1/x%2Fy/%e4?q=/api",
            "/%61pi/v1//a/./b;c",
        ):
            self.assertEqual(self.sent(root, get(path)).split()[1], path.encode())

    def test_prefix_stripped(self) -> None:
        """Or the rest of it, byte for byte; nothing left is the root."""
        root = mounted(self.to(strip_prefix=True), b"api", b"v1")
        for path, rest in {
            "/api/v1": b"/",
            "/api/v1/": b"/",
            "/api/v1?q=1": b"/?q=1",
            "/api/v1/x": b"/x",
            "/api/v1/x%2Fy/%e4?q=/api/v1": b"/x%2Fy/%e4?q=/api/v1",
            "/%61pi/v1//a/./b;c": b"//a/./b;c",
        }.items():
            self.assertEqual(self.sent(root, get(path)).split()[1], rest)
        self.assertEqual(
            self.sent(self.to(strip_prefix=True), get("/api/x")).split()[1], b"/api/x"
        )

    def test_dots(self) -> None:
        """Where the prefix is kept, no dots lead a target out of it; without it there is nothing to leave."""
        root = mounted(self.to(), b"api")
        for path in ("/api/../admin", "/api/%2e%2E/admin", "/api/..;/admin", "/api/.."):
            client = self.client(root)
            client.protocol.dataReceived(get(path))
            self.assertTrue(client.value().startswith(b"HTTP/1.1 400 "), path)
        self.assertEqual(self.reactor.tcpClients, [])
        self.assertEqual(self.sent(root, get("/api/a/../b")).split()[1], b"/api/a/../b")
        root = mounted(self.to(strip_prefix=True), b"api")
        self.assertEqual(self.sent(root, get("/api/../x")).split()[1], b"/../x")

    def test_absolute_form(self) -> None:
        """A target with scheme and host reaches the root of a site, and is none of a mounted path."""
        for strip in (True, False):
            root = self.to(strip_prefix=strip)
            sent = self.sent(root, get("http://x/a%2Fb?c"))
            self.assertEqual(sent.split()[1], b"/a%2Fb?c")
        client = self.client(mounted(self.to(), b"api"))
        client.protocol.dataReceived(get("http://x/api/a"))
        self.assertTrue(client.value().startswith(b"HTTP/1.1 404 "))

    def test_location_and_body(self) -> None:
        """A body arrives whole; a Location comes back as it is."""
        root = mounted(self.to(strip_prefix=True), b"api")
        client = self.client(root)
        client.protocol.dataReceived(post(3, b"abc").replace(b"POST /", b"POST /api/n"))
        target = self.accept()
        self.assertTrue(target.value().startswith(b"POST /n HTTP/1.1\r\n"))
        self.assertTrue(target.value().endswith(b"\r\n\r\nabc"))
        target.protocol.dataReceived(
            b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n"
        )
        self.assertIn(b"Location: /elsewhere\r\n", client.value())

    def test_failover(self) -> None:
        """A target that takes no connection costs the client nothing, and is held against it."""
        heard: list[Event] = []
        resource = self.to(events=heard.append)
        client = self.client(resource)
        for _ in range(6):
            client.protocol.dataReceived(get())
            port = self.reactor.tcpClients[-1][1]
            if port == 9001:
                self.reactor.tcpClients[-1][2].clientConnectionFailed(
                    self.reactor.connectors[-1], Failure(ConnectionRefusedError())
                )
            target = self.accept()
            target.protocol.dataReceived(
                OK.replace(b"\r\nDate", b"\r\nConnection: close\r\nDate")
            )
            self.assertTrue(client.value().endswith(b"ok"))
            client.clear()
        self.assertEqual(
            [(e.node, e.new) for e in heard], [("http-127-0-0-1-9001", "ejected")]
        )

    def test_all_down(self) -> None:
        """With nobody left the client gets our 503."""
        endpoint = balanced(self.reactor, URLS)
        for node in endpoint.pool.nodes:
            endpoint.pool.mark(node, False, "gone", 0.0)
        client = self.client(self.to(endpoint))
        client.protocol.dataReceived(get())
        self.assertTrue(client.value().startswith(b"HTTP/1.1 503 "))

    def test_settings(self) -> None:
        """Host, and who is believed about the client, are parameters."""
        sent = self.sent(
            self.to(host="target", trusted=["192.0.2.0/24", "unix"]),
            get(extra="X-Forwarded-For: 198.51.100.7\r\n"),
        )
        self.assertIn(b"\r\nHost: 127.0.0.1:900", sent)
        self.assertIn(b"X-Forwarded-For: 198.51.100.7, 192.0.2.9\r\n", sent)

    def test_silence(self) -> None:
        """A target that does not answer in time is given up."""
        endpoint = balanced(self.reactor, URLS[:1], now=self.reactor.seconds)
        client = self.client(self.to(endpoint, read=2.0))
        client.protocol.dataReceived(get())
        self.accept()
        self.reactor.pump([0.1] * 19)
        self.assertEqual(client.value(), b"")
        self.reactor.pump([0.1] * 3)
        self.assertTrue(client.value().startswith(b"HTTP/1.1 504 "), client.value())

    def test_wrong(self) -> None:
        """What cannot be meant is refused when the resource is made."""
        endpoint = balanced(self.reactor, URLS)
        for where, settings in (
            ((), {}),
            (["ftp://a"], {}),
            (URLS, {"trusted": ["nonsense"]}),
            (endpoint, {"events": print}),
        ):
            self.assertRaises(
                ValueError, reverse_proxy, self.reactor, where, **settings
            )
        self.assertRaises(TypeError, reverse_proxy, self.reactor, URLS, hosts=1)

    def test_close(self) -> None:
        """Closed, it leaves no timer and no idle connection; closing a proxy of others does nothing."""
        resource = self.to()
        client = self.client(resource)
        client.protocol.dataReceived(get())
        target = self.accept()
        target.protocol.dataReceived(OK)
        client.protocol.connectionLost(Failure(CONNECTION_DONE))
        self.assertFalse(target.disconnecting)
        resource.close()
        self.assertTrue(target.disconnecting)
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        ReverseProxyResource(resource.proxy).close()


class KleinTests(Case):
    def test_klein(self) -> None:
        """A klein app hands a branch over, with the prefix or without it; its other routes are its own."""
        for strip, got in ((True, b"/x%2Fy?q=1"), (False, b"/api/x%2Fy?q=1")):
            app = Klein()
            backend = self.to(strip_prefix=strip)

            @app.route("/api/", branch=True)
            def api(request: Any, backend: Any = backend) -> Any:
                return backend

            @app.route("/")
            def home(request: Any) -> bytes:
                return b"home"

            root = app.resource()
            self.assertEqual(self.sent(root, get("/api/x%2Fy?q=1")).split()[1], got)
            client = self.client(root)
            client.protocol.dataReceived(get())
            self.assertIn(b"home", client.value())
