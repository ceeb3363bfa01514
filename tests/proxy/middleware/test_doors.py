"""Middleware behaves alike behind HTTP/2, and in a `twisted.web` site, as it does behind HTTP/1.1."""

from __future__ import annotations

from twisted.web.server import Site

from lolly_tx.net.http2.shared import Http2Settings
from lolly_tx.proxy.resource import ReverseProxyResource
from tests.proxy.h2client import Http2Client
from tests.proxy.middleware.behind import behind
from tests.proxy.world import Line, World, WorldTestCase, answer, get, post

HEADERS = (
    'type = "headers"\nrequest = { set = { X-User = "us" } }\n'
    'response = { set = { Server = "lolly" } }'
)
STRIP = 'type = "strip_prefix"\nprefix = "/api"'
LIMIT = 'type = "body_limit"\nsize = 10'
BUFFER = 'type = "buffer"\nrequest = "1k"'


class Http2Tests(WorldTestCase):
    def client(self, *tables: str) -> tuple[World, Http2Client]:
        """A client that speaks HTTP/2 to a world behind these."""
        world = behind(self, *tables, http2=Http2Settings())
        return world, Http2Client(world)

    def test_heads(self) -> None:
        """Heads of requests and answers are changed."""
        world, client = self.client(HEADERS, STRIP)
        stream = client.get("/api/x")
        target = world.accept()
        sent = target.take()
        self.assertTrue(sent.startswith(b"GET /x HTTP/1.1\r\n"), sent)
        self.assertIn(b"X-User: us\r\n", sent)
        target.send(answer(b"hello", extra="Server: it\r\n"))
        client.turn()
        got = client.answers[stream]
        self.assertEqual((got.status, got.body, got.ended), (200, b"hello", True))
        self.assertEqual([v for n, v in got.fields if n == b"server"], [b"lolly"])

    def test_body_without_a_length(self) -> None:
        """A body that grows too long gets 413, and the target sees that it is not complete."""
        world, client = self.client(HEADERS, LIMIT)
        stream = client.request(method="POST", end=False)
        client.send(stream, b"0" * 6)
        target = world.accept()
        self.assertIn(b"000000", target.take())
        client.send(stream, b"0" * 6)
        self.assertEqual(client.answers[stream].status, 413)
        world.pass_time()
        self.assertTrue(target.aborted)
        self.assertEqual([one.status for one in world.ended], [413])
        other = client.get()
        world.accept().send(answer(b"ok"))
        client.turn()
        self.assertEqual(client.answers[other].body, b"ok")

    def test_waiting(self) -> None:
        """While a body is waited for other streams go on; a stream that is reset is over."""
        world, client = self.client(BUFFER)
        waiting = client.request(method="POST", end=False)
        client.send(waiting, b"abc")
        self.assertEqual(world.connects(), [])
        other = client.get()
        target = world.accept()
        target.send(answer(b"ok"))
        client.turn()
        self.assertEqual(client.answers[other].body, b"ok")
        target.take()
        client.send(waiting, b"def", end=True)
        self.assertIn(b"abcdef", target.take())
        target.send(answer(b"done"))
        client.turn()
        self.assertEqual(client.answers[waiting].body, b"done")
        gone = client.request(method="POST", end=False)
        client.send(gone, b"abc")
        client.h2.reset_stream(gone)
        client.turn()
        self.assertEqual([one[1] for one in world.refusals], [499])


class SiteTests(WorldTestCase):
    def site(self, *tables: str) -> tuple[World, Line]:
        """A client of a site in which a world behind these is mounted."""
        world = behind(self, *tables)
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

    def test_heads(self) -> None:
        """Heads of requests and answers are changed."""
        world, client = self.site(HEADERS, STRIP)
        client.send(get("/api/x"))
        target = world.accept()
        sent = target.take()
        self.assertTrue(sent.startswith(b"GET /x HTTP/1.1\r\n"), sent)
        self.assertIn(b"X-User: us\r\n", sent)
        target.send(answer(b"hello", extra="Server: it\r\n"))
        got = client.take()
        self.assertTrue(got.endswith(b"\r\n\r\nhello"), got)
        self.assertEqual(got.count(b"Server: lolly\r\n"), 1)
        self.assertNotIn(b"Server: it", got)

    def test_own_answer(self) -> None:
        """What a middleware answers goes out, with what outer ones add."""
        world, client = self.site(HEADERS, LIMIT)
        client.send(post(11, b"0" * 11))
        got = client.take()
        self.assertTrue(got.startswith(b"HTTP/1.1 413 "), got)
        self.assertIn(b"Server: lolly\r\n", got)
        self.assertEqual(world.connects(), [])

    def test_client_goes(self) -> None:
        """A client that goes away ends what is done for it."""
        world, client = self.site(HEADERS)
        client.send(get())
        target = world.accept()
        client.lose()
        world.pass_time()
        self.assertTrue(target.aborted)
        self.assertEqual([one.status for one in world.ended], [499])
