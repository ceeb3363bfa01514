"""Several checks of one target, counted together.

Imports: domain.checks. Used by: service, service.checks.

Each check has a state of its own, with its own rise and fall (`health.observe`), and an opinion: it is up or down,
or, before its first result, what its `initial` says. The target is well when at least `quorum` of the checks that
vote are up. Advisory checks have a state like the others and no vote.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from lolly_tx.domain.checks.health import (
    Health,
    Initial,
    Observation,
    Thresholds,
    observe,
)


@attrs.frozen
class Member:
    """One check of several. `advisory`: only reported."""

    name: str
    thresholds: Thresholds = Thresholds()
    initial: Initial = "up"
    advisory: bool = False


@attrs.frozen
class Opinion:
    """What one check thinks of one target, and why."""

    member: Member
    health: Health
    last: Observation | None = None

    @classmethod
    def first(cls, member: Member) -> Opinion:
        """Before the first result."""
        return cls(member, Health.initial(member.initial, member.thresholds))

    def after(self, observation: Observation, now: float) -> tuple[Opinion, bool]:
        """The opinion after one more result, and whether it flipped."""
        ok = observation.ok or (observation.drain and self.health.up)
        health, flipped = observe(self.health, ok, self.member.thresholds, now)
        return Opinion(self.member, health, observation), flipped

    def before(self, since: float, now: float) -> Opinion:
        """The opinion without what was seen from `since` on, if that took the target down."""
        health = self.health
        if health.up or health.since is None or health.since < since:
            return self
        up = Health(up=True, since=now, checked=health.checked)
        return Opinion(self.member, up, self.last)

    @property
    def text(self) -> str:
        """In a few words: "db: down (connection refused)"."""
        why = f" ({self.last.cause})" if self.last is not None else ""
        return f"{self.member.name}: {self.health.word}{why}"


def needed(quorum: int, members: Sequence[Member]) -> int:
    """How many votes it takes; `quorum` 0 means all of them."""
    voters = sum(not member.advisory for member in members)
    return min(quorum or voters, voters)


def verdict(opinions: Sequence[Opinion], quorum: int) -> Observation:
    """What the checks say together; ok when at least `quorum` (0: all) of those that vote are up."""
    voters = [one for one in opinions if not one.member.advisory]
    up = [one for one in voters if one.health.up]
    most = needed(quorum, [one.member for one in opinions])
    ok = len(up) >= most
    cause = f"{len(up)} of {len(voters)} checks up, {most} needed"
    down = [one.text for one in voters if not one.health.up]
    if down:
        cause += "; " + ", ".join(down)
    drain = ok and any(one.last is not None and one.last.drain for one in up)
    return Observation(ok, cause, drain=drain)
