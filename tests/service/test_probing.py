"""Tests of lolly_tx.service.probing and lolly_tx.service.checks.quorum: one check or several, and agents."""

from __future__ import annotations

from random import Random
from typing import Any

from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from lolly_tx.config.checks import Check, Health, TargetAgent
from lolly_tx.config.pools import PoolSettings
from lolly_tx.domain.checks.health import Observation, Thresholds
from lolly_tx.domain.interfaces import IPluginFactory
from lolly_tx.domain.pool import Pool
from lolly_tx.net.checks.kinds import (
    BUILT_IN,
    BadCheckSettings,
    CheckKinds,
    UnknownCheck,
)
from lolly_tx.net.deadlines import Deadlines
from lolly_tx.service.commons import Commons
from lolly_tx.service.probing import Probing, first_state, probing
from lolly_tx.service.surroundings import Surroundings
from tests.domain.pools import BAD, GOOD, Diary, fail, pool_of, target
from tests.service.checks.test_checker import FakeCheck

LAME = Observation(False, "404 from /health", status=404, drain=True)


@implementer(IPluginFactory)
class FakeFactory:
    """Makes the fake checks of the types "one", "two", ..."""

    settings = Health

    def __init__(self, name: str) -> None:
        self.name = name
        self.made = FakeCheck()

    def build(self, settings: Any, deps: Any) -> FakeCheck:
        return self.made


class Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        self.fakes = {name: FakeFactory(name) for name in ("one", "two", "three")}
        self.diary = Diary()
        now = self.reactor.seconds
        self.commons = Commons(
            Surroundings(self.reactor, now, now, Random(1)),
            Deadlines(self.reactor, now),
            self.diary,
            kinds=CheckKinds([*self.fakes.values()]),
        )

    def start(self, **settings: Any) -> Probing:
        targets = tuple(target(n, host=n, port=80) for n in "ab")
        self.settings = PoolSettings("p", targets, **settings)
        thresholds, initial = first_state(self.settings)
        self.pool: Pool = pool_of(
            *targets,
            events=self.diary,
            initial=initial,
            rise=thresholds.rise,
            fall=thresholds.fall,
        )
        made = probing(self.settings, self.pool, self.commons)
        made.start()
        self.addCleanup(made.stop)
        return made

    def run_for(self, seconds: float) -> None:
        for _ in range(round(seconds / 0.25)):
            self.reactor.advance(0.25)

    def answers(self, **answers: Observation) -> None:
        for name, answer in answers.items():
            self.fakes[name].made.answer = answer

    def up(self) -> list[bool]:
        return [node.health.up for node in self.pool.nodes.values()]


class ProbingTests(Case):
    def test_nothing(self) -> None:
        """A pool without checks is not probed, and up."""
        made = self.start()
        self.assertEqual((made.checkers, made.ballot, made.agents), ((), None, None))
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.assertEqual(self.up(), [True, True])
        self.assertIn("p", repr(made))

    def test_one_check(self) -> None:
        """One check speaks to the pool itself, with the thresholds of its settings."""
        made = self.start(health=Health(type="one", fall=2, initial="probation"))
        self.assertEqual(self.pool.thresholds, Thresholds(1, 2))
        self.assertIsNone(made.ballot)
        self.assertEqual(self.up(), [True, True])
        self.answers(one=BAD)
        self.run_for(10)
        self.assertEqual(self.up(), [True, True])
        self.run_for(10)
        self.assertEqual(self.up(), [False, False])

    def test_two_pools_share(self) -> None:
        """Pools of one process that ask the same of the same targets share the probes."""
        self.start(health=Health(type="one"))
        self.start(health=Health(type="one"))
        asked = self.fakes["one"].made.asked
        asked.clear()
        self.run_for(50)
        self.assertIn(len(asked), (9, 10, 11))

    def test_settings_a_check_refuses(self) -> None:
        """A check that cannot be made is told with the name of its pool."""
        error = self.assertRaises(UnknownCheck, self.start, health=Health(type="x"))
        self.assertIn("pool p: no check 'x'; there are: one, three, two", str(error))
        self.commons.kinds.register(BUILT_IN[3])
        bad = Health(type="script")
        error = self.assertRaises(BadCheckSettings, self.start, health=bad)
        self.assertIn('pool p: check of type "script": a script needs', str(error))

    def test_agent(self) -> None:
        """Agents are asked over connections of their own."""
        self.start(agent=TargetAgent(8099))
        ports = [client[1] for client in self.reactor.tcpClients]
        self.assertEqual(ports, [8099, 8099])
        self.assertTrue(self.reactor.getDelayedCalls())

    def test_start_and_stop(self) -> None:
        """Starting twice starts once; after a stop nothing is left, and it can be started again."""
        made = self.start(
            checks=(Check(name="x", type="one"), Check(name="y", type="two")),
            agent=TargetAgent(8099, host="127.0.0.1"),
        )
        calls = len(self.reactor.getDelayedCalls())
        made.start()
        self.assertEqual(len(self.reactor.getDelayedCalls()), calls)
        made.stop()
        made.stop()
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.assertIsNone(self.pool.suspect)
        made.start()
        self.assertEqual(len(self.fakes["one"].made.asked), 4)

    def test_taken_over(self) -> None:
        """Other checks of the same pool hear of failed traffic, also once the checks before them have stopped."""
        before = self.start(checks=(Check(name="x", type="one"),))
        after = probing(self.settings, self.pool, self.commons)
        after.start()
        self.addCleanup(after.stop)
        before.stop()
        self.assertEqual(self.pool.suspect, after._suspect)

    def test_suspicion_reaches_every_check(self) -> None:
        """A failed request has those checks look that observe."""
        self.start(
            checks=(
                Check(name="x", type="one", observe=True),
                Check(name="y", type="two"),
                Check(name="z", type="three", observe=True),
            )
        )
        self.run_for(3)
        fail(self.pool, self.reactor.seconds())
        self.run_for(0.25)
        asked = [len(fake.made.asked) for fake in self.fakes.values()]
        self.assertEqual(asked, [3, 2, 3])


