"""Tests of `lolly_tx.net.per_client`: connections to targets that are told of each client."""

from __future__ import annotations

from typing import Any

from lolly_tx.net.per_client import PerClient
from lolly_tx.net.upstreams import UpstreamLimits
from tests.proxy.configured import configured
from tests.proxy.world import GET, OK, Line, World, WorldTestCase


class PerClientTests(WorldTestCase):
    def setUp(self) -> None:
        """A pool whose target is told of each client, and of whom they were told."""
        self.told: list[str] = []
        self.made: World = self.world(per_client=self.introduce)

    def introduce(self, endpoint: Any, peer: Any) -> Any:
        """The endpoint for a client."""
        self.told.append(peer.address)
        return endpoint

    def served(self, client: Line) -> Line:
        """One request of a client on a new connection, answered."""
        client.send(GET)
        backend = self.made.accept()
        backend.send(OK)
        self.assertTrue(client.take().startswith(b"HTTP/1.1 200"))
        return backend

    def counted(self) -> dict[str, int]:
        """What is counted of the connections of all nodes."""
        parts = [part for _, part in self.made.forwarder.upstreams]
        words = ("open", "idle", "connects", "unsolicited")
        return {word: sum(getattr(p, word) for p in parts) for word in words}

    def test_never_lent(self) -> None:
        """A client uses its own connections again, and never those of another, also of the same address."""
        one, other = self.made.client(), self.made.client()
        mine, theirs = self.served(one), self.served(other)
        theirs.take()
        for _ in range(4):
            mine.take()
            one.send(GET)
            self.assertTrue(mine.take())
            mine.send(OK)
        self.assertEqual((self.made.connects(), theirs.take()), ([], b""))
        self.assertEqual(self.told, ["192.0.2.1"] * 2)
        self.assertEqual(self.counted()["connects"], 2)

    def test_end_with_the_client(self) -> None:
        """When the client has gone its idle connections are closed, and still counted as made."""
        client = self.made.client()
        backend = self.served(client)
        self.assertEqual((self.counted()["open"], self.counted()["idle"]), (1, 1))
        client.lose()
        self.made.pass_time()
        self.assertTrue(backend.lost)
        self.assertEqual(
            self.counted(), {"open": 0, "idle": 0, "connects": 1, "unsolicited": 0}
        )

    def test_in_use_when_the_client_goes(self) -> None:
        """One in use is given up with the request."""
        client = self.made.client()
        client.send(GET)
        backend = self.made.accept()
        client.reset()
        self.made.pass_time()
        self.assertTrue(backend.lost)

    def test_bytes_nobody_asked_for(self) -> None:
        """They are counted, and this client uses no connection of that target twice for a while."""
        client = self.made.client()
        self.served(client).send(b"junk")
        self.made.pass_time()
        self.assertEqual(self.counted()["unsolicited"], 1)
        self.assertEqual(self.counted()["idle"], 0)

    def test_target_that_leaves(self) -> None:
        """Idle connections of all clients to it are closed; those in use are told to whoever asked."""
        one, other = self.made.client(), self.made.client()
        idle = self.served(one)
        other.send(GET)
        busy = self.made.accept()
        left = self.made.forwarder.upstreams.keep(())
        self.made.pass_time()
        self.assertTrue(idle.lost)
        self.assertFalse(busy.lost)
        self.assertIn(busy.protocol.upstream, left)
        busy.send(OK)
        self.made.pass_time()
        self.assertTrue(busy.lost)

    def test_other_limits(self) -> None:
        """Other settings hold for the connections of clients that are here."""
        client = self.made.client()
        backend = self.served(client)
        upstreams = self.made.forwarder.upstreams
        make = next(iter(self.made.upstreams.values())).make
        upstreams.go_by(UpstreamLimits(idle=0), make)
        self.made.pass_time()
        self.assertTrue(backend.lost)

    def test_for_nobody(self) -> None:
        """Who has no client has connections that say nothing."""
        node = next(iter(self.made.pool.nodes.values()))
        upstream = self.made.forwarder.upstreams.of(node)
        self.assertIsInstance(upstream, PerClient)
        self.assertEqual(self.told, [])
        self.made.forwarder.upstreams.close()


class HedgeTests(WorldTestCase):
    def test_hedge(self) -> None:
        """A hedge goes on connections of the same client, too."""
        told: list[str] = []

        def introduce(endpoint: Any, peer: Any) -> Any:
            told.append(peer.address)
            return endpoint

        text = '[pool.app.hedge]\nleast = "50ms"\n'
        world = configured(self, text, "ab", per_client=introduce)
        assert world.forwarder.policy.hedging is not None
        for _ in range(20):
            world.forwarder.policy.hedging.percentile.add(0.001)
        client = world.client()
        client.send(GET)
        world.accept("a")
        world.pass_time(0.06)
        world.accept("b").send(OK)
        self.assertTrue(client.take().startswith(b"HTTP/1.1 200"))
        self.assertEqual(told, ["192.0.2.1"] * 2)
