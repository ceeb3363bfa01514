"""Tests of lolly_tx.service.checks.target_agents: asking targets what they say of themselves."""

from __future__ import annotations

from random import Random
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.config.checks import TargetAgent
from lolly_tx.domain.checks.target_agent import AgentReport, parse_line
from lolly_tx.domain.errors import ProxyError
from lolly_tx.domain.target import Target
from lolly_tx.service.checks.target_agents import TargetAgentRounds
from tests.domain.pools import Diary, pool_of, target


class FakeChannel:
    """Agents by target; an exception is silence, None an agent that hangs."""

    def __init__(self) -> None:
        self.lines: dict[str, Any] = {}
        self.asked: list[str] = []
        self.cancelled = 0

    def ask(self, target: Target) -> Deferred[AgentReport]:
        self.asked.append(target.id)
        line = self.lines.get(target.id, b"up")
        if line is None:
            return Deferred(self._cancel)
        if isinstance(line, Exception):
            return fail(line)
        return succeed(parse_line(line))

    def _cancel(self, _: Any) -> None:
        self.cancelled += 1


class AgentRoundsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.channel = FakeChannel()
        self.diary = Diary()
        self.pool = pool_of("a", "b", events=self.diary)
        self.said: list[tuple[str, str]] = []
        self.rounds = TargetAgentRounds(
            self.pool,
            self.channel,
            TargetAgent(1, interval=2.0),
            clock=self.clock,
            now=self.clock.seconds,
            random=Random(1),
        )
        self.rounds.log = self  # type: ignore[assignment]
        self.addCleanup(self.rounds.stop)

    def warn(self, format: str, **fields: Any) -> None:
        self.said.append((fields["target"], fields["excuse"]))

    def run_for(self, seconds: float) -> None:
        for _ in range(round(seconds / 0.1)):
            self.clock.advance(0.1)

    def test_asked_each_interval(self) -> None:
        """Every agent is asked at once, and then each interval, until a stop."""
        self.rounds.start()
        self.assertEqual(self.channel.asked, ["a", "b"])
        self.run_for(10)
        self.assertEqual(self.channel.asked.count("a"), 6)
        self.rounds.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_words_reach_the_pool(self) -> None:
        """What an agent says takes effect, with one event for each change."""
        self.channel.lines["a"] = b"50% maxconn:3"
        self.rounds.start()
        self.run_for(5)
        node = self.pool.nodes["a"]
        self.assertEqual((node.weight, node.max_conns), (0.5, 3))
        self.assertEqual(len(self.diary.words("agent")), 1)

    def test_silence_is_not_down(self) -> None:
        """An agent that cannot be reached leaves all as it was; that is told once, and again after it spoke."""
        self.channel.lines["a"] = b"drain"
        self.rounds.start()
        refused = ProxyError("connection refused")
        self.channel.lines = {"a": refused, "b": refused}
        self.run_for(20)
        self.assertEqual(self.pool.nodes["a"].why_not(), "draining by itself")
        self.assertTrue(self.pool.nodes["b"].available)
        self.assertEqual(
            sorted(self.said),
            [("a", "connection refused"), ("b", "connection refused")],
        )
        self.assertEqual(set(self.rounds.silent), {"a", "b"})
        self.channel.lines["a"] = b"ready"
        self.run_for(3)
        self.assertEqual(set(self.rounds.silent), {"b"})
        self.channel.lines["a"] = refused
        self.run_for(3)
        self.assertEqual(len(self.said), 3)

    def test_an_agent_that_hangs(self) -> None:
        """A question without an end is given up; the state stays."""
        self.channel.lines["a"] = None
        self.rounds.start()
        self.run_for(2.5)
        self.assertEqual(self.channel.cancelled, 1)
        self.assertEqual(self.said, [("a", "no answer in 1 s")])
        self.assertTrue(self.pool.nodes["a"].available)

    def test_who_left(self) -> None:
        """Targets that left are not asked, and forgotten."""
        self.channel.lines["a"] = ProxyError("x")
        self.rounds.start()
        self.pool.replace([target("b"), target("c")], 0.0)
        self.channel.asked.clear()
        self.run_for(4)
        self.assertEqual(set(self.channel.asked), {"b", "c"})
        self.assertEqual(self.rounds.silent, {})
