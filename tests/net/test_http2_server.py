"""Tests of the HTTP/2 server side with another implementation as the client."""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IHalfCloseableProtocol, IPushProducer
from zope.interface.verify import verifyObject

from lolly_tx.net.http1.shared import ClientTimeouts
from lolly_tx.net.http2.shared import Http2Settings
from tests.proxy.h2client import Http2Client, RawClient
from tests.proxy.world import GET, OK, WorldTestCase, answer


class Http2TestCase(WorldTestCase):
    """Worlds that speak HTTP/2."""

    def world2(self, *nodes: Any, http2: Any = None, **settings: Any) -> Any:
        """A world whose listener takes HTTP/2 by its preface."""
        return self.world(*nodes, http2=http2 or Http2Settings(), **settings)


class RequestTests(Http2TestCase):
    def test_get(self):
        """A GET goes upstream in HTTP/1.1, and its answer comes back."""
        world = self.world2(via="me")
        client = Http2Client(world)
        verifyObject(IHalfCloseableProtocol, client.line.protocol)
        verifyObject(IPushProducer, client.line.protocol)
        stream = client.get("/a?b", ("x-one", "1"))
        backend = world.accept()
        sent = backend.take()
        self.assertTrue(
            sent.startswith(b"GET /a?b HTTP/1.1\r\nhost: x\r\nx-one: 1\r\n")
        )
        self.assertIn(b"Via: 2.0 me\r\n", sent)
        self.assertNotIn(b"chunked", sent)
        backend.send(OK)
        client.turn()
        got = client.answers[stream]
        self.assertEqual((got.status, got.body, got.ended), (200, b"ok", True))
        self.assertIn((b"content-length", b"2"), got.fields)
        [ended] = world.ended
        self.assertEqual((ended.head.version, ended.status), (b"HTTP/2.0", 200))

    def test_many(self):
        """Requests of one connection do not wait for each other, and use idle connections."""
        world = self.world2()
        client = Http2Client(world)
        streams = [client.get(f"/{n}") for n in range(10)]
        backends = [world.accept() for _ in streams]
        for backend, stream in zip(reversed(backends), reversed(streams), strict=True):
            backend.send(answer(b"%d" % stream))
        client.turn()
        for stream in streams:
            self.assertEqual(client.answers[stream].body, b"%d" % stream)
        for _ in range(3):
            stream = client.get("/")
            self.assertEqual(world.connects(), [])
            backends[0].send(OK)
            client.turn()
            self.assertTrue(client.answers[stream].ended)

    def test_http1_unharmed(self):
        """HTTP/1.1 is spoken on the same address, however its bytes are cut."""
        world = self.world2()
        for size in (None, 1):
            client = world.client()
            client.send(GET, size=size)
            if world.connects():
                backend = world.accept()
            backend.send(OK)
            self.assertEqual(client.take(), OK)
            client.send(GET)
            backend.send(OK)
            self.assertEqual(client.take(), OK)

    def test_byte_by_byte(self):
        """However a client's bytes are cut, they are the same request."""
        world = self.world2()
        client = Http2Client(world)
        stream = client.request(method="POST", end=False, turn=False)
        client.h2.send_data(stream, b"hello", end_stream=True)
        client.line.send(client.h2.data_to_send(), size=1)
        backend = world.accept()
        self.assertTrue(backend.take().endswith(b"5\r\nhello\r\n0\r\n\r\n"))
        backend.send(OK)
        client.turn()
        self.assertEqual(client.answers[stream].status, 200)

    def test_head(self):
        """HEAD, 204 and 304 have no body, and end with their head."""
        world = self.world2()
        client = Http2Client(world)
        stream = client.request(method="HEAD")
        backend = world.accept()
        backend.send(b"HTTP/1.1 200 OK\r\nDate: d\r\nContent-Length: 99\r\n\r\n")
        client.turn()
        got = client.answers[stream]
        self.assertEqual((got.status, got.body, got.ended), (200, b"", True))
        for status in (204, 304):
            stream = client.get()
            backend.send(b"HTTP/1.1 %d R\r\nDate: d\r\n\r\n" % status)
            client.turn()
            got = client.answers[stream]
            self.assertEqual((got.status, got.body, got.ended), (status, b"", True))

    def test_chunked_answer_with_trailers(self):
        """A chunked answer is a body of any length; its trailers are trailers here, too."""
        world = self.world2()
        client = Http2Client(world)
        stream = client.get("/", ("te", "trailers"))
        backend = world.accept()
        self.assertIn(b"TE: trailers\r\n", backend.take())
        backend.send(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"
        )
        client.turn()
        got = client.answers[stream]
        self.assertEqual((got.body, got.ended), (b"abc", False))
        self.assertNotIn(b"transfer-encoding", dict(got.fields))
        backend.send(b"0\r\nGrpc-Status: 0\r\n\r\n")
        client.turn()
        self.assertEqual(got.trailers, [(b"grpc-status", b"0")])
        self.assertTrue(got.ended)

    def test_until_close(self):
        """An answer that ends with its connection ends its stream only."""
        world = self.world2()
        client = Http2Client(world)
        stream = client.get()
        backend = world.accept()
        backend.send(b"HTTP/1.1 200 OK\r\nDate: d\r\n\r\nabc")
        backend.lose()
        client.turn()
        got = client.answers[stream]
        self.assertEqual((got.body, got.ended), (b"abc", True))
        self.assertFalse(client.line.disconnecting)

    def test_cut_answer(self):
        """An answer that is cut short is a reset, and no end."""
        world = self.world2()
        client = Http2Client(world)
        stream = client.get()
        backend = world.accept()
        backend.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")
        backend.lose()
        client.turn()
        self.assertEqual(client.answers[stream].reset, 2)

    def test_interim(self):
        """103 is passed on, and a 100 to who waits for it."""
        world = self.world2()
        client = Http2Client(world)
        stream = client.request(
            ("expect", "100-continue"),
            ("content-length", "2"),
            method="POST",
            end=False,
        )
        backend = world.accept()
        self.assertIn(b"Expect: 100-continue\r\n", backend.take())
        backend.send(b"HTTP/1.1 103 Early\r\nLink: </a>\r\n\r\n")
        backend.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        client.turn()
        self.assertEqual(client.answers[stream].interim, [103, 100])
        client.send(stream, b"ab", end=True)
        self.assertTrue(backend.take().endswith(b"ab"))
        backend.send(OK)
        client.turn()
        self.assertEqual(client.answers[stream].status, 200)

    def test_no_route(self):
        """Our own answers come on their stream."""
        world = self.world2(path="/app/")
        client = Http2Client(world)
        stream = client.get("/no")
        self.assertEqual(client.answers[stream].status, 404)
        self.assertTrue(client.answers[stream].ended)


