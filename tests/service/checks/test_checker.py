"""Tests of lolly_tx.service.checks.checker: when targets are probed, and what comes of it."""

from __future__ import annotations

from random import Random
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from lolly_tx.config.pools import Health
from lolly_tx.domain.checks.health import Observation
from lolly_tx.domain.errors import ProxyError
from lolly_tx.domain.interfaces import IHealthCheck
from lolly_tx.domain.node import Node
from lolly_tx.domain.pool import Pool, UnknownNode
from lolly_tx.domain.target import Target
from lolly_tx.service.checks.checker import HealthChecker, PoolJudge
from tests.domain.pools import BAD, GOOD, Diary, pool_of, target


@implementer(IHealthCheck)
class FakeCheck:
    """Keeps what is asked. `answer`: what every probe finds at once, or None."""

    def __init__(self, answer: Observation | None = GOOD) -> None:
        self.answer = answer
        self.asked: list[str] = []
        self.waiting: dict[str, Deferred[Observation]] = {}
        self.cancelled: list[str] = []
        self.most = 0

    def check(self, target: Target) -> Deferred[Observation]:
        self.asked.append(target.id)
        if self.answer is not None:
            return succeed(self.answer)
        name = target.id
        assert name not in self.waiting, "probes of one target overlap"

        def cancel(_: Any) -> None:
            self.cancelled.append(name)
            del self.waiting[name]

        self.waiting[name] = Deferred(cancel)
        self.most = max(self.most, len(self.waiting))
        return self.waiting[name]

    def finish(self, name: str, result: Any = GOOD) -> None:
        """Let a waiting probe end."""
        waiting = self.waiting.pop(name)
        if isinstance(result, Exception):
            waiting.errback(result)
        else:
            waiting.callback(result)


class Case(SynchronousTestCase):
    names: tuple[str, ...] = ("a", "b", "c")

    def setUp(self) -> None:
        self.clock = Clock()
        self.check = FakeCheck()
        self.diary = Diary()
        self.pool = pool_of(*self.names, events=self.diary)

    def checker(self, pool: Pool | None = None, **settings: Any) -> HealthChecker:
        made = HealthChecker(
            pool or self.pool,
            self.check,
            Health(**settings),
            clock=self.clock,
            now=self.clock.seconds,
            random=Random(1),
        )
        self.addCleanup(made.stop)
        return made

    def run_for(self, seconds: float, step: float = 0.125) -> None:
        """Let time pass in small steps, as it does."""
        for _ in range(round(seconds / step)):
            self.clock.advance(step)

    def times(self, name: str, seconds: float, step: float = 0.125) -> list[float]:
        """When `name` is probed within the next `seconds`."""
        seen = []
        for _ in range(round(seconds / step)):
            before = self.check.asked.count(name)
            self.clock.advance(step)
            if self.check.asked.count(name) > before:
                seen.append(round(self.clock.seconds(), 3))
        return seen


