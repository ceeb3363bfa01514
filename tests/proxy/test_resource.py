"""Tests of the proxy as a `twisted.web` resource, in a real Site, in memory."""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IPushProducer
from twisted.web.resource import IResource
from twisted.web.server import Site
from zope.interface.verify import verifyObject

from lolly_tx.proxy.resource import ReverseProxyResource, SiteDoor
from tests.domain.pools import BAD
from tests.proxy.world import GET, OK, Line, World, WorldTestCase, answer, get, post


class SiteTestCase(WorldTestCase):
    def site(self, *nodes: str, **settings: Any) -> tuple[World, Line]:
        """A world whose proxy is mounted in a Site, and a client of that site."""
        world = self.world(*nodes, **settings)
        site = Site(ReverseProxyResource(world.proxy, "mounted"), reactor=world.clock)
        line = Line(world.clock, "192.0.2.9")
        line.protocol = site.buildProtocol(line.peerAddr)
        world.lines.append(line)
        line.protocol.makeConnection(line)
        self.addCleanup(self._end, world, line)
        return world, line

    def _end(self, world: World, line: Line) -> None:
        line.lose()
        world.pass_time(20.0)


class RelayTests(SiteTestCase):
    def test_interfaces(self):
        """The resource and its door are what twisted.web expects."""
        world = self.world()
        verifyObject(IResource, ReverseProxyResource(world.proxy))
        self.assertTrue(IPushProducer.implementedBy(SiteDoor))

    def test_get(self):
        """A request goes up with its forwarding fields, the answer comes down as it is."""
        world, client = self.site()
        client.send(get("/a%2Fb?c=1", "X-One: 1\r\nX-One: 2\r\nConnection: x-drop\r\n"))
        backend = world.accept()
        sent = backend.take()
        self.assertTrue(sent.startswith(b"GET /a%2Fb?c=1 HTTP/1.1\r\n"))
        self.assertIn(b"X-One: 1\r\nX-One: 2\r\n", sent)
        self.assertIn(b"X-Forwarded-For: 192.0.2.9\r\n", sent)
        backend.send(answer(b"hello", extra="Server: origin\r\nSet-Cookie: a\r\n"))
        got = client.take()
        self.assertTrue(got.startswith(b"HTTP/1.1 200 R\r\n"))
        self.assertTrue(got.endswith(b"\r\n\r\nhello"))
        self.assertIn(b"Server: origin\r\n", got)
        self.assertNotIn(b"TwistedWeb", got)
        self.assertEqual(got.count(b"Date: "), 1)

    def test_keep_alive(self):
        """The site's connection and the backend's are used again."""
        world, client = self.site()
        client.send(GET)
        backend = world.accept()
        for _ in range(2):
            backend.send(answer(b"hello"))
            self.assertIn(b"hello", client.take())
            client.send(GET)
            self.assertIn(b"GET / HTTP/1.1", backend.take())
        self.assertEqual(world.connects(), [])
        backend.send(answer())

    def test_post(self):
        """A body arrives whole, with its length, however it was framed."""
        chunked = (
            b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"
        )
        for request in (post(3, b"abc"), chunked):
            world, client = self.site()
            client.send(request)
            sent = world.accept().take()
            self.assertTrue(sent.endswith(b"\r\n\r\nabc"), sent)
            self.assertEqual(sent.count(b"Content-Length: 3\r\n"), 1)
            self.assertNotIn(b"chunked", sent)

    def test_empty_post(self):
        """A request that said it has no body still says so."""
        world, client = self.site()
        client.send(post(0))
        self.assertIn(b"Content-Length: 0\r\n", world.accept().take())

    def test_head(self):
        """The answer to HEAD keeps its length and has no body."""
        world, client = self.site()
        client.send(GET.replace(b"GET", b"HEAD"))
        world.accept().send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")
        got = client.take()
        self.assertIn(b"Content-Length: 9\r\n", got)
        self.assertTrue(got.endswith(b"\r\n\r\n"))

    def test_chunked_answer(self):
        """An answer without a length is sent on in chunks as it comes."""
        world, client = self.site()
        client.send(GET)
        backend = world.accept()
        backend.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        self.assertIn(b"Transfer-Encoding: chunked\r\n", client.take())
        backend.send(b"2\r\nab\r\n")
        self.assertEqual(client.take(), b"2\r\nab\r\n")
        backend.send(b"0\r\n\r\n")
        self.assertEqual(client.take(), b"0\r\n\r\n")

    def test_interim(self):
        """A 1xx of the backend is dropped: a site cannot send one."""
        world, client = self.site()
        client.send(GET)
        backend = world.accept()
        backend.send(b"HTTP/1.1 103 Early\r\n\r\n")
        self.assertEqual(client.take(), b"")
        backend.send(answer())
        self.assertIn(b"200 R", client.take())

    def test_upgrade(self):
        """An upgrade is not offered to the backend: a site cannot tunnel."""
        world, client = self.site()
        client.send(get(extra="Connection: Upgrade\r\nUpgrade: websocket\r\n"))
        sent = world.accept().take()
        self.assertNotIn(b"Upgrade", sent)


