"""Tests of exchanges: attempts, bodies, cancellations in every state."""

from __future__ import annotations

import gc

from twisted.internet.error import ConnectionRefusedError, TimeoutError

from lolly_tx.domain.errors import ConnectTimedOut, DownstreamGone
from lolly_tx.net.http1.shared import ClientTimeouts
from lolly_tx.net.sockets.at_once import RECEIVE_BYTES
from lolly_tx.net.sockets.transports import BULK_BYTES
from lolly_tx.proxy.exchange import Exchange
from lolly_tx.proxy.upload import REPLAY_BYTES
from lolly_tx.wire.chunked import LARGE_MEAL, SMALL_MEAL
from tests.proxy.world import GET, OK, WorldTestCase, answer, chunked, get, post

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
EXPECT = "Expect: 100-continue\r\n"
HEAD_9 = b"HTTP/1.1 200 OK\r\nDate: d\r\nContent-Length: 9\r\n\r\n"


class AttemptTests(WorldTestCase):
    def test_refused_once(self):
        """A refused connect goes to another node; the client sees only the answer."""
        world = self.world("a", "b")
        client = world.client()
        client.send(GET)
        world.refuse("a")
        world.accept("b").send(OK)
        self.assertEqual(client.take(), OK)
        [exchange] = world.ended
        self.assertEqual(exchange.attempts, 2)
        self.assertEqual(exchange.node.id, "b")
        self.assertIsNone(exchange.error)
        self.assertEqual(world.pool.nodes["a"].stats.connect_failures, 1)
        self.assertEqual(world.forwarder.retries, 1)

    def test_idempotency_key(self):
        """A POST is repeated with an Idempotency-Key that is passed on and says something."""
        for extra, repeated in (
            ("Idempotency-Key: 7\r\n", True),
            ('Idempotency-Key: "7"\r\n', True),
            ("Idempotency-Key:\r\n", False),
            ("Idempotency-Key:  \t\r\n", False),
            ('Idempotency-Key: ""\r\n', False),
            ("Idempotency-Key: 7\r\nConnection: idempotency-key\r\n", False),
            ("Connection: close, Idempotency-KEY\r\nIdempotency-Key: 7\r\n", False),
        ):
            world = self.world("a", "b")
            client = world.client()
            head = f"POST / HTTP/1.1\r\nHost: h.example\r\nContent-Length: 1\r\n{extra}"
            client.send(head.encode() + b"\r\nx")
            world.accept("a").reset()
            got = client.take()
            self.assertEqual((extra, not got), (extra, repeated))
            self.assertEqual(len(world.connects("b")), int(repeated))

    def test_post_refused(self):
        """Even a POST does: nothing of it was sent."""
        world = self.world("a", "b")
        client = world.client()
        client.send(post(3, b"abc"))
        world.refuse("a")
        backend = world.accept("b")
        self.assertTrue(backend.take().endswith(b"\r\n\r\nabc"))
        backend.send(OK)
        self.assertEqual(client.take(), OK)

    def test_never_the_same(self):
        """No node is asked twice, and not more of them than `tries`."""
        world = self.world("a", "b", "c", tries=5)
        client = world.client()
        client.send(GET)
        for name in ("a", "b", "c"):
            world.refuse(name)
        self.assertIn(b"HTTP/1.1 502 ", client.take())
        self.assertEqual([len(e.attempts) for e in world.endpoints.values()], [1] * 3)
        world = self.world("a", "b", "c", tries=2)
        client = world.client()
        client.send(GET)
        world.refuse("a")
        world.refuse("b")
        self.assertIn(b"HTTP/1.1 502 ", client.take())
        self.assertNotIn("c", world.endpoints)

    def test_connect_timeout(self):
        """A connect that takes too long: 504 when nobody else is there."""
        for error in (TimeoutError(), ConnectTimedOut("no connection in 5 s")):
            world = self.world()
            client = world.client()
            client.send(GET)
            world.refuse("a", error)
            self.assertIn(b"HTTP/1.1 504 ", client.take())
            self.assertEqual(world.pool.nodes["a"].stats.timeouts, 1)

    def test_not_configured(self):
        """What `retry.on` does not name is not retried."""
        world = self.world("a", "b", on=("timeout",))
        client = world.client()
        client.send(GET)
        world.refuse("a", ConnectionRefusedError())
        self.assertIn(b"HTTP/1.1 502 ", client.take())

    def test_reset_before_the_answer(self):
        """A GET whose backend dies is sent to another one; a POST is not."""
        world = self.world("a", "b")
        client = world.client()
        client.send(GET)
        world.accept("a").reset()
        world.accept("b").send(OK)
        self.assertEqual(client.take(), OK)
        world = self.world("a", "b")
        client = world.client()
        client.send(post(3, b"abc"))
        world.accept("a").reset()
        self.assertIn(b"HTTP/1.1 502 ", client.take())
        self.assertEqual(world.connects("b"), [])

    def test_reset_after_the_answer_began(self):
        """Once the client has seen a byte, nothing is retried."""
        world = self.world("a", "b")
        client = world.client()
        client.send(GET)
        backend = world.accept("a")
        backend.send(HEAD_9)
        backend.reset()
        self.assertTrue(client.aborted)
        self.assertEqual(world.connects("b"), [])

    def test_nobody(self):
        """No node: 503 at once, with a reason for machines."""
        world = self.world()
        world.pool.set_enabled("a", "down", "test", 0.0)
        client = world.client()
        client.send(GET)
        got = client.take()
        self.assertIn(b"HTTP/1.1 503 ", got)
        self.assertIn(b"\r\nProxy-Status: lolly_tx; error=", got)
        self.assertFalse(client.disconnecting)
        [exchange] = world.ended
        self.assertIsNone(exchange.node)
        self.assertEqual(world.forwarder.counters.failed, 1)

    def test_ours_to_head(self):
        """Our own answer to a HEAD has no body."""
        world = self.world()
        client = world.client()
        client.send(b"HEAD" + GET[3:])
        world.refuse()
        self.assertTrue(client.take().endswith(b"\r\n\r\n"))
        self.assertEqual(world.ended[0].bytes_out, 0)

    def test_bug_while_sending(self):
        """A bug when the connection is there is logged, told as 500, and leaks nothing."""
        world = self.world()
        client = world.client()
        client.send(GET)

        def fail(*args):
            raise ZeroDivisionError

        world.forwarder.host_for = fail
        backend = world.accept()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertIn(b"HTTP/1.1 500 ", client.take())
        self.assertTrue(backend.aborted)
        self.assertEqual(world.in_flight, {})

    def exchanges(self):
        """All that there are in this process."""
        return [each for each in gc.get_objects() if isinstance(each, Exchange)]

    def test_no_cycles(self):
        """An exchange that is over is freed at once, without the garbage collector."""

        def plain(world, client):
            world.accept("a").send(OK)

        def retried(world, client):
            world.refuse("a")
            world.accept("b").send(OK)

        def held(world, client):
            world.accept("a").send(answer(status=503))
            world.refuse("b")

        def stale(world, client):
            backend = world.accept("a")
            backend.send(OK)
            client.send(GET)
            world.refuse("b")
            backend.reset()
            world.accept("a").send(OK)

        def nobody(world, client):
            world.refuse("a")
            world.refuse("b")
            for name in "ab":
                world.pool.set_enabled(name, "down", "test", 0.0)
            client.send(GET)

        def gone(world, client):
            world.accept("a")
            client.reset()

        def broken(world, client):
            backend = world.accept("a")
            backend.send(HEAD_9)
            backend.reset()

        self.addCleanup(gc.enable)
        for story in (plain, retried, held, stale, nobody, gone, broken):
            world = self.world("a", "b", on=("connect", "reset", "503"))
            client = world.client()
            gc.collect()
            gc.disable()
            others = set(map(id, self.exchanges()))
            client.send(GET)
            story(world, client)
            world.pass_time()
            world.forget()
            left = [each for each in self.exchanges() if id(each) not in others]
            self.assertEqual(left, [], story.__name__)
            gc.enable()


