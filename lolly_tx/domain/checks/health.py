"""What active checks know of a target, as a value, and the one transition it has.

Imports: domain. Used by: config, domain, domain.checks.cadence, domain.checks.quorum,
domain.shared, net.checks, net.library, service, service.checks, service.forwards,
service.metrics, service.records, service.workers, simulate, testing.

The counting is HAProxy's single counter in another dress. Only observations *against* the present state are
counted, and one that agrees with it forgets them all, so thresholds are consecutive by construction:

    up,   against 0 .. fall-1   --- `fall` bad checks in a row --->   down, against 0
    down, against 0 .. rise-1   --- `rise` good checks in a row -->   up,   against 0
"""

from __future__ import annotations

from typing import Literal

import attrs

from lolly_tx.domain.errors import ProxyError

CheckResult = Literal["success", "failure", "drain"]
"""What a check says; "drain": the target asks for no new clients."""

Initial = Literal["up", "down", "probation"]


@attrs.frozen
class Thresholds:
    """How many checks in a row change the state: `rise` good ones to up, `fall` bad ones to down; each >= 1."""

    rise: int = attrs.field(default=1, validator=attrs.validators.ge(1))
    fall: int = attrs.field(default=1, validator=attrs.validators.ge(1))


@attrs.frozen
class Observation:
    """The result of one check.

    `ok`: the target passed. `cause`: one line for a person ("200 from /health", "connection refused").
    `latency`: seconds the check took, or None when it never got that far.
    `status`: the HTTP status of the answer, or None. `drain`: the target asked for no new clients: one that is up
    stays so for clients bound to it, one that is down stays down. `error`: what kept it from being asked, if something
    did.
    """

    ok: bool
    cause: str
    latency: float | None = None
    status: int | None = None
    drain: bool = False
    error: ProxyError | None = attrs.field(default=None, eq=False)

    @property
    def result(self) -> CheckResult:
        """In a word."""
        if self.drain:
            return "drain"
        return "success" if self.ok else "failure"


@attrs.frozen
class Health:
    """One target as active checks see it.

    `against`: consecutive observations contrary to the state.
    `since`: when the state last flipped; `checked`: when it was last observed (seconds, monotonic; None = never).
    """

    up: bool = True
    against: int = 0
    since: float | None = None
    checked: float | None = None

    @classmethod
    def initial(cls, word: Initial, thresholds: Thresholds) -> Health:
        """The state before the first check.

        "up": traffic at once. "down": `rise` good checks first. "probation": no traffic until the
        first check, and if that is good it is enough.
        """
        if word == "up":
            return cls()
        against = thresholds.rise - 1 if word == "probation" else 0
        return cls(up=False, against=against)

    @property
    def word(self) -> str:
        """The state in one word: "up" or "down"."""
        return "up" if self.up else "down"

    def counter(self, thresholds: Thresholds) -> int:
        """HAProxy's number for this state: 0 .. rise+fall-1, up from `rise`."""
        if self.up:
            return thresholds.rise + thresholds.fall - 1 - self.against
        return self.against

    def missing(self, thresholds: Thresholds) -> int:
        """How many further contrary checks in a row would flip the state."""
        needed = thresholds.fall if self.up else thresholds.rise
        return max(1, needed - self.against)


def observe(
    state: Health, ok: bool, thresholds: Thresholds, now: float
) -> tuple[Health, bool]:
    """The state after one more check at `now`, and whether it flipped."""
    if ok is state.up:
        return attrs.evolve(state, against=0, checked=now), False
    against = state.against + 1
    needed = thresholds.fall if state.up else thresholds.rise
    if against >= needed:
        return Health(up=ok, since=now, checked=now), True
    return attrs.evolve(state, against=against, checked=now), False