class CadenceTests(Case):
    def test_first_round_at_once(self) -> None:
        """Every target is probed when the checker starts."""
        self.checker().start()
        self.assertEqual(self.check.asked, ["a", "b", "c"])

    def test_one_probe_each_interval(self) -> None:
        """Over many intervals each target gets exactly one probe in each."""
        checker = self.checker()
        checker.start()
        for count in range(1, 30):
            self.run_for(10)
            for name in self.names:
                self.assertEqual(self.check.asked.count(name), 1 + count)
        self.assertEqual(checker.probes, 90)

    def test_a_single_target_is_probed_on_the_interval(self) -> None:
        """With one target there is nothing to spread."""
        self.checker(pool_of("a"), interval=2.0).start()
        self.assertEqual(self.times("a", 8), [2.0, 4.0, 6.0, 8.0])

    def test_phases_are_spread(self) -> None:
        """After the first round the targets take turns within the interval."""
        self.checker(interval=3.0).start()
        self.check.asked.clear()
        seen = []
        for _ in range(30):
            before = len(self.check.asked)
            self.clock.advance(0.1)
            seen.append(len(self.check.asked) - before)
        self.assertEqual(max(seen), 1)
        self.assertEqual(sorted(self.check.asked), ["a", "b", "c"])

    def test_jitter(self) -> None:
        """Jitter shifts each probe by no more than its share of the interval."""
        self.checker(pool_of("a"), interval=10.0, jitter=0.2).start()
        times = self.times("a", 500)
        gaps = [later - sooner for sooner, later in zip(times, times[1:], strict=False)]
        self.assertGreater(max(gaps) - min(gaps), 2.0)
        self.assertGreaterEqual(min(gaps), 10 * 0.8 - 0.6)
        self.assertLessEqual(max(gaps), 10 * 1.2 + 0.6)

    def test_short_intervals(self) -> None:
        """An interval below the shortest tick is kept."""
        self.checker(pool_of("a"), interval=0.01).start()
        for _ in range(100):
            self.clock.advance(0.01)
        self.assertEqual(len(self.check.asked), 101)

    def test_clock_jump(self) -> None:
        """After the machine slept through many intervals, each target is probed once."""
        self.checker(interval=1.0).start()
        self.run_for(1)
        self.check.asked.clear()
        self.clock.advance(3600)
        self.assertEqual(sorted(self.check.asked), ["a", "b", "c"])
        self.run_for(1)
        self.assertEqual(len(self.check.asked), 6)

    def test_clock_jump_backwards(self) -> None:
        """A step back of the loop's clock does not stop the probes."""
        now = [0.0]
        made = HealthChecker(
            pool_of("a"),
            self.check,
            Health(interval=1.0),
            clock=self.clock,
            now=lambda: now[0],
            random=Random(1),
        )
        self.addCleanup(made.stop)
        made.start()
        self.clock.rightNow -= 0.02
        for _ in range(200):
            self.clock.advance(0.05)
            now[0] += 0.05
        self.assertIn(len(self.check.asked), (10, 11))

    def test_pump(self) -> None:
        """Uneven ticks do not add up to drift."""
        self.checker(pool_of("a"), interval=1.0).start()
        self.clock.pump([0.07] * 1000)
        self.assertIn(len(self.check.asked), (70, 71))


class FlightTests(Case):
    def setUp(self) -> None:
        super().setUp()
        self.check.answer = None

    def test_a_slow_target_delays_nobody(self) -> None:
        """While one target keeps its probe, the others are probed as usual."""
        self.checker(interval=1.0, timeout=60.0).start()
        for _ in range(5):
            for name in ("b", "c"):
                if name in self.check.waiting:
                    self.check.finish(name)
            self.run_for(1)
        self.assertEqual(self.check.asked.count("a"), 1)
        self.assertGreaterEqual(self.check.asked.count("b"), 5)
        self.assertEqual(len(self.check.waiting), 3)

    def test_after_a_slow_probe(self) -> None:
        """A probe that took longer than the interval is followed by the next within a tick."""
        self.checker(pool_of("a"), interval=1.0, timeout=60.0).start()
        self.run_for(3.5)
        self.check.finish("a")
        self.run_for(0.25)
        self.assertEqual(self.check.asked, ["a", "a"])

    def test_cap(self) -> None:
        """No more probes than allowed are in flight; the rest follow as they end."""
        pool = pool_of(*[f"t{n}" for n in range(20)])
        checker = self.checker(pool, concurrency=4)
        checker.start()
        self.assertEqual(checker.in_flight, 4)
        for number in range(20):
            self.check.finish(f"t{number}")
            self.clock.advance(0)
        self.assertEqual(len(set(self.check.asked)), 20)
        self.assertEqual((self.check.most, checker.in_flight), (4, 0))

    def test_many_that_answer_at_once(self) -> None:
        """A thousand probes that end as they begin do not pile up on the stack."""
        self.check.answer = GOOD
        pool = pool_of(*[f"t{n}" for n in range(1000)])
        self.checker(pool, concurrency=1).start()
        self.assertEqual(len(self.check.asked), 1000)

    def test_turns(self) -> None:
        """Probes that take long to start let everything else have its turn in between."""
        begun, spent = [], [0.0]
        check = FakeCheck(None)

        class SlowToStart(HealthChecker):
            def ask(self, node: Node) -> Deferred[Any]:
                spent[0] += 0.001
                return super().ask(node)

        pool = pool_of(*[f"t{n}" for n in range(12)])
        checker = SlowToStart(
            pool,
            check,
            Health(),
            clock=self.clock,
            now=lambda: self.clock.seconds() + spent[0],
            random=Random(1),
        )
        self.addCleanup(checker.stop)
        checker.start()
        begun.append(len(check.asked))
        self.clock.callLater(0, lambda: begun.append(len(check.asked)))
        self.clock.advance(0)
        begun.append(len(check.asked))
        self.assertEqual(begun, [2, 4, 12])

    def test_stop_between_turns(self) -> None:
        """A stop while others have their turn leaves no timer, and no probe starts after it."""
        checker = self.checker(concurrency=1)
        self.check.answer = None
        checker.start()
        self.check.finish("a")
        checker.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.check.asked, ["a"])

    def test_standstill(self) -> None:
        """After a standstill the probes in flight are read before anybody is given up."""
        self.checker(timeout=2.0).start()
        self.run_for(1)
        self.clock.advance(3.5)
        self.assertEqual(self.check.cancelled, [])
        for name in self.names:
            self.check.finish(name)
        self.run_for(1)
        self.assertTrue(all(node.health.up for node in self.pool.nodes.values()))

    def test_a_check_without_a_limit_of_its_own(self) -> None:
        """A probe that never ends is given up, and the target is down."""
        self.checker(pool_of("a"), timeout=5.0).start()
        self.run_for(6)
        self.assertEqual(self.check.cancelled, [])
        self.run_for(1)
        self.assertEqual(self.check.cancelled, ["a"])
        self.run_for(3.5)
        self.assertEqual(self.check.asked, ["a", "a"])


