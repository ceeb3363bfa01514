"""Tests of lolly_tx.service.checks.shared_checks: one probe for all pools that ask the same."""

from __future__ import annotations

import gc
from functools import partial
from random import Random

from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from lolly_tx.config.checks import Check, Health
from lolly_tx.config.pools import UpstreamTLS
from lolly_tx.domain.checks.health import Observation
from lolly_tx.domain.errors import ProxyError
from lolly_tx.domain.interfaces import IHealthCheck
from lolly_tx.domain.pool import Pool
from lolly_tx.service.checks.checker import HealthChecker, PoolJudge, place_of
from lolly_tx.service.checks.shared_checks import Seat, SharedChecks
from tests.domain.pools import BAD, pool_of, target
from tests.service.checks.test_checker import FakeCheck

TLS = UpstreamTLS()
A = target("a", host="a", port=80)


class SeatTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.check = FakeCheck(None)
        self.made = 0
        self.shared = SharedChecks()
        self.heard: list[tuple[str, bool]] = []

    def make(self) -> FakeCheck:
        self.made += 1
        return self.check

    def seat(self, health: Health | None = None, tls: UpstreamTLS = TLS) -> Seat:
        seat = self.shared.seat(health or Health(), tls, self.make)
        seat.listen(
            lambda place, one: self.heard.append((place, one.ok)), {place_of(A)}
        )
        return seat

    def test_who_shares(self) -> None:
        """Equal settings share a check; a name or a vote makes no difference, anything else does."""
        seats = [
            self.seat(),
            self.seat(Health(headers={})),
            self.seat(Check(name="x", advisory=True)),
        ]
        self.assertEqual(self.made, 1)
        for health in (
            Health(path="/x"),
            Health(rise=2),
            Health(interval=1.0),
            Health(headers={"X": "y"}),
        ):
            seats.append(self.seat(health))
        seats.append(self.seat(tls=UpstreamTLS(verify=False)))
        self.assertEqual(self.made, 6)
        verifyObject(IHealthCheck, seats[0])

    def test_forgotten(self) -> None:
        """A check nobody has a seat at any more is forgotten."""
        seat = self.seat()
        seat.listen(None)
        del seat
        gc.collect()
        self.seat()
        self.assertEqual(self.made, 2)

    def test_alone(self) -> None:
        """A single pool probes as if there was nothing to share."""
        seat = self.seat()
        checking = seat.check(A)
        self.check.finish("a")
        self.assertTrue(self.successResultOf(checking).ok)
        self.assertEqual(self.heard, [])

    def test_joined(self) -> None:
        """Who asks while a probe is in flight gets its result, with no second probe."""
        one, two = self.seat(), self.seat()
        checks = [one.check(A), two.check(A)]
        self.assertEqual(self.check.asked, ["a"])
        self.check.finish("a", BAD)
        for checking in checks:
            self.assertFalse(self.successResultOf(checking).ok)
        self.assertEqual(self.heard, [])

    def test_heard(self) -> None:
        """Who did not ask hears of the result."""
        one, _two = self.seat(), self.seat()
        one.check(A)
        self.check.finish("a")
        self.assertEqual(self.heard, [(place_of(A), True)])

    def test_heard_by_those_concerned(self) -> None:
        """Only who has the address hears of it, however many pools ask the same of others."""
        one, others = self.seat(), [self.seat() for _ in range(9)]
        for number, each in enumerate(others):
            hear = partial(self.heard_by, number)
            each.listen(hear, {f"http://{number % 3}:80", "http://all:80"})
        for host in ("1", "all"):
            self.heard.clear()
            one.check(target(host, host=host, port=80))
            self.check.finish(host)
            every = range(9) if host == "all" else range(1, 9, 3)
            self.assertEqual(
                self.heard, [(f"{n} http://{host}:80", True) for n in every]
            )
        for each in others:
            each.listen(None)
        one.listen(None)
        self.assertEqual(one._shared.listening, {})

    def heard_by(self, number: int, place: str, seen: Observation) -> None:
        self.heard.append((f"{number} {place}", seen.ok))

    def test_listeners_that_raise(self) -> None:
        """A bug in one listener is logged and keeps nobody else from hearing."""
        one, two, _three = self.seat(), self.seat(), self.seat()

        def broken(place: str, observation: Observation) -> None:
            raise ZeroDivisionError

        two.listen(broken, {place_of(A)})
        one.check(A)
        self.check.finish("a")
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(self.heard, [(place_of(A), True)])

    def test_other_places(self) -> None:
        """Other addresses are other probes."""
        one, two = self.seat(), self.seat()
        one.check(A)
        two.check(target("b", host="b", port=80))
        self.assertEqual(self.check.asked, ["a", "b"])

    def test_one_gives_up(self) -> None:
        """A probe ends when the last who wants it gives up, and can be made again."""
        one, two = self.seat(), self.seat()
        first, second = one.check(A), two.check(A)
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.assertEqual(self.check.cancelled, [])
        second.cancel()
        self.failureResultOf(second, CancelledError)
        self.assertEqual(self.check.cancelled, ["a"])
        again = two.check(A)
        self.check.finish("a")
        self.assertTrue(self.successResultOf(again).ok)

    def test_no_verdict(self) -> None:
        """A probe that could not be made is no result for anybody."""
        one, two = self.seat(), self.seat()
        checks = [one.check(A), two.check(A)]
        self.seat()
        self.check.finish("a", ProxyError("no descriptor"))
        for checking in checks:
            self.failureResultOf(checking, ProxyError)
        self.assertEqual(self.heard, [])


