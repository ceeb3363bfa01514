"""How long active checks take, computed."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.config.facts.probetimes import (
    agent_seconds,
    checks_of,
    detection_seconds,
    each_rate,
    last_to_fail,
    last_to_rise,
    needed_votes,
    probe_rate,
    recovery_seconds,
    refusal_seconds,
    shared_rate,
    tick_seconds,
    voters_of,
    worst_rate,
)
from lolly_tx.config.model import Check, Health, PoolSettings, TargetAgent
from lolly_tx.domain.target import Target
from lolly_tx.service.checks.rounds import tick_of

TWO = (Target("a", "http://a", host="a"), Target("b", "http://b", host="b"))


class TimesTests(SynchronousTestCase):
    def test_detection(self) -> None:
        """A dead target is down after its probes, the last one timing out."""
        self.assertEqual(detection_seconds(Health(), 3), 15.5)
        self.assertEqual(detection_seconds(Health(fall=3), 3), 35.5)
        self.assertEqual(detection_seconds(Health(jitter=0.1), 3), 16.5)
        # Probes that hang longer than the interval hold the next one up.
        slow = Health(interval=1.0, timeout=5.0, fall=2)
        self.assertEqual(detection_seconds(slow, 1), 11.05)
        # 130 targets, 64 at once: two rounds of timeouts before the last ones.
        self.assertEqual(detection_seconds(Health(), 130), 25.5)

    def test_detection_by_state(self) -> None:
        """The first failure comes at the pace of a steady or idle target, the others at that of a suspect."""
        fast = Health(fall=3, interval_suspect=1.0, timeout=0.5)
        self.assertEqual(detection_seconds(fast, 1), 10 + 0.05 + 2 + 0.5)
        self.assertEqual(detection_seconds(Health(interval_idle=60.0), 1), 65.5)
        self.assertEqual(detection_seconds(Health(defer=5), 1), 25.5)

    def test_refusal(self) -> None:
        """A target that refuses connections fails its probes at once."""
        self.assertEqual(refusal_seconds(Health(fall=2, jitter=0.5)), 30.5)
        self.assertEqual(refusal_seconds(Health(fall=2, interval_suspect=2.0)), 12.1)

    def test_recovery(self) -> None:
        """A target that is back is up after its good probes."""
        self.assertEqual(recovery_seconds(Health(rise=2)), 20.5)
        self.assertEqual(recovery_seconds(Health(interval=1.0, timeout=5.0)), 5.05)
        fast = Health(rise=2, interval_down=6.0, interval_suspect=1.0)
        self.assertEqual(recovery_seconds(fast), 6 + 1 + 0.05)

    def test_tick(self) -> None:
        """The checker is as exact as the figures say."""
        for interval in (0.1, 1.0, 10.0, 60.0):
            health = Health(interval=interval)
            self.assertEqual(tick_seconds(health), tick_of(interval))
        self.assertEqual(tick_seconds(Health(interval_down=2.0)), 0.1)

    def test_agent(self) -> None:
        """What an agent says takes effect with the next question."""
        self.assertAlmostEqual(agent_seconds(TargetAgent(1)), 3.1)


class SeveralTests(SynchronousTestCase):
    def pool(self, quorum: int = 0) -> PoolSettings:
        checks = (
            Check(name="a", interval=10.0),
            Check(name="b", interval=20.0),
            Check(name="c", interval=40.0),
            Check(name="d", interval=5.0, advisory=True),
        )
        return PoolSettings("p", TWO, checks=checks, quorum=quorum)

    def test_votes(self) -> None:
        """Advisory checks have no vote; without a quorum it takes all."""
        self.assertEqual(len(checks_of(self.pool())), 4)
        self.assertEqual(len(voters_of(self.pool())), 3)
        self.assertEqual(needed_votes(self.pool()), 3)
        self.assertEqual(needed_votes(self.pool(2)), 2)
        self.assertEqual(voters_of(PoolSettings("p", TWO)), ())

    def test_who_decides(self) -> None:
        """With all needed the fastest to fail decides, with one needed the slowest; up is the other way round."""
        times = [3.0, 1.0, 2.0]
        for quorum, down, up in ((0, 1.0, 3.0), (2, 2.0, 2.0), (1, 3.0, 1.0)):
            self.assertEqual(last_to_fail(self.pool(quorum), times), down)
            self.assertEqual(last_to_rise(self.pool(quorum), times), up)

    def test_rates(self) -> None:
        """Every check and the agent count, at the interval of a steady target."""
        self.assertEqual(probe_rate(PoolSettings("p", TWO, health=Health())), 0.2)
        self.assertEqual(probe_rate(PoolSettings("p", TWO)), 0)
        self.assertAlmostEqual(each_rate(self.pool()), 0.1 + 0.05 + 0.025 + 0.2)
        pool = PoolSettings(
            "p", TWO, health=Health(interval_down=1.0), agent=TargetAgent(1)
        )
        self.assertEqual((each_rate(pool), worst_rate(pool)), (0.6, 1.5))

    def test_shared(self) -> None:
        """Checks that are alike in all but name and vote are one probe for each address."""
        one = PoolSettings("p", TWO, checks=(Check(name="x"),))
        two = PoolSettings("q", TWO[:1], health=Health())
        self.assertAlmostEqual(shared_rate([one, two]), 0.2)
        three = PoolSettings("r", TWO[:1], health=Health(path="/other"))
        self.assertAlmostEqual(shared_rate([one, two, three]), 0.3)
