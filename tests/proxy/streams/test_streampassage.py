"""Tests of clients of streams at middleware: let in, refused, made to wait, paced."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.config.middleware.access import Access
from lolly_tx.config.middleware.bandwidth import Bandwidth
from lolly_tx.config.middleware.concurrency import Concurrency
from lolly_tx.config.middleware.rate_limit import RateLimit
from lolly_tx.config.middleware.rates import PerTime
from lolly_tx.domain.access.rates import Rates
from lolly_tx.proxy.answer import Answer
from lolly_tx.proxy.chains.link import ASKED, Link
from lolly_tx.proxy.middleware.access import AccessMiddleware
from lolly_tx.proxy.middleware.bandwidth import BandwidthMiddleware
from lolly_tx.proxy.middleware.base import Middleware
from lolly_tx.proxy.middleware.concurrency import ConcurrencyMiddleware
from lolly_tx.proxy.middleware.rate_limit import RateLimitMiddleware
from tests.proxy.streamworld import StreamWorld


class Says(Middleware):
    """Says the same to everybody."""

    touches = frozenset((ASKED,))

    def __init__(self, said: Any) -> None:
        self.said = said

    def request(self, passage: Any) -> Any:
        """It."""
        if isinstance(self.said, Exception):
            raise self.said
        return self.said


class PassageTests(SynchronousTestCase):
    def world(self, *middleware: Any, **settings: Any) -> StreamWorld:
        """With these in front."""
        world = StreamWorld(**settings)
        world.links += [Link(type(one).__name__, one) for one in middleware]
        return world

    def rated(self, world: StreamWorld, delay: bool) -> RateLimitMiddleware:
        """One session a second."""
        settings = RateLimit(PerTime(1, 1), burst=2 if delay else 1, delay=delay)
        now = world.clock.seconds
        return RateLimitMiddleware(settings, Rates(settings.limit), now, world.clock)

    def test_access(self) -> None:
        """Who may not come in is closed before anybody is connected to, and told of."""
        world = self.world(
            AccessMiddleware(Access(allow=(ip_network("192.0.2.0/25"),)))
        )
        stranger = world.client("198.51.100.1")
        self.assertTrue(stranger.disconnecting)
        self.assertEqual(world.attempts(), {})
        self.assertEqual(world.refused, [(403, "AccessMiddleware")])
        self.assertEqual(world.counters.refused, {"AccessMiddleware": 1})
        world.client("192.0.2.9")
        world.accept()
        world.pass_time(1)
        self.assertEqual(len(world.acceptor.doors), 1)

    def test_concurrency(self) -> None:
        """As many at once as may be; who goes makes room, whenever it goes."""
        counting = ConcurrencyMiddleware(Concurrency(limit=1), 1, {})
        world = self.world(counting)
        client, target = world.joined()
        self.assertTrue(world.client().disconnecting)
        self.assertEqual(world.refused, [(503, "ConcurrencyMiddleware")])
        self.assertFalse(world.client("192.0.2.2").disconnecting)
        client.lose()
        target.lose()
        [attempt] = world.attempts()
        world.client().lose()  # while it is connecting
        world.client()
        self.assertEqual(counting.under_way, {b"192.0.2.1": 1, b"192.0.2.2": 1})

    def test_rate(self) -> None:
        """More than the rate are closed, in the words of middleware for requests."""
        world = self.world()
        world.links.append(Link("rate_limit", self.rated(world, False)))
        world.client()
        self.assertTrue(world.client().disconnecting)
        self.assertEqual(world.refused, [(429, "rate_limit")])
        world.pass_time(1.1)
        self.assertFalse(world.client().disconnecting)

    def test_delay(self) -> None:
        """Those that have to wait do so with their bytes kept; a wait that nobody is left for ends."""
        world = self.world()
        world.links.append(Link("rate_limit", self.rated(world, True)))
        world.joined()
        waiting = world.client()
        waiting.send(b"early")
        self.assertEqual(world.attempts(), {})
        world.pass_time(1.1)
        self.assertEqual(world.accept().take(), b"early")
        world.client().lose()
        world.pass_time(1.1)
        self.assertEqual(world.attempts(), {})

    def test_bandwidth(self) -> None:
        """What comes from the target is held up as long as was due; what the client sends is not."""
        world = self.world()
        settings = Bandwidth(1024, burst=1024)
        pacing = BandwidthMiddleware(settings, world.clock.seconds, world.clock)
        world.links.append(Link("bandwidth", pacing))
        client, target = world.joined()
        target.send(b"x" * 3072)
        self.assertEqual(len(client.take()), 3072)
        self.assertTrue(target.paused)
        client.stop_reading()
        client.send(b"y")
        self.assertEqual(target.take(), b"y")
        world.pass_time(1.5)
        target.send(b"more")
        self.assertEqual(client.take(), b"")
        world.pass_time(1)
        self.assertEqual(client.take(), b"more")

    def test_paced_and_full(self) -> None:
        """A client that takes nothing holds the target up beside the pace, and each for itself."""
        world = self.world()
        pacing = BandwidthMiddleware(
            Bandwidth(100 << 10), world.clock.seconds, world.clock
        )
        world.links.append(Link("bandwidth", pacing))
        client, target = world.joined()
        client.stop_reading()
        target.send(b"x" * (150 << 10))
        world.pass_time(2)
        self.assertTrue(target.paused)  # the client still takes nothing
        client.read_on()
        self.assertFalse(target.paused)
        target.send(b"x" * (100 << 10))
        self.assertTrue(target.paused)
        client.reset()
        world.pass_time(2)
        self.assertTrue(world.at_base())

    def test_broken(self) -> None:
        """Middleware that fails lets nobody in."""
        broken: list[Any] = [ValueError("no"), Deferred()]
        for said in broken:
            world = self.world(Says(said))
            client = world.client()
            if isinstance(said, Deferred):
                said.errback(ValueError("no"))
            self.assertTrue(client.disconnecting)
            self.assertEqual(world.refused, [(500, "Says")])
            self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_thinks(self) -> None:
        """One that has thought may refuse; who is gone meanwhile has it cancelled."""
        said: Deferred[Any] = Deferred()
        world = self.world(Says(said))
        client = world.client()
        said.callback(Answer(403, b"", b""))
        self.assertTrue(client.disconnecting)
        cancelled: list[Any] = []
        said = Deferred(cancelled.append)
        world = self.world(Says(said))
        world.client().lose()
        self.assertEqual(cancelled, [said])
        self.assertTrue(world.at_base())

    def test_order(self) -> None:
        """They are asked in turn, and who comes after a refusal is not asked."""
        world = self.world(Says(None), Says(Answer(403, b"", b"")))
        late = ConcurrencyMiddleware(Concurrency(limit=1), 1, {})
        world.links.append(Link("late", late))
        world.client()
        self.assertEqual(late.under_way, {})
