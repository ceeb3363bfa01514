"""A pool: a named group of nodes, and the lease of one of them.

Imports: domain, domain.accruals, domain.checks. Used by: domain.new_settings,
domain.retries, domain.shared, net.library, proxy, service, service.admin,
service.checks, service.forwards, service.metrics, service.records, service.stores,
service.workers, testing.

    roster      who is in, and every change of a fact
    reports     checks, agents, the operator's hand        --> facts
    verdicts    how leases ended                           --> facts
    timetable   what time alone changes                    --> facts
    choice      facts --> who is available, and who takes the next exchange
    caps        how many leases at once

`acquire` is the hot path. What is available is asked again only after a change of a fact, or when `now` passes
the next entry of the timetable: `_due` is that moment; `_timed` the latter alone. Whatever is not plain takes the slow
way: `_odd`.

Long because all that changes a fact has one way in, so that nothing forgets to have the choice looked at again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from lolly_tx.domain.accruals.interfaces import IAccrual
from lolly_tx.domain.caps import Caps
from lolly_tx.domain.checks.health import Initial, Observation, Thresholds
from lolly_tx.domain.checks.target_agent import AgentReport
from lolly_tx.domain.choice import AllDownPolicy, Choice
from lolly_tx.domain.concurrency import AdaptiveLimit
from lolly_tx.domain.ejection import UPLOAD_TRIAL_SECONDS, EjectionLimits, Ejections
from lolly_tx.domain.errors import AllFull, ProxyError
from lolly_tx.domain.foresight import Foresight, foresee
from lolly_tx.domain.histogram import Durations
from lolly_tx.domain.interfaces import IBalancer, IEventSink
from lolly_tx.domain.lease import Lease
from lolly_tx.domain.lease_verdicts import Verdicts
from lolly_tx.domain.node import Enabled, Node, Use
from lolly_tx.domain.outlier import OutlierDetector, OutlierLimits
from lolly_tx.domain.panic import DRAWS
from lolly_tx.domain.reports import Reports
from lolly_tx.domain.roster import Roster, UnknownNode, never_absent
from lolly_tx.domain.slow_start import SlowStart
from lolly_tx.domain.snapshot import describe, explain
from lolly_tx.domain.target import Target
from lolly_tx.domain.tier import by_load_of_key
from lolly_tx.domain.timetable import Timetable
from lolly_tx.domain.wayback import UNPLANNED, Planned

if TYPE_CHECKING:  # pragma: no cover
    from random import Random

__all__ = ["AllDownPolicy", "Lease", "Pool", "UnknownNode"]

AT_ONCE: Final = float("-inf")

SOON_SECONDS: Final = 0.05
"""Facts that change within so long of another are carried out together, unless somebody asks before."""


class Pool:
    """A named group of nodes with one balancing policy.

    `accrual`: makes the passive policy of one node; None turns passive tracking off. `all_down`: "refuse"
    raises AllDown; "least_bad" picks among the not disabled, and begins to do so now and then as the available
    become few (smooth panic, `panic_draws`; 0: only when there are none). `another_balancer`: makes one more of
    the same, for each further tier; without it all tiers share `balancer`. `initial`: health before the first
    check. `ejections`: how far passive ejection may go. `outliers`: compare nodes with their peers.
    `slow_start`: the way back into service. `failure_statuses`: statuses of answers that count as failures for
    the accrual. `max_conns`: leases of the whole pool at once. `max_retries`: those of them that are further
    attempts. 0: no limit. `adaptive`: a moving limit in place of `max_conns`, of the leases whose node owes an answer.
    `absence`: why there is nobody to connect to for a target now, "" where there is; `look_for_absent` asks again.
    """

    def __init__(
        self,
        name: str,
        targets: Iterable[Target],
        *,
        balancer: IBalancer,
        accrual: Callable[[], IAccrual] | None,
        thresholds: Thresholds,
        now: float,
        events: IEventSink,
        random: Random,
        all_down: AllDownPolicy = "refuse",
        panic_draws: int = DRAWS,
        another_balancer: Callable[[], IBalancer] | None = None,
        initial: Initial = "up",
        ejections: EjectionLimits | None = None,
        outliers: OutlierLimits | None = None,
        slow_start: SlowStart | None = None,
        failure_statuses: Collection[int] = (),
        max_conns: int = 0,
        max_retries: int = 0,
        adaptive: AdaptiveLimit | None = None,
        absence: Callable[[Target], str] = never_absent,
    ) -> None:
        detector = OutlierDetector(outliers, now) if outliers else None
        self.name = name
        self.balancer = balancer
        self.caps = Caps(max_conns, max_retries, adaptive)
        hears_all = bool(failure_statuses) or bool(detector) or adaptive is not None
        self.roster = roster = Roster(
            self,
            balancer=balancer,
            another_balancer=another_balancer,
            accrual=accrual,
            thresholds=thresholds,
            initial=initial,
            events=events,
            outliers=detector,
            hears_all=hears_all,
            counts_leases=self.caps.there,
            absence=absence,
        )
        self.nodes = roster.nodes
        self.ejections = Ejections(
            ejections or EjectionLimits(), roster.record, roster.held
        )
        self.verdicts = Verdicts(roster, self.ejections, failure_statuses)
        self._reports = Reports(roster, self.ejections)
        self.timetable = Timetable(
            roster, self.ejections, self.verdicts, slow_start or SlowStart()
        )
        self.choice = Choice(roster, balancer, random, all_down, panic_draws)
        self.on_down = self._reports.on_down
        """Called when the health of a node becomes "down": who waits there may wait in vain."""
        self.on_unreachable = self.verdicts.on_unreachable
        """Called when a node is ejected because there were no connections: a reason to ask it by one of our own."""
        self.on_back = roster.on_back
        """Called when a node has come back, or is to be tried."""
        self.on_room: list[Callable[[float], None]] = []
        """Called when a lease ends where there was a limit: somebody may be waiting for room."""
        self.refusals = 0
        """Leases refused: all down, all full or all tried."""
        self.check_times = Durations()
        self._due = AT_ONCE
        self._timed = AT_ONCE
        self._settled = AT_ONCE
        self._odd = True
        self._ready: tuple[Node, ...] = ()
        self._pick = balancer.pick
        for target in targets:
            roster.join(target)

    def __repr__(self) -> str:
        return f"<Pool {self.name}: {len(self._ready)} of {len(self.nodes)} available>"

    # -- a lease

    def acquire(
        self,
        now: float,
        key: bytes | None = None,
        tried: Collection[Node] = (),
        bond: bytes | None = None,
        avoid: Collection[Node] = (),
    ) -> Lease:
        """Lease a node for one attempt.

        `key`: what the exchange is hashed by. `tried`: nodes this exchange has used up. `bond`: what the client
        brought back from a sticky pool. `avoid`: nodes to pass over while others have room. Raises AllDown,
        AllFull or AllTried.
        """
        if now >= self._due:
            self._settle(now)
        if tried or avoid or self._odd:
            return self._acquire_among(now, key, tried, bond, avoid)
        pick = self._pick
        node = pick(self._ready, key)
        taken = node.in_flight + 1
        if taken >= node.capacity:
            if taken == node.capacity and node.holding is None:
                return self._grant(node, now)
            return self._acquire_among(now, key, tried, bond)
        node.in_flight = taken
        node.stats.requests += 1
        return Lease(node, now)

    def _acquire_among(
        self,
        now: float,
        key: bytes | None,
        tried: Collection[Node],
        bond: bytes | None,
        avoid: Collection[Node] = (),
    ) -> Lease:
        retry = bool(tried)
        if self.caps.there and (why := self.caps.why_not(now, retry)):
            self.refusals += 1
            raise AllFull(f"pool {self.name}: {why}")
        node = self.choice.among(key, tried, bond, avoid)
        if node is not None and node.holding is not None:
            node = self.choice.reserve(node, key, tried, bond, avoid)
        if node is None:
            self.refusals += 1
            self.caps.let_go(retry)
            raise self.choice.refusal(self.name, tried)
        return self._grant(node, now, retry)

    def _grant(self, node: Node, now: float, retry: bool = False) -> Lease:
        lease = Lease(node, now)
        node.in_flight += 1
        stats = node.stats
        stats.requests += 1
        if retry:
            stats.retries += 1
        if node.ejection == "trial":
            node.trial_lease = lease
            node.capacity = 0
            self._due = min(self._due, now + UPLOAD_TRIAL_SECONDS)
        if node.in_flight >= node.capacity:
            self.roster.full.add(node)
        if self.caps.there:
            self.caps.granted(lease, retry)
        return lease

    # -- how it ended

    def lease_answered(self, lease: Use, now: float) -> None:
        """The head of an answer has come and someone listens."""
        makes_room = self.caps.answered(lease, now)
        self.verdicts.answered(lease, now)
        if makes_room:
            self._tell_of_room(now)

    def lease_succeeded(self, lease: Use, now: float) -> None:
        """A lease ended with an answer and someone listens."""
        self.verdicts.succeeded(lease, now)

    def lease_failed(self, lease: Use, error: ProxyError, now: float) -> None:
        """A lease ended by the node's fault."""
        self.verdicts.failed(lease, error, now)

    def lease_released(self, lease: Use, now: float) -> None:
        """A lease is over and someone wanted to know."""
        self.caps.released(lease)
        if lease.node.holding is not None:
            lease.node.holding.released()
        self.verdicts.released(lease)
        if not lease.node.in_flight:
            self.roster.see_off(lease.node, now)
        self._tell_of_room(now)

    def lease_starved(self, error: ProxyError) -> None:
        """A lease ended because this machine had nothing left to make the attempt with."""
        if self.roster.witness is not None:
            self.roster.witness.short(error.detail)

    def _tell_of_room(self, now: float) -> None:
        for tell in self.on_room:
            tell(now)

    # -- what is said of nodes

    def observe(self, node_id: str, observation: Observation, now: float) -> None:
        """Take in the result of one active check. A node that left in the meantime is ignored."""
        self.catch_up(node_id, now)
        self._reports.observe(node_id, observation, now)

    def reached(self, node_id: str, observation: Observation, now: float) -> None:
        """Take in a connect of our own to a node that is ejected because there were none."""
        self.catch_up(node_id, now)
        self._reports.reached(node_id, observation, now)

    def check_counts(self, node_id: str, observation: Observation, now: float) -> bool:
        """Whether the result of a check is to be judged: a bad one is not while nobody is to be taken down."""
        node = self.nodes.get(node_id)
        if node is None:
            return True
        if node.absent and not observation.ok:
            return False  # it was asked while somebody was there, or not at all
        if self.roster.witness is None:
            return True
        self._reports.witnessed(node, observation, now)
        if observation.ok or observation.drain or not self.roster.held(now):
            return True
        self._reports.overlook(node, observation, now)
        return False

    def restore(self, since: float, cause: str, now: float) -> None:
        """What was seen from `since` on was no fault of targets: who went out for it is as before."""
        self._settle(now)
        self._reports.restore(since, cause, now)

    def hear_agent(self, node_id: str, report: AgentReport, now: float) -> None:
        """Take in what a target says of itself. A node that left in the meantime is ignored."""
        self.catch_up(node_id, now)
        self._reports.hear_agent(node_id, report, now)

    def mark(self, node_id: str, up: bool, cause: str, now: float) -> None:
        """Set the health of a node by hand, as if enough checks had said so. Raises UnknownNode."""
        self.catch_up(node_id, now)
        self._reports.mark(node_id, up, cause, now)

    def set_enabled(self, node_id: str, word: Enabled, cause: str, now: float) -> None:
        """The operator's word: "up", "drain" (no new exchanges) or "down". Raises UnknownNode."""
        node = self.node(node_id)
        self._settle(now)
        self.roster.set_enabled(node, word, cause, now)

    def look_for_absent(
        self, now: float, whose: Callable[[Target], bool]
    ) -> list[Node]:
        """Ask anew of some targets whether there is nobody to connect to; those for whom there is again."""
        news = self.roster.absences(whose)
        if news:
            self._settle(now)
        for node, why in news:
            self.roster.set_absent(node, why, now)
        return [node for node, why in news if not why]

    def go_by(self, thresholds: Thresholds, initial: Initial) -> None:
        """Count checks by `thresholds` from now on; targets nobody has checked yet begin as `initial`."""
        self._reports.go_by(thresholds, initial)
        self.changed()

    def begin_health_anew(self, cause: str, now: float) -> None:
        """What checks ask has changed: targets are as before their first check."""
        self._settle(now)
        self._reports.begin_anew(cause, now)
        self.changed()

    # -- membership

    def replace(self, targets: Iterable[Target], now: float, by: str = "") -> None:
        """Change the membership; state is kept by target id, also when weight or limits change.

        `by`: who does it, for the events; "" for the configuration.
        """
        if now >= self._timed or now != self._settled:  # else only settings changed
            self._settle(now)
        self.roster.replace(targets, now, self.ejections.forget, by)

    @property
    def departed(self) -> Mapping[str, Node]:
        """Targets that left of late, by id."""
        return self.roster.departed

    def node(self, node_id: str) -> Node:
        """The node of that id. Raises UnknownNode with the ids there are."""
        return self.roster.node(node_id)

    # -- what follows from the facts and the time

    def changed(self) -> None:
        """A fact has changed: the choice is to be made afresh."""
        self._due = AT_ONCE

    def _settle(self, now: float) -> None:
        """Carry out what time has brought, before anything else happens."""
        if now >= self._due:
            due = self.timetable.advance(now)
            choice = self.choice
            choice.rebuild(now)
            self._ready = choice.ready
            self._pick = choice.pick
            self._odd = choice.odd or self.caps.there or self.roster.counts_together
            self._due = self._timed = due
        self._settled = now

    def catch_up(self, node_id: str, now: float) -> None:
        """Settle before something is said of a node, or only that node, when all of them were a moment ago.

        A thousand targets may go down in one turn of the event loop, and each time all of them are looked at.
        """
        if now >= self._timed or now >= self._settled + SOON_SECONDS:
            self._settle(now)
        elif now >= self._due and node_id in self.nodes:
            self.timetable.touch(self.nodes[node_id], now)

    # -- what others see

    @property
    def suspect(self) -> Callable[[Node, float], None] | None:
        """Called when a failure is held against a node: a reason to check it at once."""
        return self.verdicts.suspect

    @suspect.setter
    def suspect(self, call: Callable[[Node, float], None] | None) -> None:
        self.verdicts.suspect = call

    @property
    def thresholds(self) -> Thresholds:
        """How many checks flip the health."""
        return self.roster.thresholds

    @property
    def initial(self) -> Initial:
        """Health before the first check."""
        return self.roster.initial

    @property
    def all_down(self) -> AllDownPolicy:
        """What happens when nobody is available."""
        return self.choice.all_down

    def available(self, now: float) -> tuple[Node, ...]:
        """The nodes that take new exchanges now, the best tier first; backups only when there are no others."""
        self._settle(now)
        return self._ready

    @property
    def in_flight(self) -> int:
        """Leases not yet released."""
        return sum(node.in_flight for node in self.nodes.values())

    def snapshot(
        self, now: float, planned: Callable[[str], Planned] = lambda node_id: UNPLANNED
    ) -> list[dict[str, Any]]:
        """Every node as a JSON-able dict; see `domain.snapshot`. `planned`: who asks the node of an id next."""
        self._settle(now)
        return [
            describe(node, self.thresholds, now, planned(node.id))
            for node in self.nodes.values()
        ]

    def explain(
        self, now: float, key: bytes | None = None, bond: bytes | None = None
    ) -> list[dict[str, Any]]:
        """Every node with the reason why an exchange of that key would or would not go there; takes no turn away."""
        self._settle(now)
        node = self.choice.bound_node(bond, ())
        order = by_load_of_key(self.choice.order, key)
        return explain(order, self.nodes.values(), key, node)

    def foresee(
        self, now: float, key: bytes | None = None, bond: bytes | None = None
    ) -> Foresight:
        """Whom an exchange of that key would get now; takes no turn away."""
        self._settle(now)
        node = self.choice.bound_node(bond, ())
        order = by_load_of_key(self.choice.order, key)
        return foresee(order, key, node, self.choice.panic_odds)