class BodyTests(Http2TestCase):
    def test_lengths(self):
        """A body with a length keeps it; one without becomes chunked, with its trailers."""
        world = self.world2()
        client = Http2Client(world)
        stream = client.request(("content-length", "5"), method="POST", end=False)
        client.send(stream, b"hello", end=True)
        backend = world.accept()
        sent = backend.take()
        self.assertIn(b"content-length: 5\r\n", sent)
        self.assertTrue(sent.endswith(b"\r\n\r\nhello"))
        backend.send(OK)
        client.turn()
        stream = client.request(method="PUT", end=False)
        client.send(stream, b"abc")
        client.h2.send_headers(stream, [("x-sum", "9")], end_stream=True)
        client.turn()
        sent = backend.take()
        self.assertIn(b"Transfer-Encoding: chunked\r\n", sent)
        self.assertTrue(sent.endswith(b"3\r\nabc\r\n0\r\nx-sum: 9\r\n\r\n"))
        backend.send(OK)
        client.turn()
        self.assertEqual(client.answers[stream].status, 200)

    def test_nothing(self):
        """A body of nothing, said by its length or by an empty frame."""
        world = self.world2()
        client = Http2Client(world)
        stream = client.request(("content-length", "0"), method="POST", end=False)
        client.send(stream, b"", end=True)
        backend = world.accept()
        self.assertTrue(backend.take().endswith(b"\r\n\r\n"))
        backend.send(OK)
        client.turn()
        self.assertEqual(client.answers[stream].status, 200)

    def test_early_answer(self):
        """Who is answered before all is sent is told that nobody reads the rest (section 8.1)."""
        world = self.world2()
        client = Http2Client(world)
        stream = client.request(method="POST", end=False)
        backend = world.accept()
        backend.send(answer(b"no", 403))
        client.turn()
        got = client.answers[stream]
        self.assertEqual((got.status, got.ended, got.reset), (403, True, None))
        world.pass_time(0.4)
        client.turn()
        self.assertEqual(got.reset, 0)
        raw = b"\0\0\3\0\1" + stream.to_bytes(4, "big") + b"abc"
        client.line.send(raw)
        other = client.get()
        world.accept().send(OK)
        client.turn()
        self.assertEqual(client.answers[other].status, 200)

    def test_too_large(self):
        """413, by what is promised or by what comes."""
        world = self.world2(body_bytes=4)
        client = Http2Client(world)
        stream = client.request(("content-length", "5"), method="POST", end=False)
        self.assertEqual(client.answers[stream].status, 413)
        stream = client.request(method="POST", end=False)
        world.accept()
        client.send(stream, b"12345")
        self.assertEqual(client.answers[stream].status, 413)
        self.assertEqual([e.status for e in world.ended], [413])
        stream = client.request(method="POST", end=False)
        client.send(stream, b"12345", end=True)
        world.pass_time(0.4)
        client.turn()
        got = client.answers[stream]
        self.assertEqual((got.status, got.reset), (413, None))

    def test_slow(self):
        """A body that does not go on is a 408, and costs its stream only."""
        world = self.world2(timeouts=ClientTimeouts(body=3.0))
        client = Http2Client(world)
        stream = client.request(method="POST", end=False)
        world.accept()
        world.pass_time(2.9)
        client.send(stream, b"1")
        self.assertEqual(client.answers[stream].status, 0)
        world.pass_time(3.2)
        client.turn()
        self.assertEqual(client.answers[stream].status, 408)
        self.assertFalse(client.line.disconnecting)

    def test_reset_cancels(self):
        """A reset by the client ends the work for it, and blames nobody."""
        world = self.world2()
        client = Http2Client(world)
        stream = client.get()
        backend = world.accept()
        client.reset(stream)
        self.assertTrue(backend.aborted or backend.disconnecting)
        self.assertEqual([e.status for e in world.ended], [499])
        self.assert_nobody_blamed(world)

    def test_reset_within_a_read(self):
        """Streams that are reset in the read that opens them cost no backend anything."""
        world = self.world2()
        client = Http2Client(world)
        for _ in range(50):
            stream = client.get(turn=False)
            client.h2.reset_stream(stream, 8)
        client.turn()
        self.assertEqual((world.connects(), world.ended), ([], []))


