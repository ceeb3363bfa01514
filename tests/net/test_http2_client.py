"""Tests of HTTP/2 towards targets, with another implementation as the target."""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IHalfCloseableProtocol, IPushProducer
from zope.interface.verify import verifyObject

from lolly_tx.domain.errors import ConnectionReset, HungUpOnClient
from lolly_tx.net.http2.shared import Http2Settings
from lolly_tx.net.upstreams import UpstreamLimits
from lolly_tx.wire.http2.frames import (
    DATA,
    GOAWAY,
    HEADERS,
    MOST_STREAM,
    PING,
    frame,
    goaway,
    rst_stream,
    window_update,
)
from lolly_tx.wire.http2_errors import (
    CANCEL,
    ENHANCE_YOUR_CALM,
    HTTP_1_1_REQUIRED,
    INTERNAL_ERROR,
    NO_ERROR,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
)
from tests.proxy.h2client import Http2Client
from tests.proxy.h2target import Http2Target
from tests.proxy.world import GET, WorldTestCase, chunked, get, post


class UpstreamTestCase(WorldTestCase):
    """Worlds whose targets speak HTTP/2."""

    def world_h2(self, *nodes: Any, protocol: str = "h2c", **settings: Any) -> Any:
        """One, without TLS unless `protocol` says otherwise."""
        return self.world(*nodes, protocol=protocol, **settings)

    def ask(self, request: bytes = GET, target: Any = None, **settings: Any) -> Any:
        """A request is on its way: (world, client, target)."""
        world = self.world_h2(**settings)
        client = world.client()
        client.send(request)
        return world, client, Http2Target(world, **target or {})

    def assert_failed(self, world: Any, client: Any, status: int, detail: str) -> None:
        """The client got an error of ours, for that reason."""
        world.pass_time()
        self.assertIn(b"HTTP/1.1 %d " % status, client.take())
        self.assertEqual(world.ended[-1].error.detail, detail)


