"""Several passive policies of one node at once.

Imports: domain, domain.accruals. Used by: service.
"""

from __future__ import annotations

from collections.abc import Sequence

from zope.interface import implementer

from lolly_tx.domain.accruals.interfaces import IAccrual, IOutcomeAccrual
from lolly_tx.domain.outcomes import Outcome


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
