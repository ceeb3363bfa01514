"""Ejections: who is left alone because of its real traffic, for how long, and how it comes back.

Imports: domain. Used by: domain.lease_verdicts, domain.pool, domain.reports,
domain.timetable, service.

A policy (an accrual) proposes seconds; here they are grown, capped, refused or only reported, and every change
is recorded. Whoever is ejected comes back through one half-open trial, through good probes, by the operator's
hand.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import attrs

from lolly_tx.domain.evidence import Sighting
from lolly_tx.domain.node import Ejection, EjectionKind, Node, Use

OUTLIER_SHARE = 0.5
"""The largest part of a pool that may be out for standing out: who is worse than the others
says little when few others are left, and under overload everybody stands out in turn."""

FLEET_SHARE = 0.5
"""The largest part that may be out when one more goes out by the word of other instances: whoever
brings that word may lie."""

TRIAL_SECONDS = 10.0
"""A trial without a verdict for so long makes room for the next one, which may know sooner. Its own
verdict still counts."""

UPLOAD_TRIAL_SECONDS = 1.0
"""The same while its client has not sent all of the request: the target owes no answer yet."""


@attrs.frozen
class EjectionLimits:
    """How far ejections may go. By default: no growth, no cap on the share.

    `max_seconds`: the longest ejection; > 0 turns growth on (the k-th ejection in a row lasts k times the first)
    while another node serves: an outage is not to last longer because of it.
    `decay`: seconds of good service that take one step of the growth back; 0: the ejection's own base length.
    `max_share`: the largest part of the pool that may be ejected at once, 0..1; one node always may.
    `keep_last`: the last available node is only ejected when it cannot be reached. `shadow`: only report what
    would have been ejected.
    """

    max_seconds: float = attrs.field(default=0.0, validator=attrs.validators.ge(0))
    decay: float = attrs.field(default=0.0, validator=attrs.validators.ge(0))
    max_share: float = attrs.field(
        default=1.0, validator=[attrs.validators.ge(0), attrs.validators.le(1)]
    )
    keep_last: bool = True
    shadow: bool = False


def grown(base: float, streak: int, max_seconds: float) -> float:
    """The length of the `streak`-th ejection in a row (1 = the first), seconds; `max_seconds` 0: no growth."""
    if not max_seconds:
        return base
    return max(base, min(max_seconds, base * max(1, streak)))


def decayed(streak: int, good_for: float, decay: float) -> int:
    """What is left of `streak` after `good_for` seconds of good service, one step per `decay` seconds."""
    if decay <= 0:
        return streak
    return max(0, streak - int(max(0.0, good_for) // decay))


class Record(Protocol):
    """Takes note of one change of a node's facts."""

    def __call__(
        self, node: Node, fact: str, old: str, new: str, cause: str, now: float, /
    ) -> None:
        """`fact` went from `old` to `new` at `now`, because of `cause`."""


Held = Callable[[float], str]
"""Why nobody is to be ejected at a time; "" when there is no reason."""


class Ejections:
    """The ejection fact of all nodes of one pool."""

    def __init__(
        self, limits: EjectionLimits, record: Record, held: Held = lambda now: ""
    ) -> None:
        self.limits = limits
        self._record = record
        self._held = held
        self.count = 0
        """Nodes that are ejected or on trial now."""
        self.refused = 0
        """Ejections proposed and refused by a cap."""
        self.shadowed = 0
        """Ejections that shadow mode only reported."""

    def eject(
        self,
        node: Node,
        seconds: float,
        cause: str,
        now: float,
        *,
        members: int,
        others: bool,
        kind: EjectionKind = "passive",
    ) -> bool:
        """Eject `node` for about `seconds` if the limits allow it; whether they did.

        `members`: nodes in the pool. `others`: another node is available and not on trial itself. The share is not
        asked about after a failed trial: that node is already counted. Nobody is served by the last node either
        when it takes no connections; keeping it would only make its clients wait. While nobody is to be ejected, one
        that was before stays so, and no longer for it.
        """
        limits, held = self.limits, self._held(now)
        if held:
            if node.ejection == "up":
                self._spare(node, held, cause, now)
                return False
            node.end_trial()
            node.trials = 0
            node.ejected_until = now + node.penalty
            self._set(node, "ejected", f"{held}; {cause}", now)
            return True
        keep_last = limits.keep_last or kind == "fleet"
        if keep_last and not others and kind != "connect":
            self._spare(node, "the last available target stays", cause, now)
            return False
        if node.ejection == "up":
            share = limits.max_share
            if kind == "outlier":
                share = min(share, OUTLIER_SHARE)
            elif kind == "fleet":
                share = min(share, FLEET_SHARE)
            if not self._has_share(members, share):
                self._spare(node, "enough targets are ejected", cause, now)
                return False
            if limits.shadow:
                self.report(node, cause, now)
                return False
            good_for = now - node.ejected_until
            node.streak = decayed(node.streak, good_for, limits.decay or seconds)
        if node.ejection == "up" or node.kind != "outlier":
            node.kind = kind
        node.streak += 1
        node.penalty = seconds
        longest = limits.max_seconds if others else 0.0
        node.ejected_until = now + grown(seconds, node.streak, longest)
        self._out(node, cause, now)
        return True

    def report(self, node: Node, cause: str, now: float) -> None:
        """Shadow mode: say what would have been done."""
        self.shadowed += 1
        self._record(node, "shadow", "up", "ejected", cause, now)

    def _spare(self, node: Node, why: str, cause: str, now: float) -> None:
        self.refused += 1
        node.spared = Sighting(now, False, f"{why}; {cause}")

    def _has_share(self, members: int, share: float) -> bool:
        return self.count < max(1, int(share * members))

    @staticmethod
    def trial_due(lease: Use, now: float) -> float:
        """Until when the trial `lease` keeps others away from its node, as far as is known at `now`."""
        wait = UPLOAD_TRIAL_SECONDS if lease.asked > now else TRIAL_SECONDS
        return lease.started + wait

    def expire(self, node: Node) -> None:
        """The ejection's time is over: one trial."""
        at = node.ejected_until
        self._set(node, "trial", "ejection over: one trial", at)

    def renew(self, node: Node, now: float) -> None:
        """What ejected `node` was seen again just now, so no client is to be its trial for as long again."""
        node.ejected_until = max(node.ejected_until, now + node.penalty)

    def lift(self, node: Node, cause: str, now: float) -> None:
        """`node` is back; its record starts afresh."""
        if node.ejection != "up":
            self.count -= 1
            if now < node.ejected_until and node.streak:
                # Good checks have cut it short: the next one is not to be longer for it.
                node.streak -= 1
        node.ejected_until = now
        node.end_trial()
        if node.accrual is not None:
            node.accrual.reset()
        self._set(node, "up", cause, now)

    def forget(self, node: Node) -> None:
        """`node` leaves the pool."""
        if node.ejection != "up":
            self.count -= 1

    def _out(self, node: Node, cause: str, now: float) -> None:
        if node.ejection == "up":
            self.count += 1
        node.end_trial()
        node.trials = 0
        node.ejected_at = now
        stats = node.stats
        stats.ejections += 1
        stats.ejected[node.kind] = stats.ejected.get(node.kind, 0) + 1
        self._set(node, "ejected", cause, now)

    def _set(self, node: Node, new: Ejection, cause: str, now: float) -> None:
        old, node.ejection = node.ejection, new
        self._record(node, "ejection", old, new, cause, now)