class VerdictTests(Case):
    def test_observations_reach_the_pool(self) -> None:
        """A bad probe takes a target down, a good one up, each told once with its cause."""
        self.check.answer = BAD
        checker = self.checker(interval=1.0)
        checker.start()
        self.run_for(2)
        self.assertFalse(any(n.health.up for n in self.pool.nodes.values()))
        self.check.answer = GOOD
        self.run_for(2)
        self.assertTrue(all(n.health.up for n in self.pool.nodes.values()))
        self.assertEqual(
            sorted(self.diary.words("health")),
            sorted(
                f"{name}: {change}"
                for name in self.names
                for change in ("down -> up", "up -> down")
            ),
        )
        self.assertEqual(self.diary.events[0].cause, "check: 503 from /health")

    def test_absent(self) -> None:
        """Who has nobody to connect to is not probed, and at once when somebody is asked for."""
        checker = self.checker(interval=1.0)
        checker.start()
        node = self.pool.nodes["a"]
        self.pool.roster.set_absent(node, "no connector", self.clock.seconds())
        self.run_for(5)
        self.assertEqual(self.check.asked.count("a"), 1)
        self.assertGreater(self.check.asked.count("b"), 2)
        self.pool.roster.set_absent(node, "", self.clock.seconds())
        checker.hurry("a", self.clock.seconds())
        self.clock.advance(0)
        self.assertEqual(self.check.asked.count("a"), 2)

    def test_marks(self) -> None:
        """A target can be marked by hand, until the next probe says otherwise."""
        checker = self.checker()
        checker.mark_unhealthy("a")
        self.assertFalse(self.pool.nodes["a"].health.up)
        checker.mark_healthy("a")
        self.assertTrue(self.pool.nodes["a"].health.up)
        self.assertRaises(UnknownNode, checker.mark_healthy, "zzz")
        checker.mark_unhealthy("a")
        checker.start()
        self.assertTrue(self.pool.nodes["a"].health.up)

    def test_thresholds_of_its_settings(self) -> None:
        """The pool goes by `rise` and `fall` of the checker's settings."""
        pool = pool_of("a")
        checker = self.checker(pool, interval=1.0, rise=2, fall=3)
        checker.start()
        node = pool.nodes["a"]
        self.check.answer = BAD
        words = []
        for _ in range(4):
            self.run_for(1)
            words.append(node.health.word)
        self.assertEqual(words[:2], ["up", "up"])
        self.assertEqual(words[-1], "down")
        self.check.answer = GOOD
        self.run_for(1)
        self.assertEqual(node.health.word, "down")
        self.run_for(1)
        self.assertEqual(node.health.word, "up")

    def test_initial_of_its_settings(self) -> None:
        """Targets that nobody has checked begin as `initial` says, those that join later as well."""
        pool = pool_of("a", "b")
        pool.mark("b", True, "by hand", 0.0)
        pool.observe("b", GOOD, 0.0)
        self.checker(pool, initial="down", rise=2)
        self.assertEqual([n.id for n in pool.available(0.0)], ["b"])
        pool.replace([target("a"), target("b"), target("c")], 1.0)
        self.assertFalse(pool.nodes["c"].health.up)
        pool = pool_of("a")
        self.checker(pool, initial="probation", rise=3)
        pool.observe("a", GOOD, 0.0)
        self.assertTrue(pool.nodes["a"].health.up)

    def test_a_judge_has_thresholds_of_its_own(self) -> None:
        """A checker that reports to somebody else leaves the pool's thresholds alone."""
        pool = pool_of("a")
        HealthChecker(
            pool,
            self.check,
            Health(rise=2, fall=3, initial="down"),
            clock=self.clock,
            now=self.clock.seconds,
            random=Random(1),
            judge=PoolJudge(pool),
        )
        self.assertEqual((pool.thresholds.fall, pool.initial), (1, "up"))

    def test_times_of_nothing(self) -> None:
        """Intervals, timeouts and counts of 0 are refused when the checker is made."""
        for wrong in (
            {"interval": 0.0},
            {"timeout": 0.0},
            {"timeout": -1.0},
            {"concurrency": 0},
            {"rise": 0},
            {"fall": 0},
        ):
            with self.assertRaises(ValueError):
                self.checker(**wrong)

    def test_settings_are_readable(self) -> None:
        """Interval, timeout and path can be asked for."""
        checker = self.checker(interval=3.0, timeout=2.0, path="/up")
        self.assertEqual(
            (checker.interval, checker.timeout, checker.path), (3.0, 2.0, "/up")
        )
        self.assertIn("stopped", repr(checker))
        checker.start()
        self.assertIn("running, 0 probes", repr(checker))


