"""Tests of the entries for the access log."""

from __future__ import annotations

from lolly_tx.proxy.record import exchange_entry, refusal_entry
from tests.proxy.world import GET, WorldTestCase, answer, get


class RecordTests(WorldTestCase):
    def entry(self, exchange):
        return exchange_entry(exchange, "192.0.2.1", "web", "p", 1000.0, 5.0)

    def test_answered(self):
        """An answered request, with its node, its sizes and its times."""
        world = self.world()
        client = world.client()
        client.send(get("/a", "User-Agent: ua\r\nReferer: r\r\n", "1.0"))
        world.pass_time(1.0)
        world.accept().send(answer(b"body", 404))
        entry = self.entry(world.ended[0])
        self.assertEqual(
            entry[:11],
            (
                1000.0,
                "192.0.2.1",
                b"GET",
                b"/a",
                b"HTTP/1.0",
                404,
                4,
                b"r",
                b"ua",
                "http://a.example",
                404,
            ),
        )
        self.assertEqual(entry.seconds, 5.0)
        self.assertAlmostEqual(entry.upstream_seconds, 1.0)
        self.assertEqual(entry[13:], ("web", "p", b"x", None))

    def test_failed(self):
        """Our own answer: no status of a backend, but the reason."""
        world = self.world()
        client = world.client()
        client.send(GET)
        world.refuse()
        entry = self.entry(world.ended[0])
        self.assertEqual((entry.status, entry.upstream_status), (502, None))
        self.assertEqual(entry.error, "connection_refused")
        self.assertEqual(entry.upstream, "http://a.example")

    def test_nobody(self):
        """Nobody was asked: no target and no time of one."""
        world = self.world()
        world.pool.set_enabled("a", "down", "test", 0.0)
        world.client().send(GET)
        entry = self.entry(world.ended[0])
        self.assertEqual((entry.upstream, entry.upstream_seconds), (None, None))

    def test_gone(self):
        """A client that left: 499."""
        world = self.world()
        client = world.client()
        client.send(GET)
        client.reset()
        entry = self.entry(world.ended[0])
        self.assertEqual((entry.status, entry.error), (499, "http_request_error"))

    def test_refused(self):
        """A request without a route has its head in the log."""
        world = self.world(path="/app/")
        client = world.client()
        client.send(get("/x", "User-Agent: ua\r\n"))
        [(head, status, _)] = world.refusals
        entry = refusal_entry(client.protocol, head, status, 14, "web", 7.0)
        self.assertEqual(entry[1:7], ("192.0.2.1", b"GET", b"/x", b"HTTP/1.1", 404, 14))
        self.assertEqual(entry.user_agent, b"ua")
        self.assertIsNone(entry.error)

    def test_nonsense(self):
        """What is no request has no words of its own."""
        client = self.world().client()
        entry = refusal_entry(client.protocol, None, 400, 14, "web", 7.0)
        self.assertEqual(
            (entry.method, entry.target, entry.version), (b"-", b"-", b"-")
        )
        self.assertEqual(entry.error, "http_request_error")
