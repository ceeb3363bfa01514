"""What a pool is set to do about attempts: how many, when, and which answers ask for another.

Imports: domain, domain.retries. Used by: domain.retries.attempts, proxy, service,
service.changes, service.forwards.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, Protocol

from lolly_tx.domain.admission import Admission
from lolly_tx.domain.lease import Lease
from lolly_tx.domain.percentile import Percentile
from lolly_tx.domain.queue import WaitingLine
from lolly_tx.domain.retries.backoff import Backoff
from lolly_tx.domain.retries.budget import RetryBudget
from lolly_tx.domain.retries.retry import GRPC, RetryPolicy


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


_NO_RETRY: Final = RetryPolicy()
_NO_BACKOFF: Final = Backoff(base=0.0)
_NO_STATUSES: Final[frozenset[int]] = frozenset()
_EASY: Final[frozenset[int]] = frozenset(range(200, 500))


def _statuses_of(on: Iterable[str]) -> frozenset[int]:
    """The final statuses that these words name, such as "502" and "5xx"; other words name none."""
    named: set[int] = set()
    for word in on:
        if word.endswith("xx"):
            first = 100 * int(word[:1])
            named.update(range(first, first + 100))
        elif word.isdecimal():
            named.add(int(word))
    return frozenset([status for status in named if 200 <= status < 600])


class Policy:
    """How many attempts a request may have, and when; never changed. The parts with a state are the pool's.

    `budget`: shared with hedges; None = no limit but `retry`. `backoff`: before the second
    and later retries. `try_timeout`, `total_timeout`: seconds until the head of the answer,
    for one attempt and for all with their waits; 0 = no limit. `soft_statuses`: statuses
    whose Retry-After keeps requests for that path from the node for that time. `abandon`: what
    waits at a node that checks take down goes to another one.

    A class that spells its constructor out: the compiler does not know those of attrs, and each request asks for
    some of this.
    """

    __slots__ = (
        "abandon",
        "admission",
        "backoff",
        "budget",
        "direct",
        "easy_statuses",
        "hedging",
        "notable_statuses",
        "repeats_grpc",
        "retry",
        "retry_statuses",
        "room",
        "soft_statuses",
        "timed",
        "total_timeout",
        "try_timeout",
    )

    def __init__(
        self,
        *,
        retry: RetryPolicy = _NO_RETRY,
        budget: RetryBudget | None = None,
        backoff: Backoff = _NO_BACKOFF,
        try_timeout: float = 0.0,
        total_timeout: float = 0.0,
        hedging: Hedging | None = None,
        room: Room | None = None,
        soft_statuses: frozenset[int] = _NO_STATUSES,
        admission: Admission | None = None,
        abandon: bool = True,
    ) -> None:
        self.retry = retry
        self.budget = budget
        self.backoff = backoff
        self.try_timeout = try_timeout
        self.total_timeout = total_timeout
        self.hedging = hedging
        self.room = room
        self.soft_statuses = soft_statuses
        self.admission = admission
        self.abandon = abandon
        on = retry.on
        self.retry_statuses = _statuses_of(on)
        """That ask for another attempt."""
        self.notable_statuses = self.retry_statuses | soft_statuses
        """That anything is done about."""
        self.repeats_grpc = GRPC in on
        """Each gRPC call may be repeated, and is when its target is UNAVAILABLE."""
        self.timed = bool(try_timeout or total_timeout)
        self.direct = not (
            self.timed
            or hedging is not None
            or room is not None
            or admission is not None
        )
        """No request has to be timed, hedged, refused by chance or to wait."""
        # One set for all pools where nothing is noted: three hundred numbers are 16 KiB, and pools may be thousands.
        noted = self.notable_statuses
        easy = _EASY if _EASY.isdisjoint(noted) else _EASY - noted
        self.easy_statuses = easy if self.direct else _NO_STATUSES
        """Of first answers that are passed on without a thought."""

    def with_parts(
        self,
        budget: RetryBudget | None,
        hedging: Hedging | None,
        room: Room | None,
        admission: Admission | None,
    ) -> Policy:
        """The same with these parts, which have a state."""
        return Policy(
            retry=self.retry,
            budget=budget,
            backoff=self.backoff,
            try_timeout=self.try_timeout,
            total_timeout=self.total_timeout,
            hedging=hedging,
            room=room,
            soft_statuses=self.soft_statuses,
            admission=admission,
            abandon=self.abandon,
        )
