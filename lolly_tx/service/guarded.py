"""Balancers and passive policies of plugins, held so that a mistake of theirs costs no request.

Both are asked in the middle of an exchange: an exception there would leave a client without an answer and a target with
a place that is never free again. What is built in is not held, and so pays nothing for it.

Imports: domain, domain.balancers, Twisted. Used by: service.registry.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from twisted.logger import Logger
from zope.interface import implementer

from lolly_tx.domain.balancers.round_robin import RoundRobin
from lolly_tx.domain.interfaces import IAccrual, IBalancer, IOutcomeAccrual
from lolly_tx.domain.node import Node
from lolly_tx.domain.outcomes import Outcome

_HELD = ("released", "finished", "preview", "bound")
_AS_THEY_ARE = ("bond", "whole")


@implementer(IBalancer)
class GuardedBalancer:
    """`balancer` of the plugin `name`; while it raises, or picks who is no candidate, they take turns.

    It offers what `balancer` offers beside `pick`.
    """

    def __init__(self, name: str, balancer: IBalancer, log: Logger) -> None:
        self.called = type(balancer).__name__
        """What `lolly explain` calls it."""
        self._name = name
        self._balancer = balancer
        self._log = log
        self._turns = RoundRobin()
        if hasattr(balancer, "ranked"):
            self.ranked = self._ranked
        for each in _HELD:
            if hasattr(balancer, each):
                setattr(self, each, self._held(getattr(balancer, each)))
        for each in _AS_THEY_ARE:
            if hasattr(balancer, each):
                setattr(self, each, getattr(balancer, each))

    def __repr__(self) -> str:
        return f"<GuardedBalancer {self._name}: {self._balancer!r}>"

    def pick(self, candidates: Sequence[Node], key: bytes | None) -> Node:
        """Whom the balancer picks, or whose turn it is."""
        try:
            node = self._balancer.pick(candidates, key)
            if node in candidates:
                return node
            raise LookupError(f"pick returned {node!r}, which is no candidate")
        except Exception:
            self._failed()
        return self._turns.pick(candidates, key)

    def _ranked(self, candidates: Sequence[Node], key: bytes | None) -> Iterator[Node]:
        """In its order, and then who is left, beginning with whose turn it is."""
        seen = set()
        try:
            for node in self._balancer.ranked(candidates, key):  # type: ignore[attr-defined]  # an IRankingBalancer
                if node not in candidates:
                    raise LookupError(f"ranked has {node!r}, which is no candidate")
                seen.add(node)
                yield node
        except Exception:
            self._failed()
        if len(seen) < len(candidates):
            first = candidates.index(self._turns.pick(candidates, key))
            for node in (*candidates[first:], *candidates[:first]):
                if node not in seen:
                    yield node

    def _held(self, method: Callable[..., Any]) -> Callable[..., Any]:
        """`method` that answers None in place of an exception."""

        def held(*words: Any) -> Any:
            try:
                return method(*words)
            except Exception:
                self._failed()
                return None

        return held

    def _failed(self) -> None:
        self._log.failure(
            "The balancer {name} failed; targets take turns", name=self._name
        )


@implementer(IAccrual)
class GuardedAccrual:
    """`accrual` of the plugin `name`; what it raises is logged and says nothing about the target."""

    def __init__(self, name: str, accrual: IAccrual, log: Logger) -> None:
        self._name = name
        self._accrual = accrual
        self._log = log
        kind = type(accrual)
        self._speaks = not (
            kind.__str__ is object.__str__ and kind.__repr__ is object.__repr__
        )

    def __repr__(self) -> str:
        return f"<GuardedAccrual {self._name}: {self._accrual!r}>"

    def __str__(self) -> str:
        """For a person: what the policy says of itself, or else its name."""
        said = self._asked(str, self._accrual) if self._speaks else None
        return f"policy {self._name}" if said is None else str(said)

    @property
    def clean(self) -> bool:
        """Not, where the policy does not say."""
        return bool(self._asked(getattr, self._accrual, "clean", False))

    def succeeded(self, now: float) -> bool:
        """Whether the policy lifts its penalty."""
        return bool(self._asked(self._accrual.succeeded, now))

    def failed(self, now: float) -> float | None:
        """How long the policy wants the node left alone."""
        return self._seconds(self._accrual.failed, now)

    def reset(self) -> None:
        """Afresh."""
        self._asked(self._accrual.reset)

    def _seconds(self, method: Callable[..., Any], *words: Any) -> float | None:
        found: float | None = self._asked(lambda: _seconds(method(*words)))
        return found

    def _asked(self, method: Callable[..., Any], *words: Any) -> Any:
        try:
            return method(*words)
        except Exception:
            self._log.failure(
                "The passive policy {name} failed; it is not heard", name=self._name
            )
            return None


@implementer(IOutcomeAccrual)
class GuardedOutcomeAccrual(GuardedAccrual):
    """The same for one that goes by more than success and failure."""

    def heard(self, outcome: Outcome, now: float) -> float | None:
        """How long the policy wants the node left alone."""
        return self._seconds(self._accrual.heard, outcome, now)  # type: ignore[attr-defined]  # an IOutcomeAccrual


def guarded_accrual(name: str, accrual: IAccrual, log: Logger) -> IAccrual:
    """`accrual` held, as much of it as there is."""
    listens = IOutcomeAccrual.providedBy(accrual)
    made: IAccrual = (GuardedOutcomeAccrual if listens else GuardedAccrual)(
        name, accrual, log
    )
    return made


def _seconds(answer: Any) -> float | None:
    """A time from 0 on, or None. Raises TypeError or ValueError for what is neither."""
    if answer is None:
        return None
    seconds = float(answer)
    if not 0 <= seconds < math.inf:
        raise ValueError(f"{answer!r} is no number of seconds")
    return seconds