class WholeTests(WorldTestCase):
    """An answer that comes in one piece takes another way than one in several."""

    def tell(self, size, request=GET, response=OK, **settings):
        """Everything that can be seen of an exchange whose answer comes in pieces of `size`."""
        world = self.world("a", "b", **settings)
        client = world.client()
        client.send(request)
        backend = world.accept("a")
        asked = backend.take()
        backend.send(response, size)
        if world.connects("b"):
            world.refuse("b")
        world.pass_time()
        node = world.pool.nodes["a"]
        [ended] = world.ended
        return (
            asked,
            client.take(),
            (client.closed, client.aborted, backend.closed, backend.aborted),
            (ended.status, ended.upstream_status, ended.bytes_out, ended.attempts),
            (ended.node.id, ended.error is None, node.stats.as_dict(), node.in_flight),
            (world.upstreams["a"].idle, world.forwarder.counters.as_dict()),
        )

    def test_same(self):
        """In one piece, in two, byte by byte: the same for all that can be seen."""
        cases = {
            "plain": {},
            "empty": {"response": answer(b"")},
            "not found": {"response": answer(status=404)},
            "error": {"response": answer(status=500)},
            "retried in vain": {"response": answer(status=503), "on": ("503",)},
            "via": {"via": "us"},
            "timed": {"attempts": {"try_timeout": 5.0, "total_timeout": 9.0}},
            "old client": {"request": get(version="1.0")},
            "closing client": {"request": get(extra="Connection: close\r\n")},
            "closing backend": {"response": answer(extra="Connection: close\r\n")},
            "keep-alive": {"response": answer(extra="Connection: keep-alive\r\n")},
            "hop by hop": {"response": answer(extra="Connection: X\r\nX: 1\r\n")},
            "head": {
                "request": b"HEAD" + GET[3:],
                "response": OK[: -len(b"ok")],
            },
            "no content": {"response": b"HTTP/1.1 204 No\r\nDate: d\r\n\r\n"},
            "after a hint": {"response": b"HTTP/1.1 103 Hi\r\n\r\n" + OK},
            "early": {"request": post(9, b"abc")},
        }
        for name, case in cases.items():
            whole = self.tell(None, **case)
            split = case.get("response", OK).index(b"\r\n\r\n") + 4
            for size in (split, 1):
                self.assertEqual(whole, self.tell(size, **case), (name, size))

    def test_chunks(self):
        """A short answer in chunks leaves in one write, its end and trailers included."""
        head = b"HTTP/1.1 200 OK\r\nDate: d\r\nTransfer-Encoding: chunked\r\n\r\n"
        for version, body in (("1.1", b"2\r\nok\r\n0\r\nA: b\r\n\r\n"), ("1.0", b"ok")):
            world = self.world()
            client = world.client()
            client.send(get(version=version))
            writes = []

            def noted(data, write=client.write, writes=writes):
                writes.append(data)
                write(data)

            client.write = noted
            world.accept().send(head + b"2\r\nok\r\n0\r\nA: b\r\n\r\n")
            [sent] = writes
            self.assertTrue(sent.endswith(b"\r\n\r\n" + body), sent)
            self.assertEqual(world.ended[0].bytes_out, 2)

    def test_long_bodies(self):
        """A long body that has to be copied is read in larger pieces, and what comes after it as ever."""
        world = self.world()
        client = world.client()
        client.send(get())
        backend = world.accept()
        backend.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n12")
        self.assertEqual(BULK_BYTES, backend.receive_bytes)
        backend.send(b"34")
        self.assertEqual(RECEIVE_BYTES, backend.receive_bytes)

    def test_tiny_chunks(self):
        """Whoever sends a body in tiny chunks is read in smaller pieces, either side."""
        world = self.world()
        client = world.client()
        client.send(chunked() + b"1\r\nx\r\n" * 9)
        client.send(b"1\r\nx\r\n" * 9)
        self.assertEqual(SMALL_MEAL, client.receive_bytes)
        client.send(b"0\r\n\r\n")
        self.assertEqual(LARGE_MEAL, client.receive_bytes)
        backend = world.accept()
        backend.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        backend.send(b"1\r\nx\r\n" * 9)
        self.assertEqual(SMALL_MEAL, backend.receive_bytes)
        backend.send(b"0\r\n\r\n")
        self.assertEqual(LARGE_MEAL, backend.receive_bytes)

    def test_pipelined(self):
        """The connection to the backend is free before the next request needs one."""
        world = self.world()
        client = world.client()
        client.send(GET * 3)
        backend = world.accept()
        for _ in range(3):
            self.assertTrue(backend.take().startswith(b"GET / "))
            backend.send(OK)
        self.assertEqual(client.take().count(b"HTTP/1.1 200 OK"), 3)
        self.assertEqual(world.connects(), [])

    def test_slow_reader(self):
        """Who does not take the answer does not get the next one."""
        world = self.world()
        client = world.client()
        client.send(get("/1"))
        backend = world.accept()
        client.stop_reading()
        backend.send(answer(b"x" * 100_000))
        backend.take()
        client.send(get("/2"))
        self.assertEqual(backend.take(), b"")
        client.read_on()
        self.assertIn(b"GET /2", backend.take())
        backend.send(OK)
        self.assertTrue(client.take().endswith(b"ok"))


