"""Tests of rates: never more than promised, in any window, for any key."""

from __future__ import annotations

from random import Random

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.domain.access.rates import FINE, Rate, Rates


def admitted(rates: Rates, times: list[float], key: bytes = b"k") -> list[float]:
    """Those of `times` at which one was admitted."""
    return [at for at in times if not rates.admit(key, at)]


def most_within(times: list[float], seconds: float) -> int:
    """The most of `times` in any half-open window of that length."""
    most = first = 0
    for last, at in enumerate(times):
        while times[first] <= at - seconds:
            first += 1
        most = max(most, last - first + 1)
    return most


class AdmitTests(SynchronousTestCase):
    def test_three_seconds(self):
        """Ten in a second are thirty in three, at whatever phase one asks."""
        for phase in range(20):
            rates = Rates(Rate(10, 1.0, 10))
            begin = 100 + phase / 20
            got = admitted(rates, [begin + n / 200 for n in range(600)])
            self.assertEqual(len(got), 30)
            self.assertEqual(most_within(got, 1.0), 10)

    def test_any_window(self):
        """Whatever the times, counts and bursts: no window has more than its most, and no longer time than the rate."""
        random = Random(7)
        for count in (1, 3, 10, 100, 1000):
            for burst in (1, count, count * 2):
                rate = Rate(count, 1.0, burst)
                rates = Rates(rate)
                now, times = 50.0, []
                for _ in range(4000):
                    now += random.expovariate(count * random.choice((0.5, 2, 20)))
                    times.append(now)
                got = admitted(rates, times)
                self.assertLessEqual(most_within(got, 1.0), rate.most)
                for seconds in (2.0, 5.0):
                    allowed = rate.admitted_in(seconds)
                    self.assertLessEqual(most_within(got, seconds), allowed)

    def test_steady(self):
        """Who keeps to the rate is never refused, and one in sixty where a log keeps sums."""
        for count, least in ((1, 3000), (7, 3000), (FINE, 3000), (500, 2950)):
            rates = Rates(Rate(count, 1.0, count))
            times = [10 + n * (1.0 / count + 1e-6) for n in range(3000)]
            self.assertGreaterEqual(len(admitted(rates, times)), least)

    def test_burst_of_one(self):
        """Nothing at once: each waits for its turn."""
        rates = Rates(Rate(10, 1.0, 1))
        got = admitted(rates, [n / 100 for n in range(100)])
        self.assertEqual(len(got), 10)
        self.assertEqual(most_within(got, 0.099), 1)

    def test_large_burst(self):
        """A burst above the count comes at once, and is paid back."""
        rates = Rates(Rate(10, 1.0, 50))
        self.assertEqual(len(admitted(rates, [1.0] * 100)), 50)
        self.assertEqual(len(admitted(rates, [2.0] * 100)), 10)

    def test_wait(self):
        """A refusal says when; asked then, one is admitted, and before that none."""
        rates = Rates(Rate(3, 60.0, 3))
        self.assertEqual([rates.admit(b"k", 5.0) for _ in range(3)], [0.0] * 3)
        wait = rates.admit(b"k", 6.0)
        self.assertAlmostEqual(wait, 59.0)
        self.assertGreater(rates.admit(b"k", 6.0 + wait - 0.001), 0)
        self.assertEqual(rates.admit(b"k", 6.0 + wait + 0.001), 0)

    def test_keys_apart(self):
        """Two keys never share."""
        rates = Rates(Rate(1, 1.0, 1))
        self.assertEqual(rates.admit(b"a", 1.0), 0)
        self.assertEqual(rates.admit(b"b", 1.0), 0)
        self.assertGreater(rates.admit(b"a", 1.0), 0)

    def test_bounded(self):
        """Keys are bounded, and so is the log of each; who asks is not refused for it."""
        rates = Rates(Rate(100_000, 1.0, 100_000), keys=100)
        for n in range(5000):
            self.assertEqual(rates.admit(b"%d" % n, 1.0), 0)
        self.assertEqual(len(rates), 100)
        for n in range(5000):
            rates.admit(b"one", 2.0 + n / 5000)
        [log] = [log for key, log in rates._logs.items() if key == b"one"]
        self.assertLessEqual(len(log.entries), 2 * FINE + 1)

    def test_forgets(self):
        """Keys that say nothing any more go, as others come."""
        rates = Rates(Rate(1, 1.0, 1))
        for n in range(100):
            rates.admit(b"old%d" % n, 1.0)
        for n in range(100):
            rates.admit(b"new%d" % n, 9.0)
        self.assertEqual(len(rates), 100)

    def test_busy_keys_stay(self):
        """Where keys come in floods, those that are admitted again and again are not forgotten for them."""
        rates = Rates(Rate(2, 60.0, 2), keys=50)
        rates.admit(b"busy", 1.0)
        now = 1.0
        refused = 0
        for n in range(2000):
            now += 0.01
            rates.admit(b"new%d" % n, now)
            refused += bool(rates.admit(b"busy", now))
        self.assertEqual(len(rates), 50)
        self.assertGreaterEqual(refused, 1900)

    def test_floods_are_bounded(self):
        """However many keys are busy, a new one takes the place of one of them."""
        rates = Rates(Rate(1000, 60.0, 1000), keys=10)
        for n in range(200):
            for key in range(20):
                self.assertEqual(rates.admit(b"%d" % key, n / 10), 0)
            self.assertLessEqual(len(rates), 10)


class PaceTests(SynchronousTestCase):
    def test_in_turn(self):
        """Each goes on an interval after the one before; beyond the burst nobody waits."""
        rates = Rates(Rate(10, 1.0, 3))
        waits = [rates.pace(b"k", 1.0) for _ in range(5)]
        self.assertEqual(
            [wait if wait is None else round(wait, 6) for wait in waits],
            [0.0, 0.1, 0.2, None, None],
        )
        self.assertAlmostEqual(rates.pace(b"k", 1.1) or 0, 0.2)


class RateTests(SynchronousTestCase):
    def test_admitted_in(self):
        """What a rate admits in a second, three and sixty, for `lolly check`."""
        rate = Rate(10, 1.0, 10)
        self.assertEqual([rate.admitted_in(s) for s in (1, 3, 60)], [10, 30, 600])
        rate = Rate(10, 1.0, 50)
        self.assertEqual([rate.admitted_in(s) for s in (1, 3, 60)], [50, 80, 650])
        rate = Rate(6, 60.0, 6)
        self.assertEqual([rate.admitted_in(s) for s in (1, 3, 60)], [6, 6, 6])
