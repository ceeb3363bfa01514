"""A node: the live state of a target in one pool.

Imports: domain, domain.accruals, domain.checks. Used by: domain, domain.balancers,
domain.retries, domain.shared, net, net.datagrams, net.library, proxy, proxy.records,
proxy.streams, service, service.admin, service.checks, service.metrics, service.records,
service.stores, service.workers, simulate.

Three facts make a node available, and they are never merged into one flag: `enabled` (the operator's word),
`health` (active checks), `ejection` (passive accrual). A fourth is only of those that come to us instead of being
connected to (behind a tunnel): `absent`. "Full" is asked last, and is not a fact but a number: `in_flight` against
`capacity`.

    ejection:   up --- failures ---> ejected --- time is over ---> trial --- good ---> up
                                        ^                            |
                                        +----------- bad ------------+
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, Literal, Protocol

from lolly_tx.domain.accruals.interfaces import IAccrual
from lolly_tx.domain.checks.health import CheckResult, Health
from lolly_tx.domain.checks.target_agent import SILENT, AgentState
from lolly_tx.domain.errors import ProxyError
from lolly_tx.domain.events import Event
from lolly_tx.domain.evidence import Evidence, Sighting
from lolly_tx.domain.histogram import NONE
from lolly_tx.domain.holding import Holding
from lolly_tx.domain.native import Referable
from lolly_tx.domain.target import Target

Enabled = Literal["up", "drain", "down"]
Ejection = Literal["up", "ejected", "trial"]

EjectionKind = Literal["passive", "connect", "outlier", "fleet"]
"""What tipped the scales: "connect" when no connection came about, "passive" for all else its own record shows,
"outlier" next to its peers, "fleet" what other instances have seen."""

OWN_RECORD: Final[tuple[EjectionKind, ...]] = ("passive", "connect", "fleet")
"""Those that good checks in a row lift."""

HISTORY: Final = 64
"""Events kept per node: enough for a day of trouble, bounded for a flapping one."""

UNLIMITED: Final = 1 << 60
"""The `capacity` of a node without max_conns; an int, because comparing it costs less than asking for None."""

NO_COST: Final = float("-inf")
"""The `cost` of a node nobody has measured."""


Told = Callable[["Node", float, bool, float], None]
"""A balancer that wants to know how exchanges end; see `domain.interfaces.IOutcomeListener`."""


class HomeTier(Protocol):
    """What is asked of the tier a node is in; see `domain.tier.Tier`."""

    rank: int
    released: Callable[[Node], None] | None
    tell: Told | None
    finished: Told | None
    completed: Told | None


class Use(Protocol):
    """One use of a node, as its pool judges it; see `domain.lease.Lease`."""

    node: Node
    started: float
    asked: float
    status: int
    seconds: float

    @property
    def on_trial(self) -> bool:
        """It is to show whether its node is well again."""

    def succeeded(self, now: float, status: int = 200) -> None:
        """The node did its part."""


class Owner(Protocol):
    """What is asked of the pool a node is in; see `domain.pool.Pool`."""

    name: str

    def changed(self) -> None:
        """A fact has changed."""

    def lease_answered(self, lease: Use, now: float) -> None:
        """The head of an answer has come and someone listens."""

    def lease_succeeded(self, lease: Use, now: float) -> None:
        """A lease ended with an answer and someone listens."""

    def lease_failed(self, lease: Use, error: ProxyError, now: float) -> None:
        """A lease ended by the node's fault."""

    def lease_released(self, lease: Use, now: float) -> None:
        """A lease is over and someone wanted to know."""

    def lease_starved(self, error: ProxyError) -> None:
        """A lease ended because this machine had nothing left to make the attempt with."""


NODE_COUNTERS: Final = (
    "requests",
    "successes",
    "failures",
    "connect_failures",
    "timeouts",
    "resets",
    "errors",
    "retries",
    "ejections",
    "rechecks",
    "latency_sum",
    "bytes_in",
    "bytes_out",
)
"""The plain numbers of `NodeStats`."""


class NodeStats:
    """Counters of one node: plain numbers and a few collections of them, read by whoever wants them."""

    __slots__ = (*NODE_COUNTERS, "checks", "ejected", "slower")

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
        self.rechecks = 0
        """Connects of our own while it was ejected because there were none."""
        self.latency_sum = 0.0
        """Seconds from the whole request to the head of its answer, summed over `successes`."""
        self.bytes_in = 0
        """Of bodies, tunnels and sessions that are over, from clients; the next one: to them."""
        self.bytes_out = 0
        self.slower = list(NONE)
        """How many of the `successes` took how long, but for quick ones (`domain.histogram`)."""
        self.ejected: dict[EjectionKind, int] = {}
        """Ejections by what tipped the scales."""
        self.checks: dict[CheckResult, int] = {}
        """Results of active checks."""

    def as_dict(self) -> dict[str, int | float]:
        """All plain numbers by name."""
        return {name: getattr(self, name) for name in NODE_COUNTERS}


