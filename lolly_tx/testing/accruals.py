"""What a pool relies on in a passive policy.

Imports: domain, testing, Twisted. Used by: testing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from unittest import SkipTest

from zope.interface import implementer
from zope.interface.verify import verifyObject

from lolly_tx.domain.errors import ConnectFailed
from lolly_tx.domain.interfaces import (
    IAccrual,
    IBalancer,
    IOutcomeAccrual,
)
from lolly_tx.domain.outcomes import Outcome
from lolly_tx.testing.fakes import (
    fake_pool,
)

if TYPE_CHECKING:
    from twisted.trial.unittest import SynchronousTestCase as _Base
else:
    _Base = object


class AccrualContract(_Base):
    """What a pool relies on in any `IAccrual`."""

    def make_accrual(self) -> IAccrual:
        """A new accrual; to be supplied."""
        raise NotImplementedError

    failures = 100
    """Failures in a row, a tenth of a second apart, that surely eject."""

    def _tell(self, accrual: IAccrual, ok: bool, now: float) -> float | None:
        error = None if ok else ConnectFailed("connection refused")
        if IOutcomeAccrual.providedBy(accrual):
            outcome = Outcome(ok, error, 200 if ok else 0, 0.01 if ok else 10.0)
            asked: float | None = accrual.heard(outcome, now)
            return asked
        if ok:
            accrual.succeeded(now)
            return None
        return accrual.failed(now)

    def _ejected(self, accrual: IAccrual) -> float:
        for i in range(self.failures):
            seconds = self._tell(accrual, False, i / 10)
            if seconds is not None:
                return seconds
        raise AssertionError("never ejected")

    def test_contract_interface(self) -> None:
        """An accrual is an IAccrual."""
        accrual = self.make_accrual()
        verifyObject(IAccrual, accrual)
        if IOutcomeAccrual.providedBy(accrual):
            verifyObject(IOutcomeAccrual, accrual)

    def test_contract_good_traffic(self) -> None:
        """Traffic that goes well never ejects, and lifts nothing."""
        accrual = self.make_accrual()
        for i in range(200):
            self.assertIsNone(self._tell(accrual, True, i / 10))
        self.assertFalse(accrual.succeeded(20.0))

    def test_contract_ejects(self) -> None:
        """Enough failures in a row ask for a positive number of seconds."""
        self.assertGreater(self._ejected(self.make_accrual()), 0)

    def test_contract_reset(self) -> None:
        """After a reset as many failures are needed as in the beginning."""
        accrual = self.make_accrual()
        fresh = self.make_accrual()
        self._ejected(accrual)
        accrual.reset()
        for i in range(self.failures):
            now = 1000 + i / 10
            expected = self._tell(fresh, False, now)
            self.assertEqual(self._tell(accrual, False, now), expected)
            if expected is not None:
                return

    def test_contract_probes_lift(self) -> None:
        """Good probes lift a penalty in the end, once, and a bad one does not."""
        accrual = self.make_accrual()
        self._ejected(accrual)
        accrual.failed(10.0)
        lifted = [accrual.succeeded(11.0 + i) for i in range(20)]
        self.assertEqual(lifted.count(True), 1)

    def test_contract_clean(self) -> None:
        """While it says it is clean, a success changes nothing a later failure could tell."""
        told, spared = self.make_accrual(), self.make_accrual()
        for i in range(self.failures):
            if spared.clean:
                told.succeeded(i / 10)
            self.assertEqual(
                self._tell(told, False, i / 10), self._tell(spared, False, i / 10)
            )

    def test_contract_repr(self) -> None:
        """It can say what it has seen, for the cause of an ejection."""
        accrual = self.make_accrual()
        self._ejected(accrual)
        self.assertNotIn(" object at 0x", repr(accrual))

    def test_contract_in_a_pool(self) -> None:
        """In a pool the node is ejected, tried once when its time is over, and back when that goes well."""
        pool = fake_pool("a", _Only(), accrual=self.make_accrual)
        node = pool.nodes["a"]
        now = 0.0
        for _ in range(self.failures):
            lease = pool.acquire(now)
            now += 10.0 / self.failures
            lease.failed(now, ConnectFailed("connection refused"))
            lease.release(now)
            if node.ejection != "up":
                break
        else:
            raise SkipTest("quick refusals are nothing to this policy")
        now = node.ejected_until
        lease = pool.acquire(now)
        self.assertTrue(node.trial)
        lease.succeeded(now)
        lease.release(now)
        self.assertEqual(node.ejection, "up")


@implementer(IBalancer)
class _Only:
    """Picks the first."""

    def pick(self, candidates: Any, key: bytes | None) -> Any:
        """The first."""
        return candidates[0]
