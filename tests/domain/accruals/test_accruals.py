"""Tests of `lolly_tx.domain.accruals` and `outcomes`, and the contract of all accruals."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.domain.accruals.consecutive import ConsecutiveFailures
from lolly_tx.domain.accruals.gateway import GatewayErrors
from lolly_tx.domain.accruals.nginx import NginxFailures
from lolly_tx.domain.accruals.rate import FailureRate, SlowAnswers
from lolly_tx.domain.accruals.several import AnyOf
from lolly_tx.domain.ejection import EjectionLimits
from lolly_tx.domain.errors import ConnectFailed
from lolly_tx.domain.interfaces import IAccrual, IOutcomeAccrual
from lolly_tx.domain.outcomes import Outcome
from lolly_tx.testing import AccrualContract
from tests.domain.pools import pool_of

REFUSED = ConnectFailed("connection refused")


def answer(status: int = 200, seconds: float = 0.01) -> Outcome:
    return Outcome(True, None, status, seconds)


def error(seconds: float = 0.01) -> Outcome:
    return Outcome(False, REFUSED, 0, seconds)


class ConsecutiveFailuresContractTests(AccrualContract, SynchronousTestCase):
    def make_accrual(self) -> IAccrual:
        return ConsecutiveFailures()


class GatewayErrorsTests(AccrualContract, SynchronousTestCase):
    def make_accrual(self) -> IAccrual:
        return GatewayErrors()

    def test_statuses(self) -> None:
        """Five gateway errors in a row eject; an answer of any other kind starts the count over."""
        accrual = GatewayErrors(limit=3, seconds=7.0)
        statuses = (502, 503, 500, 504, 502, 503)
        answers = [accrual.heard(answer(s), 0.0) for s in statuses]
        self.assertEqual(answers, [None] * 5 + [7.0])
        self.assertIn("3/3 in a row", repr(accrual))

    def test_errors_count(self) -> None:
        """Errors of the connection are gateway errors too."""
        accrual = GatewayErrors(limit=2)
        self.assertIsNone(accrual.heard(error(), 0.0))
        self.assertEqual(accrual.heard(answer(503), 0.0), 30.0)

    def test_in_a_pool(self) -> None:
        """Answers of a pool's targets reach the policy with their status."""
        pool = pool_of("a", "b", accrual=lambda: GatewayErrors(limit=2))
        b = pool.nodes["b"]
        for _ in range(2):
            lease = pool.acquire(0.0, tried=[b])
            lease.succeeded(0.5, 503)
            lease.release(0.5)
        self.assertEqual(pool.nodes["a"].ejection, "ejected")
        self.assertIn("status 503 after 0.500 s", pool.nodes["a"].history[0].cause)


class FailureRateTests(AccrualContract, SynchronousTestCase):
    def make_accrual(self) -> IAccrual:
        return FailureRate()

    def test_share(self) -> None:
        """Half of twenty exchanges within the window eject; nineteen are too few to say."""
        accrual = FailureRate()
        for i in range(19):
            ended = error() if i % 2 else answer()
            self.assertIsNone(accrual.heard(ended, i / 10))
        self.assertEqual(accrual.heard(error(), 2.0), 30.0)

    def test_window(self) -> None:
        """What is older than the window is forgotten."""
        accrual = FailureRate(at_least=10)
        for _ in range(9):
            accrual.heard(error(), 0.0)
        for i in range(30):
            self.assertIsNone(accrual.heard(answer(), 10.0 + i / 10))
        self.assertIn("0 of 30 in 10 s", repr(accrual))

    def test_wrong_share(self) -> None:
        """A share of nothing is refused."""
        self.assertRaises(ValueError, FailureRate, share=0.0)


