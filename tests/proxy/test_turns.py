"""Tests of whose turn it is: who has to move next is on the clock, under the limits that are his."""

from __future__ import annotations

from twisted.internet.error import ConnectionLost

from lolly_tx.net.http1.shared import ClientTimeouts
from lolly_tx.net.upstreams import UpstreamLimits
from tests.proxy.configured import backend_of, configured
from tests.proxy.world import GET, OK, Line, World, WorldTestCase, answer, chunked, post

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
EXPECT = "Expect: 100-continue\r\n"
READ = 5.0


class TurnsTestCase(WorldTestCase):
    def asked(
        self, request: bytes, body: float = 30.0, rate: int = 0
    ) -> tuple[World, Line, Line]:
        """A request has reached the backend."""
        world = self.world(
            upstream=UpstreamLimits(read=READ, write=READ),
            timeouts=ClientTimeouts(body=body, body_rate=rate),
        )
        client = world.client()
        client.send(request)
        backend = world.accept()
        backend.take()
        return world, client, backend

    def drip(
        self, world: World, client: Line, seconds: int, chunk: bytes = b""
    ) -> None:
        """One byte a second, or one `chunk`."""
        for _ in range(seconds):
            world.pass_time(1.0)
            client.send(chunk or b"x")

    def assert_good(self, world: World) -> None:
        """The exchange went well, and the target has a clean record."""
        self.assert_nobody_blamed(world)
        self.assertEqual(world.pool.nodes["a"].stats.successes, 1)
        self.assertIsNone(world.ended[-1].error)


