"""Tests of what the exchanges of a pool come to."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.domain.histogram import NONE, sparse
from lolly_tx.proxy.counters import Counters, Served
from tests.proxy.world import GET, OK, WorldTestCase, post


def filled() -> Counters:
    """Some numbers."""
    counters = Counters()
    web = counters.begin("web")
    web.codes.update({200: 3, 404: 1})
    web.bytes_in, web.bytes_out, web.seconds = 5, 7, 0.25
    web.slower[2] = 1
    counters.begin("other").codes[200] = 2
    counters.retries, counters.failed = 4, 1
    return counters


class CountersTests(SynchronousTestCase):
    def test_sums(self) -> None:
        """What is counted by listener is the pool's together."""
        counters = filled()
        self.assertEqual(counters.exchanges, 6)
        self.assertEqual((counters.bytes_in, counters.bytes_out), (5, 7))

    def test_told_and_taken(self) -> None:
        """Another image of the code goes on from the same numbers, in the same dictionary."""
        counters = Counters()
        served = counters.served
        counters.take(filled().as_dict())
        self.assertEqual(counters.as_dict(), filled().as_dict())
        self.assertIs(counters.served, served)

    def test_older_code_said_less(self) -> None:
        """What it does not know begins at 0."""
        counters = Counters()
        counters.take({"served": {"web": {"codes": {"200": 1}}}})
        self.assertEqual((counters.exchanges, counters.hedges), (1, 0))
        self.assertEqual(counters.served["web"].slower, list(NONE))

    def test_nonsense(self) -> None:
        """It is refused, and nothing of it taken."""
        counters = filled()
        for wrong in (
            {"retries": "x"},
            {"retries": 9, "served": {"web": {"codes": {"ok": 1}}}},
            {"served": {"web": {"slower": {"99": 1}}}},
        ):
            with self.assertRaises((ValueError, LookupError)):
                counters.take(wrong)
            self.assertEqual(counters.as_dict(), filled().as_dict())

    def test_added_up(self) -> None:
        """All of it."""
        one = Served()
        for other in filled().served.values():
            one.add(other)
        self.assertEqual(one.codes, {200: 5, 404: 1})
        self.assertEqual((one.bytes_in, one.bytes_out, one.seconds), (5, 7, 0.25))
        self.assertEqual(one.slower[2], 1)


class RecordedTests(WorldTestCase):
    def test_status_bytes_and_time(self) -> None:
        """Each exchange is counted by listener and status, with its bytes and how long it took."""
        world = self.world()
        client = world.client()
        client.send(post(3, b"abc"))
        backend = world.accept()
        world.pass_time(0.3)
        backend.send(b"HTTP/1.1 404 No\r\nContent-Length: 4\r\n\r\nwxyz")
        world.pass_time()
        served = world.forwarder.counters.served["web"]
        self.assertEqual(served.codes, {404: 1})
        self.assertEqual((served.bytes_in, served.bytes_out), (3, 4))
        self.assertAlmostEqual(served.seconds, 0.3)
        self.assertEqual(sparse(served.slower), {"7": 1})
        self.assertEqual(sparse(world.pool.nodes["a"].stats.slower), {"7": 1})

    def test_quick_ones_cost_no_bucket(self) -> None:
        """They are what is left of all."""
        world = self.world()
        client = world.client()
        client.send(GET)
        world.accept().send(OK)
        served = world.forwarder.counters.served["web"]
        self.assertEqual((served.codes, sparse(served.slower)), ({200: 1}, {}))

    def test_client_that_left(self) -> None:
        """It is counted, as a 499."""
        world = self.world()
        client = world.client()
        client.send(GET)
        world.accept()
        client.lose()
        world.pass_time()
        counters = world.forwarder.counters
        self.assertEqual(counters.served["web"].codes, {499: 1})
        self.assertEqual((counters.gone, counters.failed), (1, 0))

    def test_websocket(self) -> None:
        """How long it lasts says nothing of how quick we are: it took as long as the answer."""
        world = self.world()
        client = world.client()
        client.send(
            b"GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
            b"\r\n"
        )
        backend = world.accept()
        world.pass_time(0.2)
        backend.send(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"
            b"Upgrade: websocket\r\n\r\n"
        )
        world.pass_time(30.0)
        client.lose()
        world.pass_time(1.0)
        served = world.forwarder.counters.served["web"]
        self.assertEqual(served.codes, {101: 1})
        self.assertAlmostEqual(served.seconds, 0.2)