class PoolsTests(SynchronousTestCase):
    """Two pools with a target in common."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.check = FakeCheck()
        self.shared = SharedChecks()
        self.one = pool_of(A, target("b", host="b", port=80))
        self.two = pool_of(target("x", host="a", port=80), fall=2)

    def checker(self, pool: Pool, **settings: float) -> HealthChecker:
        health = Health(interval=10.0, **settings)  # type: ignore[arg-type]
        made = HealthChecker(
            pool,
            self.shared.seat(health, TLS, lambda: self.check),
            health,
            clock=self.clock,
            now=self.clock.seconds,
            random=Random(1),
            judge=PoolJudge(pool),
        )
        self.addCleanup(made.stop)
        return made

    def run_for(self, seconds: float) -> None:
        for _ in range(round(seconds / 0.125)):
            self.clock.advance(0.125)

    def test_one_probe(self) -> None:
        """A target of two pools is probed once per interval, and each pool makes of it what it will."""
        checkers = [self.checker(self.one), self.checker(self.two)]
        for checker in checkers:
            checker.start()
        self.check.asked.clear()
        self.run_for(100)
        self.assertIn(len(self.check.asked), (19, 20, 21))
        self.check.answer = BAD
        self.run_for(10)
        self.assertFalse(self.one.nodes["a"].health.up)
        self.assertTrue(self.two.nodes["x"].health.up)
        self.assertEqual(self.two.nodes["x"].health.against, 1)
        self.run_for(10)
        self.assertFalse(self.two.nodes["x"].health.up)

    def test_one_stops(self) -> None:
        """When one pool stops, the other goes on by itself."""
        checkers = [self.checker(self.one), self.checker(self.two)]
        for checker in checkers:
            checker.start()
        self.run_for(20)
        checkers[0].stop()
        self.check.answer = BAD
        self.run_for(20.5)
        self.assertTrue(self.one.nodes["a"].health.up)
        self.assertFalse(self.two.nodes["x"].health.up)

    def test_membership(self) -> None:
        """Who joins shares, who left hears nothing."""
        checkers = [self.checker(self.one), self.checker(self.two)]
        for checker in checkers:
            checker.start()
        self.run_for(15)
        self.two.replace([target("y", host="b", port=80)], self.clock.seconds())
        self.run_for(15)
        self.check.answer = BAD
        self.run_for(25)
        self.assertFalse(self.two.nodes["y"].health.up)
