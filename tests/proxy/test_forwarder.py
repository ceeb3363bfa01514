"""Tests of what the exchanges of a pool share, and of the head that is sent."""

from __future__ import annotations

from random import Random

from lolly_tx.domain.queue import WaitingLine
from lolly_tx.domain.retries.policy import Policy
from lolly_tx.domain.retries.retry import RetryPolicy
from lolly_tx.domain.target import Target
from lolly_tx.net.upstreams import Upstreams
from lolly_tx.proxy.forwarder import Forwarder
from lolly_tx.proxy.room import WaitingRoom
from tests.proxy.world import GET, OK, WorldTestCase, answer, get, post


class RenderTests(WorldTestCase):
    def sent(self, request: bytes, **settings) -> bytes:
        """What a backend gets for `request`."""
        world = self.world(**settings)
        client = world.client()
        client.send(request)
        self.backend = world.accept(next(iter(world.pool.nodes)))
        taken: bytes = self.backend.take()
        return taken

    def test_plain(self):
        """The client's fields go first and untouched, ours last."""
        self.assertEqual(
            self.sent(get("/a%20b?c=d", "accept:x \r\nX-Two: 1\r\nX-Two: 2\r\n")),
            b"GET /a%20b?c=d HTTP/1.1\r\nHost: x\r\naccept:x \r\n"
            b"X-Two: 1\r\nX-Two: 2\r\n"
            b"X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: http\r\n"
            b"X-Forwarded-Host: x\r\nForwarded: for=192.0.2.1;proto=http;host=x\r\n"
            b"\r\n",
        )

    def test_hop_by_hop(self):
        """Fields of the connection are not passed on, nor those it names."""
        sent = self.sent(
            get(
                "/",
                "Connection: close, X-Private\r\nX-Private: 1\r\nKeep-Alive: 5\r\n"
                "TE: gzip\r\nProxy-Connection: x\r\nProxy-Authorization: s\r\n"
                "Upgrade: h2c\r\nHTTP2-Settings: x\r\nProxy: evil\r\n",
            )
        )
        head = sent.lower().partition(b"x-forwarded")[0]
        self.assertEqual(head, b"get / http/1.1\r\nhost: x\r\n")

    def test_trailers_are_asked_for(self):
        """A client that takes trailers gets those of the backend, which is told so."""
        sent = self.sent(get("/", "TE: trailers\r\nConnection: TE\r\n"))
        self.assertIn(b"\r\nConnection: TE\r\nTE: trailers\r\n", sent)
        self.assertEqual(2, sent.lower().count(b"\r\nte:") + sent.count(b"Connection"))
        sent = self.sent(get("/", "TE: trailers\r\n", version="1.0"))
        self.assertNotIn(b"\r\nTE:", sent)

    def test_upgrade_required(self):
        """A 426 says what to upgrade to, which belongs to our connection no less."""
        world = self.world()
        client = world.client()
        client.send(GET)
        backend = world.accept()
        backend.send(
            b"HTTP/1.1 426 Upgrade Required\r\nDate: x\r\nContent-Length: 0\r\n"
            b"Upgrade: TLS/1.0, HTTP/2.0\r\nConnection: Upgrade\r\n\r\n"
        )
        got = client.take()
        self.assertTrue(got.startswith(b"HTTP/1.1 426 "), got)
        self.assertIn(b"Connection: Upgrade\r\nUpgrade: TLS/1.0, HTTP/2.0\r\n", got)

    def test_announced_trailers(self):
        """The names of trailers go before them, both ways."""
        world = self.world()
        client = world.client()
        client.send(
            b"POST / HTTP/1.1\r\nHost: x\r\nTrailer: X-Sum\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-Sum: 1\r\n\r\n"
        )
        backend = world.accept()
        sent = backend.take()
        self.assertIn(b"\r\nTrailer: X-Sum\r\n", sent)
        self.assertIn(b"\r\nX-Sum: 1\r\n", sent)
        backend.send(
            b"HTTP/1.1 200 OK\r\nTrailer: X-End\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"0\r\nX-End: 1\r\n\r\n"
        )
        got = client.take()
        self.assertIn(b"\r\nTrailer: X-End\r\n", got)
        self.assertIn(b"\r\nX-End: 1\r\n", got)

    def test_date_that_was_for_us_alone(self):
        """An answer whose Date was one connection's gets one of ours."""
        world = self.world()
        client = world.client()
        client.send(GET)
        world.accept().send(
            b"HTTP/1.1 200 OK\r\nDate: theirs\r\nConnection: date\r\n"
            b"Content-Length: 0\r\n\r\n"
        )
        got = client.take()
        self.assertNotIn(b"theirs", got)
        self.assertEqual(1, got.count(b"\r\nDate: "))

    def test_via(self):
        """With a name for it, both directions say what they came through."""
        world = self.world(via="edge")
        client = world.client()
        client.send(get(extra="Via: 1.1 first\r\n", version="1.0"))
        backend = world.accept()
        sent = backend.take()
        self.assertIn(b"Via: 1.1 first\r\n", sent)
        self.assertIn(b"Via: 1.0 edge\r\n", sent)
        backend.send(OK)
        self.assertIn(b"Via: 1.1 edge\r\n", client.take())

    def test_hop(self):
        """Each request carries our mark, whatever it is and with `via` or without; one that comes back is a 508."""
        upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\n"
        for via in ("", "edge"):
            for request in (GET, get("/", "TE: trailers\r\n"), post(1, b"x")) + (
                get("/ws", upgrade),
            ):
                world = self.world(via=via, hop=b"ab12")
                client = world.client()
                client.send(request)
                sent = world.accept().take()
                self.assertEqual(sent.count(b"\r\nLolly-Hop: ab12\r\n"), 1)
                again = world.client()
                again.send(sent)
                got = again.take()
                self.assertTrue(got.startswith(b"HTTP/1.1 508 Loop Detected\r\n"), got)
                self.assertIn(b"error=proxy_loop_detected", got)
                self.assertEqual(world.connects(), [])
                self.assertEqual(world.refusals[-1][1], 508)

    def test_hops_of_others(self):
        """Of two of us in a row each passes the other's mark on and adds its own; a ring of them is found."""
        sent = GET
        for hop in (b"edge", b"inner"):
            world = self.world(hop=hop)
            client = world.client()
            client.send(sent)
            sent = world.accept().take()
        self.assertIn(b"\r\nLolly-Hop: edge\r\n", sent)
        self.assertIn(b"\r\nLolly-Hop: inner\r\n", sent)
        world = self.world(hop=b"edge")
        client = world.client()
        client.send(sent)
        self.assertIn(b"HTTP/1.1 508 ", client.take())

    def test_no_mark_without_a_name(self):
        """A proxy without a name for it sends no mark and refuses none, an empty one neither."""
        self.assertNotIn(b"Lolly-Hop", self.sent(GET))
        sent = self.sent(get("/", "Lolly-Hop:\r\n"))
        self.assertEqual(sent.count(b"Lolly-Hop"), 1)

    def test_forwarded_by_a_stranger(self):
        """A stranger's forwarding fields are replaced."""
        sent = self.sent(
            get("/", "X-Forwarded-For: 1.2.3.4\r\nForwarded: for=6\r\nX-Real-IP: 7\r\n")
        )
        self.assertNotIn(b"1.2.3.4", sent)
        self.assertNotIn(b"for=6", sent)
        self.assertNotIn(b"Real", sent)
        self.assertEqual(sent.count(b"X-Forwarded-For: 192.0.2.1\r\n"), 1)

    def test_same_host_again(self):
        """Another host on the same connection changes the forwarding fields."""
        world = self.world()
        client = world.client()
        client.send(GET)
        backend = world.accept()
        backend.send(OK)
        backend.take()
        client.send(GET.replace(b"Host: x", b"Host: y"))
        self.assertIn(b"X-Forwarded-Host: y\r\n", backend.take())

    def test_framing(self):
        """Content-Length goes on as it is; an odd spelling of it is replaced."""
        self.assertIn(b"\r\nContent-Length: 2\r\n", self.sent(post(2, b"ab")))
        odd = post(2, b"ab").replace(b"Content-Length: 2", b"Content-Length: 002")
        sent = self.sent(odd)
        self.assertEqual(sent.lower().count(b"content-length"), 1)
        self.assertIn(b"Content-Length: 2\r\n", sent)

    def test_host(self):
        """The Host sent is the client's, the target's or a literal, as configured."""
        node = Target(id="a", address="u", host="b.example", port=8080)
        self.assertIn(b"\r\nHost: x\r\n", self.sent(GET, nodes=(node,)))
        for host, expected in (
            ("target", b"b.example:8080"),
            ("www.example", b"www.example"),
        ):
            sent = self.sent(GET, nodes=(node,), host=host)
            self.assertEqual(sent.count(b"\r\nHost: "), 1)
            self.assertIn(b"\r\nHost: %b\r\n" % expected, sent)
            self.assertIn(b"X-Forwarded-Host: x\r\n", sent)
        without = b"GET / HTTP/1.0\r\n\r\n"
        sent = self.sent(without, nodes=(node,))
        self.assertIn(b"GET / HTTP/1.1\r\nHost: b.example:8080\r\n", sent)

    def world(self, *, nodes=(), **settings):
        return super().world(*nodes, **settings)