class BodyTests(WorldTestCase):
    def test_waits_for_the_connection(self):
        """What comes while connecting is sent when connected."""
        world = self.world()
        client = world.client()
        client.send(post(6, b"ab"))
        client.send(b"cd")
        backend = world.accept()
        self.assertTrue(backend.take().endswith(b"\r\n\r\nabcd"))
        client.send(b"ef")
        self.assertEqual(backend.take(), b"ef")
        backend.send(OK)
        self.assertEqual(client.take(), OK)
        self.assertEqual(world.ended[0].bytes_in, 6)

    def test_complete_before_the_connection(self):
        """So is a body that is complete by then, with its trailers."""
        world = self.world()
        client = world.client()
        client.send(chunked(b"ab"))
        client.send(b"2\r\ncd\r\n0\r\nX-Sum: 1\r\n\r\n")
        backend = world.accept()
        self.assertTrue(
            backend.take().endswith(b"\r\n\r\n4\r\nabcd\r\n0\r\nX-Sum: 1\r\n\r\n")
        )
        backend.send(OK)
        self.assertEqual(client.take(), OK)

    def test_long_while_connecting(self):
        """While connecting no more than 64 KiB are taken, and none is lost."""
        world = self.world()
        client = world.client()
        client.send(post(200000))
        client.send(b"x" * 200000, size=10000)
        self.assertTrue(client.paused)
        held = 200000 - sum(map(len, client.inbox))
        self.assertLess(held, REPLAY_BYTES + 10001)
        backend = world.accept()
        self.assertFalse(client.paused)
        world.pass_time()
        head, _, body = backend.take().partition(b"\r\n\r\n")
        self.assertEqual(len(body), 200000)
        backend.send(OK)
        self.assertEqual(client.take(), OK)

    def test_replayed(self):
        """A body of up to 64 KiB goes to the next node from its beginning."""
        world = self.world("a", "b")
        client = world.client()
        client.send(post(REPLAY_BYTES, b"x" * 60000, method="PUT"))
        first = world.accept("a")
        client.send(b"y" * 5000)
        self.assertTrue(first.take().endswith(b"y" * 5000))
        first.reset()
        client.send(b"z" * 536)
        second = world.accept("b")
        body = second.take().partition(b"\r\n\r\n")[2]
        self.assertEqual(body, b"x" * 60000 + b"y" * 5000 + b"z" * 536)
        second.send(OK)
        self.assertEqual(client.take(), OK)

    def test_not_replayed(self):
        """One byte more and it does not."""
        world = self.world("a", "b")
        client = world.client()
        client.send(post(REPLAY_BYTES + 1, b"", method="PUT"))
        first = world.accept("a")
        client.send(b"x" * (REPLAY_BYTES + 1))
        first.reset()
        self.assertIn(b"HTTP/1.1 502 ", client.take())
        self.assertEqual(world.connects("b"), [])

    def test_long_and_refused(self):
        """A long body is not lost when the first node refuses the connection."""
        world = self.world("a", "b")
        client = world.client()
        client.send(post(150000))
        client.send(b"x" * 150000, size=30000)
        world.refuse("a")
        second = world.accept("b")
        world.pass_time()
        self.assertEqual(len(second.take().partition(b"\r\n\r\n")[2]), 150000)
        second.send(OK)
        self.assertEqual(client.take(), OK)

    def test_upstream_slow(self):
        """A backend that does not read pauses the client, and only for so long."""
        world = self.world()
        client = world.client()
        client.send(post(300000, b"x"))
        backend = world.accept()
        backend.stop_reading()
        client.send(b"x" * 70000)
        self.assertTrue(client.paused)
        client.send(b"x" * 9)
        self.assertEqual(len(client.inbox), 1)
        backend.read_on()
        self.assertFalse(client.paused)
        world.pass_time()
        self.assertEqual(client.inbox, [])

    def test_upstream_slow_at_the_end(self):
        """Its back-pressure after the body's end does not stop the next request."""
        world = self.world()
        client = world.client()
        client.send(post(70000, b""))
        backend = world.accept()
        backend.stop_reading()
        client.send(b"x" * 70000 + GET)
        self.assertFalse(client.paused)
        backend.read_on()
        backend.take()
        backend.send(OK)
        self.assertIn(b"GET", backend.take())
        backend.send(OK)
        self.assertEqual(client.take(), OK + OK)

    def test_downstream_slow(self):
        """A client that does not read pauses the backend, and only for so long."""
        world = self.world()
        client = world.client()
        client.stop_reading()
        client.send(GET)
        backend = world.accept()
        backend.send(b"HTTP/1.1 200 OK\r\nContent-Length: 140000\r\n\r\n")
        backend.send(b"x" * 70000)
        self.assertTrue(backend.paused)
        backend.send(b"x" * 70000)
        self.assertEqual(len(backend.inbox), 1)
        client.read_on()
        world.pass_time()
        self.assertEqual(len(client.take().partition(b"\r\n\r\n")[2]), 140000)
        self.assertEqual(world.upstreams["a"].idle, 1)


