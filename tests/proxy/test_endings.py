"""Tests of exchanges that are over, and told of some at a time."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.proxy.endings import MOST, TELL_SECONDS, Endings
from tests.proxy.world import WorldTestCase

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class EndingsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.endings = Endings(self.clock)
        self.heard: list[Any] = []

    def test_every_now_and_then(self) -> None:
        """What is over is told of soon, in order, to each writer."""
        self.endings.start()
        self.endings.go_by((self.heard.extend, self.heard.append))
        one, other = (object(), 1.0), (object(), 2.0)
        self.endings.ended += (one, other)
        self.clock.advance(TELL_SECONDS / 2)
        self.assertEqual(self.heard, [])
        self.clock.advance(TELL_SECONDS)
        self.assertEqual(self.heard, [one, other, [one, other]])
        self.clock.advance(TELL_SECONDS)
        self.assertEqual(len(self.heard), 3)

    def test_nobody(self) -> None:
        """Without a writer no timer runs, and it ends with the last writer."""
        self.endings.start()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.endings.go_by((self.heard.append,))
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.endings.go_by(())
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_other_writers(self) -> None:
        """Who is not to be told any more is told of what was over before."""
        later: list[Any] = []
        self.endings.go_by((self.heard.extend,))
        self.endings.ended.append((1, 1.0))
        self.endings.go_by((later.extend,))
        self.endings.ended.append((2, 2.0))
        self.endings.stop()
        self.assertEqual((self.heard, later), ([(1, 1.0)], [(2, 2.0)]))

    def test_raises(self) -> None:
        """A writer that fails is logged; the others are told, and later of the next."""

        def fails(ended: list[Any]) -> None:
            raise ZeroDivisionError

        self.endings.go_by((fails, self.heard.extend))
        for number in range(2):
            self.endings.ended.append((number, 0.0))
            self.endings.tell()
        self.assertEqual(self.heard, [(0, 0.0), (1, 0.0)])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)


class ExchangeTests(WorldTestCase):
    def test_many(self) -> None:
        """On a busy proxy so many are told of together."""
        world = self.world("a")
        heard: list[int] = []
        endings = Endings(world.clock)
        endings.go_by((lambda ended: heard.append(len(ended)),))
        world.forwarder._endings = endings
        client = world.client()
        client.send(GET)
        backend = world.accept("a")
        backend.send(ANSWER)
        for _ in range(MOST):
            client.send(GET)
            backend.send(ANSWER)
        self.assertEqual(heard, [MOST])
        endings.tell()
        self.assertEqual(heard, [MOST, 1])

    def test_at_once(self) -> None:
        """Who wants each at once has it, with the time when it was over."""
        world = self.world("a")
        heard: list[Any] = []
        endings = Endings(world.clock)
        endings.go_by((heard.extend,), at_once=True)
        world.forwarder._endings = endings
        world.client().send(GET)
        world.pass_time(0.5)
        world.accept("a").send(ANSWER)
        self.assertEqual(heard, [(world.ended[0], world.clock.seconds())])
