"""Tests of connects under way: the tracker's errback blames, once, and who gives a connect up judges it."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionRefusedError
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.domain.errors import ConnectFailed, ProxyError, ResponseTimedOut
from lolly_tx.proxy.connecting import Connecting
from tests.domain.pools import pool_of
from tests.proxy.world import GET, OK, WorldTestCase


class Upstream:
    """One whose connects are decided by the test."""

    def __init__(self) -> None:
        self.connecting: Deferred[Any] = Deferred()

    def now(self) -> float:
        return 2.0

    def connect(self) -> Deferred[Any]:
        return self.connecting


class Door:
    def __init__(self) -> None:
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class ConnectingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.pool = pool_of("a")
        self.node = self.pool.nodes["a"]
        self.lease = self.pool.acquire(1.0)
        self.upstream = Upstream()
        self.doors: list[Any] = []
        self.errors: list[ProxyError] = []
        self.connecting = self.connect()

    def connect(self) -> Connecting:
        upstream: Any = self.upstream
        made = Connecting(upstream, self.lease, self.doors.append, self._failed)
        made.open()
        return made

    def _failed(self, error: ProxyError) -> None:
        self.assertFalse(self.lease.open)
        self.errors.append(error)

    def assertRecord(self, failures: int, in_flight: int) -> None:
        self.assertEqual(self.node.stats.failures, failures)
        self.assertEqual(self.node.in_flight, in_flight)

    def test_connected(self) -> None:
        """A connection says nothing yet: the lease goes on without a verdict."""
        self.upstream.connecting.callback("door")
        self.assertEqual((self.doors, self.errors), (["door"], []))
        self.assertRecord(0, 1)
        self.lease.failed(3.0, ResponseTimedOut("silent"))
        self.assertRecord(1, 1)

    def test_failed(self) -> None:
        """A failure is held against the node before anybody hears of it, and named."""
        self.upstream.connecting.errback(ConnectionRefusedError())
        [error] = self.errors
        self.assertIsInstance(error, ConnectFailed)
        self.assertIsInstance(error.__cause__, ConnectionRefusedError)
        self.assertRecord(1, 0)
        self.assertEqual(self.node.stats.connect_failures, 1)

    def test_judged_again(self) -> None:
        """Whoever hears of it may judge and release as well: it counts once."""
        self.upstream.connecting.errback(ConnectFailed("refused"))
        self.lease.failed(2.0, self.errors[0])
        self.lease.release(2.0)
        self.assertRecord(1, 0)

    def test_given_up(self) -> None:
        """A cancel blames nobody and leaves the lease to who cancels: the blame may be theirs to give."""
        self.connecting.cancel()
        self.assertEqual((self.doors, self.errors), ([], []))
        self.assertRecord(0, 1)
        self.lease.failed(3.0, ResponseTimedOut("too slow"))
        self.assertRecord(1, 1)

    def test_refused_at_the_cancel(self) -> None:
        """What an endpoint makes of a cancel does not matter either."""
        stubborn: Deferred[Any] = Deferred(
            lambda d: d.errback(ConnectFailed("refused"))
        )
        self.upstream.connecting = stubborn
        self.connect().cancel()
        self.assertTrue(stubborn.called)
        self.assertEqual(self.errors, [])
        self.assertRecord(0, 1)

    def test_late(self) -> None:
        """A connection that comes in spite of the cancel is closed."""
        door = Door()
        self.upstream.connecting = Deferred(lambda d: d.callback(door))
        self.connect().cancel()
        self.assertTrue(door.cancelled)
        self.assertEqual(self.doors, [])


class RecordTests(WorldTestCase):
    """What a node's record says of connects of whole exchanges."""

    def test_refused(self) -> None:
        """Each refused connect counts once for its node."""
        world = self.world("a", "b", tries=2)
        world.client().send(GET)
        world.refuse("a")
        self.assertEqual(world.in_flight, {"b": 1})
        world.refuse("b")
        for node in world.pool.nodes.values():
            stats = node.stats
            self.assertEqual((stats.failures, stats.connect_failures), (1, 1))

    def test_out_of_time(self) -> None:
        """The time of a try runs out while it connects: that counts, once, as a time-out."""
        world = self.world("a", tries=1, attempts={"try_timeout": 5.0})
        world.client().send(GET)
        world.pass_time(6.0)
        stats = world.pool.nodes["a"].stats
        self.assertEqual((stats.failures, stats.timeouts), (1, 1))

    def test_client_gone(self) -> None:
        """A client that leaves while we connect says nothing about the node."""
        world = self.world("a")
        client = world.client()
        client.send(GET)
        client.lose()
        self.assert_nobody_blamed(world)
        self.assertEqual(world.in_flight, {})

    def test_reconnect(self) -> None:
        """An idle connection that was closed costs nothing; the connect after it counts once."""
        world = self.world("a", tries=1)
        client = world.client()
        client.send(GET)
        backend = world.accept()
        backend.send(OK)
        client.take()
        client.send(GET)
        backend.lose()
        self.assert_nobody_blamed(world)
        self.assertEqual(world.in_flight, {"a": 1})
        world.refuse()
        stats = world.pool.nodes["a"].stats
        self.assertEqual((stats.failures, stats.connect_failures), (1, 1))
