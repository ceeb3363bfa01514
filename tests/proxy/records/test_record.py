"""Tests of the entries for the access log."""

from __future__ import annotations

from lolly_tx.proxy.records.record import exchange_entry, refusal_entry
from tests.proxy.configured import ABC, configured
from tests.proxy.world import GET, OK, WorldTestCase, answer, get


class RecordTests(WorldTestCase):
    def entry(self, exchange):
        return exchange_entry(exchange, "192.0.2.1", 1000.0, 5.0)

    def test_answered(self):
        """An answered request, with its node, its sizes and its times."""
        world = self.world()
        client = world.client()
        client.send(get("/a", "User-Agent: ua\r\nReferer: r\r\n", "1.0"))
        world.pass_time(1.0)
        world.accept().send(answer(b"body", 404))
        entry = self.entry(world.ended[0])
        self.assertEqual(entry[:2], (1000.0, "192.0.2.1"))
        self.assertIs(entry.head, world.ended[0].head)
        self.assertEqual(entry[3:7], (404, 4, "http://a.example", 404))
        self.assertEqual(entry.seconds, 5.0)
        self.assertAlmostEqual(entry.upstream_seconds, 1.0)
        self.assertEqual(entry[9:15], ("web", "p", None, (), "a", 0))
        self.assertIsNone(entry.route)

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
        entry = refusal_entry(head, "192.0.2.1", status, 14, "web", 7.0)
        self.assertEqual((entry.client, entry.status), ("192.0.2.1", 404))
        self.assertEqual((entry.head, entry.bytes_sent), (head, 14))
        self.assertIsNone(entry.error)

    def test_nonsense(self):
        """What is no request is shown as far as it was read."""
        for sent, words in (
            (b"GET /a HTTP/1.1\r\nBad : x\r\n\r\n", (b"GET", b"/a", b"HTTP/1.1")),
            (b"GET /a b HTTP/1.1\r\n\r\n", (b"GET", b"/a b", b"HTTP/1.1")),
            (b"\r\nGET /a\r\n\r\n", (b"GET", b"/a", b"-")),
            (b"GET / HTTP/3.0\r\n\r\n", (b"GET", b"/", b"HTTP/3.0")),
            (b"\x16\x03\x01\0\r\n", (b"-", b"\x16\x03\x01\0", b"-")),
            (b"GET /" + b"x" * 20000, (b"GET", b"/" + b"x" * 1019, b"-")),
            (
                b"POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: 9999\r\n\r\n",
                (b"POST", b"/p", b"HTTP/1.1"),
            ),
        ):
            world = self.world(body_bytes=100)
            client = world.client()
            client.send(sent)
            [(line, status, _)] = world.refusals
            entry = refusal_entry(line, "192.0.2.1", status, 14, "web", 7.0)
            shown = entry.head
            self.assertEqual((shown.method, shown.target, shown.version), words)
            self.assertEqual(entry.error, "http_request_error")

    def test_slow_head(self):
        """A head that did not come to its end is shown as far as it came."""
        world = self.world()
        world.client().send(b"GET /slow HT")
        world.pass_time(11.0)
        [(line, status, _)] = world.refusals
        self.assertEqual((line, status), (b"GET /slow HT", 408))

    def test_nothing(self):
        """A client that said nothing said nothing."""
        entry = refusal_entry(b"", "192.0.2.1", 408, 14, "web", 7.0)
        shown = entry.head
        self.assertEqual((shown.method, shown.target, shown.version), (b"-",) * 3)


class AttemptsTests(WorldTestCase):
    """Every attempt of a request is in its entry."""

    def attempts(self, world):
        """Target, status and time of each."""
        [exchange] = world.ended
        entry = exchange_entry(exchange, "192.0.2.1", 1000.0, 5.0)
        last = (entry.upstream, entry.upstream_status, entry.upstream_seconds)
        return [
            (target[7], status, round(seconds, 3))
            for target, status, seconds in (*entry.past, last)
        ]

    def test_failed_first(self):
        """An attempt that failed, and the one that succeeded."""
        world = self.world("a", "b")
        world.client().send(GET)
        world.pass_time(0.5)
        world.refuse("a")
        world.pass_time(0.25)
        world.accept("b").send(OK)
        self.assertEqual(self.attempts(world), [("a", None, 0.5), ("b", 200, 0.25)])

    def test_all_failed(self):
        """All attempts failed: none of them has a status."""
        world = self.world("a", "b")
        world.client().send(GET)
        world.refuse("a")
        world.refuse("b")
        self.assertEqual(self.attempts(world), [("a", None, 0.0), ("b", None, 0.0)])

    def test_better(self):
        """A status that was worth another try is told with its time."""
        world = self.world("a", "b", on=("503",))
        world.client().send(GET)
        world.pass_time(0.5)
        world.accept("a").send(answer(b"", 503))
        world.accept("b").send(OK)
        self.assertEqual(self.attempts(world), [("a", 503, 0.5), ("b", 200, 0.0)])

    def test_nobody_better(self):
        """The answer that was held back counts last: it is the one that was given."""
        world = self.world("a", "b", on=("connect", "503"))
        world.client().send(GET)
        world.accept("a").send(answer(b"", 503))
        world.refuse("b")
        self.assertEqual(self.attempts(world), [("b", None, 0.0), ("a", 503, 0.0)])

    def test_client_left(self):
        """An attempt that was cut short because the client left is one, too."""
        world = self.world("a", "b")
        client = world.client()
        client.send(GET)
        world.refuse("a")
        world.pass_time(1.0)
        client.reset()
        self.assertEqual(self.attempts(world), [("a", None, 0.0), ("b", None, 1.0)])

    def hedged(self):
        """Node a is slow, and b is asked as well."""
        world = configured(self, '[pool.app.hedge]\nleast = "50ms"\n', ABC)
        for _ in range(20):
            world.forwarder.policy.hedging.percentile.add(0.001)
        client = world.client()
        client.send(GET)
        first = world.accept("a")
        world.pass_time(0.05)
        return world, first, world.accept("b")

    def test_hedge_won(self):
        """The first attempt has lost against its hedge."""
        world, _, second = self.hedged()
        second.send(OK)
        self.assertEqual(self.attempts(world), [("a", None, 0.05), ("b", 200, 0.0)])

    def test_hedge_lost(self):
        """The hedge was for nothing."""
        world, first, _ = self.hedged()
        first.send(OK)
        self.assertEqual(self.attempts(world), [("b", None, 0.0), ("a", 200, 0.05)])

    def test_hedge_after_all(self):
        """The first attempt fails while its hedge runs, and the hedge after it."""
        world, first, second = self.hedged()
        first.reset()
        second.reset()
        world.pass_time(0.5)
        world.accept("c").send(OK)
        self.assertEqual(
            self.attempts(world)[:2], [("a", None, 0.05), ("b", None, 0.0)]
        )