class ExchangeTests(UpstreamTestCase):
    def test_get(self) -> None:
        """A GET of HTTP/1.1 goes upstream in HTTP/2, and its answer comes back in HTTP/1.1."""
        world, client, target = self.ask(get("/a?b", "X-One:  1 \r\n"), via="me")
        verifyObject(IHalfCloseableProtocol, target.line.protocol)
        verifyObject(IPushProducer, target.line.protocol)
        asked = target.requests[1]
        self.assertEqual(asked.fields[b":method"], b"GET")
        self.assertEqual(asked.fields[b":path"], b"/a?b")
        self.assertEqual(asked.fields[b":authority"], b"x")
        self.assertEqual(asked.fields[b":scheme"], b"http")
        self.assertEqual(asked.fields[b"x-one"], b"1")
        self.assertNotIn(b"host", asked.fields)
        self.assertNotIn(b"te", asked.fields)
        self.assertTrue(asked.ended)
        target.answer(1)
        got = client.take()
        self.assertTrue(got.startswith(b"HTTP/1.1 200 "))
        self.assertIn(b"content-length: 2\r\n", got)
        self.assertIn(b"Via: 2.0 me\r\n", got)
        self.assertTrue(got.endswith(b"\r\n\r\nok"))

    def test_shared(self) -> None:
        """Many exchanges share one connection, and those that come while it is made join it."""
        world = self.world_h2()
        clients = [world.client() for _ in range(20)]
        for client in clients[:10]:
            client.send(GET)
        self.assertEqual(len(world.connects()), 1)
        target = Http2Target(world)
        for client in clients[10:]:
            client.send(GET)
        target.turn()
        self.assertEqual(world.connects(), [])
        self.assertEqual(len(target.requests), 20)
        self.assertEqual(world.pool.nodes["a"].in_flight, 20)
        for stream in reversed(target.requests):
            target.answer(stream, b"%d" % stream)
        for number, client in enumerate(clients):
            self.assertTrue(client.take().endswith(b"%d" % (2 * number + 1)))
        self.assertEqual(world.upstreams["a"].idle, 1)

    def test_stream_limit(self) -> None:
        """A target that takes few streams gets another connection for the next exchange."""
        world = self.world_h2()
        clients = [world.client() for _ in range(3)]
        for client in clients:
            client.send(GET)
        first = Http2Target(world, MAX_CONCURRENT_STREAMS=2)
        self.assertEqual(sorted(first.requests), [1, 3])
        second = Http2Target(world, MAX_CONCURRENT_STREAMS=2)
        self.assertEqual(sorted(second.requests), [1])
        for stream in (1, 3):
            first.answer(stream)
        second.answer(1)
        for client in clients:
            self.assertTrue(client.take().endswith(b"ok"))

    def test_no_streams(self) -> None:
        """A target that takes none has not answered; nobody connects for ever."""
        world, client, target = self.ask(target={"MAX_CONCURRENT_STREAMS": 0})
        self.assert_failed(world, client, 502, "the target takes no streams")
        self.assertEqual(world.connects(), [])
        del target

    def test_body(self) -> None:
        """A body goes as DATA, however it came; trailers go along."""
        for request in (
            post(5, b"hello"),
            chunked(b"he", b"llo", end=b"0\r\nX-T: 1\r\n\r\n"),
        ):
            world, client, target = self.ask(request)
            asked = target.requests[1]
            self.assertEqual((asked.body, asked.ended), (b"hello", True))
            self.assertNotIn(b"transfer-encoding", asked.fields)
            if b"chunked" in request:
                self.assertEqual(asked.trailers, [(b"x-t", b"1")])
            else:
                self.assertEqual(asked.fields[b"content-length"], b"5")
            target.answer(1)
            self.assertTrue(client.take().endswith(b"ok"))

    def test_streamed_answer(self) -> None:
        """An answer without a length is chunked for HTTP/1.1, with its trailers."""
        world, client, target = self.ask()
        target.head(1)
        target.turn()
        self.assertIn(b"Transfer-Encoding: chunked\r\n", client.take())
        target.send(1, b"one")
        self.assertEqual(client.take(), b"3\r\none\r\n")
        target.h2.send_headers(1, [("x-t", "1")], end_stream=True)
        target.turn()
        self.assertEqual(client.take(), b"0\r\nx-t: 1\r\n\r\n")

    def test_trailers_wanted(self) -> None:
        """A client that takes trailers says so to the target."""
        _, _, target = self.ask(get(extra="Connection: TE\r\nTE: trailers\r\n"))
        self.assertEqual(target.requests[1].fields[b"te"], b"trailers")
        target.answer(1)

    def test_no_body(self) -> None:
        """HEAD, 204 and 304 have none, whatever their length says."""
        for method, status in (("HEAD", 200), ("GET", 204), ("GET", 304)):
            request = f"{method} / HTTP/1.1\r\nHost: x\r\n\r\n".encode()
            world, client, target = self.ask(request)
            length = () if status == 204 else (("content-length", "99"),)
            target.head(1, *length, status=status, end=True)
            target.turn()
            got = client.take()
            self.assertTrue(got.startswith(b"HTTP/1.1 %d " % status))
            self.assertTrue(got.endswith(b"\r\n\r\n"))
            self.assertEqual(world.ended[-1].error, None)

    def test_interim(self) -> None:
        """A 103 is passed on; a 100 lets the body come."""
        world, client, target = self.ask(post(2, extra="Expect: 100-continue\r\n"))
        self.assertEqual(target.requests[1].fields[b"expect"], b"100-continue")
        target.head(1, status=103)
        target.head(1, status=100)
        target.turn()
        got = client.take()
        self.assertIn(b"HTTP/1.1 103 ", got)
        self.assertIn(b"HTTP/1.1 100 ", got)
        client.send(b"ok")
        target.turn()
        self.assertEqual(target.requests[1].body, b"ok")
        target.answer(1)
        self.assertTrue(client.take().endswith(b"ok"))

    def test_upgrade(self) -> None:
        """A WebSocket is refused: HTTP/2 has no such upgrade."""
        extra = "Connection: Upgrade\r\nUpgrade: websocket\r\n"
        world, client, target = self.ask(get(extra=extra))
        self.assert_failed(
            world, client, 501, "no upgrade: the pool's targets speak HTTP/2"
        )
        self.assertEqual(target.requests, {})
        self.assert_nobody_blamed(world)

    def test_both_sides(self) -> None:
        """HTTP/2 on both sides: a body both ways at once, and trailers both ways."""
        world = self.world_h2(http2=Http2Settings())
        client = Http2Client(world)
        stream = client.request(("te", "trailers"), method="POST", end=False)
        target = Http2Target(world)
        self.assertEqual(target.requests[1].fields[b"te"], b"trailers")
        target.head(1)
        target.turn()
        for n in range(3):
            client.send(stream, b"q%d" % n)
            target.turn()
            self.assertTrue(target.requests[1].body.endswith(b"q%d" % n))
            target.send(1, b"a%d" % n)
            client.turn()
            self.assertTrue(client.answers[stream].body.endswith(b"a%d" % n))
        client.h2.send_headers(stream, [("x-q", "1")], end_stream=True)
        client.turn()
        target.turn()
        self.assertEqual(target.requests[1].trailers, [(b"x-q", b"1")])
        target.h2.send_headers(1, [("grpc-status", "0")], end_stream=True)
        target.turn()
        client.turn()
        got = client.answers[stream]
        self.assertEqual(got.trailers, [(b"grpc-status", b"0")])
        self.assertTrue(got.ended)


