"""The connections of a pool by node, when its targets change."""

from __future__ import annotations

from functools import partial
from typing import Any

import attrs
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.domain.target import Target
from lolly_tx.net.deadlines import Deadlines
from lolly_tx.net.http1.client import Http1Client
from lolly_tx.net.upstreams import Upstream, UpstreamLimits, Upstreams
from lolly_tx.wire.http1 import ResponseReader
from tests.domain.pools import pool_of
from tests.net.connects import FakeEndpoint
from tests.net.fakes import MemoryTransport


class UpstreamsTests(SynchronousTestCase):
    def setUp(self) -> None:
        """A pool of one target, and where was connected to."""
        clock = Clock()
        self.deadlines = Deadlines(clock, clock.seconds)
        self.places: list[str] = []
        self.pool = pool_of("a")
        self.node = self.pool.nodes["a"]
        self.upstreams = Upstreams(self.connect_to)

    def connect_to(self, target: Target) -> Upstream:
        """The connections to one target."""
        self.places.append(target.host)
        return Upstream(
            FakeEndpoint(),
            partial(Http1Client, ResponseReader()),
            deadlines=self.deadlines,
            limits=UpstreamLimits(),
        )

    def idle(self, upstream: Upstream) -> Any:
        """A connection that is idle now."""
        client = upstream.buildProtocol(None)
        client.makeConnection(MemoryTransport(lenient=True))
        upstream.give_back(client, 0.0)
        return client.transport

    def change(self, **changes: Any) -> None:
        """The target's settings are others now."""
        target = attrs.evolve(self.node.target, **changes)
        self.pool.replace([target], 0.0)

    def test_another_address(self) -> None:
        """A node with a new address gets connections to it, and the old ones are closed."""
        old = self.upstreams.of(self.node)
        line = self.idle(old)
        self.change(host="192.0.2.7")
        node = self.pool.nodes[self.node.id]
        new = self.upstreams.of(node)
        self.assertEqual(self.upstreams.keep([node]), [old])
        self.assertIsNot(new, old)
        self.assertEqual(self.places[-1], "192.0.2.7")
        self.assertEqual((old.idle, line.disconnecting), (0, True))
        late = self.idle(old)  # its exchange was under way
        self.assertEqual((old.idle, late.disconnecting), (0, True))
        self.assertEqual([each for _, each in self.upstreams], [new])

    def test_another_weight(self) -> None:
        """What does not change the address keeps the connections."""
        old = self.upstreams.of(self.node)
        line = self.idle(old)
        self.change(weight=3, max_conns=5)
        self.assertIs(self.upstreams.of(self.node), old)
        self.assertIs(self.upstreams.of(self.node), old)
        self.assertEqual((old.idle, line.disconnecting), (1, False))

    def test_other_limits(self) -> None:
        """Other limits hold for the connections that there are: too many idle ones are closed, the oldest first."""
        old = self.upstreams.of(self.node)
        first, second = self.idle(old), self.idle(old)
        made: list[Http1Client] = []

        def anew(upstream: Upstream) -> Http1Client:
            made.append(Http1Client(ResponseReader(), upstream))
            return made[-1]

        self.upstreams.go_by(UpstreamLimits(idle=1, idle_timeout=5.0, read=3.0), anew)
        self.assertEqual((first.disconnecting, second.disconnecting), (True, False))
        self.assertEqual(old.limits.read, 3.0)
        client = old.take()
        assert isinstance(client, Http1Client)
        self.assertEqual(client.deadline, 5.0)
        self.assertIn(old.buildProtocol(None), made)

    def test_another_way(self) -> None:
        """Connections made in another way: idle ones are closed, busy ones named, and new ones are made anew."""
        old = self.upstreams.of(self.node)
        idle, busy = self.idle(old), self.idle(old)
        old.take()
        self.assertEqual(self.upstreams.lead(self.connect_to), [old])
        self.assertEqual((idle.disconnecting, busy.disconnecting), (True, False))
        self.assertIsNot(self.upstreams.of(self.node), old)

    def test_left_the_pool(self) -> None:
        """The connections of those that have left are closed, the others stay."""
        old = self.upstreams.of(self.node)
        line = self.idle(old)
        self.upstreams.keep([self.node])
        self.assertFalse(line.disconnecting)
        self.upstreams.keep([])
        self.assertTrue(line.disconnecting)
        self.assertEqual(list(self.upstreams), [])
