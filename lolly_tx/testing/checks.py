"""What the checker relies on in a health check, and a pool in an event sink.

Imports: domain, domain.checks, Twisted. Used by: testing.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock
from zope.interface.verify import verifyObject

from lolly_tx.domain.checks.health import Observation
from lolly_tx.domain.events import Event
from lolly_tx.domain.interfaces import (
    IEventSink,
    IHealthCheck,
)
from lolly_tx.domain.target import Target

if TYPE_CHECKING:
    from twisted.trial.unittest import SynchronousTestCase as _Base
else:
    _Base = object


class HealthCheckContract(_Base):
    """What the checker relies on in any `IHealthCheck`.

    To be supplied: `make_check`, and what makes its target good, bad or silent. Time is `self.clock`, to be given to
    the check.
    """

    timeout = 5.0
    """Seconds in which it gives up, by its settings."""

    def setUp(self) -> None:
        """A clock that only the test moves."""
        super().setUp()
        self.clock = Clock()

    def make_check(self) -> IHealthCheck:
        """A new check; to be supplied."""
        raise NotImplementedError

    def good(self, start: Callable[[], Any]) -> Any:
        """Call `start`, which begins a check, and let the target pass it; its result. To be supplied."""
        raise NotImplementedError

    def bad(self, start: Callable[[], Any]) -> Any:
        """The same for a target that does not pass; to be supplied."""
        raise NotImplementedError

    silent: Callable[[Callable[[], Any]], Any] | None = None
    """The same for one that says nothing; None for checks that know at once."""

    def _begin(self, check: IHealthCheck) -> Callable[[], Any]:
        target = Target("t", "http://10.0.0.1:80", "http", "10.0.0.1", 80)
        return lambda: check.check(target)

    def _verdict(self, result: Any) -> Observation:
        seen: list[Any] = []
        result.addBoth(seen.append)
        self.assertEqual(len(seen), 1, "there is no verdict")
        self.assertIsInstance(seen[0], Observation)
        self.assertTrue(seen[0].cause and "\n" not in seen[0].cause, seen[0].cause)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        verdict: Observation = seen[0]
        return verdict

    def test_contract_interface(self) -> None:
        """A check is an IHealthCheck."""
        verifyObject(IHealthCheck, self.make_check())

    def test_contract_verdicts(self) -> None:
        """Good and bad are told apart, with a cause in one line, as often as it is asked, and leave no timer."""
        start = self._begin(self.make_check())
        for _ in range(2):
            self.assertTrue(self._verdict(self.good(start)).ok)
            self.assertFalse(self._verdict(self.bad(start)).ok)

    def test_contract_silence(self) -> None:
        """A target that says nothing is bad when the time is over, not later."""
        if self.silent is None:
            return
        result = self.silent(self._begin(self.make_check()))
        self.clock.advance(self.timeout * 0.9)
        self.assertFalse(result.called)
        # In steps, as time passes: one leap would be a standstill of the process.
        self.clock.pump([0.05] * math.ceil(self.timeout * 0.2 / 0.05))
        self.assertFalse(self._verdict(result).ok)

    def test_contract_cancel(self) -> None:
        """A check that is cancelled ends at once with CancelledError, says nothing, and leaves no timer."""
        if self.silent is None:
            return
        result = self.silent(self._begin(self.make_check()))
        result.cancel()
        seen: list[Any] = []
        result.addErrback(seen.append)
        self.assertEqual(len(seen), 1)
        self.assertIsNotNone(seen[0].check(CancelledError), seen[0])
        self.assertEqual(self.clock.getDelayedCalls(), [])


class EventSinkContract(_Base):
    """What a pool relies on in any `IEventSink`."""

    def make_sink(self) -> IEventSink:
        """A new sink; to be supplied."""
        raise NotImplementedError

    def test_contract_interface(self) -> None:
        """A sink is an IEventSink."""
        verifyObject(IEventSink, self.make_sink())

    def test_contract_every_event(self) -> None:
        """It takes every event there is, of a target and of a pool as a whole, and never raises."""
        sink = self.make_sink()
        for fact in ("health", "ejection", "enabled", "membership", "panic", "shadow"):
            for node in ("a", ""):
                for cause in ("", "check: 503 from /health", 'a "quoted" \u20ac\n'):
                    sink.emit(Event(1.5, "app", node, fact, "up", "down", cause))