class Node(Referable):
    """One target's live state. Written by its pool only.

    `in_flight`: leases not yet released. `capacity`: how many it may have at once. `weight`: the effective share
    (slow start lowers it). `ejected_until`: when the last ejection ends or ended (seconds, monotonic).
    `streak`: ejections in a row, for growth. `penalty`: the length proposed for the last one. `kind`: why.
    `trials`: good ones since then. `spared`: the last ejection that was refused, and why. `unreached`: failed connects
    in a row. `agent`: what it says of itself. `lame`: its check asked for no new clients. `absent`: why there is nobody
    to connect to, in words; "": there is. Each process knows that by itself.
    `holding`: what it has of the leases in all processes of the proxy; None where there is one.
    `listening`: someone wants to hear of successes. `attentive`: someone wants to hear of releases.
    """

    __slots__ = (
        "target",
        "id",
        "pool",
        "enabled",
        "agent",
        "lame",
        "absent",
        "health",
        "accrual",
        "ejection",
        "ejected_at",
        "ejected_until",
        "penalty",
        "kind",
        "streak",
        "spared",
        "unreached",
        "trial_lease",
        "holding",
        "trials",
        "in_flight",
        "capacity",
        "weight",
        "base_weight",
        "ramp",
        "served",
        "cost",
        "tier",
        "stats",
        "history",
        "evidence",
        "last_change",
        "listening",
        "attentive",
    )

    def __init__(
        self,
        target: Target,
        pool: Owner,
        health: Health,
        accrual: IAccrual | None,
        tier: HomeTier,
    ) -> None:
        self.target = target
        self.id = target.id
        self.pool = pool
        self.enabled: Enabled = "down" if target.down else "up"
        self.agent: AgentState = SILENT
        self.lame = False
        self.absent = ""
        self.health = health
        self.accrual = accrual
        self.ejection: Ejection = "up"
        self.ejected_at = 0.0
        self.ejected_until = 0.0
        self.penalty = 0.0
        self.kind: EjectionKind = "passive"
        self.trials = 0
        self.streak = 0
        self.spared: Sighting | None = None
        self.unreached = 0
        self.trial_lease: Use | None = None
        self.holding: Holding | None = None
        self.in_flight = 0
        self.capacity = UNLIMITED
        self.base_weight = float(target.weight)
        self.weight = self.base_weight
        self.ramp: float | None = None
        self.served: bool | None = None
        self.cost = NO_COST
        self.tier = tier
        self.stats = NodeStats()
        self.history: deque[Event] = deque(maxlen=HISTORY)
        self.evidence = Evidence()
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
        """All facts together: it may take new exchanges, as far as it has room."""
        if self.absent:
            return False
        return self.willing and self.well and self.ejection != "ejected"

    @property
    def willing(self) -> bool:
        """Nobody's word keeps new clients away: not the operator's, not the target's own."""
        if self.enabled != "up" or self.lame:
            return False
        return self.agent is SILENT or self.agent.word == "up"

    @property
    def closed(self) -> bool:
        """Somebody's word keeps bound clients away too."""
        return self.enabled == "down" or self.agent.word == "down"

    @property
    def well(self) -> bool:
        """It can do its work, say the checks and, if it has one, its agent."""
        return self.health.up and self.agent.up

    @property
    def unreachable(self) -> bool:
        """It is ejected because there were no connections, and the first one that there is will be news."""
        if self.ejection != "ejected":
            return False
        return self.kind == "connect" or (self.kind == "fleet" and self.unreached > 0)

    @property
    def trial(self) -> bool:
        """A half-open trial is in flight."""
        return self.trial_lease is not None

    def end_trial(self) -> None:
        """No trial is in flight any more, whatever became of the last one."""
        self.trial_lease = None
        if self.holding is not None:
            self.holding.end_trial()

    @property
    def full(self) -> bool:
        """No room for another exchange."""
        return self.in_flight >= self.capacity

    def follow_agent(self, state: AgentState) -> None:
        """Take over what the agent says; its weight replaces the configured one, slow start included."""
        self.agent = state
        # A weight of 0 is a drain, and bound clients do not go by weights.
        self.base_weight = state.weight_of(self.target.weight) or 1.0
        if self.ramp is None:
            self.weight = self.base_weight

    @property
    def max_conns(self) -> int:
        """Exchanges it may have at once; 0: no limit."""
        mine = self.agent.max_conns
        return self.target.max_conns if mine is None else mine

    def why_not(self) -> str:
        """The first fact that keeps new exchanges away, in the order they are asked; "" when none does."""
        if self.enabled != "up":
            return "disabled" if self.enabled == "down" else "draining"
        if not self.willing:
            return "in maintenance" if self.closed else "draining by itself"
        if self.absent:
            return "not connected"
        if not self.health.up:
            return "unhealthy"
        if not self.agent.up:
            return "down by its agent"
        if self.ejection == "ejected":
            return "ejected"
        if self.full:
            return "trial in flight" if self.ejection == "trial" else "full"
        return ""
