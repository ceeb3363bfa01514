"""Tests of `lolly_tx.proxy.hedge`: second attempts while the first is slow."""

from __future__ import annotations

from twisted.internet.error import ConnectionRefusedError

from tests.proxy.configured import ABC, backend_of, configured
from tests.proxy.world import GET, OK, Line, World, WorldTestCase, answer, get, post

HEDGE = '[pool.app.hedge]\nleast = "50ms"\n'


class HedgeTests(WorldTestCase):
    def hedged(self, text: str = "", targets: str = ABC) -> World:
        """A world that knows what is slow: everything over 50 ms."""
        world = configured(self, text + HEDGE, targets)
        hedging = world.forwarder.policy.hedging
        assert hedging is not None
        for _ in range(20):
            hedging.percentile.add(0.001)
        return world

    def slow(
        self, text: str = "", targets: str = "ab", request: bytes = GET
    ) -> tuple[World, Line, Line]:
        """The first attempt has its connection and is silent; the hedge connects."""
        world = self.hedged(text, targets)
        client = world.client()
        client.send(request)
        first = world.accept("a")
        world.pass_time(0.06)
        return world, client, first

    def figures(self, world: World) -> tuple[int, int, int]:
        """Hedges started, hedges won, and what the budget has spent."""
        hedging, budget = world.forwarder.policy.hedging, world.forwarder.policy.budget
        assert hedging is not None and budget is not None
        return hedging.started, hedging.won, budget.spent

    def test_faster(self) -> None:
        """The second node answers first: its answer counts, the first is cancelled and not blamed."""
        world, client, first = self.slow()
        second = world.accept("b")
        self.assertEqual(second.take(), first.take())
        second.send(answer(b"from b"))
        self.assertTrue(client.take().endswith(b"from b"))
        world.pass_time()
        self.assertTrue(first.lost)
        self.assertEqual(world.in_flight, {})
        self.assert_nobody_blamed(world)
        self.assertEqual(self.figures(world), (1, 1, 1))
        self.assertEqual(world.ended[0].node.id, "b")  # type: ignore[union-attr]  # it had one
        assert world.forwarder.policy.budget is not None
        self.assertEqual(world.forwarder.policy.budget.amplification, 2.0)

    def test_not_needed(self) -> None:
        """An answer in time starts no second attempt."""
        world = self.hedged(targets="ab")
        client = world.client()
        client.send(GET)
        first = world.accept("a")
        world.pass_time(0.04)
        first.send(OK)
        world.pass_time(1.0)
        self.assertEqual(client.take(), OK)
        self.assertNotIn("b", world.endpoints)
        self.assertEqual(self.figures(world), (0, 0, 0))

    def test_slower(self) -> None:
        """The first node answers after all: the second attempt is cancelled."""
        world, client, first = self.slow()
        second = world.accept("b")
        first.send(OK)
        self.assertEqual(client.take(), OK)
        world.pass_time()
        self.assertTrue(second.lost)
        self.assert_nobody_blamed(world)
        self.assertEqual(self.figures(world), (1, 0, 1))

    def test_slower_than_connecting(self) -> None:
        """The same while the second attempt still connects."""
        world, client, first = self.slow()
        first.send(OK)
        self.assertEqual(client.take(), OK)
        self.assertTrue(world.endpoints["b"].last.cancelled)
        self.assert_nobody_blamed(world)

    def test_connecting_is_slow_too(self) -> None:
        """A node that does not even accept is hedged, and its connect given up."""
        world = self.hedged(targets="ab")
        client = world.client()
        client.send(GET)
        world.pass_time(0.06)
        world.accept("b").send(OK)
        self.assertEqual(client.take(), OK)
        self.assertTrue(world.endpoints["a"].last.cancelled)
        self.assertEqual(world.in_flight, {})
        self.assert_nobody_blamed(world)

    def test_on_a_kept_connection(self) -> None:
        """The second attempt takes an idle connection if there is one."""
        world = self.hedged(targets="ab")
        for name in "ab":
            client = world.client()
            client.send(GET)
            world.accept(name).send(OK)
        client.take()
        client.send(GET)
        world.pass_time(0.06)
        self.assertEqual(world.connects("b"), [])
        world.lines[3].send(OK)
        self.assertEqual(client.take(), OK)
        self.assertEqual(self.figures(world), (1, 1, 1))

    def test_fails(self) -> None:
        """A second attempt that fails is the second node's failure, and the first goes on."""
        world, client, first = self.slow()
        world.refuse("b", ConnectionRefusedError())
        self.assertEqual(world.pool.nodes["b"].stats.connect_failures, 1)
        self.assertEqual(client.take(), b"")
        first.send(OK)
        self.assertEqual(client.take(), OK)
        self.assertEqual(self.figures(world), (1, 0, 1))

    def test_reset(self) -> None:
        """The same when its connection breaks."""
        world, client, first = self.slow()
        world.accept("b").reset()
        first.send(OK)
        self.assertEqual(client.take(), OK)
        self.assertEqual(world.pool.nodes["b"].stats.resets, 1)

    def test_first_fails(self) -> None:
        """When the first fails meanwhile, the second is all there is, and no third is made."""
        world, client, first = self.slow(targets=ABC)
        first.reset()
        self.assertEqual(client.take(), b"")
        world.accept("b").send(OK)
        self.assertEqual(client.take(), OK)
        self.assertNotIn("c", world.endpoints)
        self.assertEqual(world.pool.nodes["a"].stats.resets, 1)

    def test_both_fail(self) -> None:
        """When both fail, the retries that are left go to a node that was not tried."""
        world, client, first = self.slow(targets=ABC)
        first.reset()
        world.refuse("b")
        world.accept("c").send(OK)
        self.assertEqual(client.take(), OK)

    def test_first_fails_early(self) -> None:
        """A first attempt that fails before its time is retried, and not hedged later."""
        world = self.hedged()
        client = world.client()
        client.send(GET)
        world.refuse("a")
        second = world.accept("b")
        world.pass_time(1.0)
        self.assertNotIn("c", world.endpoints)
        second.send(OK)
        self.assertEqual(client.take(), OK)

    def test_budget(self) -> None:
        """Without budget there is no second attempt."""
        text = "[pool.app.retry]\nbudget = 0\nbudget_floor = 0\n"
        world, client, first = self.slow(text)
        self.assertNotIn("b", world.endpoints)
        first.send(OK)
        self.assertEqual(client.take(), OK)
        self.assertEqual(self.figures(world), (0, 0, 0))

    def test_nobody_else(self) -> None:
        """Nor without another node; nothing is spent then."""
        world, client, first = self.slow(targets="a")
        first.send(OK)
        self.assertEqual(client.take(), OK)
        self.assertEqual(self.figures(world), (0, 0, 0))

    def test_only_what_may_be_repeated(self) -> None:
        """Requests that change something are not sent twice, unless they say they may be."""
        world = self.hedged()
        client = world.client()
        client.send(post(3, b"abc"))
        first = world.accept("a")
        world.pass_time(1.0)
        self.assertEqual(list(world.endpoints), ["a"])
        first.send(OK)
        client.take()
        client.send(post(3, b"abc", extra="Idempotency-Key: 1\r\n"))
        first = backend_of(world, client)
        world.pass_time(0.06)
        second = world.accept("c")
        self.assertTrue(second.take().endswith(b"\r\n\r\nabc"))
        second.send(OK)
        self.assertEqual(client.take(), OK)

    def test_uploads(self) -> None:
        """A request that is still being sent is not hedged."""
        world = self.hedged()
        client = world.client()
        client.send(post(3, b"ab", method="PUT"))
        first = world.accept("a")
        world.pass_time(1.0)
        client.send(b"c")
        world.pass_time(1.0)
        self.assertEqual(list(world.endpoints), ["a"])
        first.send(OK)
        self.assertEqual(client.take(), OK)

    def test_upgrades(self) -> None:
        """Nor is an upgrade."""
        world = self.hedged()
        client = world.client()
        upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\n"
        client.send(get("/", upgrade))
        first = world.accept("a")
        world.pass_time(1.0)
        self.assertEqual(list(world.endpoints), ["a"])
        first.send(answer(b"no", 426))
        self.assertTrue(client.take().endswith(b"no"))

    def test_client_leaves(self) -> None:
        """A client that hangs up ends both attempts, and nobody is blamed."""
        world, client, first = self.slow()
        second = world.accept("b")
        client.reset()
        world.pass_time()
        self.assertTrue(first.lost and second.lost)
        self.assertEqual(world.in_flight, {})
        self.assert_nobody_blamed(world)
        self.assertEqual(world.ended[0].status, 499)

    def test_interim(self) -> None:
        """A 1xx of the second attempt is no answer yet, and not passed on."""
        world, client, first = self.slow()
        second = world.accept("b")
        second.send(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")
        self.assertEqual(client.take(), b"")
        first.send(OK)
        self.assertEqual(client.take(), OK)

    def test_status_to_retry(self) -> None:
        """A second answer whose status is retried leads to a third node."""
        text = '[pool.app.retry]\non = ["503"]\n'
        world, client, first = self.slow(text, ABC)
        world.accept("b").send(answer(b"busy", 503))
        world.accept("c").send(OK)
        self.assertEqual(client.take(), OK)
        world.pass_time()
        self.assertTrue(first.lost)

    def test_few_samples(self) -> None:
        """Nothing is hedged until it is known what is usual."""
        world = configured(self, HEDGE)
        client = world.client()
        client.send(GET)
        first = world.accept("a")
        world.pass_time(5.0)
        self.assertEqual(list(world.endpoints), ["a"])
        first.send(OK)
        self.assertEqual(client.take(), OK)

    def test_beaten_ones_count(self) -> None:
        """The time of a beaten attempt counts, or hedges would make more hedges."""
        world, client, first = self.slow()
        second = world.accept("b")
        world.pass_time(0.2)
        second.send(OK)
        self.assertEqual(client.take(), OK)
        hedging = world.forwarder.policy.hedging
        assert hedging is not None
        hedging.percentile.share = 0.999
        slowest = hedging.percentile.value()
        assert slowest is not None
        self.assertGreater(slowest, 0.25)

    def test_least_time_hears_of_it(self) -> None:
        """A node that hangs becomes expensive, although hedges always save the day."""
        world = self.hedged('balance = "least_time"\n', "ab")
        client = world.client()
        client.send(GET)
        slow = client.protocol.exchange.node
        backend_of(world, client)
        world.pass_time(0.06)
        (fast,) = (n for n in world.pool.nodes.values() if n is not slow)
        world.accept(fast.id).send(OK)
        self.assertEqual(client.take(), OK)
        self.assertGreater(slow.cost, fast.cost)
        self.assertEqual((slow.in_flight, slow.stats.failures), (0, 0))

    def test_whole_time_over(self) -> None:
        """The end of the whole time ends both."""
        world, client, first = self.slow('[pool.app.timeout]\ntotal = "1s"\n')
        second = world.accept("b")
        world.pass_time(1.1)
        self.assertIn(b"HTTP/1.1 504 ", client.take())
        self.assertTrue(first.lost and second.lost)
        self.assertEqual(world.in_flight, {})

    def test_late_connection(self) -> None:
        """A connection that comes about although its hedge is over is closed."""
        world, client, first = self.slow()
        attempt = world.connects("b")[0]
        arrived: list[Line] = []
        # An endpoint that connects in spite of the cancel.
        attempt.result._canceller = lambda d: arrived.append(world.accept("b"))
        first.send(OK)
        self.assertEqual(client.take(), OK)
        [late] = arrived
        world.pass_time()
        self.assertTrue(late.lost)

    def test_bug(self) -> None:
        """A failure of ours in the second attempt is logged and ends that attempt only."""
        world, client, first = self.slow()
        client.protocol.exchange._hedge._send = None
        world.accept("b")
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 1)
        first.send(OK)
        self.assertEqual(client.take(), OK)
