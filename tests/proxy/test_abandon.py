"""Tests of what becomes of requests that wait at a target that checks take down."""

from __future__ import annotations

from lolly_tx.proxy.forwarder import ABANDONED_AT_ONCE
from tests.domain.pools import BAD, GOOD
from tests.proxy.configured import configured
from tests.proxy.world import (
    GET,
    OK,
    Line,
    World,
    WorldTestCase,
    answer,
    chunked,
    post,
)

HEAD = b"HTTP/1.1 200 OK\r\nDate: d\r\nContent-Length: 2\r\n\r\n"


class AbandonTests(WorldTestCase):
    """Target a has taken the request and is silent, b is well."""

    def waiting(self, request: bytes = GET, text: str = "") -> tuple[World, Line, Line]:
        """A request that waits at a."""
        world = configured(self, text, targets="ab")
        client = world.client()
        client.send(request)
        return world, client, world.accept("a")

    def check(self, world: World, node: str, ok: bool = False) -> None:
        """A check has a result."""
        world.pool.observe(node, GOOD if ok else BAD, world.clock.seconds())

    def test_repeated_elsewhere(self) -> None:
        """What may be repeated has its answer from another target at once."""
        world, client, silent = self.waiting()
        self.check(world, "a")
        self.assertTrue(silent.aborted)
        other = world.accept("b")
        self.assertTrue(other.take().startswith(b"GET / HTTP/1.1"))
        other.send(OK)
        self.assertTrue(client.take().endswith(b"ok"))
        self.assertEqual([e.status for e in world.ended], [200])
        self.assertEqual([e.node for e in world.ended], [world.pool.nodes["b"]])
        self.assertEqual(world.forwarder.retries, 1)
        self.assert_nobody_blamed(world)

    def test_with_a_body(self) -> None:
        """So has a body that is there to be sent again, complete or not."""
        world, client, _ = self.waiting(chunked(b"abc", method="PUT"))
        self.check(world, "a")
        other = world.accept("b")
        client.send(b"1\r\nd\r\n0\r\n\r\n")
        got = other.take()
        self.assertIn(b"3\r\nabc\r\n", got)
        self.assertTrue(got.endswith(b"1\r\nd\r\n0\r\n\r\n"))
        other.send(OK)
        self.assertTrue(client.take().endswith(b"ok"))

    def test_may_not_be_repeated(self) -> None:
        """What may not be repeated goes on waiting, and has the answer if one comes."""
        world, client, silent = self.waiting(post(3, b"abc"))
        self.check(world, "a")
        world.pass_time(5)
        self.assertFalse(silent.aborted)
        self.assertEqual(world.connects("b"), [])
        silent.send(OK)
        self.assertTrue(client.take().endswith(b"ok"))

    def test_with_an_idempotency_key(self) -> None:
        """A request whose repeats the origin tells apart may be repeated."""
        world, client, _ = self.waiting(post(3, b"abc", extra="Idempotency-Key: k\r\n"))
        self.check(world, "a")
        world.accept("b").send(OK)
        self.assertTrue(client.take().endswith(b"ok"))

    def test_not_sent_yet(self) -> None:
        """Nothing was sent while it connects: any request may go elsewhere, and the connect ends."""
        world = configured(self, targets="ab")
        client = world.client()
        client.send(post(3, b"abc"))
        [connect] = world.connects("a")
        self.check(world, "a")
        self.assertTrue(connect.cancelled)
        world.accept("b").send(OK)
        self.assertTrue(client.take().endswith(b"ok"))

    def test_answer_has_begun(self) -> None:
        """An answer that has begun may well end."""
        world, client, slow = self.waiting()
        slow.send(HEAD + b"o")
        self.check(world, "a")
        slow.send(b"k")
        self.assertTrue(client.take().endswith(b"ok"))

    def test_nobody_else(self) -> None:
        """With no other target to ask it goes on waiting."""
        world, client, silent = self.waiting()
        self.check(world, "b")
        self.check(world, "a")
        self.assertFalse(silent.aborted)
        silent.send(OK)
        self.assertTrue(client.take().endswith(b"ok"))

    def test_as_the_retry_settings_allow(self) -> None:
        """No attempt is made beyond those that retries may make."""
        for text in (
            "[pool.app.retry]\ntries = 1\n",
            '[pool.app.retry]\non = ["connect"]\n',
            "[pool.app.retry]\nbudget = 0\nbudget_floor = 0\n",
        ):
            world, client, silent = self.waiting(text=text)
            self.check(world, "a")
            self.assertFalse(silent.aborted)
            silent.send(OK)
            self.assertTrue(client.take().endswith(b"ok"))

    def test_off(self) -> None:
        """Without `passive.abandon` everybody goes on waiting."""
        world, client, silent = self.waiting(
            text="[pool.app.passive]\nabandon = false\n"
        )
        self.check(world, "a")
        self.assertFalse(silent.aborted)
        silent.send(OK)
        self.assertTrue(client.take().endswith(b"ok"))

    def test_other_targets_requests(self) -> None:
        """What waits elsewhere is left alone, and so is everybody when a target comes up."""
        world, client, silent = self.waiting()
        self.check(world, "b")
        self.check(world, "b", ok=True)
        self.assertFalse(silent.aborted)
        silent.send(OK)
        self.assertTrue(client.take().endswith(b"ok"))

    def test_held_answer(self) -> None:
        """Who waits for a better answer than the one that is held back goes on waiting without a try left."""
        text = '[pool.app.retry]\non = ["503", "timeout"]\ntries = 2\n'
        world, client, busy = self.waiting(text=text)
        busy.send(answer(b"busy", 503))
        silent = world.accept("b")
        self.check(world, "b")
        self.assertFalse(silent.aborted)
        silent.send(OK)
        self.assertTrue(client.take().endswith(b"ok"))

    def test_pausing(self) -> None:
        """An attempt that is put off until later does not go to a target that went down."""
        text = "[pool.app.retry]\ntries = 3\nbackoff = 1.0\n"
        world = configured(self, text, targets="abcd")
        client = world.client()
        client.send(GET)
        world.refuse("a")
        world.refuse("b")
        self.assertEqual(world.in_flight, {"c": 1})
        self.check(world, "c")
        self.assertEqual(world.in_flight, {"d": 1})
        world.pass_time(4)
        self.assertEqual(world.connects("c"), [])
        world.accept("d").send(OK)
        self.assertTrue(client.take().endswith(b"ok"))

    def test_many(self) -> None:
        """Many that wait leave in groups, so that nobody else has to wait for it; the oldest go first."""
        text = "[pool.app.retry]\nbudget = 100\n[pool.app.connections]\nidle = 1000\n"
        world = configured(self, text, targets="ab")
        world.pool.set_enabled("b", "drain", "test", 0.0)
        count = 2 * ABANDONED_AT_ONCE + 1
        clients = [world.client() for _ in range(count)]
        for client in clients:
            client.send(GET)
            world.accept("a")
            world.clock.advance(0.001)
        world.pool.set_enabled("b", "up", "test", world.clock.seconds())
        self.check(world, "a")
        self.assertEqual(len(world.connects("b")), ABANDONED_AT_ONCE)
        self.assertEqual(clients[ABANDONED_AT_ONCE].protocol.exchange.node.id, "a")
        world.pass_time()
        self.assertEqual(len(world.connects("b")), count)
        for _ in clients:
            world.accept("b").send(OK)
        self.assertTrue(all(client.take().endswith(b"ok") for client in clients))