class EndTests(UpstreamTestCase):
    def test_cancel(self) -> None:
        """A client that goes away costs its stream, not the connection."""
        world, client, target = self.ask()
        other = world.client()
        other.send(GET)
        client.reset()
        target.turn()
        self.assertEqual(target.requests[1].reset, CANCEL)
        self.assertIsNone(target.requests[3].reset)
        target.answer(3)
        self.assertTrue(other.take().endswith(b"ok"))
        self.assertEqual(world.upstreams["a"].open, 1)

    def test_waiting_client_gone(self) -> None:
        """A client that goes while the connection is made ends the connect if nobody else waits."""
        world = self.world_h2()
        clients = [world.client(), world.client()]
        for client in clients:
            client.send(GET)
        clients[0].reset()
        self.assertEqual(len(world.connects()), 1)
        clients[1].reset()
        self.assertEqual(world.connects(), [])

    def test_goaway(self) -> None:
        """What a target that goes away has not begun is asked again, even a POST; the rest goes on."""
        world = self.world_h2()
        clients = [world.client() for _ in range(3)]
        for client in clients:
            client.send(post(1, b"x"))
        target = Http2Target(world)
        target.raw(goaway(MOST_STREAM, NO_ERROR))
        self.assertEqual(world.connects(), [])
        target.raw(goaway(1, NO_ERROR))
        second = Http2Target(world)
        self.assertEqual([second.requests[n].body for n in (1, 3)], [b"x", b"x"])
        target.answer(1)
        second.answer(1)
        second.answer(3)
        for client in clients:
            self.assertTrue(client.take().endswith(b"ok"))
        self.assertTrue(target.line.closed)
        self.assert_nobody_blamed(world)

    def test_refused(self) -> None:
        """A refused stream is asked again, on another connection, and not for ever."""
        world, client, target = self.ask(post(1, b"x"))
        for stream in (1, 3, 5, 7):
            target.raw(rst_stream(stream, REFUSED_STREAM))
        self.assert_failed(world, client, 502, "stream refused by the target")
        self.assertEqual(len(target.requests), 4)
        self.assert_nobody_blamed(world)

    def test_refused_elsewhere(self) -> None:
        """A target that goes on refusing is left for another one."""
        world = self.world_h2("a", "b")
        client = world.client()
        client.send(post(1, b"x"))
        target = Http2Target(world)
        for stream in (1, 3, 5, 7):
            target.raw(rst_stream(stream, REFUSED_STREAM))
        Http2Target(world, "b").answer(1)
        self.assertTrue(client.take().endswith(b"ok"))

    def test_reset(self) -> None:
        """A reset before the response is a failure, one within it cuts the response."""
        world, client, target = self.ask(post(1, b"x"))
        target.raw(rst_stream(1, INTERNAL_ERROR))
        self.assert_failed(
            world, client, 502, "stream reset before the response: INTERNAL_ERROR"
        )
        client.send(GET)
        target.turn()
        target.head(3)
        target.raw(target.h2.data_to_send(), rst_stream(3, CANCEL))
        self.assertEqual(
            world.ended[-1].error.detail, "stream reset within the response: CANCEL"
        )
        self.assertTrue(client.aborted or client.closed)

    def test_code_is_told(self) -> None:
        """A client hears that the target cancelled or had enough; anything else is an internal error to it."""
        for code, told in ((CANCEL, CANCEL), (11, 11), (PROTOCOL_ERROR, 2)):
            world = self.world_h2(http2=Http2Settings())
            client = Http2Client(world)
            stream = client.get()
            target = Http2Target(world)
            target.head(1)
            target.turn()
            client.turn()
            target.raw(rst_stream(1, code))
            client.turn()
            self.assertEqual(client.answers[stream].reset, told)

    def test_every_code_within_an_answer(self) -> None:
        """What is about the hop to the target is none of the client's; nor is a refusal of what was begun."""
        passed = {CANCEL, ENHANCE_YOUR_CALM}
        for code in range(14):
            world = self.world_h2(http2=Http2Settings())
            client = Http2Client(world)
            stream = client.get()
            target = Http2Target(world)
            target.head(1)
            target.turn()
            client.turn()
            target.raw(rst_stream(1, code))
            client.turn()
            told = code if code in passed else INTERNAL_ERROR
            self.assertEqual(client.answers[stream].reset, told, code)
            self.assertEqual(len(target.requests), 1, code)
            self.assertEqual(type(world.ended[-1].error), ConnectionReset, code)

    def test_refused_after_its_head(self) -> None:
        """A stream that is refused when its answer has begun was looked at: it is none to ask again."""
        world, client, target = self.ask(post(1, b"x"))
        target.head(1, ("date", "d"), ("content-length", "2"))
        target.raw(target.h2.data_to_send(), rst_stream(1, REFUSED_STREAM))
        self.assertEqual(len(target.requests), 1)
        self.assert_failed(
            world, client, 502, "stream reset within the response: REFUSED_STREAM"
        )

    def test_http1_required(self) -> None:
        """A request that its target wants in HTTP/1.1 is a 502 with that reason, tried nowhere else, nobody's fault."""
        world = self.world_h2("a", "b")
        client = world.client()
        client.send(GET)
        target = Http2Target(world)
        target.raw(rst_stream(1, HTTP_1_1_REQUIRED))
        self.assert_failed(world, client, 502, "the target wants HTTP/1.1 for it")
        self.assertEqual(world.connects("b"), [])
        self.assert_nobody_blamed(world)
        self.assertFalse(target.line.closed)

    def test_tired_of_a_client(self) -> None:
        """A target that gives up on a client who does not send has not failed; one that had no reason has."""
        for seconds, error in ((1.5, HungUpOnClient), (0.5, ConnectionReset)):
            for end in ("reset", "lost"):
                world, client, target = self.ask(post(10, b"x"))
                world.pass_time(seconds)
                if end == "reset":
                    target.raw(rst_stream(1, CANCEL))
                else:
                    target.line.end()
                world.pass_time()
                self.assertIn(b"HTTP/1.1 502 ", client.take())
                found = world.ended[-1].error
                self.assertIs(type(found), error, (seconds, end))
                [node] = world.pool.nodes.values()
                blamed = int(error is ConnectionReset)
                self.assertEqual(node.stats.failures, blamed)

    def test_tired_after_the_request(self) -> None:
        """When the client has sent all, the time it took for that is no excuse."""
        world, client, target = self.ask(post(3, b"x"))
        world.pass_time(1.5)
        client.send(b"yz")
        target.turn()
        world.pass_time(1.5)
        target.raw(rst_stream(1, INTERNAL_ERROR))
        self.assertIn(b"HTTP/1.1 502 ", client.take())
        self.assertIs(type(world.ended[-1].error), ConnectionReset)

    def test_tired_of_a_reader(self) -> None:
        """The same of a client that does not take its answer, and when it has gone on; the code is passed on still."""
        for goes_on in (False, True):
            world = self.world_h2(http2=Http2Settings())
            client = Http2Client(world, reads=False)
            stream = client.get()
            target = Http2Target(world)
            target.head(1)
            for _ in range(16):
                room = target.h2.local_flow_control_window(1)
                target.send(1, bytes(min(16384, room)))
                client.turn()
            world.pass_time(1.5)
            if goes_on:
                client.h2.increment_flow_control_window(1 << 20, stream)
                client.h2.increment_flow_control_window(1 << 20)
                client.turn()
                world.pass_time(0.2)
            target.raw(rst_stream(1, CANCEL))
            client.turn()
            self.assertIs(type(world.ended[-1].error), HungUpOnClient)
            self.assertEqual(client.answers[stream].reset, CANCEL)
            self.assert_nobody_blamed(world)

    def test_early_answer(self) -> None:
        """An answer before the end of the request ends it, and the stream is reset without an error."""
        world, client, target = self.ask(post(10, b"x"))
        target.answer(1)
        self.assertIn(b"ok", client.take())
        self.assertEqual(target.requests[1].reset, NO_ERROR)
        self.assertEqual(world.upstreams["a"].idle, 1)

    def test_connection_lost(self) -> None:
        """With the connection go the answers that were on their way; a POST is not repeated."""
        world, client, target = self.ask(post(1, b"x"))
        target.line.reset()
        self.assert_failed(world, client, 502, "connection reset")

    def test_stale(self) -> None:
        """A connection that closes as a request comes says nothing of its target."""
        world, client, target = self.ask()
        target.answer(1)
        client.take()
        client.send(GET)
        target.line.end()
        second = Http2Target(world)
        second.answer(1)
        self.assertTrue(client.take().endswith(b"ok"))
        self.assert_nobody_blamed(world)

    def test_stale_by_reset(self) -> None:
        """The same of one that is reset with several exchanges on it: none of them is sent on it once more."""
        world, client, target = self.ask()
        target.answer(1)
        client.take()
        clients = [client, world.client(), world.client()]
        for each in clients:
            each.send(GET)
        target.line.reset()
        second = Http2Target(world)
        self.assertEqual(len(second.requests), 3)
        for stream in second.requests:
            second.answer(stream)
        for each in clients:
            self.assertTrue(each.take().endswith(b"ok"))

    def test_closed_meanwhile(self) -> None:
        """A POST is not sent on an idle connection that the target has just closed."""
        world, client, target = self.ask()
        target.answer(1)
        client.take()
        target.line.inbox.append(None)  # not read yet
        client.send(post(1, b"x"))
        second = Http2Target(world)
        self.assertEqual(second.requests[1].body, b"x")
        second.answer(1)
        self.assertTrue(client.take().endswith(b"ok"))

    def test_idle_timeout(self) -> None:
        """An idle connection is closed in time, with a good-bye."""
        world, client, target = self.ask(upstream=UpstreamLimits(idle_timeout=5))
        target.answer(1)
        client.take()
        world.pass_time(5.2)
        target.turn()
        self.assertTrue(target.line.closed)
        self.assertEqual(target.frames[-1][0], GOAWAY)

    def test_limits(self) -> None:
        """A connection that is old, or has served enough, takes no more."""
        for limits in (UpstreamLimits(requests=1), UpstreamLimits(lifetime=1)):
            world, client, target = self.ask(upstream=limits)
            world.pass_time(1.5)
            target.answer(1)
            client.take()
            client.send(GET)
            second = Http2Target(world)
            second.answer(1)
            self.assertTrue(client.take().endswith(b"ok"))
            self.assertTrue(target.line.closed)


