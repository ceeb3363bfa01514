"""Tests of `lolly_tx.domain.checks.health`."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.domain.checks.health import Health, Initial, Thresholds, observe


def trace(start: Health, word: str, thresholds: Thresholds) -> str:
    """HAProxy's counter and state after each of "P" (pass) and "F" (fail)."""
    state, out = start, []
    for i, letter in enumerate(word):
        state, _ = observe(state, letter == "P", thresholds, float(i))
        out.append(f"{state.counter(thresholds)}{state.word[0].upper()}")
    return " ".join(out)


class ObserveTests(SynchronousTestCase):
    two_three = Thresholds(rise=2, fall=3)

    def test_golden_fall_and_rise(self) -> None:
        """Three bad checks in a row take a target down and two good ones bring it fully up."""
        self.assertEqual(trace(Health(), "FFFPP", self.two_three), "3U 2U 0D 1D 4U")

    def test_golden_one_pass_restores(self) -> None:
        """One good check makes the bad ones before it forgotten."""
        self.assertEqual(
            trace(Health(), "FFPFFPFFF", self.two_three), "3U 2U 4U 3U 2U 4U 3U 2U 0D"
        )

    def test_golden_no_false_rise(self) -> None:
        """A target that passes every other check does not come up."""
        self.assertEqual(
            trace(Health(up=False), "PFPFPP", self.two_three), "1D 0D 1D 0D 1D 4U"
        )

    def test_defaults_flip_at_once(self) -> None:
        """With the seed's thresholds each contrary check flips the state, and says when."""
        state, flipped = observe(Health(), False, Thresholds(), 7.0)
        self.assertTrue(flipped)
        self.assertEqual(state, Health(up=False, since=7.0, checked=7.0))

    def test_agreeing_check_flips_nothing(self) -> None:
        """A check that agrees with the state only updates the time of the last check."""
        state, flipped = observe(Health(), True, Thresholds(), 3.0)
        self.assertFalse(flipped)
        self.assertEqual(state, Health(checked=3.0))

    def test_initial_up(self) -> None:
        """A target nobody has checked is up."""
        self.assertTrue(Health.initial("up", self.two_three).up)

    def test_initial_down_needs_every_check(self) -> None:
        """A target that starts down needs all its good checks."""
        start = Health.initial("down", self.two_three)
        self.assertEqual(trace(start, "PP", self.two_three), "1D 4U")

    def test_initial_probation_needs_one(self) -> None:
        """A target on probation is up after its first good check."""
        start = Health.initial("probation", self.two_three)
        self.assertFalse(start.up)
        self.assertEqual(trace(start, "P", self.two_three), "4U")
        self.assertEqual(trace(start, "FP", self.two_three), "0D 1D")

    def test_thresholds_below_one_are_refused(self) -> None:
        """A threshold of 0 makes no sense and is refused."""
        self.assertRaises(ValueError, Thresholds, rise=0)
        self.assertRaises(ValueError, Thresholds, fall=0)

    @given(
        st.lists(st.booleans(), max_size=40),
        st.builds(Thresholds, st.integers(1, 4), st.integers(1, 4)),
        st.sampled_from(["up", "down"]),
    )
    def test_flips_are_consecutive(
        self, checks: list[bool], thresholds: Thresholds, initial: Initial
    ) -> None:
        """A state flips exactly when the last checks, as many as the threshold says, all contradict it."""
        state = Health.initial(initial, thresholds)
        run: list[bool] = []
        for i, ok in enumerate(checks):
            run = [*run, ok] if ok is not state.up else []
            needed = thresholds.fall if state.up else thresholds.rise
            self.assertEqual(state.missing(thresholds) >= 1, True)
            before = state
            state, flipped = observe(state, ok, thresholds, float(i))
            self.assertEqual(flipped, len(run) == needed)
            self.assertEqual(flipped, before.up is not state.up)
            self.assertEqual(state.up, state.counter(thresholds) >= thresholds.rise)
            if flipped:
                run = []
