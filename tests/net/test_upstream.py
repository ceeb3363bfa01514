"""Tests of connections to backends and their reuse."""

from __future__ import annotations

from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IHalfCloseableProtocol, IProtocolFactory
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from lolly_tx.net.http1.shared import ClientTimeouts
from lolly_tx.net.upstreams import (
    AS_USED,
    DISTRUST_SECONDS,
    STEADY_IDLE,
    SURPLUS_SECONDS,
    UpstreamLimits,
)
from tests.proxy.world import GET, OK, WorldTestCase, answer, chunked, post


class UpstreamTestCase(WorldTestCase):
    def ask(self, request: bytes = GET, **settings):
        """A request is on its way: (world, client, backend)."""
        world = self.world(**settings)
        client = world.client()
        client.send(request)
        backend = world.accept()
        backend.take()
        return world, client, backend

    def served(self, **settings):
        """One exchange is over: (world, client, backend)."""
        world, client, backend = self.ask(**settings)
        backend.send(OK)
        client.take()
        return world, client, backend

    def limited(self, **limits):
        return {"upstream": UpstreamLimits(**limits)}

    def assert_failed(self, world, client, status: int, detail: str) -> None:
        """The client got an error of ours, and the node was blamed for it."""
        self.assertIn(b"HTTP/1.1 %d " % status, client.take())
        self.assertEqual(world.ended[-1].error.detail, detail)
        self.assertEqual(world.pool.nodes["a"].stats.failures, 1)