class DateTests(WorldTestCase):
    def test_added(self):
        """An answer without a Date gets one, right to the second."""
        world = self.world()
        client = world.client()
        dates = []
        for _ in range(3):
            client.send(GET)
            if world.connects():
                backend = world.accept()
            backend.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            dates.append(client.take().partition(b"Date: ")[2][:29])
            world.pass_time(0.6)
        self.assertEqual(dates[0], b"Thu, 01 Jan 1970 00:00:00 GMT")
        self.assertEqual(dates[1], dates[0])
        self.assertEqual(dates[2], b"Thu, 01 Jan 1970 00:00:01 GMT")

    def test_kept(self):
        """A backend's own stays alone."""
        world = self.world()
        client = world.client()
        client.send(GET)
        world.accept().send(OK)
        self.assertEqual(client.take().count(b"Date"), 1)


class CountTests(WorldTestCase):
    def test_counters(self):
        """Answered, failed and left exchanges are told apart."""
        world = self.world()
        clients = [world.client() for _ in range(3)]
        for client in clients:
            client.send(GET)
        self.assertEqual(world.forwarder.in_flight, 3)
        world.accept().send(answer(b"abc"))
        world.refuse()
        clients[2].reset()
        counters = world.forwarder.counters
        self.assertEqual(counters.exchanges, 3)
        self.assertEqual((counters.failed, counters.gone), (1, 1))
        self.assertEqual(world.forwarder.in_flight, 0)

    def test_members_that_left(self):
        """The idle connections of a node that left its pool are closed."""
        world = self.world("a", "b")
        client = world.client()
        client.send(GET)
        left = world.accept("a")
        left.send(OK)
        client.send(GET)
        stays = world.accept("b")
        stays.send(OK)
        targets = [n.target for n in world.pool.nodes.values() if n.id == "b"]
        world.pool.replace(targets, world.clock.seconds())
        world.forwarder.upstreams.keep(world.pool.nodes.values())
        self.assertTrue(left.closed)
        self.assertFalse(stays.disconnecting)


class SharedPoolTests(WorldTestCase):
    """A second forwarder of the same pool, as new settings bring one."""

    def test_hooks(self) -> None:
        """It hears of room and of nodes going down beside the first, and takes only its own leave."""
        world = self.world("a")
        pool = world.pool
        made, before = [], list(pool.on_down)
        for _ in range(2):
            room = WaitingRoom(
                WaitingLine(4, 5.0), world.deadlines, lambda head, peer: 0
            )
            forwarder = Forwarder(
                pool,
                upstreams=Upstreams(world.connect_to),
                policy=Policy(retry=RetryPolicy(), room=room, abandon=True),
                deadlines=world.deadlines,
                clock=world.clock,
                wall=world.clock.seconds,
                random=Random(1),
            )
            made.append((forwarder, room.admit))
        (first, admit_first), (second, admit_second) = made
        self.assertEqual(pool.on_room, [admit_first, admit_second])
        self.assertEqual(len(pool.on_down), len(before) + 2)
        second.close()
        self.assertEqual(pool.on_room, [admit_first])
        first.close()
        self.assertEqual((pool.on_room, pool.on_down), ([], before))
