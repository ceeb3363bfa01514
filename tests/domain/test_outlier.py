"""Tests of `lolly_tx.domain.outlier`, with its false-ejection rate."""

from __future__ import annotations

from math import comb
from random import Random

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.domain.outlier import (
    Counts,
    OutlierDetector,
    OutlierLimits,
    at_least_odds,
    find_outliers,
    find_slow,
)

LIMITS = OutlierLimits()


def names(found: object) -> list[str]:
    return [outlier.node_id for outlier in found]  # type: ignore[attr-defined]


def counts(**nodes: tuple[int, int]) -> dict[str, Counts]:
    return {name: Counts(n, k) for name, (k, n) in nodes.items()}


class OddsTests(SynchronousTestCase):
    def test_by_hand(self) -> None:
        """Without peers to learn from, one failure of one has even odds."""
        self.assertApproximates(at_least_odds(1, 1, 0, 0), 0.5, 1e-12)
        self.assertEqual(at_least_odds(0, 10, 5, 10), 1.0)

    def test_nearly_certain_peers(self) -> None:
        """With very many peers the odds become those of the plain binomial."""
        exact = sum(comb(20, j) * 0.1**j * 0.9 ** (20 - j) for j in range(6, 21))
        odds = at_least_odds(6, 20, 1_000_000, 10_000_000)
        self.assertApproximates(odds, exact, exact / 1000)

    @given(st.integers(1, 200), st.data())
    def test_odds_fall(self, n: int, data: st.DataObject) -> None:
        """More failures are never more likely, and odds are odds."""
        k = data.draw(st.integers(1, n))
        peer_n = data.draw(st.integers(0, 300))
        peer_k = data.draw(st.integers(0, peer_n))
        odds = at_least_odds(k, n, peer_k, peer_n)
        self.assertTrue(0.0 <= odds <= 1.0)
        self.assertLessEqual(odds, at_least_odds(k - 1, n, peer_k, peer_n) + 1e-9)


class FindOutliersTests(SynchronousTestCase):
    def test_one_of_three(self) -> None:
        """Half failures against none stand out among three."""
        found = find_outliers(counts(a=(0, 30), b=(15, 30), c=(0, 30)), LIMITS)
        self.assertEqual(names(found), ["b"])
        self.assertIn("15 of 30 failed, 0 of 60 at its peers", found[0].cause)

    def test_one_of_two(self) -> None:
        """Even two are enough to tell who is worse."""
        self.assertEqual(
            names(find_outliers(counts(a=(0, 60), b=(40, 60)), LIMITS)), ["b"]
        )

    def test_alone(self) -> None:
        """A single target has no peers and is never an outlier."""
        self.assertEqual(find_outliers(counts(a=(50, 50)), LIMITS), [])

    def test_all_fail(self) -> None:
        """When all fail alike, because what they stand on fails, nobody stands out."""
        self.assertEqual(find_outliers(counts(a=(45, 50), b=(50, 50)), LIMITS), [])

    def test_too_little(self) -> None:
        """A few failures prove nothing."""
        self.assertEqual(
            find_outliers(counts(a=(0, 4), b=(3, 4), c=(0, 4)), LIMITS), []
        )
        self.assertEqual(
            find_outliers(counts(a=(0, 9), b=(4, 9), c=(0, 9)), LIMITS), []
        )

    def test_certain_but_tiny(self) -> None:
        """A difference that is certain and does not matter ejects nobody."""
        some = counts(a=(1, 100_000), b=(500, 100_000), c=(1, 100_000))
        self.assertEqual(find_outliers(some, LIMITS), [])

    def test_worst_first(self) -> None:
        """Of several the worst comes first, so a cap spares the better ones."""
        some = counts(a=(0, 200), b=(60, 100), c=(100, 100), d=(0, 200), e=(0, 200))
        self.assertEqual(names(find_outliers(some, LIMITS)), ["c", "b"])

    def test_false_rate(self) -> None:
        """With equal error rates tests come out wrong no more often than the rate that is set, at any volume."""
        random = Random(11)
        limits = OutlierLimits(false_rate=1e-3, at_least_rate=0.0, times=1.0)
        for n in (20, 100):
            wrong = 0
            rounds = 4000
            for _ in range(rounds):
                some = {
                    name: Counts(n, sum(random.random() < 0.01 for _ in range(n)))
                    for name in "abc"
                }
                wrong += len(find_outliers(some, limits))
            # 3 nodes a round; twice the expectation and two more for chance.
            self.assertLessEqual(wrong, 2 * 3 * rounds * 1e-3 + 2)

    def test_quiet_hours(self) -> None:
        """An hour of healthy traffic at 20 requests per second, 1 % errors everywhere: nobody is named."""
        random = Random(5)
        detector = OutlierDetector(LIMITS, 0.0)
        named = 0
        for i in range(20 * 3600):
            detector.record("abc"[i % 3], random.random() < 0.01, 0.01)
            if i / 20 >= detector.next_sweep:
                named += len(detector.sweep(i / 20))
        self.assertEqual(named, 0)


