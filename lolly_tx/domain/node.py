"""A node: the live state of a target in one pool.

May import: domain values. Used by: domain.pool (the only writer), domain.balancers, proxy, service (readers).

Three facts make a node available, and they are never merged into one flag: `enabled` (the operator's word),
`health` (active checks), `ejection` (passive accrual). "Full" is asked last, and is not a fact but a number:
`in_flight` against `room`.

    ejection:   up --- failures ---> ejected --- time is over ---> trial --- good ---> up
                                        ^                            |
                                        +----------- bad ------------+
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Literal

from lolly_tx.domain.events import Event
from lolly_tx.domain.health import Health
from lolly_tx.domain.target import Target

if TYPE_CHECKING:  # pragma: no cover
    from lolly_tx.domain.interfaces import IAccrual
    from lolly_tx.domain.lease import Lease
    from lolly_tx.domain.roster import Roster
    from lolly_tx.domain.tier import Tier

Enabled = Literal["up", "drain", "down"]
Ejection = Literal["up", "ejected", "trial"]

EjectionKind = Literal["passive", "outlier", "soft"]

HISTORY = 64
"""Events kept per node: enough for a day of trouble, bounded for a flapping one."""

UNLIMITED = 1 << 60
"""The `room` of a node without max_conns; an int, because comparing it costs less than asking for None."""

NO_COST = float("-inf")
"""The `cost` of a node nobody has measured."""


class NodeStats:
    """Counters of one node: plain ints, read by whoever wants them."""

    __slots__ = (
        "requests",
        "successes",
        "failures",
        "connect_failures",
        "timeouts",
        "resets",
        "errors",
        "retries",
        "ejections",
        "latency_sum",
    )

    def __init__(self) -> None:
        self.requests = 0
        """Leases handed out."""
        self.successes = 0
        """Leases that ended well (any answer counts, whatever its status)."""
        self.failures = 0
        """Leases that ended by the node's fault; the next three are parts of it."""
        self.connect_failures = 0
        self.timeouts = 0
        self.resets = 0
        self.errors = 0
        """Answers with a 5xx status."""
        self.retries = 0
        """Leases that were a second or later attempt of their exchange."""
        self.ejections = 0
        self.latency_sum = 0.0
        """Seconds from lease to success, summed over `successes`."""

    def as_dict(self) -> dict[str, int | float]:
        """All counters by name."""
        return {name: getattr(self, name) for name in self.__slots__}


class Node:
    """One target's live state. Written by its pool only.

    `in_flight`: leases not yet released. `room`: how many it may have at once. `weight`: the effective share
    (slow start lowers it). `ejected_until`: when the last ejection ends or ended (seconds, monotonic).
    `streak`: ejections in a row, for growth. `penalty`: the length proposed for the last one. `soft`: it asked
    for it. `listening`: someone wants to hear of successes. `attentive`: someone wants to hear of releases.
    """

    __slots__ = (
        "target",
        "id",
        "pool",
        "enabled",
        "health",
        "accrual",
        "ejection",
        "ejected_at",
        "ejected_until",
        "penalty",
        "kind",
        "streak",
        "trial_lease",
        "in_flight",
        "room",
        "weight",
        "base_weight",
        "ramp",
        "served",
        "cost",
        "tier",
        "stats",
        "history",
        "last_change",
        "listening",
        "attentive",
        "__weakref__",
    )

    def __init__(
        self, target: Target, pool: Roster, health: Health, accrual: IAccrual | None
    ) -> None:
        self.target = target
        self.id = target.id
        self.pool = pool
        self.enabled: Enabled = "down" if target.down else "up"
        self.health = health
        self.accrual = accrual
        self.ejection: Ejection = "up"
        self.ejected_at = 0.0
        self.ejected_until = 0.0
        self.penalty = 0.0
        self.kind: EjectionKind = "passive"
        self.streak = 0
        self.trial_lease: Lease | None = None
        self.in_flight = 0
        self.room = UNLIMITED
        self.base_weight = float(target.weight)
        self.weight = self.base_weight
        self.ramp: float | None = None
        self.served: bool | None = None
        self.cost = NO_COST
        self.tier: Tier = pool.tier_for(target)
        self.stats = NodeStats()
        self.history: deque[Event] = deque(maxlen=HISTORY)
        self.last_change: Event | None = None
        self.listening = False
        self.attentive = False

    def __repr__(self) -> str:
        return (
            f"<Node {self.id} enabled={self.enabled} health={self.health.word} "
            f"ejection={self.ejection} in_flight={self.in_flight} "
            f"weight={self.weight:g}>"
        )

    @property
    def available(self) -> bool:
        """The three facts together: it may take new exchanges, as far as it has room."""
        return self.enabled == "up" and self.health.up and self.ejection != "ejected"

    @property
    def trial(self) -> bool:
        """A half-open trial is in flight."""
        return self.trial_lease is not None

    @property
    def full(self) -> bool:
        """No room for another exchange."""
        return self.in_flight >= self.room

    def why_not(self) -> str:
        """The first fact that keeps new exchanges away, in the order they are asked; "" when none does."""
        if self.enabled != "up":
            return "disabled" if self.enabled == "down" else "draining"
        if not self.health.up:
            return "unhealthy"
        if self.ejection == "ejected":
            return "ejected"
        if self.full:
            return "trial in flight" if self.ejection == "trial" else "full"
        return ""