class UploadTests(TurnsTestCase):
    """Uploads that never pause but last longer than `timeout.read`."""

    def test_after_a_100(self) -> None:
        """A 100 does not start the time of the answer: that is the request's end."""
        world, client, backend = self.asked(post(20, extra=EXPECT))
        backend.send(CONTINUE)
        self.assertEqual(client.take(), CONTINUE)
        self.drip(world, client, 20)
        world.pass_time(READ - 0.2)
        backend.send(OK)
        self.assertEqual(client.take(), OK)
        self.assert_good(world)

    def test_after_a_100_in_chunks(self) -> None:
        """The same with a chunked body."""
        request = chunked().replace(b"\r\n\r\n", b"\r\n" + EXPECT.encode() + b"\r\n", 1)
        world, client, backend = self.asked(request)
        backend.send(CONTINUE)
        self.drip(world, client, 20, b"1\r\nx\r\n")
        client.send(b"0\r\n\r\n")
        backend.send(OK)
        self.assertIn(OK, client.take())
        self.assert_good(world)

    def test_after_other_interims(self) -> None:
        """Nor does a 103 that nobody waits for."""
        world, client, backend = self.asked(post(20))
        backend.send(b"HTTP/1.1 103 Early Hints\r\n\r\n")
        self.drip(world, client, 20)
        backend.send(OK)
        self.assertIn(OK, client.take())
        self.assert_good(world)

    def test_after_a_piece_of_a_head(self) -> None:
        """Nor the first bytes of an early head."""
        world, client, backend = self.asked(post(20))
        backend.send(OK[:20])
        self.drip(world, client, 20)
        backend.send(OK[20:])
        self.assertEqual(client.take(), OK)
        self.assert_good(world)

    def early(self, head: bytes) -> tuple[World, Line, Line]:
        """A final head while the upload goes on."""
        world, client, backend = self.asked(post(20))
        self.drip(world, client, 2)
        backend.send(head)
        self.drip(world, client, 9)
        return world, client, backend

    def test_after_an_early_head(self) -> None:
        """Nor a final one: while the request comes in, the rest of the answer is not due."""
        for head, end in (
            (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\no", b"ok"),
            (
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n",
                b"1\r\nk\r\n0\r\n\r\n",
            ),
        ):
            world, client, backend = self.early(head)
            backend.send(end[:1])
            self.drip(world, client, 9)
            backend.send(end[1:])
            world.pass_time(READ - 0.2)
            self.assertFalse(client.aborted)
            self.assert_good(world)

    def test_until_close_after_an_early_head(self) -> None:
        """The same for an answer that ends with its connection."""
        world, client, backend = self.early(b"HTTP/1.1 200 OK\r\n\r\no")
        backend.send(b"k")
        self.drip(world, client, 9)
        backend.end()
        self.assertTrue(client.take().endswith(b"ok"))
        self.assert_good(world)

    def test_the_rest_is_due_at_the_end(self) -> None:
        """From the request's end on it is, and the target is to blame."""
        world, client, _ = self.early(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
        self.drip(world, client, 9)
        world.pass_time(READ + 0.3)
        self.assertTrue(client.aborted)
        self.assertEqual(world.pool.nodes["a"].stats.timeouts, 1)

    def test_a_target_that_takes_nothing(self) -> None:
        """An early head is no licence not to take the request: `timeout.write` runs."""
        world, client, backend = self.asked(post(10**6))
        backend.stop_reading()
        client.send(b"x" * 70000)
        backend.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")
        world.pass_time(1.0)
        backend.send(b"x")
        world.pass_time(READ + 0.3)
        error = world.ended[-1].error
        assert error is not None
        self.assertEqual(error.token, "connection_write_timeout")


class ExpectTests(TurnsTestCase):
    """The client waits for the target's word before it sends."""

    def test_the_target_owes_its_word(self) -> None:
        """A target that says nothing is out of time by `timeout.read`, and to blame."""
        world, client, _ = self.asked(post(20, extra=EXPECT), body=2.0)
        world.pass_time(READ - 0.2)
        self.assertEqual(client.take(), b"")
        world.pass_time(0.5)
        self.assertIn(b"HTTP/1.1 504 ", client.take())
        self.assertEqual(world.pool.nodes["a"].stats.timeouts, 1)

    def test_then_it_is_the_client(self) -> None:
        """After its word the client has `timeouts.body`; nobody else is to blame."""
        world, client, backend = self.asked(post(20, extra=EXPECT), body=2.0)
        world.pass_time(4.0)
        backend.send(CONTINUE)
        client.take()
        world.pass_time(1.8)
        self.assertEqual(client.take(), b"")
        world.pass_time(0.5)
        self.assertIn(b"HTTP/1.1 408 ", client.take())
        self.assert_nobody_blamed(world)

    def test_a_client_that_does_not_wait(self) -> None:
        """So it is when the client sends without it."""
        world, client, backend = self.asked(post(20, extra=EXPECT), body=2.0)
        self.drip(world, client, 20)
        backend.send(OK)
        self.assertEqual(client.take(), OK)
        self.assert_good(world)

    def test_an_empty_body(self) -> None:
        """The end of a chunked body without any chunk is the request's end, too."""
        request = chunked().replace(b"\r\n\r\n", b"\r\n" + EXPECT.encode() + b"\r\n", 1)
        world, client, backend = self.asked(request)
        world.pass_time(READ - 0.5)
        client.send(b"0\r\n\r\n")
        world.pass_time(READ - 0.2)
        backend.send(OK)
        self.assertEqual(client.take(), OK)
        self.assert_good(world)

    def test_answered_at_once(self) -> None:
        """A final answer in its place is timed from the question."""
        world, client, backend = self.asked(post(20, extra=EXPECT))
        world.pass_time(1.5)
        backend.send(answer(b"no", 417))
        self.assertIn(b" 417 ", client.take())
        latency = world.pool.nodes["a"].stats.latency_sum
        self.assertAlmostEqual(latency, 1.5, 5)

    def test_a_long_answer(self) -> None:
        """Nor need a client send what it was told not to, while it reads the answer."""
        world, client, backend = self.asked(post(20, extra=EXPECT), body=2.0)
        backend.send(b"HTTP/1.1 403 No\r\nContent-Length: 9\r\n\r\n")
        for _ in range(8):
            world.pass_time(1.0)
            backend.send(b"x")
        self.assertFalse(client.aborted)
        backend.send(b"x")
        self.assertTrue(client.take().endswith(b"x"))


class HangUpTests(TurnsTestCase):
    """Backends hang up on clients that stall, in either direction."""

    def hung_up(self, times: int, seconds: float, reset: bool = True) -> World:
        """So often a client stalls in mid-body for `seconds`, and its backend hangs up."""
        world = self.world("a", "b", tries=1, upstream=UpstreamLimits(read=60.0))
        for _ in range(times):
            client = world.client()
            client.send(post(1000, b"x" * 10))
            backend = backend_of(world, client)
            world.pass_time(seconds)
            if reset:
                backend.lose(ConnectionLost())
            else:
                backend.end()
            self.assertIn(b"HTTP/1.1 502 ", client.take())
        return world

    def test_on_a_stalled_upload(self) -> None:
        """Six times in a row, and both targets still serve: they did what they had to."""
        for reset in (True, False):
            world = self.hung_up(6, 5.0, reset)
            self.assert_nobody_blamed(world)
            self.assertEqual(len(world.pool.available(1000.0)), 2)

    def test_with_an_answer(self) -> None:
        """The backend's own 408 is passed on, and no failure either."""
        world, client, backend = self.asked(post(1000, b"x"))
        world.pass_time(10.0)
        backend.send(answer(b"slow", 408, "Connection: close\r\n"))
        backend.end()
        self.assertIn(b" 408 ", client.take())
        self.assert_good(world)

    def test_at_once(self) -> None:
        """A backend that closes as soon as it sees an upload is broken, and goes out."""
        world = self.hung_up(6, 0.1)
        self.assertEqual(world.pool.nodes["a"].stats.resets, 3)
        self.assertEqual(world.pool.nodes["a"].ejection, "ejected")

    def test_after_the_whole_request(self) -> None:
        """One that has the whole request owes an answer, however slowly it came."""
        world, client, backend = self.asked(post(20))
        self.drip(world, client, 20)
        backend.lose(ConnectionLost())
        self.assertIn(b"HTTP/1.1 502 ", client.take())
        self.assertEqual(world.pool.nodes["a"].stats.resets, 1)

    def test_on_a_slow_reader(self) -> None:
        """A backend that cuts an answer short because its reader stood still is not to blame."""
        world, client, backend = self.asked(GET)
        client.stop_reading()
        backend.send(b"HTTP/1.1 200 OK\r\nContent-Length: 900000\r\n\r\n")
        backend.send(b"x" * 70000)
        world.pass_time(10.0)
        backend.end()
        client.read_on()
        world.pass_time()
        self.assertTrue(client.aborted)
        self.assert_nobody_blamed(world)

    def test_on_a_quick_reader(self) -> None:
        """With a reader that takes what comes it is."""
        world, _, backend = self.asked(GET)
        backend.send(b"HTTP/1.1 200 OK\r\nContent-Length: 900000\r\n\r\n")
        world.pass_time(3.0)
        backend.send(b"x" * 70000)
        backend.end()
        self.assertEqual(world.pool.nodes["a"].stats.resets, 1)


class VerdictTests(WorldTestCase):
    """Latency, trials and hedges through the whole proxy."""

    def test_slow_clients_eject_nobody(self) -> None:
        """Slow writers and readers against `passive.latency`: the target answers at once."""
        text = (
            "[pool.app.passive.latency]\nover = 0.5\nshare = 0.1\nat_least = 2\n"
            "[pool.app.timeout]\nread = 5\n"
        )
        world = configured(self, text, "ab")
        for _ in range(12):
            client = world.client()
            client.send(post(8, b"x" * 4))
            backend = backend_of(world, client)
            world.pass_time(3.0)
            client.send(b"x" * 4)
            client.stop_reading()
            backend.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
            backend.send(b"x" * 70000)
            world.pass_time(2.0)
            client.read_on()
            backend.send(b"x" * 30000)
        for node in world.pool.nodes.values():
            self.assertEqual((node.ejection, node.stats.successes), ("up", 6))

    def test_trial_of_a_stream(self) -> None:
        """After an ejection an event stream brings its target back at once."""
        world = configured(self, "[pool.app.passive]\nfail_timeout = 2\n", "a")
        for _ in range(3):
            client = world.client()
            client.send(GET)
            world.refuse()
        self.assertEqual(world.pool.nodes["a"].ejection, "ejected")
        world.pass_time(2.1)
        client = world.client()
        client.send(GET)
        stream = backend_of(world, client)
        stream.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        self.assertEqual(world.pool.nodes["a"].ejection, "up")
        other = world.client()
        other.send(GET)
        world.accept().send(OK)
        self.assertEqual(other.take(), OK)
        stream.send(b"0\r\n\r\n")

    def test_trial_of_a_slow_upload(self) -> None:
        """One at 1 kB/s lets the next request be the trial after a second."""
        world = configured(self, "[pool.app.passive]\nfail_timeout = 2\n", "a")
        for _ in range(3):
            client = world.client()
            client.send(GET)
            world.refuse()
        world.pass_time(2.1)
        slow = world.client()
        slow.send(post(10**6, b"x" * 1000))
        world.accept()
        world.pass_time(1.1)
        slow.send(b"x" * 1000)
        other = world.client()
        other.send(GET)
        world.accept().send(OK)
        self.assertEqual(other.take(), OK)
        self.assertEqual(world.pool.nodes["a"].ejection, "up")

    def test_hedging_knows_the_targets_time(self) -> None:
        """Slow uploads do not teach hedging that answers take long."""
        world = configured(self, '[pool.app.hedge]\nleast = "10ms"\n', "ab")
        hedging = world.forwarder.policy.hedging
        assert hedging is not None
        for _ in range(30):
            client = world.client()
            client.send(post(8, b"x" * 4))
            backend = backend_of(world, client)
            world.pass_time(1.0)
            client.send(b"x" * 4)
            world.pass_time(0.05)
            backend.send(OK)
        delay = hedging.percentile.value()
        assert delay is not None
        self.assertLess(delay, 0.1)

    def test_total_time_of_a_slow_client(self) -> None:
        """A target that got the request's end just before `timeout.total` is not to blame."""
        world = configured(self, "[pool.app.timeout]\ntotal = 10\n", "a")
        client = world.client()
        client.send(post(8, b"x" * 4))
        world.accept()
        world.pass_time(9.5)
        client.send(b"x" * 4)
        world.pass_time(0.7)
        self.assertIn(b"HTTP/1.1 504 ", client.take())
        self.assert_nobody_blamed(world)

    def test_wait_before_an_attempt(self) -> None:
        """The wait before a further attempt is ours, not its target's."""
        text = 'balance = "first"\n[pool.app.retry]\ntries = 3\nbackoff = "1s"\n'
        world = configured(self, text)
        client = world.client()
        client.send(GET)
        world.refuse("a")
        world.refuse("b")
        while not world.connects("c"):
            world.pass_time(0.05)
        world.accept("c").send(OK)
        self.assertEqual(client.take(), OK)
        self.assertLess(world.pool.nodes["c"].stats.latency_sum, 0.01)
