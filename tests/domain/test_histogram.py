"""Tests of durations counted by how long they were."""

from __future__ import annotations

from bisect import bisect_left

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.domain.histogram import (
    BOUNDS,
    NONE,
    QUICK,
    Durations,
    dense,
    filled_in,
    sparse,
)

SECONDS = st.lists(st.floats(0.0, 100.0))


class HistogramTests(SynchronousTestCase):
    @given(SECONDS)
    def test_quick_ones_are_what_is_left(self, seconds: list[float]) -> None:
        """Who counts only the slow ones, and all of them in one number, has lost nothing."""
        slower, all_of_them = list(NONE), Durations()
        for each in seconds:
            all_of_them.add(each)
            if each > QUICK:
                slower[bisect_left(BOUNDS, each)] += 1
        self.assertEqual(filled_in(len(seconds), slower), all_of_them.counts)
        self.assertEqual(sum(all_of_them.told[0]), len(seconds))

    def test_bounds_belong_to_what_is_below(self) -> None:
        """A bound is "at most so long"; what is longer than the last one is counted as well."""
        durations = Durations()
        for each in (QUICK, BOUNDS[3], BOUNDS[-1], BOUNDS[-1] + 0.001):
            durations.add(each)
        counts, seconds = durations.told
        self.assertEqual(sparse(counts), {"0": 1, "3": 1, "11": 1, "12": 1})
        self.assertEqual(seconds, QUICK + BOUNDS[3] + 2 * BOUNDS[-1] + 0.001)

    def test_another_image(self) -> None:
        """It goes on from the same numbers."""
        old, new = Durations(), Durations()
        old.add(0.3)
        new.take(old.as_dict())
        self.assertEqual(new.told, old.told)
        new.take({})
        self.assertEqual(new.told, Durations().told)

    def test_never_less_than_nothing(self) -> None:
        """Two numbers that were read one after the other need not fit."""
        slower = list(NONE)
        slower[2] = 5
        self.assertEqual(filled_in(3, slower)[0], 0)

    @given(st.lists(st.integers(0, 9), min_size=len(NONE), max_size=len(NONE)))
    def test_sparse_and_back(self, counts: list[int]) -> None:
        """What is left out is 0."""
        self.assertEqual(dense(sparse(counts), len(NONE)), counts)

    def test_not_of_this_shape(self) -> None:
        """Places there are none of are an error."""
        for wrong in ({"13": 1}, {"x": 1}):
            with self.assertRaises((IndexError, ValueError)):
                dense(wrong, len(NONE))