class ContinueTests(WorldTestCase):
    def ask(self, *nodes):
        world = self.world(*nodes)
        client = world.client()
        client.send(post(3, method="PUT", extra=EXPECT))
        return world, client

    def test_passed_on(self):
        """Expect goes to the backend and its 100 to the client, once."""
        world, client = self.ask()
        backend = world.accept()
        self.assertIn(b"\r\nExpect: 100-continue\r\n", backend.take())
        backend.send(CONTINUE)
        self.assertEqual(client.take(), CONTINUE)
        backend.send(CONTINUE)
        self.assertEqual(client.take(), b"")
        client.send(b"abc")
        self.assertEqual(backend.take(), b"abc")
        backend.send(OK)
        self.assertEqual(client.take(), OK)
        client.send(GET)
        backend.send(OK)
        self.assertEqual(client.take(), OK)

    def test_body_was_faster(self):
        """A client that did not wait needs no 100."""
        world, client = self.ask()
        backend = world.accept()
        client.send(b"ab")
        backend.send(CONTINUE)
        self.assertEqual(client.take(), b"")
        client.send(b"c")
        self.assertTrue(backend.take().endswith(b"abc"))
        backend.send(OK)
        self.assertEqual(client.take(), OK)

    def test_retried(self):
        """The 100 of a second attempt is not sent again, and no byte is lost."""
        world, client = self.ask("a", "b")
        first = world.accept("a")
        first.send(CONTINUE)
        client.take()
        client.send(b"ab")
        first.reset()
        second = world.accept("b")
        self.assertTrue(second.take().endswith(b"\r\n\r\nab"))
        second.send(CONTINUE)
        self.assertEqual(client.take(), b"")
        client.send(b"c")
        self.assertEqual(second.take(), b"c")
        second.send(OK)
        self.assertEqual(client.take(), OK)

    def test_retried_before_the_body(self):
        """Nor is it when the first attempt failed before any body came."""
        world, client = self.ask("a", "b")
        first = world.accept("a")
        first.send(CONTINUE)
        first.reset()
        second = world.accept("b")
        second.send(CONTINUE)
        self.assertEqual(client.take(), CONTINUE)
        client.send(b"abc")
        second.send(OK)
        self.assertEqual(client.take(), OK)

    def test_refused(self):
        """A final answer in place of the 100: the body is not waited for."""
        world, client = self.ask()
        backend = world.accept()
        backend.send(answer(b"no", 417))
        got = client.take()
        self.assertIn(b"417", got)
        self.assertIn(b"Connection: close\r\n", got)
        self.assertTrue(client.half_closed)
        self.assertTrue(backend.disconnecting)
        self.assertEqual(world.upstreams["a"].idle, 0)

    def test_unknown(self):
        """Another expectation is not passed on."""
        world = self.world()
        client = world.client()
        client.send(post(2, b"ab", extra="Expect: miracles\r\n"))
        backend = world.accept()
        self.assertNotIn(b"xpect", backend.take())
        backend.send(OK)
        self.assertEqual(client.take(), OK)

    def test_old_client(self):
        """HTTP/1.0 knows no such thing."""
        world = self.world()
        client = world.client()
        client.send(post(2, b"ab", extra=EXPECT).replace(b"HTTP/1.1", b"HTTP/1.0"))
        backend = world.accept()
        self.assertNotIn(b"xpect", backend.take())
        backend.send(OK)