class FlowTests(Http2TestCase):
    def test_slow_target_holds_up_its_stream_only(self):
        """A target that takes nothing stops the windows of its stream, and no other's."""
        world = self.world2()
        client = Http2Client(world)
        slow = client.request(method="POST", end=False)
        backend = world.accept()
        backend.stop_reading()
        sent = 0
        while client.h2.local_flow_control_window(slow) and sent < 1 << 20:
            size = min(client.h2.local_flow_control_window(slow), 60000)
            client.send(slow, bytes(size))
            sent += size
        self.assertLess(sent, 400000)
        fast = client.request(method="POST", end=False)
        other = world.accept()
        total = 0
        for _ in range(40):
            size = min(client.h2.local_flow_control_window(fast), 60000)
            self.assertGreater(size, 0)
            client.send(fast, bytes(size))
            total += size
        self.assertGreater(len(other.take()), total)
        backend.read_on()
        client.turn()
        self.assertGreater(client.h2.local_flow_control_window(slow), 0)

    def test_stalled_stream(self):
        """A client that widens no window for a stream is reset there after the write time."""
        world = self.world2(timeouts=ClientTimeouts(write=5.0))
        client = Http2Client(world, reads=False)
        stalled = client.get()
        backend = world.accept()
        backend.send(b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n")
        backend.send(bytes(65536))
        backend.send(bytes(65536))
        backend.send(bytes(65536))
        client.turn()
        self.assertEqual(len(client.answers[stalled].body), 65535)
        self.assertTrue(backend.paused)
        client.reads = True
        client.h2.increment_flow_control_window(1 << 20)
        other = client.get()
        second = world.accept()
        second.send(answer(bytes(50000)))
        client.turn()
        self.assertTrue(client.answers[other].ended)
        world.pass_time(5.3)
        client.turn()
        self.assertEqual(client.answers[stalled].reset, 8)
        self.assertFalse(client.line.disconnecting)

    def test_large_answer(self):
        """A long body comes whole, in frames of the size that is allowed."""
        world = self.world2()
        client = Http2Client(world)
        stream = client.get()
        backend = world.accept()
        body = bytes(range(256)) * 4000
        backend.send(answer(body), size=65536)
        for _ in range(60):
            client.turn()
        self.assertEqual(client.answers[stream].body, body)
        self.assertTrue(client.answers[stream].ended)
        self.assertLessEqual(max(len(f[3]) for f in client.frames), 16384)

    def test_full_socket(self):
        """A client that reads nothing pauses the targets, and gets all when it reads on."""
        world = self.world2()
        client = Http2Client(world, INITIAL_WINDOW_SIZE=1 << 30)
        client.h2.increment_flow_control_window(1 << 30)
        client.turn()
        stream = client.get()
        backend = world.accept()
        client.line.stop_reading()
        backend.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        sent = 0
        for _ in range(20):
            if backend.paused:
                break
            backend.send(bytes(50000))
            sent += 50000
            world.pass_time()
        self.assertLess(sent, 400000)
        client.line.read_on()
        client.turn()
        self.assertFalse(backend.paused)
        backend.send(bytes(1000000 - sent), size=65536)
        for _ in range(60):
            client.turn()
        self.assertEqual(len(client.answers[stream].body), 1000000)


class EndTests(Http2TestCase):
    def test_drain(self):
        """At a stop a client is told in two steps, and what it has begun is served."""
        world = self.world2()
        client = Http2Client(world)
        stream = client.get()
        backend = world.accept()
        world.acceptor.drain()
        world.pass_time()
        self.assertIn(b"\x7f\xff\xff\xff\0\0\0\0", client.line.value())
        late = client.get()
        client.turn()
        self.assertEqual(client.goaway[:2], (late, 0))
        for each in (backend, world.accept()):
            each.send(OK)
        client.turn()
        self.assertEqual(client.answers[stream].status, 200)
        self.assertEqual(client.answers[late].status, 200)
        world.pass_time(3)
        self.assertTrue(client.line.disconnecting)

    def test_drain_without_an_answer(self):
        """The second step does not wait for who does not answer."""
        world = self.world2()
        client = RawClient(world)
        world.acceptor.drain()
        world.pass_time(1.3)
        client.send()
        self.assertEqual([f[0] for f in client.frames], [7, 6, 7])
        world.pass_time(3)
        self.assertTrue(client.line.disconnecting)

    def test_idle(self):
        """An idle connection is closed in good order, and says which was the last request."""
        world = self.world2(timeouts=ClientTimeouts(keepalive=7.0))
        client = Http2Client(world)
        client.get()
        world.accept().send(OK)
        client.turn()
        world.pass_time(6.5)
        self.assertFalse(client.line.half_closed)
        world.pass_time(0.7)
        client.turn()
        self.assertEqual(client.goaway, (1, 0, b"idle"))
        world.pass_time(3)
        self.assertTrue(client.line.closed)

    def test_shut(self):
        """At the end of its time what is going on is cut."""
        world = self.world2()
        client = Http2Client(world)
        client.get()
        world.accept()
        client.line.protocol.shut()
        world.pass_time()
        self.assertEqual([e.status for e in world.ended], [503])
        self.assertTrue(client.line.lost)

    def test_client_gone(self):
        """A connection that is lost ends all its requests."""
        world = self.world2()
        client = Http2Client(world)
        client.get()
        client.get()
        client.line.reset()
        self.assertEqual([e.status for e in world.ended], [499, 499])

    def test_half_close(self):
        """Who has closed his side and has no answer after a second is gone."""
        world = self.world2()
        client = Http2Client(world)
        client.get()
        client.line.end()
        world.pass_time(0.8)
        self.assertEqual(world.ended, [])
        world.pass_time(0.5)
        self.assertEqual([e.status for e in world.ended], [499])

    def test_preface_in_time(self):
        """Who says nothing, or only half a preface, is closed."""
        world = self.world2(timeouts=ClientTimeouts(head=4.0))
        silent = world.client()
        half = world.client()
        half.send(b"PRI * HTTP/2.0\r\n\r\n")
        bare = RawClient(world, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        world.pass_time(4.3)
        self.assertTrue(silent.disconnecting and half.disconnecting)
        bare.send()
        self.assertEqual(bare.goaway, (1, b"no SETTINGS in time"))
        world.pass_time(3)
