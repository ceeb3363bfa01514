"""The ballot of a pool with several checks: takes in what each finds, tells the pool what they say together.

Imports: config, domain, domain.checks. Used by: service, service.checks.local_faults.

The counting is `domain.checks.quorum`.
"""

from __future__ import annotations

from collections.abc import Sequence
from weakref import WeakKeyDictionary

from lolly_tx.config.checks import Check
from lolly_tx.domain.checks.health import Health, Observation
from lolly_tx.domain.checks.quorum import Member, Opinion, verdict
from lolly_tx.domain.node import Node
from lolly_tx.domain.pool import Pool


def members_of(checks: Sequence[Check]) -> list[Member]:
    """The checks as members of a ballot."""
    return [
        Member(one.name, one.thresholds, one.initial, one.advisory) for one in checks
    ]


class Ballot:
    """The opinions of all checks about all nodes of `pool`; `quorum` 0: all have to be up."""

    def __init__(self, pool: Pool, members: Sequence[Member], quorum: int) -> None:
        self.pool = pool
        self.quorum = quorum
        self._members = list(members)
        # By node and not by its id: one that left and came back is another.
        self._opinions: WeakKeyDictionary[Node, list[Opinion]] = WeakKeyDictionary()

    def of(self, node_id: str) -> list[Opinion]:
        """What each check thinks of a node, in the order of the settings."""
        node = self.pool.nodes.get(node_id)
        known = self._opinions.get(node) if node is not None else None
        return known or [Opinion.first(one) for one in self._members]

    def take(
        self, index: int, node_id: str, observation: Observation, now: float
    ) -> None:
        """Check number `index` found something; the pool hears the new verdict."""
        node = self.pool.nodes.get(node_id)
        if node is None:
            return
        opinions = list(self.of(node_id))
        old = opinions[index]
        opinions[index], flipped = old.after(observation, now)
        self._opinions[node] = opinions
        member = old.member
        if flipped:
            new = opinions[index].health.word
            vote = " (advisory)" if member.advisory else ""
            cause = f"{member.name}{vote}: {observation.cause}"
            self.pool.roster.record(node, "check", old.health.word, new, cause, now)
        if not member.advisory:
            self.pool.observe(node_id, verdict(opinions, self.quorum), now)

    def restore(self, since: float, now: float) -> None:
        """What was seen from `since` on was no fault of targets: checks that went down for it think as before."""
        for node in self.pool.nodes.values():
            opinions = self._opinions.get(node)
            if opinions is None:
                continue
            self._opinions[node] = [one.before(since, now) for one in opinions]


class BallotJudge:
    """What one of several checks reports to (`service.checks.checker.Judge`)."""

    def __init__(self, ballot: Ballot, index: int) -> None:
        self._ballot = ballot
        self._index = index

    def observe(self, node_id: str, observation: Observation, now: float) -> None:
        """A result of this check."""
        self._ballot.take(self._index, node_id, observation, now)

    def state(self, node_id: str) -> Health:
        """What this check thinks of a node."""
        return self._ballot.of(node_id)[self._index].health