class RuleTests(UpstreamTestCase):
    def test_no_http2(self) -> None:
        """A target that speaks HTTP/1.1 is found out before anything was asked."""
        world = self.world_h2(tries=1)
        client = world.client()
        client.send(post(1, b"x"))
        world.accept().send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        world.pass_time()
        error = world.ended[-1].error
        self.assertTrue(error.nothing_sent)
        self.assertIn("speaks no HTTP/2", error.detail)
        self.assertIn(b"HTTP/1.1 502 ", client.take())

    def test_silent(self) -> None:
        """One that says nothing is not waited for longer than ten seconds."""
        world = self.world_h2(tries=1)
        client = world.client()
        client.send(GET)
        world.accept()
        world.pass_time(10.2)
        self.assert_failed(world, client, 502, "no HTTP/2 SETTINGS within 10 s")

    def test_alpn(self) -> None:
        """Over TLS HTTP/2 has to have been agreed on."""
        world = self.world_h2(protocol="h2", tries=1)
        client = world.client()
        client.send(GET)
        world.accept()
        self.assert_failed(
            world, client, 502, "the target does not agree on HTTP/2 (ALPN h2)"
        )

    def test_malformed(self) -> None:
        """What is no valid response is none, and costs its stream."""
        for fields, why in (
            ([("x", "1")], "no :status"),
            ([(":status", "20")], "malformed :status"),
            ([(":status", "101")], "101, which HTTP/2 does not have"),
            ([(":status", "200"), ("connection", "close")], "field of a connection"),
            ([(":status", "200"), ("X", "1")], "malformed field name"),
            ([(":status", "200"), ("x", "a\r\nb: c")], "malformed field value"),
            ([(":status", "200"), (":status", "200")], "malformed field name"),
        ):
            world, client, target = self.ask(tries=1)
            block = target.h2.encoder.encode(fields)
            target.raw(frame(HEADERS, 4, 1, block))
            self.assert_failed(world, client, 502, why)
            self.assertEqual(target.requests[1].reset, PROTOCOL_ERROR)
            self.assertFalse(target.line.closed)

    def test_length(self) -> None:
        """DATA has to add up to the length that was promised."""
        for body, why in ((b"abc", "more than"), (b"a", "less than")):
            world, client, target = self.ask()
            target.head(1, ("content-length", "2"))
            target.raw(target.h2.data_to_send(), frame(DATA, 1, 1, body))
            self.assertEqual(world.ended[-1].error.detail, f"{why} Content-Length")
            del client

    def test_connection_rules(self) -> None:
        """Who breaks the rules of the connection loses it, and is told why."""
        for bad in (
            frame(DATA, 0, 9, b"x"),
            frame(DATA, 0, 2, b"x"),
            frame(5, 4, 1, b"\0\0\0\2"),
            frame(9, 4, 1, b""),
            window_update(0, MOST_STREAM),
            frame(PING, 0, 1, b"12345678"),
            frame(HEADERS, 4, 1, b"\xff\xff\xff\xff\xff\xff"),
        ):
            world, client, target = self.ask(tries=1)
            target.line.send(bad)
            world.pass_time()
            self.assertIn(b"HTTP/1.1 502 ", client.take())
            self.assertTrue(target.line.closed, bad)

    def test_flood(self) -> None:
        """A target cannot keep us busy with frames that bring nothing."""
        world, client, target = self.ask(tries=1)
        target.line.send(frame(PING, 0, 0, b"12345678") * 1100)
        world.pass_time()
        self.assertIn(b"HTTP/1.1 502 ", client.take())
        self.assertTrue(target.line.closed)

    def test_interim_flood(self) -> None:
        """Nor with interim responses."""
        world, client, target = self.ask(tries=1)
        for _ in range(17):
            target.head(1, status=103)
        target.turn()
        self.assertIn("too many 1xx", world.ended[-1].error.detail)
        del client


