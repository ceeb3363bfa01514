"""More passive policies: by gateway errors, by the rate of failures, by latency, and several at once.

May import: domain.interfaces, domain.outcomes. Used by: service.build, through a pool's settings. The one used
by default is in `domain.accrual`; comparing a node with its peers is in `domain.outlier`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from zope.interface import implementer

from lolly_tx.domain.interfaces import IAccrual, IOutcomeAccrual
from lolly_tx.domain.outcomes import Outcome

GATEWAY_STATUSES = frozenset((502, 503, 504))

_SLOTS = 10


@implementer(IOutcomeAccrual)
class _Penalty:
    """What the policies below share: a penalty, and the good probes that lift it."""

    clean = False

    def __init__(self, seconds: float, min_rises: int) -> None:
        if seconds <= 0 or min_rises < 1:
            raise ValueError("seconds is more than 0, min_rises at least 1")
        self.seconds = seconds
        self.min_rises = min_rises
        self.penalised = False
        self.rises = 0

    def reset(self) -> None:
        """Forget everything."""
        self.penalised = False
        self.rises = 0

    def succeeded(self, now: float) -> bool:
        """A good probe, or a trial that went well."""
        if not self.penalised:
            return False
        self.rises += 1
        if self.rises < self.min_rises:
            return False
        self.reset()
        return True

    def failed(self, now: float) -> float | None:
        """A bad probe, or a trial that failed."""
        self.rises = 0
        return self.seconds if self.penalised else None

    def heard(self, outcome: Outcome, now: float) -> float | None:
        """An exchange ended."""
        raise NotImplementedError

    def _eject(self) -> float:
        self.penalised = True
        self.rises = 0
        return self.seconds


class GatewayErrors(_Penalty):
    """`limit` exchanges in a row that failed or were answered by one of `statuses` eject for `seconds`."""

    def __init__(
        self,
        limit: int = 5,
        seconds: float = 30.0,
        statuses: Collection[int] = GATEWAY_STATUSES,
        min_rises: int = 2,
    ) -> None:
        super().__init__(seconds, min_rises)
        if limit < 1:
            raise ValueError("the limit of gateway errors is at least 1")
        self.limit = limit
        self.statuses = frozenset(statuses)
        self._run = 0

    def __repr__(self) -> str:
        return f"<GatewayErrors {self._run}/{self.limit} in a row>"

    def __str__(self) -> str:
        """For a person, in the cause of an ejection."""
        return f"{self._run} of {self.limit} gateway errors in a row"

    def reset(self) -> None:
        """Forget everything."""
        super().reset()
        self._run = 0

    def heard(self, outcome: Outcome, now: float) -> float | None:
        """An exchange ended."""
        if outcome.error is None and outcome.status not in self.statuses:
            self._run = 0
            return None
        self._run += 1
        return self._eject() if self._run >= self.limit else None


class FailureRate(_Penalty):
    """When at least `share` of the exchanges of the last `window` seconds failed, and they were `at_least`, eject."""

    word = "failed"
    """What it counts, for a person."""

    def __init__(
        self,
        share: float = 0.5,
        window: float = 10.0,
        at_least: int = 20,
        seconds: float = 30.0,
        min_rises: int = 2,
    ) -> None:
        super().__init__(seconds, min_rises)
        if not 0 < share <= 1:
            raise ValueError("the share of failures is more than 0 and at most 1")
        if window <= 0 or at_least < 1:
            raise ValueError("the window is more than 0 s, at_least at least 1")
        self.share = share
        self.window = window
        self.at_least = at_least
        self._slots: list[tuple[int, int, int]] = []

    def __repr__(self) -> str:
        failures, total = self._sums()
        return f"<{type(self).__name__} {failures} of {total} in {self.window:g} s>"

    def __str__(self) -> str:
        """For a person, in the cause of an ejection."""
        failures, total = self._sums()
        return f"{failures} of {total} {self.word} in {self.window:g} s"

    def reset(self) -> None:
        """Forget everything."""
        super().reset()
        self._slots = []

    def heard(self, outcome: Outcome, now: float) -> float | None:
        """An exchange ended."""
        self._add(now, self._is_bad(outcome))
        failures, total = self._sums()
        if total >= self.at_least and failures >= self.share * total and failures:
            return self._eject()
        return None

    def _is_bad(self, outcome: Outcome) -> bool:
        return not outcome.ok

    def _add(self, now: float, bad: bool) -> None:
        slot = int(now * _SLOTS / self.window)
        slots = self._slots
        if slots and slots[-1][0] == slot:
            _, failures, total = slots[-1]
            slots[-1] = (slot, failures + bad, total + 1)
            return
        self._slots = [s for s in slots if s[0] > slot - _SLOTS]
        self._slots.append((slot, int(bad), 1))

    def _sums(self) -> tuple[int, int]:
        return sum(s[1] for s in self._slots), sum(s[2] for s in self._slots)


class SlowAnswers(FailureRate):
    """The same for answers that took longer than `over` seconds; errors that took as long count, quick ones do not."""

    word = "slow"

    def __init__(
        self,
        over: float = 2.0,
        share: float = 0.5,
        window: float = 10.0,
        at_least: int = 20,
        seconds: float = 30.0,
        min_rises: int = 2,
    ) -> None:
        super().__init__(share, window, at_least, seconds, min_rises)
        self.over = over

    def _is_bad(self, outcome: Outcome) -> bool:
        return outcome.seconds > self.over


class NginxFailures(_Penalty):
    """What nginx does with `max_fails` and `fail_timeout`, for configurations that come from there.

    Failures add up as long as no `fail_timeout` passes between two of them, whatever goes well meanwhile. nginx
    compares whole seconds, so its trial comes one second later than the number says.
    """

    def __init__(self, max_fails: int = 1, fail_timeout: float = 10.0) -> None:
        super().__init__(fail_timeout + 1.0, 1)
        self.max_fails = max_fails
        self.fail_timeout = fail_timeout
        self._fails = 0
        self._last = 0.0

    def __repr__(self) -> str:
        return f"<NginxFailures {self._fails}/{self.max_fails}>"

    def __str__(self) -> str:
        """For a person, in the cause of an ejection."""
        return f"{self._fails} of {self.max_fails} failures"

    def reset(self) -> None:
        """Forget everything."""
        super().reset()
        self._fails = 0

    def heard(self, outcome: Outcome, now: float) -> float | None:
        """An exchange ended."""
        gap = max(0.0, now - self._last)
        if outcome.ok:
            if gap > self.fail_timeout:
                self._fails = 0
            return None
        self._fails += 1
        self._last = now
        if not self.max_fails or self._fails < self.max_fails:
            return None
        return self._eject()


@implementer(IOutcomeAccrual)
class AnyOf:
    """Several policies at once: the longest ejection any of them asks for, lifted when all who asked agree."""

    def __init__(self, parts: Sequence[IAccrual]) -> None:
        self.parts = tuple(parts)
        self._asking: set[IAccrual] = set()

    def __repr__(self) -> str:
        asking = [part for part in self.parts if part in self._asking]
        return " or ".join(repr(part) for part in asking or self.parts)

    def __str__(self) -> str:
        """For a person, in the cause of an ejection."""
        asking = [part for part in self.parts if part in self._asking]
        return " or ".join(str(part) for part in asking or self.parts)

    @property
    def clean(self) -> bool:
        """All parts are."""
        return all(part.clean for part in self.parts)

    def reset(self) -> None:
        """Forget everything."""
        self._asking.clear()
        for part in self.parts:
            part.reset()

    def succeeded(self, now: float) -> bool:
        """A good probe, or a trial that went well."""
        asked = bool(self._asking)
        for part in self.parts:
            if part.succeeded(now):
                self._asking.discard(part)
        return asked and not self._asking

    def failed(self, now: float) -> float | None:
        """A bad probe, or a trial that failed."""
        return self._longest([(part, part.failed(now)) for part in self.parts])

    def heard(self, outcome: Outcome, now: float) -> float | None:
        """An exchange ended."""
        return self._longest([(part, _tell(part, outcome, now)) for part in self.parts])

    def _longest(
        self, answers: Sequence[tuple[IAccrual, float | None]]
    ) -> float | None:
        asked = [(part, seconds) for part, seconds in answers if seconds]
        self._asking.update(part for part, _ in asked)
        return max((seconds for _, seconds in asked), default=None)


def _tell(part: IAccrual, outcome: Outcome, now: float) -> float | None:
    """Tell one policy of an outcome, in the way it listens."""
    if IOutcomeAccrual.providedBy(part):
        asked: float | None = part.heard(outcome, now)
        return asked
    if not outcome.ok:
        return part.failed(now)
    part.succeeded(now)
    return None
