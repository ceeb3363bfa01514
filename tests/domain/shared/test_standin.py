"""Tests of what stands in for a shared limit: a part of it, at most 1.3 times all of it, whatever came before."""

from __future__ import annotations

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.domain.access.rates import Rate
from lolly_tx.domain.shared.standin import StandIn, part_of

HUNDRED = Rate(100, 1.0, 100)


class PartTests(SynchronousTestCase):
    def test_parts(self) -> None:
        """Parts add up to the rate at most; below one it is one in a longer time."""
        self.assertEqual(part_of(HUNDRED, 3), Rate(33, 1.0, 33))
        self.assertEqual(part_of(HUNDRED, 0), HUNDRED)
        self.assertEqual(part_of(Rate(2, 1.0, 2), 8), Rate(1, 4.0, 1))


class StandInTests(SynchronousTestCase):
    def admitted(self, one: StandIn, at: float, since: float, sharers: int) -> int:
        """How many more of a key it admits at once."""
        count = 0
        while one.admit(b"k", at, since, sharers) == 0.0:
            count += 1
        return count

    def test_nothing_before(self) -> None:
        """Who had nothing may have three tenths of its part in the first window, and then its part."""
        one = StandIn(HUNDRED)
        self.assertEqual(self.admitted(one, 10.0, 10.0, 3), 10)
        self.assertEqual(self.admitted(one, 10.9, 10.0, 3), 0)
        self.assertEqual(self.admitted(one, 11.0, 10.0, 3), 33)
        self.assertEqual(self.admitted(one, 11.5, 10.0, 3), 0)
        self.assertEqual(self.admitted(one, 12.1, 10.0, 3), 33)

    def test_goes_on(self) -> None:
        """What it had counts, and makes room again as it leaves the window."""
        one = StandIn(HUNDRED)
        for n in range(33):
            one.note(b"k", 9.0 + n * 0.03)
        self.assertEqual(self.admitted(one, 10.0, 10.0, 3), 1)
        count = sum(self.admitted(one, 10.0 + n * 0.03, 10.0, 3) for n in range(1, 32))
        self.assertIn(count, range(28, 34))

    def test_alone(self) -> None:
        """Who is the only one knows all of it."""
        one = StandIn(HUNDRED)
        for _ in range(60):
            one.note(b"k", 9.9)
        self.assertEqual(self.admitted(one, 10.0, 10.0, 1), 40)

    def test_owed(self) -> None:
        """What it has admitted is told afterwards, once, as far as it is not too old."""
        one = StandIn(HUNDRED)
        self.admitted(one, 10.0, 10.0, 3)
        self.admitted(one, 11.5, 10.0, 3)
        self.assertEqual(one.owed(b"k", 11.6), 33)
        self.assertEqual(one.owed(b"k", 11.6), 0)
        one.owe(b"k", 33)
        self.assertEqual(one.owed(b"k", 20.0), 0)
        self.assertEqual(one.owed(b"other", 20.0), 0)

    def test_keys(self) -> None:
        """What is remembered has a bound."""
        one = StandIn(HUNDRED, keys=3)
        for n in range(10):
            one.admit(b"%d" % n, 10.0, 10.0, 3)
        self.assertLessEqual(len(one._most), 3)
        self.assertLessEqual(len(one._owed), 3)

    def test_refused(self) -> None:
        """Who is refused is told to wait."""
        one = StandIn(Rate(1, 1.0, 1))
        self.assertGreater(one.admit(b"k", 10.0, 10.0, 4), 0.0)

    def test_pace(self) -> None:
        """With delay the part is paced."""
        one = StandIn(HUNDRED)
        waits = [one.pace(b"k", 10.0, 10.0, 4) for _ in range(3)]
        for wait, right in zip(waits, (0.0, 0.04, 0.08), strict=True):
            self.assertAlmostEqual(wait or 0.0, right)

    @settings(max_examples=30, deadline=None)
    @given(st.integers(1, 6), st.integers(6, 60), st.integers(0, 2**32))
    def test_never_more(self, sharers: int, count: int, seed: int) -> None:
        """However the load is spread when the store goes away, no window has more than 1.3 times the rate."""
        random = Random(seed)
        each = [StandIn(Rate(count, 1.0, count)) for _ in range(sharers)]
        weights = [random.random() ** 4 for _ in each]
        lost_at = random.uniform(0.0, 1.5)
        times: list[float] = []
        now = 0.0
        while now < lost_at + 2.5:
            now += random.expovariate(count * 3)
            who = random.choices(each, weights)[0]
            if now >= lost_at:
                if who.admit(b"k", now, lost_at, sharers) == 0.0:
                    times.append(now)
            elif sum(1 for one in times if one > now - 1.0) < count:
                who.note(b"k", now)
                times.append(now)
        for begin in times:
            had = sum(1 for one in times if begin <= one < begin + 1.0)
            self.assertLessEqual(had, 1.3 * count)