class GrpcTests(UpstreamTestCase):
    """Calls, which end in a status of their own."""

    KINDS = ("connect", "timeout", "reset")

    def call(self, **settings: Any) -> Any:
        """One on its way, to the first of two targets: (world, client, stream, target)."""
        world = self.world_h2("a", "b", http2=Http2Settings(), **settings)
        client = Http2Client(world)
        kind = ("content-type", "application/grpc")
        stream = client.request(kind, ("te", "trailers"), method="POST", end=False)
        client.send(stream, b"question", end=True)
        return world, client, stream, Http2Target(world)

    def test_outcome(self) -> None:
        """The status in the trailers is what a target is judged by, those that are its fault."""
        for status, errors in (("0", 0), ("5", 0), ("13", 1), ("14", 1), ("77", 1)):
            for alone in (False, True):
                world, client, stream, target = self.call()
                if not alone:
                    target.head(1)
                    target.turn()
                end = [("grpc-status", status)]
                head = [(":status", "200"), *end] if alone else end
                target.h2.send_headers(1, head, end_stream=True)
                target.turn()
                client.turn()
                self.assertTrue(client.answers[stream].ended)
                self.assertEqual(world.pool.nodes["a"].stats.errors, errors, status)

    def test_unavailable(self) -> None:
        """With the word for it, what is UNAVAILABLE or lost is asked elsewhere; without it is not."""
        for on, again in (
            (self.KINDS, False),
            ((*self.KINDS, "grpc:unavailable"), True),
        ):
            for lost in (False, True):
                world, client, stream, target = self.call(on=on)
                if lost:
                    target.line.reset()
                else:
                    target.head(1, ("grpc-status", "14"), end=True)
                    target.turn()
                self.assertEqual(bool(world.connects("b")), again)
                if again:
                    second = Http2Target(world, "b")
                    self.assertEqual(second.requests[1].body, b"question")
                    second.head(1)
                    second.h2.send_headers(1, [("grpc-status", "0")], end_stream=True)
                    second.turn()
                client.turn()
                got = client.answers[stream]
                if again:
                    self.assertEqual(got.trailers, [(b"grpc-status", b"0")])
                elif not lost:
                    self.assertIn((b"grpc-status", b"14"), got.fields)

    def test_unavailable_everywhere(self) -> None:
        """If nobody is better, the client gets that answer."""
        on = (*self.KINDS, "grpc:unavailable")
        world, client, stream, target = self.call(on=on)
        for each in (target, None):
            each = each or Http2Target(world, "b")
            each.head(1, ("grpc-status", "14"), end=True)
            each.turn()
        client.turn()
        self.assertIn((b"grpc-status", b"14"), client.answers[stream].fields)

    def test_not_a_call(self) -> None:
        """A POST that is none is not repeated for that word."""
        world, client, target = self.ask(
            post(1, b"x"), on=(*self.KINDS, "grpc:unavailable")
        )
        target.line.reset()
        self.assert_failed(world, client, 502, "connection reset")

    def test_small_messages(self) -> None:
        """A target may widen windows for each of the small messages that share a frame."""
        world = self.world_h2(http2=Http2Settings())
        client = Http2Client(world)
        second = client.request(method="POST", end=False)
        target = Http2Target(world)
        for _ in range(20):
            client.send(second, bytes(1600))
            target.line.send(window_update(1, 8) * 100 + window_update(0, 8) * 100)
        target.turn()
        self.assertFalse(target.line.disconnecting)
        self.assertEqual(len(target.requests[1].body), 32000)


