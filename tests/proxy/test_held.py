"""Tests of answers held back while another node is asked."""

from __future__ import annotations

from lolly_tx.domain.errors import ConnectionReset
from lolly_tx.wire.http1 import parse_response
from tests.proxy.world import GET, OK, WorldTestCase, answer, post

BUSY = answer(b"busy", 503)


class HeldTests(WorldTestCase):
    def held(self, *nodes, response=BUSY, request=GET, **settings):
        """Node a has said 503: (world, client, a's connection)."""
        settings.setdefault("on", ("connect", "503"))
        world = self.world(*(nodes or ("a", "b")), **settings)
        client = world.client()
        client.send(request)
        first = world.accept("a")
        first.send(response)
        return world, client, first

    def test_better(self):
        """The better answer of another node is the client's answer."""
        world, client, first = self.held()
        self.assertEqual(client.take(), b"")
        world.accept("b").send(OK)
        self.assertEqual(client.take(), OK)
        [exchange] = world.ended
        self.assertEqual((exchange.status, exchange.attempts), (200, 2))
        self.assertEqual(world.upstreams["a"].idle, 1)
        self.assertEqual(world.in_flight, {})

    def test_nobody_better(self):
        """If nobody has an answer, the 503 stays that 503."""
        world, client, first = self.held()
        world.refuse("b")
        self.assertEqual(client.take(), BUSY)
        [exchange] = world.ended
        self.assertEqual(exchange.status, 503)
        self.assertEqual(exchange.node.id, "a")
        self.assertIsNone(exchange.error)
        self.assertEqual(world.forwarder.counters.failed, 0)
        self.assertFalse(client.disconnecting)

    def test_only_node(self):
        """With one node there is nobody to ask."""
        world, client, first = self.held("a")
        self.assertEqual(client.take(), BUSY)
        self.assertEqual(world.ended[0].attempts, 1)

    def test_tries_used_up(self):
        """The last answer of as many as may be asked is passed on."""
        world, client, first = self.held("a", "b", "c")
        second = answer(b"also busy", 503)
        world.accept("b").send(second)
        self.assertEqual(client.take(), second)
        self.assertNotIn("c", world.endpoints)

    def test_two_held(self):
        """Of several held answers it is the last one."""
        world, client, first = self.held("a", "b", "c", tries=3)
        second = answer(b"also busy", 503)
        world.accept("b").send(second)
        self.assertEqual(client.take(), b"")
        world.refuse("c")
        self.assertEqual(client.take(), second)
        self.assertEqual(world.in_flight, {})

    def test_long_better(self):
        """A long held answer is not read on, and dropped for a better one."""
        world, client, first = self.held(
            response=b"HTTP/1.1 503 S\r\nDate: d\r\nContent-Length: 9\r\n\r\nabc"
        )
        self.assertTrue(first.paused)
        world.accept("b").send(OK)
        self.assertEqual(client.take(), OK)
        self.assertTrue(first.aborted)

    def test_long_nobody_better(self):
        """Or delivered to its end when there is none."""
        for framing, rest in (
            (b"Content-Length: 9\r\n", b"defghi"),
            (b"Transfer-Encoding: chunked\r\n", b"6\r\ndefghi\r\n0\r\n\r\n"),
        ):
            world, client, first = self.held(
                response=b"HTTP/1.1 503 S\r\nDate: d\r\n" + framing + b"\r\n"
            )
            first.send(b"3\r\nabc\r\n" if b"chunked" in framing else b"abc")
            world.refuse("b")
            world.pass_time()
            first.send(rest)
            got = client.take()
            self.assertIn(b" 503 S", got)
            self.assertIn(b"defghi", got)
            self.assertEqual(world.ended[0].bytes_out, 9)
            self.assertEqual(world.upstreams["a"].idle, 1)

    def test_until_close_nobody_better(self):
        """So is one that ends with the connection."""
        world, client, first = self.held(
            response=b"HTTP/1.1 503 S\r\nDate: d\r\n\r\nabc"
        )
        world.refuse("b")
        first.send(b"def")
        world.pass_time()
        first.end()
        self.assertTrue(client.take().endswith(b"abcdef"))
        self.assertTrue(client.closed)

    def test_lost_while_held(self):
        """A held answer whose rest is lost is delivered as the broken message it is."""
        world, client, first = self.held(
            response=b"HTTP/1.1 503 S\r\nDate: d\r\nContent-Length: 9\r\n\r\nabc"
        )
        first.reset()
        world.refuse("b")
        self.assertTrue(client.aborted)
        self.assertEqual([e.status for e in world.ended], [503])
        self.assertEqual(world.in_flight, {})

    def test_lost_while_held_but_better(self):
        """Its loss does not matter when there is a better one."""
        world, client, first = self.held(
            response=b"HTTP/1.1 503 S\r\nDate: d\r\nContent-Length: 9\r\n\r\nabc"
        )
        first.reset()
        world.accept("b").send(OK)
        self.assertEqual(client.take(), OK)

    def test_post(self):
        """A POST that was answered is not sent to another."""
        world, client, first = self.held(request=post(1, b"x"))
        self.assertEqual(client.take(), BUSY)

    def test_body_still_coming(self):
        """A body that is still coming goes to the next node whole."""
        world, client, first = self.held(request=post(6, b"abc", method="PUT"))
        client.send(b"def")
        second = world.accept("b")
        self.assertTrue(second.take().endswith(b"\r\n\r\nabcdef"))
        second.send(OK)
        self.assertEqual(client.take(), OK)

    def test_events_that_mean_nothing(self):
        """What cannot come while an answer is held does nothing."""
        world, client, first = self.held(
            response=b"HTTP/1.1 503 S\r\nDate: d\r\nContent-Length: 9\r\n\r\nabc"
        )
        held = first.protocol.sink
        head = parse_response(b"HTTP/1.1 200 OK\r\nDate: d\r\n\r\n")
        held.response_interim(head)
        held.response_head(head, 0)
        held.response_stalled()
        held.upgraded(head)
        held.pause_request()
        held.resume_request()
        self.assertIsNone(held.relay_response(None, None))
        held.upstream_failed(ConnectionReset())
        held.response_waits()
        self.assertEqual(client.take(), b"")

    def test_not_a_failure(self):
        """An answered attempt is no failure of the node."""
        world, client, first = self.held()
        world.accept("b").send(OK)
        self.assert_nobody_blamed(world)
        self.assertEqual(world.pool.nodes["a"].stats.errors, 1)