class LifeTests(Case):
    def test_start_and_stop_are_idempotent(self) -> None:
        """Starting twice starts one loop; stopping twice stops it."""
        checker = self.checker()
        self.assertFalse(checker.is_running)
        checker.stop()
        checker.start()
        checker.start()
        self.assertTrue(checker.is_running)
        self.assertEqual(len(self.check.asked), 3)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        checker.stop()
        checker.stop()
        self.assertFalse(checker.is_running)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stop_cancels_what_is_in_flight(self) -> None:
        """When stop returns, no probe is left, and none is held against its target."""
        self.check.answer = None
        checker = self.checker()
        checker.start()
        checker.stop()
        self.assertEqual(self.check.cancelled, ["a", "b", "c"])
        self.assertEqual(checker.in_flight, 0)
        self.assertEqual(self.diary.events, [])
        self.run_for(30)
        self.assertEqual(len(self.check.asked), 3)

    def test_start_after_stop(self) -> None:
        """It can be started again, with a first round at once."""
        self.check.answer = None
        checker = self.checker()
        for _ in range(3):
            checker.start()
            self.assertEqual(sorted(self.check.waiting), ["a", "b", "c"])
            checker.stop()
        self.assertEqual(len(self.check.asked), 9)
        self.check.answer = GOOD
        checker.start()
        self.check.asked.clear()
        self.run_for(20)
        self.assertEqual(len(self.check.asked), 6)

    def test_stop_from_within_a_verdict(self) -> None:
        """Whoever hears of a flip may stop the checker."""
        self.check.answer = BAD
        checker = self.checker()
        self.diary.emit = lambda event: checker.stop()  # type: ignore[method-assign]
        checker.start()
        self.assertFalse(checker.is_running)
        self.run_for(30)
        self.assertEqual(len(self.check.asked), 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class MembershipTests(Case):
    def test_who_joins_is_probed_soon(self) -> None:
        """A new target is probed within a tick, and then on the interval."""
        self.checker().start()
        self.pool.replace([target(n) for n in ("a", "b", "c", "d")], 0.0)
        self.run_for(1)
        self.assertEqual(self.check.asked.count("d"), 1)
        self.run_for(100)
        self.assertIn(self.check.asked.count("d"), (11, 12))

    def test_who_leaves_is_left_alone(self) -> None:
        """A target that left is not probed any more, also with a probe in flight."""
        self.check.answer = None
        checker = self.checker()
        checker.start()
        self.check.finish("b")
        self.pool.replace([target("c")], 0.0)
        self.run_for(1)
        self.assertEqual(self.check.cancelled, ["a"])
        self.assertEqual(checker.in_flight, 1)
        self.check.finish("c")
        self.check.asked.clear()
        self.run_for(20)
        self.assertEqual(set(self.check.asked), {"c"})

    def test_leaving_between_looks(self) -> None:
        """A target that leaves while it waits for room is skipped."""
        self.check.answer = None
        self.checker(concurrency=1).start()
        self.pool.replace([target("a"), target("c")], 0.0)
        self.check.finish("a")
        self.clock.advance(0)
        self.assertEqual(self.check.asked, ["a", "c"])

    def test_one_for_another(self) -> None:
        """As many join as leave: that is seen as well."""
        self.checker().start()
        self.pool.replace([target(n) for n in ("a", "b", "d")], 0.0)
        self.run_for(1)
        self.assertEqual(self.check.asked, ["a", "b", "c", "d"])


class TroubleTests(Case):
    """The loop goes on whatever a check or a sink does."""

    def test_check_that_raises(self) -> None:
        """A check with a bug is logged, says nothing about targets, and is tried again."""
        checker = self.checker()

        def broken(target: Target) -> Any:
            self.check.asked.append(target.id)
            raise ZeroDivisionError(target.id)

        self.check.check = broken  # type: ignore[method-assign]
        checker.start()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 3)
        self.run_for(10.5)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 3)
        self.assertTrue(checker.is_running)
        self.assertEqual(self.diary.events, [])

    def test_check_without_deferred(self) -> None:
        """So is one that answers with something else, and it is asked again after an interval."""
        checker = self.checker()

        def wrong(target: Target) -> Any:
            self.check.asked.append(target.id)
            return GOOD

        self.check.check = wrong  # type: ignore[method-assign]
        checker.start()
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 3)
        self.run_for(10.5)
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 3)
        self.assertEqual(self.diary.events, [])

    def test_check_that_fails(self) -> None:
        """So is one whose Deferred fails."""
        self.check.answer = None
        checker = self.checker()
        checker.start()
        self.check.finish("a", ZeroDivisionError("x"))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(self.diary.events, [])
        self.check.finish("b", CancelledError())
        self.assertEqual(len(self.flushLoggedErrors(CancelledError)), 1)
        self.run_for(10.5)
        self.assertEqual(self.check.asked.count("a"), 2)

    def test_no_verdict(self) -> None:
        """Without descriptors nothing is learned; that is said once, not at each probe."""
        self.check.answer = None
        checker = self.checker()
        said: list[str] = []
        checker.log = _Log(said)  # type: ignore[assignment]
        checker.start()
        for name in self.names:
            self.check.finish(name, ProxyError("no file descriptor left"))
        self.assertEqual(said, ["no file descriptor left"])
        self.assertEqual(self.diary.events, [])
        self.run_for(10)
        self.check.finish("a")
        self.check.finish("b", ProxyError("no file descriptor left"))
        self.assertEqual(len(said), 2)

    def test_sink_that_raises(self) -> None:
        """A bug in who listens to flips does not end the probes."""
        self.check.answer = BAD
        checker = self.checker()

        def broken(event: Any) -> None:
            raise ZeroDivisionError

        self.diary.emit = broken  # type: ignore[method-assign]
        checker.start()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 3)
        self.check.asked.clear()
        self.run_for(10)
        self.assertEqual(len(self.check.asked), 3)

    def test_pool_that_raises(self) -> None:
        """Nor does a bug anywhere else in a turn of the loop."""
        checker = self.checker()
        checker.start()
        nodes, self.pool.nodes = self.pool.nodes, None  # type: ignore[assignment]
        self.run_for(1)
        self.assertTrue(self.flushLoggedErrors(TypeError))
        self.pool.nodes = nodes
        self.run_for(10)
        self.assertEqual(len(self.check.asked), 6)


class _Log:
    """Keeps the excuses of warnings."""

    def __init__(self, said: list[str]) -> None:
        self._said = said

    def warn(self, format: str, **fields: Any) -> None:
        self._said.append(fields["excuse"])