class ReuseTests(UpstreamTestCase):
    def test_interfaces(self):
        """A connection and its factory are what transports expect."""
        world, _, backend = self.served()
        verifyObject(IHalfCloseableProtocol, backend.protocol)
        verifyObject(IProtocolFactory, world.upstreams["a"])
        world.upstreams["a"].doStart()
        world.upstreams["a"].doStop()
        backend.protocol.stopProducing()
        backend.protocol.writeConnectionLost()
        self.assertFalse(backend.protocol.input_ended)

    def test_kept(self):
        """A connection is used again, the one used last first."""
        world, client, backend = self.served()
        self.assertEqual(world.upstreams["a"].idle, 1)
        client.send(GET)
        self.assertEqual(world.upstreams["a"].idle, 0)
        self.assertEqual(world.connects(), [])
        other = world.client()
        other.send(GET)
        second = world.accept()
        backend.send(OK)
        second.send(OK)
        client.send(GET)
        second.send(OK)
        self.assertEqual(client.take(), OK + OK)

    def test_not_kept(self):
        """A connection the backend means to close is closed."""
        for response in (
            answer(extra="Connection: close\r\n"),
            b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
        ):
            world, client, backend = self.ask()
            backend.send(response)
            self.assertTrue(backend.closed)
            self.assertNotIn(b"Connection: close", client.take())

    def test_old_backend_keeps(self):
        """An HTTP/1.0 backend may ask for it to be kept."""
        world, _, backend = self.ask()
        backend.send(
            b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n"
        )
        self.assertEqual(world.upstreams["a"].idle, 1)

    def test_extra_bytes(self):
        """Bytes behind a response close the connection and reach nobody."""
        chunks = b"HTTP/1.1 200 OK\r\nDate: d\r\nTransfer-Encoding: chunked\r\n\r\n"
        for response in (OK, chunks + b"1\r\na\r\n0\r\n\r\n"):
            world, client, backend = self.ask()
            backend.send(response + b"HTTP/1.1 200 OK\r\n\r\n")
            self.assertEqual(client.take(), response)
            self.assertTrue(backend.disconnecting)
            self.assertEqual(world.upstreams["a"].idle, 0)
            backend.send(b"more")

    def test_unsolicited(self):
        """Bytes on an idle connection close it."""
        world, client, backend = self.served()
        backend.send(OK)
        self.assertTrue(backend.aborted)
        self.assertEqual(world.upstreams["a"].idle, 0)
        self.assertEqual(client.take(), b"")

    def test_distrust(self):
        """After that no connection to the target is used twice for a minute."""
        for caught_while in ("idle", "answering"):
            world, client, backend = self.served()
            upstream = world.upstreams["a"]
            other = world.client()
            other.send(GET)
            client.send(GET)
            second = world.accept()
            if caught_while == "idle":
                second.send(OK)
                self.assertEqual(upstream.idle, 1)
                second.send(b"?")
            else:
                second.send(OK + b"?")
            self.assertEqual((upstream.unsolicited, upstream.idle), (1, 0))
            backend.send(OK)
            self.assertTrue(backend.aborted)
            world.pass_time(DISTRUST_SECONDS - 1)
            client.send(GET)
            world.accept().send(OK)
            self.assertEqual(upstream.idle, 0)
            world.pass_time(1.1)
            for _ in range(2):
                client.send(GET)
                if world.connects():
                    last = world.accept()
                last.send(OK)
            self.assertEqual(upstream.idle, 1)
            self.assertEqual(client.take(), OK * 4)

    def test_distrust_ends_idle_ones(self):
        """The other idle connections of the target go at once."""
        world = self.world()
        clients = [world.client() for _ in range(3)]
        for client in clients:
            client.send(GET)
        backends = [world.accept() for _ in clients]
        for backend in backends:
            backend.send(OK)
        backends[0].send(b"?")
        self.assertTrue(all(backend.aborted for backend in backends))
        self.assertEqual(world.upstreams["a"].idle, 0)

    def test_goodbye(self):
        """A 408 to nobody is how some servers end an idle connection: no offence."""
        world, client, backend = self.served()
        backend.send(b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n")
        self.assertEqual(world.upstreams["a"].unsolicited, 0)
        for _ in range(2):
            client.send(GET)
            if world.connects():
                backend = world.accept()
            backend.send(OK)
        self.assertEqual(client.take(), OK * 2)

    def test_distrust_of_the_closed(self):
        """It does not open what the proxy's end has closed, nor what is never kept."""
        for limits in ({}, {"idle": 0}):
            world = self.world(**self.limited(**limits))
            client = world.client()
            client.send(GET)
            backend = world.accept()
            if not limits:
                world.upstreams["a"].close()
            backend.send(OK + b"?")
            world.pass_time(DISTRUST_SECONDS + 1)
            world.client().send(GET)
            world.accept().send(OK)
            self.assertEqual(world.upstreams["a"].idle, 0)
            self.assertEqual(world.upstreams["a"].unsolicited, 1)

    def test_closed_while_idle(self):
        """An idle connection the backend closes is forgotten at once."""
        for close in ("end", "reset"):
            world, client, backend = self.served()
            getattr(backend, close)()
            self.assertEqual(world.upstreams["a"].idle, 0)
            client.send(GET)
            world.accept().send(OK)
            self.assertEqual(client.take(), OK)
            self.assert_nobody_blamed(world)

    def test_idle_limit(self):
        """No more than so many idle connections are kept."""
        world = self.world(**self.limited(idle=1))
        clients = [world.client() for _ in range(2)]
        for client in clients:
            client.send(GET)
        backends = [world.accept() for _ in range(2)]
        for backend in backends:
            backend.send(OK)
        self.assertEqual(world.upstreams["a"].idle, 1)
        self.assertTrue(backends[1].closed)

    def burst(self, world, clients: int):
        """So many clients ask at once; their lines, and those of the backends that answered."""
        lines = [world.client() for _ in range(clients)]
        for line in lines:
            line.send(GET)
        backends = [world.accept() for _ in world.connects()]
        for backend in backends:
            backend.send(OK)
        return lines, backends

    def test_idle_follows_use(self):
        """By default as many connections are kept as were in use, so that nobody connects again."""
        world = self.world()
        clients, backends = self.burst(world, 3 * STEADY_IDLE)
        for client in clients:
            client.send(GET)
        self.assertEqual(world.connects(), [])
        self.assertFalse([line for line in backends if line.disconnecting])

    def test_idle_decays(self):
        """What is not used for ten seconds is closed, down to 32, and these after their timeout."""
        world = self.world(**self.limited(idle_timeout=30.0))
        self.burst(world, STEADY_IDLE + 3)
        upstream = world.upstreams["a"]
        world.pass_time(SURPLUS_SECONDS - 0.2)
        self.assertEqual(upstream.idle, STEADY_IDLE + 3)
        world.pass_time(0.5)
        self.assertEqual(upstream.idle, STEADY_IDLE)
        world.pass_time(30.0 - SURPLUS_SECONDS)
        self.assertEqual(upstream.idle, 0)

    def test_requests_limit(self):
        """A connection carries no more than so many requests."""
        world, client, backend = self.served(**self.limited(requests=2))
        client.send(GET)
        self.assertFalse(backend.disconnecting)
        backend.send(OK)
        self.assertTrue(backend.closed)
        self.assertEqual(client.take(), OK)

    def test_lifetime(self):
        """A connection is not used again when it is too old."""
        world, client, backend = self.served(**self.limited(lifetime=10.0))
        world.pass_time(10.1)
        client.send(GET)
        backend.send(OK)
        self.assertTrue(backend.closed)

    def test_idle_timeout(self):
        """An idle connection is closed after a time."""
        world, _, backend = self.served(**self.limited(idle_timeout=5.0))
        world.pass_time(4.8)
        self.assertFalse(backend.disconnecting)
        world.pass_time(0.4)
        self.assertTrue(backend.closed)
        self.assertEqual(world.upstreams["a"].idle, 0)

    def test_no_idle_timeout(self):
        """Zero: it may stay for ever."""
        world, _, backend = self.served(**self.limited(idle_timeout=0.0))
        world.pass_time(200.0)
        self.assertFalse(backend.disconnecting)

    def test_close_that_hangs(self):
        """A close that the other side does not answer is forced."""
        world, client, backend = self.ask(**self.limited(requests=1))
        backend.loseConnection = lambda: None  # its goodbye never comes
        backend.send(OK)
        world.pass_time(1.9)
        self.assertFalse(backend.aborted)
        world.pass_time(0.3)
        self.assertTrue(backend.aborted)

    def test_closed(self):
        """A closed pool keeps no connections."""
        world, client, backend = self.served()
        world.forwarder.close()
        self.assertTrue(backend.closed)
        client.send(GET)
        fresh = world.accept()
        fresh.send(OK)
        self.assertTrue(fresh.closed)
        self.assertEqual(client.take(), OK)

    def test_paused_at_the_end(self):
        """A connection whose last reader was slow can be used again."""
        world = self.world()
        slow, quick = world.client(), world.client()
        slow.stop_reading()
        slow.send(GET)
        backend = world.accept()
        backend.send(answer(b"x" * 70000))
        self.assertFalse(backend.paused)
        quick.send(GET)
        backend.send(OK)
        self.assertEqual(quick.take(), OK)

    def test_careful(self):
        """For a POST, an idle connection that has news is not used."""
        world, client, backend = self.served()
        backend.inbox.append(None)  # closed, and the reactor has not told yet
        client.send(post(0))
        self.assertTrue(backend.closed)
        world.accept().send(OK)
        self.assertEqual(client.take(), OK)

    def test_careful_without_a_socket(self):
        """Nor is one whose transport does not say."""
        world, client, backend = self.served()
        backend.getHandle = lambda: None
        client.send(post(0))
        self.assertEqual(len(world.connects()), 1)
        world.accept().send(OK)

    def test_careful_with_encryption(self):
        """Below Twisted's TLS it is the plain transport that is asked."""
        world, client, backend = self.served()
        backend.transport = plain = type("Plain", (), {})()
        plain.getHandle = lambda: type("S", (), {"recv": lambda *a: b"x"})()
        client.send(post(0))
        self.assertEqual(len(world.connects()), 1)
        world.accept().send(OK)


class StaleTests(UpstreamTestCase):
    def test_repeated(self):
        """A reused connection that closes unanswered: asked again on a fresh one."""
        for close in ("end", "reset"):
            world, client, backend = self.served(nodes=())
            client.send(GET)
            getattr(backend, close)()
            fresh = world.accept()
            self.assertIn(b"GET / ", fresh.take())
            fresh.send(OK)
            self.assertEqual(client.take(), OK)
            self.assert_nobody_blamed(world)
            self.assertEqual(world.ended[1].attempts, 1)
            self.assertEqual(world.in_flight, {})

    def served(self, nodes=(), **settings):
        return super().served(**settings)

    def test_same_node(self):
        """The same node is asked, though there is another."""
        world = self.world("a", "b")
        client = world.client()
        client.send(GET + GET)
        node = world.pool.nodes["a"]
        first = world.accept("a")
        first.send(OK)
        world.accept("b").send(OK)
        client.send(GET)
        self.assertEqual(node.in_flight, 1)
        first.reset()
        self.assertEqual(len(world.connects("a")), 1)
        world.accept("a").send(OK)

    def test_fresh_one_fails(self):
        """If the fresh connection fails too, that counts."""
        world, client, backend = self.served()
        client.send(GET)
        backend.end()
        world.accept().end()
        self.assert_failed(world, client, 502, "connection closed before the response")

    def test_not_repeated(self):
        """A POST is not sent twice."""
        world, client, backend = self.served()
        client.send(post(3, b"abc"))
        backend.end()
        self.assertIn(b"HTTP/1.1 502 ", client.take())
        self.assertEqual(world.connects(), [])
        self.assert_nobody_blamed(world)

    def test_with_a_key(self):
        """Unless it carries an Idempotency-Key."""
        world, client, backend = self.served()
        client.send(post(3, b"abc", extra="Idempotency-Key: 7\r\n"))
        backend.end()
        fresh = world.accept()
        self.assertTrue(fresh.take().endswith(b"abc"))
        fresh.send(OK)
        self.assertEqual(client.take(), OK)

    def test_part_of_an_answer(self):
        """A reused connection that closes within the head is not stale but broken."""
        world, client, backend = self.served()
        client.send(GET)
        backend.send(b"HTTP/1.1 2")
        backend.end()
        self.assert_failed(world, client, 502, "connection closed within the response")

    def test_put_body(self):
        """A body that was being sent is sent again."""
        world, client, backend = self.served()
        client.send(post(6, b"abc", method="PUT"))
        backend.reset()
        client.send(b"def")
        fresh = world.accept()
        self.assertTrue(fresh.take().endswith(b"\r\n\r\nabcdef"))
        fresh.send(OK)
        self.assertEqual(client.take(), OK)

    def test_long_put_body(self):
        """One of more than 64 KiB cannot be."""
        world, client, backend = self.served()
        client.send(post(100000, b"x" * 70000, method="PUT"))
        client.send(b"x")
        backend.reset()
        self.assertIn(b"HTTP/1.1 502 ", client.take())
        self.assertEqual(world.connects(), [])


class FailureTests(UpstreamTestCase):
    def test_closed_before(self):
        """A fresh connection that closes unanswered is the backend's failure."""
        world, client, backend = self.ask()
        backend.end()
        self.assert_failed(world, client, 502, "connection closed before the response")
        self.assertTrue(backend.aborted)

    def test_reset_before(self):
        """So is one that is reset."""
        world, client, backend = self.ask()
        backend.reset()
        self.assert_failed(world, client, 502, "connection reset")

    def test_aborted_by_nobody(self):
        """A connection that was not cancelled by us cannot be our cancellation."""
        from twisted.internet.error import ConnectionAborted

        world, client, backend = self.ask()
        backend.lose(ConnectionAborted())
        self.assert_failed(world, client, 502, "cancelled")

    def truncated(self, response: bytes, close: str) -> None:
        world, client, backend = self.ask()
        backend.send(response)
        self.assertFalse(client.disconnecting)
        getattr(backend, close)()
        self.assertTrue(client.aborted)
        self.assertFalse(client.take().endswith(b"0\r\n\r\n"))
        self.assertEqual(world.pool.nodes["a"].stats.failures, 1)
        self.assertEqual(world.forwarder.counters.failed, 1)

    def test_truncated(self):
        """A response cut short is seen to be by the client, however it was framed."""
        head = b"HTTP/1.1 200 OK\r\nDate: d\r\n"
        for framing in (b"Content-Length: 9\r\n", b"Transfer-Encoding: chunked\r\n"):
            for close in ("end", "reset"):
                self.truncated(head + framing + b"\r\n3\r\nabc\r\n", close)
                self.truncated(head + framing + b"\r\n", close)
        self.truncated(head + b"\r\nabc", "reset")

    def test_close_notify(self):
        """Without half-closes a clean end of the connection ends the body."""
        world, client, backend = self.ask()
        backend.send(b"HTTP/1.1 200 OK\r\nDate: d\r\n\r\nabc")
        backend.lose()
        self.assertTrue(client.take().endswith(b"abc"))
        self.assertTrue(client.closed)
        self.assert_nobody_blamed(world)
        self.assertIsNone(world.ended[0].error)

    def test_nonsense(self):
        """What is no response is answered 502, and the connection dropped."""
        for response in (
            b"SSH-2.0-OpenSSH\r\n",
            b"HTTP/1.1 999 X\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n"
            b"\r\n",
            b"HTTP/1.1 200 OK\r\nBad x: y\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length : 1\r\n\r\n",
            b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\n\r\n",
        ):
            world, client, backend = self.ask()
            backend.send(response)
            self.assertIn(b"HTTP/1.1 502 ", client.take())
            self.assertTrue(backend.aborted)
            self.assertEqual(world.pool.nodes["a"].stats.failures, 1)
            self.assertEqual(world.ended[0].error.token, "http_protocol_error")

    def test_bad_chunk(self):
        """A malformed chunk breaks the client's message."""
        world, client, backend = self.ask()
        backend.send(
            b"HTTP/1.1 200 OK\r\nDate: d\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"1\r\na\r\nzz\r\n"
        )
        self.assertTrue(client.aborted)
        self.assertTrue(backend.aborted)

    def test_end_after_the_end(self):
        """News of a connection that is over are nobody's."""
        world, client, backend = self.ask()
        backend.send(answer(extra="Connection: close\r\n"))
        backend.protocol.readConnectionLost()
        backend.protocol.dataReceived(b"x")
        backend.protocol.expired(0.0)
        self.assertEqual(len(world.ended), 1)


class InterimTests(UpstreamTestCase):
    def test_hints(self):
        """103 is passed on, and again."""
        world, client, backend = self.ask()
        hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
        backend.send(hints)
        self.assertEqual(client.take(), hints)
        backend.send(hints + hints + OK)
        self.assertEqual(client.take(), hints + hints + OK)

    def test_split(self):
        """An interim response may come in pieces."""
        world, client, backend = self.ask()
        backend.send(b"HTTP/1.1 103 H\r\n\r\nHTTP/1.1 102 P\r\n\r\n" + OK, size=3)
        self.assertTrue(client.take().endswith(OK))

    def test_too_many(self):
        """At most so many are taken."""
        many = self.limited(interim=2)
        hints = b"HTTP/1.1 103 H\r\n\r\n"
        world, client, backend = self.ask(**many)
        backend.send(hints * 2 + OK)
        self.assertEqual(client.take(), hints * 2 + OK)
        world, client, backend = self.ask(**many)
        backend.send(hints * 3)
        self.assertIn(b"HTTP/1.1 502 ", client.take())
        self.assertTrue(backend.aborted)

    def test_unwanted_continue(self):
        """A 100 that the client did not ask for is dropped."""
        world, client, backend = self.ask()
        backend.send(b"HTTP/1.1 100 Continue\r\n\r\n" + OK)
        self.assertEqual(client.take(), OK)

    def test_closed_after(self):
        """A connection that closes after a 1xx has failed within the response."""
        world, client, backend = self.ask()
        backend.send(b"HTTP/1.1 103 H\r\n\r\n")
        backend.end()
        self.assertTrue(client.take().startswith(b"HTTP/1.1 103"))
        self.assertEqual(
            world.ended[0].error.detail, "connection closed within the response"
        )

    def test_client_leaves_at_an_interim(self):
        """A client that leaves at a 1xx ends the exchange there."""
        world, client, backend = self.ask()
        exchange = backend.protocol.sink
        pass_on = exchange.door.transport.write
        exchange.door.transport.write = lambda data: (pass_on(data), client.reset())
        backend.send(b"HTTP/1.1 103 H\r\n\r\n" + OK)
        self.assertTrue(backend.aborted)
        self.assertEqual(world.ended[0].status, 499)


class AppetiteTests(UpstreamTestCase):
    def test_grows(self):
        """Of a body whose head came alone little is read at first, then more each time, and of the next head all."""
        world, _client, backend = self.ask()
        asked = []
        backend.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        for _ in range(5):
            asked.append(backend.receive_bytes)
            backend.send(bytes(asked[-1]))
        self.assertEqual(asked, [16374, 32748, 65496, 130992, 131000])
        backend.send(bytes(1000000 - sum(asked)))
        self.assertEqual(backend.receive_bytes, 65536)
        self.assertEqual(len(world.ended), 1)

    def test_with_the_head(self):
        """What comes with its head has been sent by somebody who is at it: most of it is read next."""
        _world, _client, backend = self.ask()
        backend.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nabc")
        self.assertEqual(backend.receive_bytes, 131000)


class TimeTests(UpstreamTestCase):
    def test_no_answer(self):
        """No byte within the read time: 504, and the connection is dropped."""
        world, client, backend = self.ask(**self.limited(read=5.0))
        world.pass_time(4.8)
        self.assertEqual(client.take(), b"")
        world.pass_time(0.4)
        self.assert_failed(world, client, 504, "no byte for 5 s")
        self.assertTrue(backend.aborted)
        self.assertEqual(world.pool.nodes["a"].stats.timeouts, 1)

    def test_slow_head(self):
        """Each byte begins the time anew."""
        world, client, backend = self.ask(**self.limited(read=5.0))
        for byte in range(0, len(OK), 20):
            world.pass_time(4.5)
            backend.send(OK[byte : byte + 20])
        self.assertEqual(client.take(), OK)

    def test_within_the_body(self):
        """A body that stops coming breaks the client's message, however framed."""
        head = b"HTTP/1.1 200 OK\r\nDate: d\r\n"
        for framing in (
            b"Content-Length: 9\r\n",
            b"Transfer-Encoding: chunked\r\n",
            b"",
        ):
            world, client, backend = self.ask(**self.limited(read=5.0))
            backend.send(head + framing + b"\r\n3\r\n")
            world.pass_time(4.5)
            backend.send(b"abc")
            world.pass_time(4.5)
            self.assertFalse(client.aborted)
            world.pass_time(0.7)
            self.assertTrue(client.aborted)
            self.assertTrue(backend.aborted)

    def test_slow_client_is_not_to_blame_on_the_backend(self):
        """While the client does not read, the backend's time does not run."""
        world, client, backend = self.ask(**self.limited(read=5.0))
        client.stop_reading()
        backend.send(
            b"HTTP/1.1 200 OK\r\nDate: d\r\nContent-Length: 70002\r\n\r\n"
            + b"x" * 70000
        )
        self.assertTrue(backend.paused)
        world.pass_time(20.0)
        self.assertFalse(backend.aborted)
        client.read_on()
        world.pass_time(4.5)
        backend.send(b"yz")
        self.assertTrue(client.take().endswith(b"yz"))

    def test_slow_upload_is_not_to_blame_on_the_backend(self):
        """While the request is still coming, the backend need not answer."""
        world, client, backend = self.ask(
            post(5, b"a"),
            timeouts=ClientTimeouts(body_rate=0),
            **self.limited(read=5.0),
        )
        for _ in range(3):
            world.pass_time(6.0)
            client.send(b"b")
        self.assertEqual(client.take(), b"")
        client.send(b"c")
        world.pass_time(5.2)
        self.assertIn(b"HTTP/1.1 504 ", client.take())

    def test_write_stall(self):
        """A backend that takes nothing for the write time is given up."""
        world, client, backend = self.ask(post(200000, b"x"), **self.limited(write=5.0))
        backend.stop_reading()
        client.send(b"x" * 70000)
        self.assertTrue(client.paused)
        world.pass_time(4.8)
        self.assertFalse(backend.aborted)
        world.pass_time(0.4)
        self.assert_failed(world, client, 504, "took no byte for 5 s")
        self.assertTrue(backend.aborted)

    def test_write_progress(self):
        """One that takes a little now and then is not."""
        world, client, backend = self.ask(
            post(70002, b"x"), **self.limited(write=5.0, read=10.0)
        )
        backend.stop_reading()
        client.send(b"x" * 70000)
        for _ in range(8):
            world.pass_time(4.0)
            backend.read_some(100)
        self.assertFalse(backend.aborted)
        backend.read_on()
        self.assertFalse(client.paused)
        world.pass_time(4.0)
        client.send(b"y")
        backend.send(OK)
        self.assertIn(b"200", client.take())

    def test_end_while_stalled(self):
        """The write time goes on when the end of the body is queued too."""
        world, client, backend = self.ask(
            chunked(), **self.limited(write=5.0, read=50.0)
        )
        backend.stop_reading()
        client.send(b"11170\r\n" + b"x" * 70000 + b"\r\n0\r\n\r\n")
        world.pass_time(5.3)
        self.assertIn(b"HTTP/1.1 504 ", client.take())

    def test_read_time_after_a_stall(self):
        """When all is written, the time to answer begins."""
        world, client, backend = self.ask(
            chunked(), **self.limited(write=50.0, read=5.0)
        )
        backend.stop_reading()
        client.send(b"11170\r\n" + b"x" * 70000 + b"\r\n0\r\n\r\n")
        world.pass_time(20.0)
        backend.read_on()
        world.pass_time(4.8)
        self.assertEqual(client.take(), b"")
        world.pass_time(0.4)
        self.assert_failed(world, client, 504, "no byte for 5 s")

    def test_early_answer_and_the_rest(self):
        """The rest of an early answer is waited for from the request's end on."""
        world, client, backend = self.ask(post(4, b"ab"), **self.limited(read=5.0))
        backend.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab")
        world.pass_time(9.5)
        client.send(b"cd")
        world.pass_time(4.8)
        self.assertFalse(client.aborted)
        world.pass_time(0.4)
        self.assertTrue(client.aborted)

    def test_unread_request(self):
        """What a backend leaves unread of a request does not hold its connection."""
        world, client, backend = self.ask(post(200000, b"x"))
        backend.stop_reading()
        client.send(b"x" * 70000)
        backend.send(answer(b"no", 413))
        self.assertIn(b"413", client.take())
        self.assertTrue(backend.aborted)

    def test_last_words(self):
        """A transport that cannot be read by hand says nothing more."""
        world, client, backend = self.ask()
        backend.protocol.last_words()
        backend.doRead = lambda: backend.send(OK)
        backend.protocol.last_words()
        self.assertEqual(client.take(), OK)


class LimitsTests(SynchronousTestCase):
    def test_defaults(self):
        """The defaults are those of the configuration."""
        limits = UpstreamLimits()
        self.assertEqual(
            (limits.idle, limits.read, limits.interim), (AS_USED, 30.0, 16)
        )
        self.assertIsInstance(ConnectionLost(), Exception)