class TimeTests(UpstreamTestCase):
    def test_read(self) -> None:
        """A target that says nothing for too long has failed; others on its connection go on."""
        world, client, target = self.ask(upstream=UpstreamLimits(read=2))
        world.pass_time(1)
        other = world.client()
        other.send(GET)
        world.pass_time(1.2)
        self.assert_failed(world, client, 504, "no byte for 2 s")
        target.turn()
        self.assertEqual(target.requests[1].reset, CANCEL)
        target.answer(3)
        self.assertTrue(other.take().endswith(b"ok"))

    def test_no_read_limit(self) -> None:
        """Where it is asked for, a stream may be silent for ever."""
        limits = UpstreamLimits(read=float("inf"))
        world, client, target = self.ask(upstream=limits)
        target.head(1)
        target.turn()
        client.take()
        world.pass_time(600)
        target.send(1, b"x", end=True)
        self.assertEqual(client.take(), b"1\r\nx\r\n0\r\n\r\n")

    def test_ping(self) -> None:
        """A silent target is asked whether it is there: one that is stays, one that is not goes."""
        limits = UpstreamLimits(read=float("inf"), ping=5)
        world, client, target = self.ask(upstream=limits)
        world.pass_time(5.2)
        target.turn()
        self.assertEqual([f[0] for f in target.frames].count(PING), 1)
        world.pass_time(4.9)
        self.assertEqual(client.take(), b"")
        world.pass_time(12)
        self.assert_failed(world, client, 504, "no answer to PING in 5 s")

    def test_upload_waits(self) -> None:
        """A body waits for the target's window, and the client with it; one that never opens is an error."""
        limits = UpstreamLimits(write=3)
        world, client, target = self.ask(
            post(1 << 20), target={"reads": False}, upstream=limits
        )
        for _ in range(10):
            client.send(bytes(65536))
        target.turn()
        self.assertEqual(len(target.requests[1].body), 65535)
        self.assertTrue(client.paused)
        target.h2.acknowledge_received_data(65535, 1)
        target.turn()
        self.assertGreater(len(target.requests[1].body), 65535)
        world.pass_time(3.3)
        self.assertEqual(world.ended[-1].error.detail, "took no byte for 3 s")

    def test_download_waits(self) -> None:
        """A client that does not read is not read for: at most a window comes, and others go on."""
        world, client, target = self.ask()
        other = world.client()
        other.send(GET)
        client.stop_reading()
        target.head(1)
        sent = 0
        while sent < 1 << 22:
            room = min(target.h2.local_flow_control_window(1), 16384)
            if not room:
                break
            target.send(1, bytes(room))
            sent += room
        self.assertLess(sent, 1 << 20)
        target.turn()
        target.answer(3, bytes(10000))
        self.assertTrue(other.take().endswith(bytes(10000)))
        client.read_on()
        target.turn()
        self.assertGreater(target.h2.local_flow_control_window(1), 0)
        target.h2.end_stream(1)
        target.turn()
        self.assertIsNone(world.ended[-1].error)