class BallotTests(Case):
    checks = (
        Check(name="x", type="one"),
        Check(name="y", type="two"),
        Check(name="z", type="three"),
    )

    def test_two_of_three(self) -> None:
        """Two of three keep a target up; when the second fails it is down, with all causes."""
        self.start(checks=self.checks, quorum=2)
        self.answers(one=BAD)
        self.run_for(10)
        self.assertEqual(self.up(), [True, True])
        flips = sorted(self.diary.words("check"))
        self.assertEqual(flips, ["a: up -> down", "b: up -> down"])
        self.answers(two=BAD)
        self.run_for(10)
        self.assertEqual(self.up(), [False, False])
        event = next(e for e in self.diary.events if e.fact == "health")
        self.assertEqual(
            event.cause,
            "check: 1 of 3 checks up, 2 needed; x: down (503 from /health),"
            " y: down (503 from /health)",
        )
        self.answers(one=GOOD)
        self.run_for(10)
        self.assertEqual(self.up(), [True, True])

    def test_each_check_counts_for_itself(self) -> None:
        """The threshold of a check is for its own results, however often the others speak."""
        checks = (
            Check(name="x", type="one", fall=3),
            Check(name="y", type="two", interval=1.0),
        )
        self.start(checks=checks)
        self.answers(one=BAD)
        self.run_for(20)
        self.assertEqual(self.up(), [True, True])
        self.run_for(10)
        self.assertEqual(self.up(), [False, False])

    def test_advisory(self) -> None:
        """An advisory check is reported and takes nobody down."""
        checks = (self.checks[0], Check(name="y", type="two", advisory=True))
        self.start(checks=checks)
        self.answers(two=BAD)
        self.run_for(30)
        self.assertEqual(self.up(), [True, True])
        self.assertEqual(
            [e.cause for e in self.diary.events],
            ["y (advisory): 503 from /health"] * 2,
        )

    def test_initial(self) -> None:
        """Before the first results the initial opinions are counted like all others."""
        down = Check(name="x", initial="down")
        up = Check(name="y")
        for checks, quorum, word in (
            ((down, up), 0, "down"),
            ((down, up), 1, "up"),
            ((up, up), 0, "up"),
        ):
            settings = PoolSettings("p", (target("a"),), checks=checks, quorum=quorum)
            self.assertEqual(first_state(settings), (Thresholds(), word))

    def test_drain(self) -> None:
        """One check that asks for no new clients is enough for that."""
        self.start(checks=self.checks)
        self.answers(one=LAME)
        self.run_for(10)
        self.assertEqual(self.up(), [True, True])
        self.assertTrue(self.pool.nodes["a"].lame)
        self.answers(one=GOOD)
        self.run_for(10)
        self.assertFalse(self.pool.nodes["a"].lame)

    def test_who_left(self) -> None:
        """Opinions about a target that left are forgotten, also when it comes back."""
        made = self.start(checks=self.checks)
        assert made.ballot is not None
        self.answers(one=BAD)
        self.run_for(10)
        both = [node.target for node in self.pool.nodes.values()]
        self.pool.replace(both[1:], self.reactor.seconds())
        made.ballot.take(0, "a", BAD, self.reactor.seconds())
        self.assertTrue(made.ballot.of("a")[0].health.up)
        self.pool.replace(both, self.reactor.seconds())
        self.assertTrue(made.ballot.of("a")[0].health.up)
        self.assertFalse(made.ballot.of("b")[0].health.up)