class FindSlowTests(SynchronousTestCase):
    limits = OutlierLimits(latency=True)

    def some(self, **medians: float) -> dict[str, Counts]:
        return {n: Counts(9, 0, (m * 0.9, m, m * 1.1) * 3) for n, m in medians.items()}

    def test_slow(self) -> None:
        """A target that takes five times as long as its peers stands out, among three and among two."""
        self.assertEqual(
            names(find_slow(self.some(a=0.01, b=0.05, c=0.012), LIMITS)), ["b"]
        )
        self.assertEqual(names(find_slow(self.some(a=0.01, b=0.05), LIMITS)), ["b"])

    def test_not_slow(self) -> None:
        """Twice as long is not enough, nor is it among peers that differ widely themselves."""
        self.assertEqual(find_slow(self.some(a=0.01, b=0.02, c=0.01), LIMITS), [])
        wide = self.some(a=0.01, b=0.02, c=0.05, d=0.065)
        self.assertEqual(find_slow(wide, LIMITS), [])

    def test_busy_moment(self) -> None:
        """A difference of some milliseconds says nothing, however many times as long it is, unless so set."""
        some = self.some(a=0.0003, b=0.013, c=0.0002)
        self.assertEqual(find_slow(some, LIMITS), [])
        self.assertEqual(
            names(find_slow(some, OutlierLimits(at_least_slower=0.0))), ["b"]
        )
        self.assertEqual(find_slow(self.some(a=0.001, b=0.0255), LIMITS), [])
        [slow] = find_slow(self.some(a=0.0004, b=0.026), LIMITS)
        self.assertEqual(slow.cause, "outlier: median 26.0 ms, 0.4 ms at its peers")

    def test_too_few(self) -> None:
        """Few answers say nothing, and a single target has nobody to be compared with."""
        few = {"a": Counts(2, 0, (9.0, 9.0)), "b": Counts(9, 0, (0.1,) * 9)}
        self.assertEqual(find_slow(few, LIMITS), [])

    def test_only_if_asked_for(self) -> None:
        """Latency counts only if the settings say so, and nobody is named twice."""
        some = self.some(a=0.01, b=0.05, c=0.01)
        self.assertEqual(find_outliers(some, LIMITS), [])
        self.assertEqual(names(find_outliers(some, self.limits)), ["b"])
        both = {**some, "b": Counts(40, 39, some["b"].latencies)}
        both.update({n: Counts(60, 0, some[n].latencies) for n in "ac"})
        self.assertEqual(names(find_outliers(both, self.limits)), ["b"])


class DetectorTests(SynchronousTestCase):
    def test_window(self) -> None:
        """What is older than two windows plays no part."""
        detector = OutlierDetector(LIMITS, 0.0)
        for _ in range(60):
            detector.record("a", True, 0.0)
            detector.record("b", False, 0.01)
        self.assertEqual(names(detector.sweep(10.0)), ["a"])
        self.assertEqual(names(detector.sweep(20.0)), ["a"])
        self.assertEqual(detector.sweep(21.0), [])

    def test_forget(self) -> None:
        """After it was dealt with a target starts afresh."""
        detector = OutlierDetector(LIMITS, 0.0)
        for _ in range(60):
            detector.record("a", True, 0.0)
            detector.record("b", False, 0.01)
        detector.forget("a")
        detector.forget("nobody")
        self.assertEqual(detector.sweep(1.0), [])

    def test_wrong_settings(self) -> None:
        """Windows of no length are refused."""
        self.assertRaises(ValueError, OutlierLimits, window=0.0)
