"""What a pool is set to do about attempts: how many, when, and which answers ask for another.

Imports: domain. Used by: domain.attempts, proxy, service.
"""

from __future__ import annotations

from typing import Any, Protocol

import attrs

from lolly_tx.domain.admission import Admission
from lolly_tx.domain.backoff import Backoff
from lolly_tx.domain.budget import RetryBudget
from lolly_tx.domain.lease import Lease
from lolly_tx.domain.percentile import Percentile
from lolly_tx.domain.queue import WaitingLine
from lolly_tx.domain.retry import GRPC, RetryPolicy


class Room(Protocol):
    """Where requests wait when every node is full."""

    @property
    def occupied(self) -> bool:
        """Somebody waits; who comes now joins the line."""

    def enter(self, attempts: Any, now: float) -> bool:
        """Let one wait for `attempt`, `refused` or `turned_away`; False: there is no place."""

    def leave(self, attempts: Any) -> None:
        """It waits no more; does nothing if it does not."""

    @property
    def line(self) -> WaitingLine[Any]:
        """Those who wait."""

    def admit(self, now: float) -> None:
        """There may be room: as many as find a node have their turn."""


class Hedging:
    """When requests of one pool are hedged.

    After a `percentile` of the recent times to the head of an answer, never sooner than
    `least` seconds.
    `started`: second attempts made. `won`: those of them that were faster.
    """

    def __init__(self, percentile: Percentile, least: float) -> None:
        self.percentile = percentile
        self.least = least
        self.started = 0
        self.won = 0

    def note_answer(self, lease: Lease, now: float) -> None:
        """The answer of `lease` begins; an early one says nothing about how long they take."""
        if lease.asked <= now:
            self.percentile.add(now - lease.asked)

    def delay(self) -> float | None:
        """Seconds until a second attempt; None while too little is known."""
        delay = self.percentile.value()
        return None if delay is None else max(delay, self.least)


@attrs.frozen(eq=False)
class Policy:
    """How many attempts a request may have, and when. The parts with a state are the pool's.

    `budget`: shared with hedges; None = no limit but `retry`. `backoff`: before the second
    and later retries. `try_timeout`, `total_timeout`: seconds until the head of the answer,
    for one attempt and for all with their waits; 0 = no limit. `soft_statuses`: statuses
    whose Retry-After keeps requests for that path from the node for that time. `abandon`: what
    waits at a node that checks take down goes to another one.
    """

    retry: RetryPolicy = RetryPolicy()
    budget: RetryBudget | None = None
    backoff: Backoff = Backoff(base=0.0)
    try_timeout: float = 0.0
    total_timeout: float = 0.0
    hedging: Hedging | None = None
    room: Room | None = None
    soft_statuses: frozenset[int] = frozenset()
    admission: Admission | None = None
    abandon: bool = True
    retry_statuses: frozenset[int] = attrs.field(init=False)
    """That ask for another attempt."""
    notable_statuses: frozenset[int] = attrs.field(init=False)
    """That anything is done about."""
    repeats_grpc: bool = attrs.field(init=False)
    """Each gRPC call may be repeated, and is when its target is UNAVAILABLE."""
    timed: bool = attrs.field(init=False)
    direct: bool = attrs.field(init=False)
    """No request has to be timed, hedged, refused by chance or to wait."""
    easy_statuses: frozenset[int] = attrs.field(init=False)
    """Of first answers that are passed on without a thought."""

    @retry_statuses.default
    def _retry_statuses(self) -> frozenset[int]:
        on = self.retry.on
        return frozenset(
            status
            for status in range(200, 600)
            if str(status) in on or f"{status // 100}xx" in on
        )

    @notable_statuses.default
    def _notable_statuses(self) -> frozenset[int]:
        return self.retry_statuses | self.soft_statuses

    @repeats_grpc.default
    def _repeats_grpc(self) -> bool:
        return GRPC in self.retry.on

    @timed.default
    def _timed(self) -> bool:
        return bool(self.try_timeout or self.total_timeout)

    @direct.default
    def _direct(self) -> bool:
        return not (self.timed or self.hedging or self.room or self.admission)

    @easy_statuses.default
    def _easy_statuses(self) -> frozenset[int]:
        if not self.direct:
            return frozenset()
        return frozenset(range(200, 500)) - self.notable_statuses
