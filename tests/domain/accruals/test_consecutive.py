"""Tests of `lolly_tx.domain.accruals.consecutive`."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from lolly_tx.domain.accruals.consecutive import ConsecutiveFailures
from lolly_tx.domain.accruals.gateway import GatewayErrors
from lolly_tx.domain.accruals.rate import FailureRate, SlowAnswers
from lolly_tx.domain.interfaces import IAccrual


def play(accrual: ConsecutiveFailures, word: str, step: float = 1.0) -> str:
    """What each of "F" and "S" brings: "e" ejected, "u" lifted, "." nothing."""
    out = []
    for i, letter in enumerate(word):
        now = i * step
        if letter == "F":
            out.append("e" if accrual.failed(now) is not None else ".")
        else:
            out.append("u" if accrual.succeeded(now) else ".")
    return "".join(out)


class SettingsTests(SynchronousTestCase):
    def test_numbers(self) -> None:
        """Numbers that make no sense are refused when a policy is made, not when it is asked."""
        for make in (
            lambda: ConsecutiveFailures(max_fails=-1),
            lambda: ConsecutiveFailures(fail_timeout=0),
            lambda: ConsecutiveFailures(min_rises=0),
            lambda: GatewayErrors(0),
            lambda: GatewayErrors(seconds=0),
            lambda: FailureRate(window=0),
            lambda: SlowAnswers(at_least=0),
        ):
            with self.assertRaises(ValueError):
                make()


class ConsecutiveFailuresTests(SynchronousTestCase):
    def test_interface(self) -> None:
        """The policy keeps the contract of accruals."""
        verifyObject(IAccrual, ConsecutiveFailures())

    def test_third_failure_ejects(self) -> None:
        """Three failures in a row, counted from the very first, eject for fail_timeout."""
        accrual = ConsecutiveFailures()
        self.assertIsNone(accrual.failed(0.0))
        self.assertIsNone(accrual.failed(1.0))
        self.assertEqual(accrual.failed(2.0), 60.0)

    def test_max_fails_one(self) -> None:
        """With max_fails 1 the first failure is enough."""
        self.assertEqual(ConsecutiveFailures(1, 5.0).failed(0.0), 5.0)

    def test_success_between(self) -> None:
        """F F S F F stays up."""
        self.assertEqual(play(ConsecutiveFailures(), "FFSFF"), ".....")

    def test_old_record_is_forgotten(self) -> None:
        """Failures further apart than fail_timeout do not add up; those just within do."""
        self.assertEqual(play(ConsecutiveFailures(), "FFFFF", step=60.5), ".....")
        self.assertEqual(play(ConsecutiveFailures(), "FFF", step=59.0), "..e")

    def test_two_good_probes_lift(self) -> None:
        """While the penalty runs two successes in a row lift it, and a failure between starts them over."""
        self.assertEqual(play(ConsecutiveFailures(), "FFFSS"), "..e.u")
        self.assertEqual(play(ConsecutiveFailures(), "FFFSFSS"), "..e.e.u")

    def test_lifted_starts_afresh(self) -> None:
        """After the penalty was lifted, three more failures are needed."""
        self.assertEqual(play(ConsecutiveFailures(), "FFFSSFFF"), "..e.u..e")

    def test_failure_under_penalty_renews_it(self) -> None:
        """The first failure of a trial asks for ejection again, without counting to three."""
        self.assertEqual(play(ConsecutiveFailures(), "FFFF", step=20.0), "..ee")

    def test_never(self) -> None:
        """With max_fails 0 nothing is ever ejected and nobody needs to be told of successes."""
        accrual = ConsecutiveFailures(max_fails=0)
        self.assertEqual(play(accrual, "F" * 50), "." * 50)
        self.assertTrue(accrual.clean)

    def test_repr(self) -> None:
        """The policy shows its counts to a person."""
        accrual = ConsecutiveFailures()
        accrual.failed(0.0)
        self.assertIn("counting 1/3 falls", repr(accrual))
        play(accrual, "FF")
        self.assertIn("penalised", repr(accrual))

    @given(st.text("FS", max_size=30), st.integers(1, 4))
    def test_ejects_exactly_after_a_run(self, word: str, max_fails: int) -> None:
        """The first ejection comes exactly at the end of the first run of max_fails failures."""
        played = play(ConsecutiveFailures(max_fails), word)
        run = word.find("F" * max_fails)
        self.assertEqual(played.find("e"), run + max_fails - 1 if run >= 0 else -1)

    @given(st.text("FS", max_size=30))
    def test_clean_means_a_success_changes_nothing(self, word: str) -> None:
        """Whenever the policy says it is clean, a success leaves no trace."""
        accrual = ConsecutiveFailures()
        play(accrual, word)
        if accrual.clean:
            before = repr(accrual)
            self.assertFalse(accrual.succeeded(99.0))
            self.assertEqual(repr(accrual), before)
