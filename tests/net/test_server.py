"""Tests of the HTTP/1.1 server side."""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv6Address, UNIXAddress
from twisted.internet.interfaces import IHalfCloseableProtocol, IPushProducer
from zope.interface.verify import verifyObject

from lolly_tx.net.deadlines import NEVER
from lolly_tx.net.http1.server import PIPELINE_BYTES
from lolly_tx.net.http1.shared import HALF_CLOSE_SECONDS, ClientTimeouts
from lolly_tx.net.sockets.acceptor import address_text
from lolly_tx.net.sockets.parting import (
    DRAIN_SECONDS,
    LINGER_IDLE_SECONDS,
    LINGER_SECONDS,
)
from lolly_tx.wire.grammar import HeadLimits
from tests.proxy.world import GET, OK, WorldTestCase, answer, chunked, get, post


def statuses(data: bytes) -> list[int]:
    """The statuses of the answers in `data` (whose bodies contain none)."""
    return [int(part[:3]) for part in data.split(b"HTTP/1.1 ")[1:]]


class OrderTests(WorldTestCase):
    def test_interfaces(self):
        """A door is what transports and producers expect."""
        door = self.world().client().protocol
        verifyObject(IHalfCloseableProtocol, door)
        verifyObject(IPushProducer, door)
        door.stopProducing()
        door.writeConnectionLost()
        end = door.tunnel_end()
        self.assertIs(end.transport, door.transport)
        self.assertFalse(end.input_ended)

    def test_keep_alive(self):
        """A second request may follow on the same connection."""
        world = self.world()
        client = world.client()
        for _ in range(3):
            client.send(GET)
            if world.connects():
                backend = world.accept()
            backend.send(OK)
            self.assertEqual(client.take(), OK)
        self.assertEqual(len(world.ended), 3)
        self.assertFalse(client.disconnecting)

    def test_split_anywhere(self):
        """A request that comes byte by byte is the same request."""
        world = self.world()
        client = world.client()
        client.send(post(3, b"abc"), size=1)
        backend = world.accept()
        self.assertTrue(backend.take().endswith(b"\r\n\r\nabc"))
        backend.send(answer(b"hello"), size=1)
        self.assertEqual(client.take(), answer(b"hello"))

    def test_pipelined(self):
        """Answers to pipelined requests come in the order of the requests."""
        world = self.world()
        client = world.client()
        client.send(get("/1") + get("/2") + get("/3"))
        backend = world.accept()
        for name in (b"1", b"2", b"3"):
            self.assertIn(b"GET /" + name, backend.take())
            backend.send(answer(name))
            self.assertEqual(client.take(), answer(name))
        self.assertEqual(world.connects(), [])

    def test_pipelined_bodies(self):
        """A request behind a body, of either framing, is found."""
        world = self.world()
        client = world.client()
        client.send(post(3, b"abc") + chunked(b"de", end=b"0\r\n\r\n") + get("/3"))
        backend = world.accept()
        self.assertTrue(backend.take().endswith(b"abc"))
        backend.send(OK)
        self.assertTrue(backend.take().endswith(b"2\r\nde\r\n0\r\n\r\n"))
        backend.send(OK)
        self.assertIn(b"GET /3", backend.take())
        backend.send(OK)
        self.assertEqual(statuses(client.take()), [200, 200, 200])

    def test_pipelined_behind_a_split_body(self):
        """The same when the end of the body comes later, with the next request."""
        for first, rest in (
            (post(5, b"ab"), b"cde"),
            (chunked(b"ab"), b"3\r\ncde\r\n0\r\n\r\n"),
        ):
            world = self.world()
            client = world.client()
            client.send(first)
            backend = world.accept()
            client.send(rest + get("/2"))
            self.assertIn(b"cde", backend.take())
            backend.send(OK)
            self.assertIn(b"GET /2", backend.take())
            backend.send(OK)
            self.assertEqual(client.take(), OK + OK)

    def test_answered_at_once(self):
        """Hundreds of pipelined requests that no backend sees are answered in order."""
        world = self.world(path="/app/")
        client = world.client()
        client.send(get("/none") * 1000)
        self.assertEqual(statuses(client.take()), [404] * 1000)
        self.assertEqual(len(world.refusals), 1000)

    def test_answered_at_once_and_later(self):
        """Answers of our own and of backends keep the order."""
        world = self.world(path="/app/")
        client = world.client()
        client.send(get("/no") + get("/app/1") + get("/no") + get("/app/2"))
        self.assertEqual(statuses(client.take()), [404])
        backend = world.accept()
        backend.send(OK)
        self.assertEqual(statuses(client.take()), [200, 404])
        backend.send(OK)
        self.assertEqual(client.take(), OK)

    def test_unavailable_at_once(self):
        """Hundreds of pipelined requests for a pool that is down get as many 503."""
        world = self.world()
        world.pool.set_enabled("a", "down", "test", 0.0)
        client = world.client()
        client.send(GET * 500)
        self.assertEqual(statuses(client.take()), [503] * 500)
        self.assertEqual(len(world.ended), 500)

    def test_many_pipelined(self):
        """Hundreds of pipelined requests for a backend neither recurse nor get lost."""
        world = self.world()
        client = world.client()
        client.send(GET * 1000)
        backend = world.accept()
        for _ in range(1000):
            backend.send(OK)
        self.assertEqual(client.take(), OK * 1000)

    def test_pipeline_limit(self):
        """Who sends far ahead is read no more until answers have gone out."""
        world = self.world()
        client = world.client()
        client.send(GET)
        backend = world.accept()
        client.send(GET * (PIPELINE_BYTES // len(GET) + 1))
        self.assertTrue(client.paused)
        client.send(GET)
        backend.send(OK)
        self.assertFalse(client.paused)
        world.pass_time()
        self.assertEqual(client.inbox, [])

    def test_after_close(self):
        """What follows a request with "Connection: close" is not executed."""
        world = self.world()
        client = world.client()
        client.send(get("/1", "Connection: close\r\n") + get("/2"))
        backend = world.accept()
        backend.send(OK)
        self.assertIn(b"Connection: close\r\n", client.take())
        self.assertTrue(client.half_closed)
        self.assertEqual(backend.take().count(b"GET"), 1)
        self.assertEqual(len(world.ended), 1)

    def test_after_an_error(self):
        """What follows a malformed request is not executed."""
        world = self.world()
        client = world.client()
        client.send(b"GET / HTTP/1.1\r\nHost: x\r\nBad : y\r\n\r\n" + GET)
        self.assertEqual(statuses(client.take()), [400])
        self.assertTrue(client.half_closed)
        self.assertEqual(world.connects(), [])
        [(head, status, why)] = world.refusals
        self.assertEqual(head, b"GET / HTTP/1.1")
        self.assertEqual((status, why), (400, "malformed field line"))

    def test_error_behind_a_good_one(self):
        """A malformed request behind a good one is answered after it."""
        world = self.world()
        client = world.client()
        client.send(GET + b"bad\r\n\r\n")
        world.accept().send(OK)
        self.assertEqual(statuses(client.take()), [200, 400])

    def test_requests_per_connection(self):
        """The last request a connection may carry is answered with a close."""
        world = self.world(requests=2)
        client = world.client()
        client.send(GET + GET + GET)
        backend = world.accept()
        backend.send(OK)
        self.assertNotIn(b"close", client.take())
        backend.send(OK)
        self.assertIn(b"Connection: close\r\n", client.take())
        self.assertEqual(len(world.ended), 2)

    def test_slow_reader_of_pipelined_answers(self):
        """Who pipelines but does not read gets no further requests executed."""
        world = self.world()
        client = world.client()
        client.stop_reading()
        client.send(GET * 10)
        backend = world.accept()
        body = b"x" * 40000
        for _ in range(2):
            backend.send(answer(body))
        self.assertLess(client.queued, 3 * len(body))
        self.assertEqual(backend.take().count(b"GET"), 2)
        self.assertEqual(len(world.ended), 2)
        client.send(GET)
        client.read_on()
        self.assertEqual(backend.take().count(b"GET"), 1)

    def test_slow_reader_of_answers_of_ours(self):
        """The same for requests that are answered at once."""
        world = self.world(path="/app/")
        client = world.client()
        client.stop_reading()
        client.send(GET * 2000)
        self.assertLess(client.queued, 66000)
        self.assertLess(len(world.refusals), 1000)
        client.stuck = False
        while client.queued:
            client.read_on()
        self.assertEqual(len(world.refusals), 2000)

    def test_slow_reader_sends_on(self):
        """Who has not read the last answer and sends on is read when he has."""
        world = self.world()
        client = world.client()
        client.stop_reading()
        client.send(GET)
        backend = world.accept()
        backend.send(answer(b"x" * 70000))
        client.send(GET)
        self.assertEqual(backend.take().count(b"GET"), 1)
        world.pass_time(29.0)
        self.assertFalse(client.aborted)
        client.read_on()
        self.assertEqual(backend.take().count(b"GET"), 1)
        client.take()
        backend.send(OK)
        self.assertEqual(client.take(), OK)
        world.pass_time(59.0)
        self.assertFalse(client.disconnecting)


class VersionTests(WorldTestCase):
    def ask(self, request: bytes, response: bytes, **settings) -> tuple[Any, ...]:
        world = self.world(**settings)
        client = world.client()
        client.send(request)
        backend = world.accept()
        backend.send(response)
        return world, client, backend

    def test_old_client(self):
        """An HTTP/1.0 client gets the connection closed."""
        _, client, _ = self.ask(get(version="1.0"), OK)
        self.assertIn(b"\r\nConnection: close\r\n", client.take())
        self.assertTrue(client.closed)

    def test_old_client_keeps(self):
        """An HTTP/1.0 client that asks for it keeps the connection."""
        _, client, _ = self.ask(
            get(version="1.0", extra="Connection: keep-alive\r\n"), OK
        )
        self.assertIn(b"\r\nConnection: keep-alive\r\n", client.take())
        self.assertFalse(client.disconnecting)

    def test_old_client_and_chunks(self):
        """An HTTP/1.0 client gets a chunked body plain, ended by the close."""
        _, client, _ = self.ask(
            get(version="1.0", extra="Connection: keep-alive\r\n"),
            b"HTTP/1.1 200 OK\r\nDate: d\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"3\r\nabc\r\n0\r\n\r\n",
        )
        head, _, body = client.take().partition(b"\r\n\r\n")
        self.assertEqual(body, b"abc")
        self.assertIn(b"Connection: close", head)
        self.assertNotIn(b"chunked", head)
        self.assertTrue(client.closed)

    def test_old_client_no_interim(self):
        """An HTTP/1.0 client gets no 1xx."""
        _, client, _ = self.ask(get(version="1.0"), b"HTTP/1.1 103 Hints\r\n\r\n" + OK)
        self.assertEqual(statuses(client.take()), [200])

    def test_until_close(self):
        """A body that ends with the connection is passed on in the same way."""
        world, client, backend = self.ask(GET, b"HTTP/1.1 200 OK\r\nDate: d\r\n\r\nabc")
        backend.send(b"def")
        self.assertFalse(client.disconnecting)
        backend.end()
        head, _, body = client.take().partition(b"\r\n\r\n")
        self.assertEqual(body, b"abcdef")
        self.assertIn(b"Connection: close", head)
        self.assertTrue(client.closed)
        self.assertIsNone(world.ended[0].error)

    def test_head(self):
        """HEAD: the length is told, no body is sent, the connection stays."""
        for head in (
            b"HTTP/1.1 200 OK\r\nDate: d\r\nContent-Length: 500\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nDate: d\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"HTTP/1.1 304 NM\r\nDate: d\r\nContent-Length: 500\r\n\r\n",
        ):
            world, client, backend = self.ask(b"HEAD" + GET[3:], head)
            got = client.take()
            self.assertEqual(got.count(b"\r\n\r\n"), 1)
            self.assertEqual(b"500" in head, b"500" in got)
            self.assertNotIn(b"chunked", got)
            self.assertFalse(client.disconnecting)
            self.assertEqual(world.upstreams["a"].idle, 1)

    def test_no_content(self):
        """204 has neither body nor length; 304 keeps the length it was given."""
        _, client, _ = self.ask(
            GET, b"HTTP/1.1 204 N\r\nDate: d\r\nContent-Length: 0\r\n\r\n"
        )
        self.assertEqual(client.take(), b"HTTP/1.1 204 N\r\nDate: d\r\n\r\n")
        modified = b"HTTP/1.1 304 N\r\nDate: d\r\nContent-Length: 9\r\n\r\n"
        world, client, backend = self.ask(GET, modified)
        self.assertEqual(client.take(), modified)
        self.assertFalse(client.disconnecting)

    def test_no_content_with_a_body(self):
        """Bytes behind a 204 reach nobody, and the connection they came by is closed."""
        world, client, backend = self.ask(
            GET, b"HTTP/1.1 204 N\r\nDate: d\r\nContent-Length: 3\r\n\r\nabc"
        )
        self.assertEqual(client.take(), b"HTTP/1.1 204 N\r\nDate: d\r\n\r\n")
        self.assertTrue(backend.disconnecting)

    def test_trailers(self):
        """Trailers of a chunked answer are passed on."""
        _, client, _ = self.ask(
            GET,
            b"HTTP/1.1 200 OK\r\nDate: d\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"1\r\na\r\n0\r\nX-Sum: 7\r\n\r\n",
        )
        self.assertTrue(client.take().endswith(b"1\r\na\r\n0\r\nX-Sum: 7\r\n\r\n"))
        self.assertFalse(client.disconnecting)


class BodyTests(WorldTestCase):
    def test_chunked_upload(self):
        """A chunked body goes on chunk by chunk, trailers too."""
        world = self.world()
        client = world.client()
        client.send(chunked(b"abc"))
        backend = world.accept()
        self.assertTrue(backend.take().endswith(b"\r\n\r\n3\r\nabc\r\n"))
        client.send(b"2\r\nde\r\n0\r\nX-Sum: 7\r\n\r\n", size=1)
        self.assertTrue(backend.take().endswith(b"0\r\nX-Sum: 7\r\n\r\n"))
        backend.send(OK)
        self.assertEqual(client.take(), OK)
        self.assertEqual(world.ended[0].bytes_in, 5)

    def test_bad_chunk(self):
        """A malformed chunk ends the request with 400, and the backend's too."""
        world = self.world()
        client = world.client()
        client.send(chunked(b"abc"))
        backend = world.accept()
        client.send(b"zz\r\n")
        self.assertEqual(statuses(client.take()), [400])
        self.assertTrue(backend.aborted)
        self.assertEqual(world.ended[0].status, 400)
        self.assertEqual(world.refusals, [])
        self.assert_nobody_blamed(world)

    def test_bad_chunk_at_once(self):
        """The same when it comes with the head: no backend hears of it."""
        world = self.world()
        client = world.client()
        client.send(chunked() + b"zz\r\n")
        self.assertEqual(statuses(client.take()), [400])
        self.assertEqual(world.connects(), [])
        self.assertEqual(len(world.refusals), 1)

    def test_bad_chunk_while_answered(self):
        """A malformed chunk after the answer has begun breaks the connection."""
        world = self.world()
        client = world.client()
        client.send(chunked(b"abc"))
        backend = world.accept()
        backend.send(b"HTTP/1.1 200 OK\r\nDate: d\r\nContent-Length: 5\r\n\r\nab")
        client.send(b"zz\r\n")
        self.assertTrue(client.aborted)
        self.assertTrue(backend.aborted)

    def test_too_large(self):
        """A body over the limit is refused with 413, announced or not."""
        world = self.world(body_bytes=10)
        client = world.client()
        client.send(post(11))
        self.assertEqual(statuses(client.take()), [413])
        client = world.client()
        client.send(chunked(b"x" * 11))
        self.assertEqual(statuses(client.take()), [413])
        self.assertEqual(world.connects(), [])
        client = world.client()
        client.send(chunked(b"x" * 6))
        world.accept()
        client.send(b"5\r\nxxxxx\r\n")
        self.assertEqual(statuses(client.take()), [413])
        self.assertEqual([e.status for e in world.ended], [413])

    def test_at_the_limit(self):
        """A body of exactly the limit is accepted."""
        world = self.world(body_bytes=10)
        for request in (post(10, b"x" * 10), chunked(b"x" * 10, end=b"0\r\n\r\n")):
            client = world.client()
            client.send(request)
            if world.connects():
                backend = world.accept()
            backend.send(OK)
            self.assertEqual(client.take(), OK)

    def test_early_answer(self):
        """An answer before the body's end reaches a client that goes on sending, however much."""
        world = self.world()
        client = world.client()
        client.send(post(1 << 30, b"x" * 1000))
        backend = world.accept()
        backend.send(answer(b"no", 413))
        got = client.take()
        self.assertIn(b"413", got)
        self.assertIn(b"Connection: close", got)
        self.assertTrue(got.endswith(b"no"))
        self.assertTrue(client.half_closed)
        self.assertTrue(backend.disconnecting)
        for _ in range(20):
            client.send(b"x" * 100_000)
            world.pass_time(1.0)
            self.assertFalse(client.disconnecting)
        client.end()
        self.assertTrue(client.closed)
        self.assertEqual(world.upstreams["a"].idle, 0)

    def test_early_answer_client_closes(self):
        """When the client closes after an early answer, so do we."""
        world = self.world()
        client = world.client()
        client.send(post(100, b"x"))
        world.accept().send(answer(b"no", 413))
        client.end()
        self.assertTrue(client.closed)

    def test_early_answer_silence(self):
        """A client that neither sends on nor closes after an early answer is not waited for."""
        world = self.world()
        client = world.client()
        client.send(post(100, b"x"))
        world.accept().send(answer(b"no", 413))
        world.pass_time(LINGER_IDLE_SECONDS - 0.1)
        self.assertFalse(client.disconnecting)
        world.pass_time(0.3)
        self.assertTrue(client.closed)

    def test_early_answer_time(self):
        """A client that sends without end after an early answer is cut in the end."""
        world = self.world()
        client = world.client()
        client.send(post(1 << 30, b"x"))
        world.accept().send(answer(b"no", 413))
        for _ in range(int(LINGER_SECONDS) - 1):
            world.pass_time(1.0)
            client.send(b"x")
            self.assertFalse(client.disconnecting)
        world.pass_time(1.2)
        self.assertTrue(client.closed)

    def test_early_answer_slow_reader(self):
        """An early answer that the client takes slowly has the time of any other answer."""
        world = self.world()
        client = world.client()
        client.stop_reading()
        client.send(post(1 << 30, b"x"))
        world.accept().send(answer(b"x" * 200_000, 413))
        for _ in range(5):
            world.pass_time(LINGER_IDLE_SECONDS + 4)
            client.read_some(10)
            client.send(b"x")
            self.assertFalse(client.disconnecting)
        world.pass_time(61.0)
        self.assertTrue(client.aborted)

    def test_early_answers_of_ours(self):
        """Our own early answers linger as well: no route, too large, a backend that is gone."""
        for status, settings in (
            (404, {"path": "/nowhere"}),
            (413, {"body_bytes": 10}),
            (502, {"tries": 1}),
        ):
            world = self.world(**settings)
            client = world.client()
            client.send(post(1 << 30, b"x"))
            if status == 502:
                world.refuse()
            self.assertEqual(statuses(client.take()), [status])
            self.assertTrue(client.half_closed)
            client.send(b"x" * 1_000_000)
            self.assertFalse(client.disconnecting)
            client.end()
            self.assertTrue(client.closed)

    def test_early_answer_makes_room(self):
        """At the cap, a client that has its answer and sends on gives way to others."""
        for request in (post(1 << 30, b"x"), b"no request\r\n\r\n"):
            world = self.world(most=1, body_bytes=10)
            client = world.client()
            client.send(request)
            self.assertTrue(client.half_closed)
            world.client()
            self.assertTrue(client.closed)
            self.assertEqual(world.acceptor.turned_away, 0)

    def test_body_ends_while_answered(self):
        """An answer that begins early and ends late is complete, and ends keep-alive."""
        world = self.world()
        client = world.client()
        client.send(post(4, b"ab"))
        backend = world.accept()
        backend.send(b"HTTP/1.1 200 OK\r\nDate: d\r\nContent-Length: 4\r\n\r\nab")
        client.send(b"cd")
        self.assertTrue(backend.take().endswith(b"cd"))
        backend.send(b"cd")
        got = client.take()
        self.assertTrue(got.endswith(b"\r\n\r\nabcd"))
        self.assertIn(b"Connection: close", got)
        self.assertTrue(client.closed)
        self.assertTrue(backend.disconnecting)


class EndTests(WorldTestCase):
    def test_half_close(self):
        """Who shuts his side down after the request still gets the answer."""
        world = self.world()
        client = world.client()
        client.send(GET)
        client.end()
        world.accept().send(OK)
        self.assertTrue(client.take().endswith(b"ok"))
        self.assertTrue(client.closed)
        self.assertIsNone(world.ended[0].error)

    def test_half_close_and_no_answer(self):
        """Who has closed his side and has no answer within a second counts as gone."""
        world = self.world()
        client = world.client()
        client.send(GET)
        backend = world.accept()
        client.end()
        world.pass_time(HALF_CLOSE_SECONDS - 0.1)
        self.assertFalse(client.disconnecting)
        world.pass_time(0.3)
        self.assertTrue(client.closed)
        self.assertTrue(backend.aborted)
        self.assertEqual(client.take(), b"")
        self.assertEqual([e.status for e in world.ended], [499])
        self.assert_nobody_blamed(world)

    def test_half_close_and_an_answer_in_time(self):
        """An answer that has begun within a second may take as long as it does."""
        world = self.world()
        client = world.client()
        client.send(GET)
        backend = world.accept()
        client.end()
        world.pass_time(0.8)
        backend.send(OK[:-1])
        world.pass_time(20)
        backend.send(OK[-1:])
        self.assertTrue(client.take().endswith(b"ok"))
        self.assertEqual([e.status for e in world.ended], [200])

    def test_half_close_to_be_answered(self):
        """As the settings have it, who has closed his side is answered however late."""
        world = self.world(timeouts=ClientTimeouts(gone=NEVER))
        client = world.client()
        client.send(GET)
        backend = world.accept()
        client.end()
        world.pass_time(20)
        backend.send(OK)
        self.assertTrue(client.take().endswith(b"ok"))
        self.assertEqual([e.status for e in world.ended], [200])

    def test_half_close_before_there_is_a_connection(self):
        """One whose request waits for a connection is let go as well, and so is the connect."""
        world = self.world()
        client = world.client()
        client.send(GET)
        client.end()
        world.pass_time(HALF_CLOSE_SECONDS + 0.2)
        self.assertEqual([e.status for e in world.ended], [499])

    def test_half_close_with_requests_that_wait(self):
        """Each of the requests that came before the end has a second of its own."""
        world = self.world()
        client = world.client()
        client.send(get("/1") + get("/2") + get("/3"))
        client.end()
        backend = world.accept()
        for _ in range(2):
            world.pass_time(0.8)
            backend.send(OK)
        world.pass_time(HALF_CLOSE_SECONDS + 0.2)
        self.assertEqual(client.take().count(b"ok"), 2)
        self.assertTrue(client.closed)
        self.assertEqual([e.status for e in world.ended], [200, 200, 499])

    def test_half_close_after_many(self):
        """So does who pipelined several requests before."""
        world = self.world()
        client = world.client()
        client.send(get("/1") + get("/2") + get("/3") + b"GET /4 HT")
        client.end()
        backend = world.accept()
        for _ in range(3):
            backend.send(OK)
        self.assertEqual(client.take().count(b"ok"), 3)
        self.assertTrue(client.closed)
        self.assertEqual(len(world.ended), 3)

    def test_half_close_before_a_body(self):
        """A request whose body cannot come any more is not executed."""
        world = self.world()
        client = world.client()
        client.send(get("/1") + post(10, b"abc"))
        client.end()
        backend = world.accept()
        backend.send(OK)
        self.assertTrue(client.aborted)
        self.assertEqual([e.status for e in world.ended], [200])
        self.assertEqual(backend.take().count(b"HTTP/1.1"), 1)

    def test_half_close_while_not_reading(self):
        """The end of a far-ahead client is seen when it is read again."""
        world = self.world()
        client = world.client()
        client.send(GET)
        backend = world.accept()
        client.send(GET * (PIPELINE_BYTES // len(GET) + 1))
        client.end()
        for _ in range(PIPELINE_BYTES // len(GET) + 2):
            backend.send(OK)
            world.pass_time()
        self.assertEqual(client.take().count(b"HTTP/1.1 200"), len(world.ended))
        self.assertTrue(client.closed)

    def test_half_close_idle(self):
        """An idle connection whose client is done is closed."""
        world = self.world()
        client = world.client()
        client.end()
        self.assertTrue(client.closed)

    def test_half_close_in_a_head(self):
        """So is one that ends within a head."""
        world = self.world()
        client = world.client()
        client.send(GET[:20])
        client.end()
        self.assertTrue(client.closed)
        self.assertEqual(client.take(), b"")

    def test_half_close_in_a_body(self):
        """A request body that is cut short is not passed off as complete."""
        world = self.world()
        client = world.client()
        client.send(post(10, b"abc"))
        backend = world.accept()
        client.end()
        self.assertTrue(client.aborted)
        self.assertTrue(backend.aborted)
        self.assertEqual(world.ended[0].status, 499)
        self.assert_nobody_blamed(world)

    def test_half_close_while_refused(self):
        """A refused request whose client is done is closed at once."""
        world = self.world()
        client = world.client()
        client.send(post(10, b"abc"))
        world.accept().send(answer(b"no", 403))
        client.end()
        self.assertTrue(client.closed)

    def test_drain(self):
        """Draining lets answers end, and says `Connection: close` with every next one."""
        world = self.world()
        idle, busy, begun, fresh = clients = [world.client() for _ in range(4)]
        idle.send(GET)
        backend = world.accept()
        backend.send(OK)
        idle.take()
        busy.send(GET)
        begun.send(GET[:10])
        world.acceptor.drain()
        world.pass_time(DRAIN_SECONDS - 0.2)
        self.assertEqual([client.disconnecting for client in clients], [False] * 4)
        backend.send(OK)
        begun.send(GET[10:])
        backend.send(OK)
        for client in (idle, fresh):
            client.send(GET)
            backend.send(OK)
        for client in clients:
            self.assertIn(b"Connection: close", client.take())
            self.assertTrue(client.closed)

    def test_drain_idle(self):
        """Whoever asks for nothing while we drain is closed after a grace."""
        world = self.world()
        idle, fresh = world.client(), world.client()
        idle.send(GET)
        world.accept().send(OK)
        world.acceptor.drain()
        late = world.client()
        world.pass_time(DRAIN_SECONDS - 0.2)
        self.assertFalse(
            idle.disconnecting or fresh.disconnecting or late.disconnecting
        )
        world.pass_time(0.4)
        self.assertTrue(idle.closed and fresh.closed and late.closed)

    def test_drain_within_an_answer(self):
        """An answer whose head promised another is followed by that other one."""
        world = self.world()
        client = world.client()
        client.send(GET)
        backend = world.accept()
        backend.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab")
        self.assertNotIn(b"Connection: close", client.take())
        world.acceptor.drain()
        backend.send(b"cd")
        self.assertFalse(client.disconnecting)
        client.send(GET)
        backend.send(OK)
        self.assertIn(b"Connection: close", client.take())
        self.assertTrue(client.closed)

    def test_drain_slow_reader(self):
        """Draining waits for who has not yet read all of the last answer."""
        world = self.world()
        client = world.client()
        client.stop_reading()
        client.send(GET)
        world.accept().send(answer(b"x" * 70000))
        world.acceptor.drain()
        client.read_on()
        self.assertFalse(client.disconnecting)
        world.pass_time(DRAIN_SECONDS + 0.2)
        self.assertTrue(client.closed)

    def test_shut_idle(self):
        """At the end of the patience an idle connection ends in good order."""
        world = self.world()
        client = world.client()
        client.protocol.shut()
        self.assertTrue(client.closed)

    def test_shut(self):
        """At the end of the patience a request in flight is cut and recorded."""
        world = self.world()
        client = world.client()
        client.send(GET)
        backend = world.accept()
        client.protocol.shut()
        self.assertTrue(client.aborted)
        self.assertTrue(backend.aborted)
        self.assertEqual([e.status for e in world.ended], [503])
        self.assert_nobody_blamed(world)


class DeadlineTests(WorldTestCase):
    def test_head(self):
        """A head that takes too long is answered 408 and the connection closed."""
        world = self.world(timeouts=ClientTimeouts(head=5.0))
        client = world.client()
        world.pass_time(4.0)
        client.send(GET[:10])
        world.pass_time(4.8)
        client.send(GET[10:11])
        self.assertEqual(client.take(), b"")
        world.pass_time(0.4)
        self.assertEqual(statuses(client.take()), [408])
        self.assertTrue(client.half_closed)
        self.assertEqual([status for _, status, _ in world.refusals], [408])

    def test_nothing(self):
        """Who connects and says nothing is closed after the time for a head."""
        world = self.world(timeouts=ClientTimeouts(head=5.0))
        client = world.client()
        world.pass_time(4.9)
        self.assertFalse(client.disconnecting)
        world.pass_time(0.3)
        self.assertTrue(client.disconnecting)
        self.assertEqual(client.take(), b"")

    def test_keep_alive(self):
        """An idle connection is closed, in good order, after the keep-alive time."""
        world = self.world()
        client = world.client()
        client.send(GET)
        world.accept().send(OK)
        world.pass_time(59.0)
        self.assertFalse(client.disconnecting)
        world.pass_time(1.2)
        self.assertTrue(client.closed)

    def test_closing_takes_too_long(self):
        """A connection that does not come to its close is aborted."""
        world = self.world()
        client = world.client()
        client.send(get("/", "Connection: close\r\n"))
        client.stop_reading()
        world.accept().send(OK)
        self.assertTrue(client.half_closed)
        world.pass_time(29.0)
        self.assertFalse(client.aborted)
        world.pass_time(1.2)
        self.assertTrue(client.aborted)

    def test_body(self):
        """A body that stops coming is answered 408; the backend is not blamed."""
        world = self.world(timeouts=ClientTimeouts(body=5.0))
        client = world.client()
        client.send(post(10, b"a"))
        backend = world.accept()
        world.pass_time(4.0)
        client.send(b"b")
        world.pass_time(4.8)
        self.assertEqual(client.take(), b"")
        world.pass_time(0.4)
        self.assertEqual(statuses(client.take()), [408])
        self.assertTrue(backend.aborted)
        self.assertEqual([e.status for e in world.ended], [408])
        self.assert_nobody_blamed(world)

    def test_body_after_the_answer_began(self):
        """When an answer has begun the connection is broken instead."""
        world = self.world(timeouts=ClientTimeouts(body=5.0))
        client = world.client()
        client.send(post(10, b"a"))
        world.accept().send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab")
        world.pass_time(5.2)
        self.assertTrue(client.aborted)

    def test_waiting_has_no_limit_here(self):
        """While the backend works, the client's times do not run."""
        world = self.world(timeouts=ClientTimeouts(1.0, 1.0, 1.0, 1.0))
        client = world.client()
        client.send(GET)
        backend = world.accept()
        world.pass_time(29.0)
        backend.send(OK)
        self.assertEqual(client.take(), OK)

    def test_write_stall(self):
        """A client that takes nothing for the write time loses its connection."""
        world = self.world(timeouts=ClientTimeouts(write=5.0))
        client = world.client()
        client.stop_reading()
        client.send(GET)
        backend = world.accept()
        backend.send(
            b"HTTP/1.1 200 OK\r\nDate: d\r\nContent-Length: 200000\r\n\r\n"
            + b"x" * 70000
        )
        self.assertTrue(backend.paused)
        world.pass_time(4.8)
        self.assertFalse(client.aborted)
        world.pass_time(0.4)
        self.assertTrue(client.aborted)
        self.assertTrue(backend.aborted)
        self.assertEqual(world.ended[0].status, 200)
        self.assertEqual(world.forwarder.counters.gone, 1)
        self.assert_nobody_blamed(world)

    def test_write_progress(self):
        """A client that takes a little now and then is left alone."""
        world = self.world(timeouts=ClientTimeouts(write=5.0))
        client = world.client()
        client.stop_reading()
        client.send(GET)
        backend = world.accept()
        backend.send(
            b"HTTP/1.1 200 OK\r\nDate: d\r\nContent-Length: 70002\r\n\r\n"
            + b"x" * 70000
        )
        for _ in range(5):
            world.pass_time(4.0)
            client.read_some(100)
        self.assertFalse(client.aborted)
        client.read_on()
        self.assertFalse(backend.paused)
        backend.send(b"yz")
        self.assertTrue(client.take().endswith(b"yz"))

    def test_write_stall_after_the_answer(self):
        """So does one that leaves the end of the answer lying."""
        world = self.world(timeouts=ClientTimeouts(write=5.0))
        client = world.client()
        client.stop_reading()
        client.send(GET)
        world.accept().send(answer(b"x" * 70000))
        world.pass_time(5.3)
        self.assertTrue(client.aborted)
        self.assertEqual(world.forwarder.counters.gone, 0)

    def test_stall_of_a_short_answer(self):
        """An unread short answer holds its connection for the keep-alive time."""
        world = self.world(timeouts=ClientTimeouts(keepalive=5.0, write=5.0))
        client = world.client()
        client.stop_reading()
        client.send(GET)
        world.accept().send(OK)
        world.pass_time(11.0)
        self.assertTrue(client.aborted)

    def test_pause_in_a_body(self):
        """After a pause of the answer the time for the body runs again."""
        world = self.world(timeouts=ClientTimeouts(body=5.0, write=50.0))
        client = world.client()
        client.stop_reading()
        client.send(post(10, b"a"))
        world.accept().send(
            b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"x" * 70000
        )
        world.pass_time(20.0)
        self.assertFalse(client.aborted)
        client.read_on()
        world.pass_time(5.2)
        self.assertTrue(client.aborted)

    def test_deadline_of_nothing(self):
        """A deadline that has lost its meaning is dropped."""
        world = self.world()
        client = world.client()
        client.send(GET)
        client.protocol.deadline = 1.0
        world.pass_time(1.5)
        self.assertFalse(client.disconnecting)
        world.accept().send(OK)
        self.assertEqual(client.take(), OK)

    def test_head_size(self):
        """A head over the limit is answered 431, before it is complete."""
        world = self.world(limits=HeadLimits(head_bytes=1000))
        client = world.client()
        client.send(b"GET / HTTP/1.1\r\nHost: x\r\n")
        client.send(b"X-A: " + b"x" * 3000 + b"\r\n")
        self.assertEqual(statuses(client.take()), [431])


class AddressTests(WorldTestCase):
    def test_text(self):
        """The peer's address is its host, in its one spelling."""
        world = self.world()
        self.assertEqual(world.client("192.0.2.7").protocol.peer.address, "192.0.2.7")
        self.assertEqual(address_text(None), "")
        for host, text in (
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("2001:db8::7", "2001:db8::7"),
            ("::1", "::1"),
        ):
            address = IPv6Address("TCP", host, 4000)
            self.assertEqual(address_text(address), text)

    def test_unix(self):
        """The peer of a UNIX socket is called so, whatever its path."""
        for path in (b"", "", None, "/run/x.sock"):
            self.assertEqual(address_text(UNIXAddress(path)), "unix:")
        self.assertEqual(address_text(type("A", (), {"host": b"x"})()), "")


class BodyRateTests(WorldTestCase):
    def upload(self, step: bytes, seconds: float) -> list[int]:
        """Send 60 pieces of a body, one each `seconds`; the statuses of the answers."""
        world = self.world(timeouts=ClientTimeouts(body_rate=100))
        client = world.client()
        client.send(post(10**6))
        world.accept()
        for _ in range(60):
            world.pass_time(seconds)
            if client.disconnecting or client.lost:
                break
            client.send(step)
        return statuses(client.take())

    def test_drip(self):
        """A client that sends a byte every second is answered 408 after the grace."""
        self.assertEqual(self.upload(b"x", 1.0), [408])

    def test_fast_enough(self):
        """A client that keeps the rate may go on, however long it takes."""
        self.assertEqual(self.upload(b"x" * 120, 1.0), [])
