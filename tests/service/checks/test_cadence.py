"""Tests of when lolly_tx.service.checks.checker probes: by state, by traffic, on suspicion."""

from __future__ import annotations

from tests.domain.pools import BAD, GOOD, fail, pool_of, succeed
from tests.service.checks.test_checker import Case as CheckerCase


class Case(CheckerCase):
    names = ("a",)


class StateTests(Case):
    def test_suspect(self) -> None:
        """While bad probes are not yet enough, a target is looked at often."""
        pool = pool_of("a", rise=3, fall=3)
        checker = self.checker(
            pool, interval=10.0, interval_suspect=1.0, rise=3, fall=3, timeout=0.5
        )
        checker.start()
        self.assertEqual(self.times("a", 10), [10.0])
        self.check.answer = BAD
        self.assertEqual(self.times("a", 23), [20.0, 21.0, 22.0, 32.0])
        self.assertFalse(pool.nodes["a"].health.up)
        self.check.answer = GOOD
        self.assertEqual(self.times("a", 13), [42.0, 43.0, 44.0])
        self.assertTrue(pool.nodes["a"].health.up)

    def test_down(self) -> None:
        """A target that is down has its own interval."""
        self.check.answer = BAD
        self.checker(interval=10.0, interval_down=2.0).start()
        self.assertEqual(self.times("a", 7), [2.0, 4.0, 6.0])

    def test_idle(self) -> None:
        """A target without traffic is probed less; the next probe after traffic ends that."""
        self.checker(interval=10.0, interval_idle=40.0).start()
        self.assertEqual(self.times("a", 60), [10.0, 50.0])
        succeed(self.pool, self.clock.seconds())
        self.assertEqual(self.times("a", 60), [90.0, 100.0])

    def test_bounds(self) -> None:
        """Whatever the state, the time between two probes stays within the intervals and their jitter."""
        self.checker(
            interval=4.0,
            interval_down=2.0,
            interval_suspect=1.0,
            interval_idle=8.0,
            jitter=0.1,
        ).start()
        times = []
        for answer in (GOOD, BAD, GOOD, BAD):
            self.check.answer = answer
            times += self.times("a", 60, step=0.05)
        gaps = [later - sooner for sooner, later in zip(times, times[1:], strict=False)]
        self.assertGreaterEqual(min(gaps), 1.8 - 0.15)
        self.assertLessEqual(max(gaps), 8.8 + 0.15)


class DeferTests(Case):
    def traffic(self, seconds: float, good: bool = True) -> list[float]:
        """One exchange each second; when the target was probed."""
        seen: list[float] = []
        for _ in range(round(seconds)):
            (succeed if good else fail)(self.pool, self.clock.seconds())
            seen += self.times("a", 1)
        return seen

    def test_fresh_successes(self) -> None:
        """Good traffic stands in for so many probes in a row, and no more."""
        checker = self.checker(interval=10.0, defer=2)
        checker.start()
        self.assertEqual(self.traffic(100), [30.0, 60.0, 90.0])
        self.assertEqual(checker.deferred, 7)

    def test_without_traffic(self) -> None:
        """Without traffic nothing is left out."""
        self.checker(interval=10.0, defer=2).start()
        self.assertEqual(self.times("a", 40), [10.0, 20.0, 30.0, 40.0])

    def test_the_end_of_traffic(self) -> None:
        """The last successes stand in for one probe, not for the following ones."""
        self.checker(interval=10.0, defer=5).start()
        self.assertEqual(self.traffic(25), [])
        self.assertEqual(self.times("a", 25), [40.0, 50.0])

    def test_failures(self) -> None:
        """A failure undoes what went well and has the target probed."""
        self.checker(interval=10.0, defer=5).start()
        self.traffic(5)
        self.assertEqual(self.traffic(1, good=False), [5.125])

    def test_down_targets(self) -> None:
        """A target that is down is probed whatever its traffic does."""
        self.check.answer = BAD
        pool = self.pool = pool_of("a", all_down="least_bad")
        self.checker(pool, interval=10.0, defer=5).start()
        self.assertEqual(self.traffic(40), [10.0, 20.0, 30.0, 40.0])


class ObserveTests(Case):
    def test_failure(self) -> None:
        """A failed request has its target probed at once, and once for many failures."""
        self.checker(interval=10.0, observe=True).start()
        self.assertEqual(self.times("a", 5), [])
        fail(self.pool, self.clock.seconds())
        self.assertEqual(self.times("a", 0.5), [5.125])
        for _ in range(2):
            fail(self.pool, self.clock.seconds())
        self.assertEqual(self.times("a", 1), [6.0])
        self.assertEqual(self.times("a", 15), [16.0])

    def test_stopped_meanwhile(self) -> None:
        """A stop right after a failure leaves no timer."""
        checker = self.checker(interval=10.0, observe=True)
        checker.start()
        self.run_for(5)
        fail(self.pool, self.clock.seconds())
        checker.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_many_failures(self) -> None:
        """However many requests fail, there is one probe a second at most."""
        pool = self.pool = pool_of("a", accrual=None)
        self.checker(pool, interval=10.0, observe=True).start()
        seen = 0
        for _ in range(80):
            fail(pool, self.clock.seconds())
            seen += len(self.times("a", 0.125))
        self.assertIn(seen, (9, 10, 11))

    def test_confirmed(self) -> None:
        """When the probe confirms the suspicion the target is down, long before its turn."""
        self.checker(interval=60.0, observe=True).start()
        self.run_for(5)
        self.check.answer = BAD
        fail(self.pool, self.clock.seconds())
        self.run_for(0.125)
        self.assertFalse(self.pool.nodes["a"].health.up)

    def test_off(self) -> None:
        """Without the setting failures move no probe; a stop takes the wish back."""
        checker = self.checker(interval=10.0)
        checker.start()
        fail(self.pool, self.clock.seconds())
        checker.suspect(self.pool.nodes["a"], self.clock.seconds())
        self.assertEqual(self.times("a", 9), [])
        watching = self.checker(interval=10.0, observe=True)
        watching.start()
        self.assertEqual(self.pool.suspect, watching.suspect)
        watching.stop()
        self.assertIsNone(self.pool.suspect)

    def test_while_probed(self) -> None:
        """A failure while a probe is in flight waits for its verdict."""
        self.check.answer = None
        self.checker(interval=10.0, observe=True).start()
        fail(self.pool, self.clock.seconds())
        self.run_for(1)
        self.assertEqual(self.check.asked, ["a"])


class MembershipTests(CheckerCase):
    def test_who_left_is_forgotten(self) -> None:
        """What was noted of a target goes with it; one that comes back starts afresh."""
        checker = self.checker(interval=1.0, interval_idle=5.0, defer=1, observe=True)
        checker.start()
        self.run_for(3)
        self.pool.replace([self.pool.nodes["a"].target], 3.0)
        self.run_for(1)
        for known in (checker._probed, checker._relied_on, checker._requests):
            self.assertEqual(set(known), {"a"})