class SlowAnswersTests(AccrualContract, SynchronousTestCase):
    def make_accrual(self) -> IAccrual:
        return SlowAnswers()

    def test_slow(self) -> None:
        """When half of the answers take too long the target is left alone."""
        accrual = SlowAnswers(over=1.0, at_least=4)
        took = (0.1, 1.5, 0.2, 1.5)
        self.assertEqual(
            [accrual.heard(answer(200, t), 0.0) for t in took], [None, None, None, 30.0]
        )

    def test_in_a_pool(self) -> None:
        """Latency is from the whole request to the head, not to the end a slow client makes."""
        pool = pool_of("a", "b", accrual=lambda: SlowAnswers(over=1.0, at_least=2))
        for _ in range(2):
            lease = pool.acquire(0.0, tried=[pool.nodes["b"]])
            lease.asked = 96.0
            lease.answered(99.0, 200)
            lease.ended(500.0, 200)
            lease.release(99.0)
        self.assertEqual(pool.nodes["a"].ejection, "ejected")


class NginxFailuresTests(AccrualContract, SynchronousTestCase):
    def make_accrual(self) -> IAccrual:
        return NginxFailures(3, 8.0)

    def test_golden(self) -> None:
        """Max_fails 3, fail_timeout 8, an error each 5 s and successes between: out after t=10, trial at t=19."""
        pool = pool_of(
            "a",
            accrual=lambda: NginxFailures(3, 8.0),
            ejections=EjectionLimits(keep_last=False),
        )
        node = pool.nodes["a"]
        for t in range(11):
            lease = pool.acquire(float(t))
            if t % 5 == 0:
                lease.failed(float(t), REFUSED)
            else:
                lease.succeeded(float(t))
            lease.release(float(t))
            self.assertEqual(node.ejection, "ejected" if t == 10 else "up")
        trial = next(t for t in range(11, 30) if pool.available(float(t)))
        self.assertEqual(trial, 19)

    def test_quiet_time(self) -> None:
        """A success after more than fail_timeout without failures clears the record."""
        accrual = NginxFailures(2, 8.0)
        accrual.heard(error(), 10.0)
        accrual.heard(answer(), 19.0)
        self.assertIsNone(accrual.heard(error(), 20.0))
        self.assertIsNotNone(accrual.heard(error(), 21.0))
        self.assertIsNone(NginxFailures(0).heard(error(), 0.0))


class AnyOfTests(AccrualContract, SynchronousTestCase):
    def make_accrual(self) -> IAccrual:
        return AnyOf([ConsecutiveFailures(), GatewayErrors(), FailureRate()])

    def test_longest_wins(self) -> None:
        """Of several ejections asked for at once the longest is taken."""
        accrual = AnyOf([GatewayErrors(1, 5.0), GatewayErrors(1, 9.0)])
        self.assertEqual(accrual.heard(error(), 0.0), 9.0)

    def test_all_who_asked_agree(self) -> None:
        """The penalty is lifted when each policy that asked for it has seen enough good probes."""
        accrual = AnyOf([GatewayErrors(1, min_rises=1), GatewayErrors(1, min_rises=3)])
        accrual.heard(error(), 0.0)
        lifted = [accrual.succeeded(float(i)) for i in range(4)]
        self.assertEqual(lifted, [False, False, True, False])

    def test_clean(self) -> None:
        """It is clean when all its parts are."""
        self.assertTrue(AnyOf([ConsecutiveFailures()]).clean)
        self.assertFalse(AnyOf([ConsecutiveFailures(), FailureRate()]).clean)
        self.assertTrue(IOutcomeAccrual.implementedBy(AnyOf))

    def test_cause_names_who_asked(self) -> None:
        """Its words for a person name the policies that asked, not those that did not."""
        accrual = AnyOf([ConsecutiveFailures(), GatewayErrors(1)])
        self.assertIn(" or ", repr(accrual))
        accrual.heard(answer(503), 0.0)
        self.assertNotIn("ConsecutiveFailures", repr(accrual))


class OutcomeTests(SynchronousTestCase):
    def test_server_error(self) -> None:
        """Errors and 5xx answers are the server's, 501 and 505 the request's."""
        wrong = [s for s in (200, 404, 500, 501, 503, 505) if answer(s).server_error]
        self.assertEqual(wrong, [500, 503])
        self.assertTrue(error().server_error)

    def test_words(self) -> None:
        """An outcome can be told in a few words."""
        self.assertEqual(error().what, "connection refused")
        self.assertEqual(Outcome(False, ConnectFailed(), 0, 0.0).what, "ConnectFailed")