class OwnAnswerTests(SiteTestCase):
    def test_no_backend(self):
        """When nobody can be asked, the client gets our 502 with its reason."""
        world, client = self.site()
        client.send(GET)
        world.refuse()
        got = client.take()
        self.assertTrue(got.startswith(b"HTTP/1.1 502 "))
        self.assertIn(b"Proxy-Status: lolly_tx; error=connection_refused\r\n", got)

    def test_no_route(self):
        """A path no route covers is a 404, and the connection goes on."""
        _, client = self.site(path="/api/")
        client.send(GET + GET)
        self.assertEqual(client.take().count(b"HTTP/1.1 404 "), 2)

    def test_refused(self):
        """What our reader refuses is a 400, and nothing behind it is executed."""
        world, client = self.site()
        client.send(GET.replace(b"Host: x", b"Host: x y") + GET)
        got = client.take()
        self.assertTrue(got.startswith(b"HTTP/1.1 400 "), got)
        self.assertEqual(got.count(b"HTTP/1.1"), 1)
        self.assertEqual(world.connects(), [])
        self.assertEqual(len(world.refusals), 1)

    def test_missing_host(self):
        """So is a request of HTTP/1.1 without a Host."""
        world, client = self.site()
        client.send(b"GET / HTTP/1.1\r\n\r\n")
        self.assertTrue(client.take().startswith(b"HTTP/1.1 400 "))
        self.assertEqual(world.connects(), [])


class TroubleTests(SiteTestCase):
    def test_target_goes_down(self):
        """What waits at a target that checks take down has its answer from another one."""
        world, line = self.site("a", "b")
        line.send(GET)
        silent = world.accept("a")
        world.pool.observe("a", BAD, world.clock.seconds())
        self.assertTrue(silent.aborted)
        world.accept("b").send(OK)
        self.assertTrue(line.take().endswith(b"ok"))

    def test_truncated(self):
        """An answer cut short ends the client's connection, not in good order."""
        world, client = self.site()
        client.send(GET)
        backend = world.accept()
        backend.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")
        backend.end()
        self.assertTrue(client.aborted)

    def test_client_gone(self):
        """A client that leaves ends the work at the backend, and nobody is blamed."""
        world, client = self.site()
        client.send(GET)
        backend = world.accept()
        client.reset()
        self.assertTrue(backend.aborted)
        self.assertEqual(world.ended[0].status, 499)
        self.assertEqual(world.pool.nodes["a"].stats.failures, 0)

    def test_slow_client(self):
        """A client that takes no bytes stops the backend's, until it reads on."""
        world, client = self.site()
        client.send(GET)
        backend = world.accept()
        backend.send(b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n")
        client.stop_reading()
        backend.send(b"x" * 100000)
        self.assertTrue(backend.paused)
        client.read_on()
        self.assertFalse(backend.paused)
        backend.send(b"x" * 100000)
        self.assertEqual(len(world.ended), 1)

    def test_late_calls(self):
        """After the end, nothing the exchange may still say reaches the site."""
        world, client = self.site()
        client.send(GET)
        backend = world.accept()
        door = backend.protocol.sink.door
        client.reset()
        door.flush()
        door.finish()
        door.abort()
        door.pauseProducing()
        door.resumeProducing()
        door.stopProducing()
        door.pause_request()
        door.resume_request()
        door.request_relaying(None)
        door.request_relayed()
        self.assertIsNone(door.response_sink())
        self.assertIsNone(door.request_source())
        self.assertIsNone(door.tunnel_end())
        self.assertEqual(client.take(), b"")
