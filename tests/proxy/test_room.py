"""Tests of `lolly_tx.proxy.room`: where exchanges wait when every node is full."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

from twisted.internet.error import ConnectionRefusedError
from twisted.internet.protocol import Factory, Protocol

from lolly_tx.domain.checks.health import Observation
from lolly_tx.net.library.balanced import BalancedEndpoint
from tests.net.connects import FakeNetwork
from tests.proxy.configured import backend_of, configured
from tests.proxy.world import GET, OK, Line, World, WorldTestCase, answer, get

QUEUE = '[pool.app.queue]\nsize = 3\ntimeout = "2s"\n'
ONE = {"max_conns": 1}
BAD = Observation(ok=False, cause="503 from /health")
GOOD = Observation(ok=True, cause="200 from /health")


class RoomTests(WorldTestCase):
    def full(
        self, text: str = QUEUE, targets: str = "a", **more: Any
    ) -> tuple[World, Line, Line]:
        """A world whose one place is taken: by which client, at which backend."""
        world = configured(self, text, targets, each=ONE, **more)
        client = world.client("10.0.0.9")
        client.send(get("/first"))
        return world, client, world.accept("a")

    def wait(self, world: World, path: str, extra: str = "") -> Line:
        """One more client, who has to wait."""
        client = world.client("10.0.0.9")
        client.send(get(path, extra))
        self.assertIsNone(client.protocol.exchange.lease)
        return client

    def test_without(self) -> None:
        """Without a queue a full pool answers 503 at once."""
        world, client, backend = self.full("")
        other = world.client()
        other.send(GET)
        self.assertIn(b"HTTP/1.1 503 ", other.take())
        backend.send(OK)

    def test_wait_is_no_fault(self) -> None:
        """Who spent the whole time waiting for room is told 504, and no node is blamed."""
        world, client, backend = self.full(QUEUE + '[pool.app.timeout]\ntotal = "1s"\n')
        other = self.wait(world, "/1")
        world.pass_time(0.9)
        backend.send(OK)
        self.assertEqual(client.take(), OK)
        world.pass_time(0.3)
        self.assertIn(b"HTTP/1.1 504 ", other.take())
        self.assertEqual(world.pool.nodes["a"].stats.timeouts, 0)

    def test_standstill(self) -> None:
        """After a standstill of the process who waits is served before anybody is turned away."""
        world, client, backend = self.full()
        waiting = self.wait(world, "/1")
        world.clock.advance(3.5)
        self.assertEqual(waiting.take(), b"")
        backend.send(OK)  # which had come long ago
        self.assertEqual(client.take(), OK)
        backend.send(OK)
        self.assertEqual(waiting.take(), OK)

    def test_turns(self) -> None:
        """Those who wait are served in the order they came, as soon as there is room."""
        world, client, backend = self.full()
        waiting = [self.wait(world, path) for path in ("/1", "/2", "/3")]
        backend.take()
        backend.send(OK)
        self.assertEqual(client.take(), OK)
        for path, one in zip((b"/1", b"/2", b"/3"), waiting, strict=True):
            self.assertIn(b"GET %b " % path, backend.take())
            backend.send(answer(path))
            self.assertTrue(one.take().endswith(path))
        self.assertEqual(world.forwarder.policy.room.line.refused, 0)  # type: ignore[union-attr]  # it has one
        self.assertFalse(world.forwarder.policy.room.occupied)  # type: ignore[union-attr]  # as above

    def test_too_long(self) -> None:
        """Who has waited for the whole timeout gets 503; the target is not blamed."""
        world, client, backend = self.full()
        waiting = self.wait(world, "/1")
        world.pass_time(1.8)
        self.assertEqual(waiting.take(), b"")
        world.pass_time(0.4)
        got = waiting.take()
        self.assertIn(b"HTTP/1.1 503 ", got)
        self.assertIn(b"connection_limit_reached", got)
        backend.send(OK)
        self.assertEqual(client.take(), OK)
        self.assert_nobody_blamed(world)

    def test_no_place(self) -> None:
        """When the room is full as well, 503 at once."""
        world, client, backend = self.full()
        waiting = [self.wait(world, path) for path in ("/1", "/2", "/3")]
        other = world.client()
        other.send(GET)
        self.assertIn(b"HTTP/1.1 503 ", other.take())
        for line in waiting:
            line.reset()
        backend.send(OK)
        self.assertEqual(client.take(), OK)

    def test_client_leaves(self) -> None:
        """A client that hangs up leaves its place to the next."""
        world, client, backend = self.full()
        one, two = self.wait(world, "/1"), self.wait(world, "/2")
        one.reset()
        backend.take()
        backend.send(OK)
        self.assertIn(b"GET /2 ", backend.take())
        backend.send(OK)
        self.assertEqual(two.take(), OK)
        self.assertEqual([e.status for e in world.ended], [499, 200, 200])

    def test_newcomers_queue(self) -> None:
        """The next request of the connection that made room does not overtake."""
        world, client, backend = self.full()
        waiting = self.wait(world, "/1")
        client.send(get("/again"))
        backend.take()
        backend.send(OK)
        self.assertIn(b"GET /1 ", backend.take())
        backend.send(OK)
        self.assertEqual(waiting.take(), OK)
        self.assertIn(b"GET /again ", backend.take())
        backend.send(OK)
        self.assertEqual(client.take(), OK + OK)

    def test_priority(self) -> None:
        """A lower number goes first, and pushes the worst out of a full room."""
        text = QUEUE + 'priority_header = "X-Priority"\n'
        world, client, backend = self.full(text, trusted=[ip_network("10.0.0.0/8")])
        late = self.wait(world, "/late", "X-Priority: 5\r\n")
        usual = self.wait(world, "/usual")
        odd = self.wait(world, "/odd", "X-Priority: soon\r\n")
        sooner = self.wait(world, "/sooner", "X-Priority: -5\r\n")
        self.assertIn(b"HTTP/1.1 503 ", late.take())
        odd.reset()
        best = self.wait(world, "/best", "X-Priority: -9999\r\n")
        backend.take()
        for path in (b"/best", b"/sooner", b"/usual"):
            backend.send(OK)
            self.assertIn(b"GET %b " % path, backend.take())
        backend.send(OK)
        for line in (client, best, sooner, usual):
            self.assertEqual(line.take(), OK)

    def test_priority_for_the_hop_before(self) -> None:
        """A number that Connection says is not to be passed on is none of ours either."""
        text = QUEUE + 'priority_header = "X-Priority"\n'
        world, client, backend = self.full(text, trusted=[ip_network("10.0.0.0/8")])
        one = self.wait(world, "/1")
        lines = "X-Priority: -5\r\nConnection: x-priority\r\n"
        two = self.wait(world, "/2", lines)
        backend.take()
        backend.send(OK)
        self.assertIn(b"GET /1 ", backend.take())
        backend.send(OK)
        self.assertIn(b"GET /2 ", backend.take())
        backend.send(OK)
        for line in (client, one, two):
            self.assertEqual(line.take(), OK)

    def test_priority_of_strangers(self) -> None:
        """Who is no trusted proxy cannot make itself more important."""
        text = QUEUE + 'priority_header = "X-Priority"\n'
        world, client, backend = self.full(text)
        one = self.wait(world, "/1")
        two = self.wait(world, "/2", "X-Priority: -5\r\n")
        backend.take()
        backend.send(OK)
        self.assertIn(b"GET /1 ", backend.take())
        backend.send(OK)
        backend.send(OK)
        self.assertEqual((one.take(), two.take()), (OK, OK))

    def test_all_down(self) -> None:
        """When the targets go down there is nothing to wait for."""
        world, client, backend = self.full()
        waiting = self.wait(world, "/1")
        world.pool.mark("a", False, "test", world.clock.seconds())
        world.pass_time(0.2)
        got = waiting.take()
        self.assertIn(b"HTTP/1.1 503 ", got)
        self.assertIn(b"destination_unavailable", got)
        backend.send(OK)

    def test_recovery(self) -> None:
        """A target that comes back serves those who wait, though nobody has left."""
        world = configured(self, QUEUE, "ab", each=ONE)
        world.pool.mark("b", False, "test", 0.0)
        client = world.client()
        client.send(GET)
        backend = world.accept("a")
        waiting = self.wait(world, "/1")
        world.pool.mark("b", True, "test", world.clock.seconds())
        world.pass_time(0.2)
        backend_of(world, waiting).send(OK)
        self.assertEqual(waiting.take(), OK)
        backend.send(OK)

    def test_total(self) -> None:
        """Waiting counts for the time of the whole: 504 when that is over first."""
        text = QUEUE + '[pool.app.timeout]\ntotal = "1s"\n'
        world, client, backend = self.full(text)
        waiting = self.wait(world, "/1")
        world.pass_time(1.2)
        self.assertIn(b"HTTP/1.1 504 ", waiting.take())
        self.assertFalse(world.forwarder.policy.room.occupied)  # type: ignore[union-attr]  # it has one

    def test_turns_that_end_at_once(self) -> None:
        """Hundreds whose turn ends at once do not fill the stack."""
        text = "[pool.app.queue]\nsize = 1000\n[pool.app.passive]\nmax_fails = 0\n"
        world, client, backend = self.full(text)
        waiting = [self.wait(world, "/") for _ in range(600)]
        refusing = world.endpoints["a"]
        refusing.on_connect = lambda attempt: attempt.refuse(ConnectionRefusedError())
        backend.send(answer(b"bye", extra="Connection: close\r\n"))
        self.assertEqual({line.take()[:12] for line in waiting}, {b"HTTP/1.1 502"})

    def test_pool_cap(self) -> None:
        """The limit of the whole pool makes them wait as well."""
        world = configured(self, "max_conns = 1\n" + QUEUE, "ab")
        client = world.client()
        client.send(GET)
        backend = world.accept("a")
        waiting = self.wait(world, "/1")
        backend.send(OK)
        backend_of(world, waiting).send(OK)
        self.assertEqual((client.take(), waiting.take()), (OK, OK))

    def test_other_users_of_the_pool(self) -> None:
        """A connection that a program made through the pool makes room when it ends."""
        world = configured(self, QUEUE, "a", each=ONE)
        network = FakeNetwork()
        endpoint = BalancedEndpoint(
            world.pool, network, world.clock, world.clock.seconds
        )
        connecting = endpoint.connect(Factory.forProtocol(Protocol))
        network.last.accept()
        self.successResultOf(connecting)
        waiting = self.wait(world, "/1")
        network.last.lose()
        world.accept("a").send(OK)
        self.assertEqual(waiting.take(), OK)
