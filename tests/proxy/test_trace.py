"""Tests of traces of single exchanges."""

from random import Random

from lolly_tx.domain.retries.policy import Policy
from lolly_tx.domain.retries.retry import RetryPolicy
from lolly_tx.net.upstreams import Upstreams
from lolly_tx.proxy.forwarder import Forwarder
from lolly_tx.proxy.trace import Traces
from tests.domain.pools import BAD, pool_of
from tests.proxy.world import OK, WorldTestCase, get

TOKEN = "0123456789abcdef"


class TraceTests(WorldTestCase):
    def traced(
        self, *nodes, sample=0.0, header="X-Trace", token=TOKEN, keep=10, tries=2
    ):
        self.traces = Traces(
            sample=sample,
            header=header,
            token=token,
            keep=keep,
            random=Random(1),
            wall=lambda: 1000.0,
        )

        def make(world):
            forwarder = Forwarder(
                pool_of(*nodes),
                upstreams=Upstreams(world.connect_to),
                policy=Policy(retry=RetryPolicy(tries=tries)),
                deadlines=world.deadlines,
                clock=world.clock,
                wall=world.clock.seconds,
                random=Random(1),
                traces=self.traces,
                on_end=world.ended.append,
            )
            return forwarder

        return self.world(make=make)

    def test_by_header(self):
        """A request with the token in the header is traced, and the target never sees the token."""
        world = self.traced("a")
        client = world.client()
        extra = f"X-Trace: {TOKEN}\r\nA: 1\r\nx-trace: {TOKEN}\r\n"
        client.send(get("/page?secret=1", extra))
        backend = world.accept("a")
        sent = backend.take()
        self.assertNotIn(TOKEN.encode(), sent)
        self.assertIn(b"\r\nA: 1\r\n", sent)
        backend.send(OK)
        [trace] = self.traces.latest()
        self.assertEqual(
            (trace["because"], trace["path"], trace["status"], trace["target"]),
            ("header", "/page", 200, "a"),
        )
        self.assertEqual(trace["tries"][0]["choice"], "a")
        self.assertEqual(trace["number"], 1)
        self.assertNotIn(TOKEN, repr(self.traces) + repr(trace))

    def test_wrong_token(self):
        """With a wrong token it is a field like any other."""
        world = self.traced("a")
        world.client().send(get("/", "X-Trace: 0123456789abcdeX\r\n"))
        backend = world.accept("a")
        self.assertIn(b"X-Trace: 0123456789abcdeX", backend.take())
        backend.send(OK)
        self.assertEqual(self.traces.latest(), [])

    def test_tries(self):
        """Each try has its candidates, who was tried before, and how it failed."""
        world = self.traced("a", "b", sample=1.0)
        world.client().send(get())
        [first] = [n for n in "ab" if world.connects(n)]
        world.refuse(first)
        [second] = [n for n in "ab" if world.connects(n)]
        world.accept(second).send(OK)
        [trace] = self.traces.latest()
        one, two = trace["tries"]
        self.assertEqual((one["choice"], two["choice"]), (first, second))
        self.assertIn("refused", one["failed"])
        self.assertEqual(two["tried"], [first])
        self.assertNotIn("failed", two)
        self.assertEqual({row["id"] for row in one["candidates"]}, {"a", "b"})
        self.assertEqual(trace["because"], "sample")

    def test_abandoned(self):
        """A try that ended because checks took its target down says so."""
        world = self.traced("a", "b", sample=1.0)
        world.client().send(get())
        [first] = [n for n in "ab" if world.connects(n)]
        world.accept(first)
        world.pool.observe(first, BAD, world.clock.seconds())
        [second] = [n for n in "ab" if world.connects(n)]
        world.accept(second).send(OK)
        [trace] = self.traces.latest()
        one, two = trace["tries"]
        self.assertEqual((one["choice"], two["choice"]), (first, second))
        self.assertIn("its checks", one["failed"])

    def test_refused(self):
        """When no target may be chosen, the trace says why."""
        world = self.traced("a", sample=1.0)
        world.pool.set_enabled("a", "down", "test", 0.0)
        world.client().send(get())
        [trace] = self.traces.latest()
        self.assertEqual((trace["status"], trace["target"]), (503, None))
        [one] = trace["tries"]
        self.assertEqual(one["choice"], None)
        self.assertIn("no target is available", one["refused"])
        self.assertEqual(one["candidates"][0]["excluded"], "disabled")

    def test_sampling(self):
        """About the share that was asked for is traced, and only the last few are kept."""
        world = self.traced("a", sample=0.2, keep=5)
        for _ in range(100):
            client = world.client()
            client.send(get("/", "Connection: close\r\n"))
            backend = world.accept("a")
            backend.send(
                b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
            )
            world.pass_time()
        self.assertTrue(10 <= self.traces.count <= 32, self.traces.count)
        self.assertEqual(len(self.traces.latest()), 5)

    def test_off(self):
        """Without a share and a header, or without a token for it, nothing is on."""
        for settings, on in (
            ({}, True),
            ({"token": ""}, False),
            ({"header": ""}, False),
            ({"header": "", "sample": 0.1}, True),
        ):
            self.traced("a", **settings)
            self.assertEqual(self.traces.on, on, settings)