class GoneTests(WorldTestCase):
    """The client resets its connection in every state of an exchange."""

    def assert_gone(self, world, client, status: int = 499) -> None:
        """One record, nobody blamed, nothing in flight."""
        client.reset()
        [exchange] = world.ended
        self.assertEqual(exchange.status, status)
        self.assertIsInstance(exchange.error, DownstreamGone)
        self.assertEqual(world.in_flight, {})
        self.assertEqual(world.forwarder.in_flight, 0)
        self.assertEqual(world.forwarder.counters.gone, 1)
        self.assertEqual(world.forwarder.counters.failed, 0)
        self.assert_nobody_blamed(world)

    def test_connecting(self):
        """While connecting: the connect is cancelled."""
        world = self.world()
        client = world.client()
        client.send(GET)
        self.assert_gone(world, client)
        self.assertTrue(world.endpoints["a"].last.cancelled)

    def test_connecting_too_late(self):
        """A connect that succeeds in spite of the cancel is closed."""
        world = self.world()
        client = world.client()
        client.send(GET)
        attempt = world.endpoints["a"].last
        attempt.result._canceller = lambda d: world.accept()
        client.reset()
        backend = world.lines[-1]
        self.assertTrue(backend.aborted)
        self.assertEqual(backend.take(), b"")

    def test_body_half_sent(self):
        """While the body is being sent: the backend's connection is broken off."""
        for length in (post(9, b"abc"), chunked(b"abc")):
            world = self.world()
            client = world.client()
            client.send(length)
            backend = world.accept()
            self.assert_gone(world, client)
            self.assertTrue(backend.aborted)

    def test_waiting(self):
        """While the backend works."""
        world = self.world()
        client = world.client()
        client.send(GET)
        backend = world.accept()
        self.assert_gone(world, client)
        self.assertTrue(backend.aborted)

    def test_half_a_head(self):
        """While the backend's head is coming."""
        world = self.world()
        client = world.client()
        client.send(GET)
        backend = world.accept()
        backend.send(OK[:10])
        self.assert_gone(world, client)
        self.assertTrue(backend.aborted)

    def test_within_the_answer(self):
        """Within the answer, framed in any way."""
        for framing in (
            b"Content-Length: 9\r\n",
            b"Transfer-Encoding: chunked\r\n",
            b"",
        ):
            world = self.world()
            client = world.client()
            client.send(GET)
            backend = world.accept()
            backend.send(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n3\r\n")
            self.assert_gone(world, client, 200)
            self.assertTrue(backend.aborted)
            backend.send(b"more")

    def test_within_both(self):
        """While both bodies are under way."""
        world = self.world()
        client = world.client()
        client.send(post(9, b"abc"))
        backend = world.accept()
        backend.send(HEAD_9 + b"abc")
        self.assert_gone(world, client, 200)
        self.assertTrue(backend.aborted)

    def test_paused(self):
        """While it did not read."""
        world = self.world()
        client = world.client()
        client.stop_reading()
        client.send(GET)
        backend = world.accept()
        backend.send(b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n")
        backend.send(b"x" * 70000)
        self.assert_gone(world, client, 200)
        self.assertTrue(backend.aborted)

    def test_between_attempts(self):
        """While the second node is being connected."""
        world = self.world("a", "b")
        client = world.client()
        client.send(GET)
        world.refuse("a")
        client.reset()
        self.assertTrue(world.endpoints["b"].last.cancelled)
        self.assertEqual([e.status for e in world.ended], [499])
        self.assertEqual(world.pool.nodes["b"].stats.failures, 0)

    def test_held_answer(self):
        """While an answer is held back: its connection is freed, too."""
        world = self.world("a", "b", on=("503",))
        client = world.client()
        client.send(GET)
        first = world.accept("a")
        first.send(b"HTTP/1.1 503 S\r\nContent-Length: 9\r\n\r\nabc")
        self.assertEqual(world.in_flight, {"a": 1, "b": 1})
        self.assert_gone(world, client)
        self.assertTrue(first.aborted)
        self.assertTrue(world.endpoints["b"].last.cancelled)

    def test_pipelined(self):
        """Those not yet begun are never executed."""
        world = self.world()
        client = world.client()
        client.send(GET * 3)
        world.accept()
        self.assert_gone(world, client)
        self.assertEqual(world.pool.nodes["a"].stats.requests, 1)

    def test_shutdown(self):
        """A stop of the proxy in any of these states blames nobody either."""
        world = self.world()
        clients = [world.client() for _ in range(3)]
        clients[0].send(GET)
        backend = world.accept()
        backend.send(HEAD_9)
        clients[1].send(post(5, b"a"))
        world.accept()
        clients[2].send(GET)
        for client in clients:
            client.protocol.shut()
        self.assertEqual([e.status for e in world.ended], [200, 503, 503])
        self.assertEqual(world.in_flight, {})
        self.assert_nobody_blamed(world)


class RecordTests(WorldTestCase):
    def test_times(self):
        """The time of the last attempt is told apart from the whole."""
        world = self.world("a", "b")
        client = world.client()
        client.send(GET)
        world.pass_time(2.0)
        world.refuse("a")
        world.pass_time(1.0)
        world.accept("b").send(OK)
        [exchange] = world.ended
        self.assertAlmostEqual(exchange.upstream_seconds, 1.0)
        self.assertAlmostEqual(exchange.started, 0.0)

    def test_bytes(self):
        """Body bytes are counted both ways."""
        world = self.world()
        client = world.client()
        client.send(chunked(b"abc", b"de", end=b"0\r\n\r\n"))
        world.accept().send(answer(b"x" * 1000))
        counters = world.forwarder.counters
        self.assertEqual((counters.bytes_in, counters.bytes_out), (5, 1000))
        stats = [node.stats for node in world.pool.nodes.values()]
        moved = sum(one.bytes_in for one in stats), sum(one.bytes_out for one in stats)
        self.assertEqual(moved, (5, 1000))

    def test_stalled_relays(self):
        """What relays report when there is nobody any more does nothing."""
        world = self.world(timeouts=ClientTimeouts())
        client = world.client()
        client.send(GET)
        backend = world.accept()
        exchange = client.protocol.exchange
        backend.send(OK)
        exchange.request_stalled()
        exchange.pause_response()
        exchange.resume_response()
        exchange.upstream_failed(DownstreamGone())
        self.assertEqual(len(world.ended), 1)

    def test_request_stalled(self):
        """A backend that takes nothing of a relayed body is given up."""
        world = self.world()
        client = world.client()
        client.send(post(9, b"abc"))
        backend = world.accept()
        client.protocol.exchange.request_stalled()
        self.assertIn(b"HTTP/1.1 504 ", client.take())
        self.assertTrue(backend.aborted)

    def test_response_stalled(self):
        """A client that takes nothing of a relayed body loses its connection."""
        world = self.world()
        client = world.client()
        client.send(get())
        backend = world.accept()
        backend.send(HEAD_9)
        backend.protocol.sink.response_stalled()
        self.assertTrue(client.aborted)
        self.assertTrue(backend.aborted)
        self.assert_nobody_blamed(world)
