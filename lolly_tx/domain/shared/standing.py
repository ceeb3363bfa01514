"""Failures that stand, as instances tell each other of them: one `max_fails` for a whole fleet.

    a failure --(a while without a success)--> it stands: told, again and again, until a success, or `fail_timeout`
    what stands here + what stands at the others >= max_fails, and half of the instances --> ejected here

What others say is only ever added to what was seen here, so each instance has the last word: a target that does well
here has nothing that stands, and is not so much as asked about. Others' word takes out at most half of a pool and never
the last target, whatever the settings say of one's own word, because whoever brings it may lie.

A failure that says nothing of the way to its target may as well be our own network's, which takes a moment to find out
(`domain.local_fault`): it is told later, and not at all when it was.

Imports: domain, domain.accruals. Used by: service.stores.
"""

from __future__ import annotations

from collections import deque
from typing import Final

import attrs

from lolly_tx.domain.accruals.consecutive import ConsecutiveFailures
from lolly_tx.domain.local_fault import ASK_SECONDS
from lolly_tx.domain.node import Node
from lolly_tx.domain.outcomes import Outcome
from lolly_tx.domain.pool import Pool

STANDS_SECONDS: Final = 0.5
"""A target that fails one request of many has done well again by then, and nobody hears of it."""

SILENCE_SECONDS: Final = 2 * ASK_SECONDS
"""The same where nothing came from the target: by then others were asked, and it is known whether it is us."""

FLEET_PART: Final = 0.5
"""Failures for each instance that it takes in a large fleet, where `max_fails` of them stand by chance at any time."""

MOST_HERE: Final = 64
"""Failures of one target that are told."""

MOST_ELSEWHERE: Final = 1000
"""More than this is not believed of all others."""


@attrs.frozen
class Told:
    """What is told of one node: `count` failures stand, and `before` was told when it was last."""

    node: Node
    count: int
    before: int


class _Failures:
    """Of one node. `due`: from when on each stands. `refused`: as many stood when others' word was not followed."""

    __slots__ = ("due", "refused", "told")

    def __init__(self) -> None:
        self.due: deque[float] = deque(maxlen=MOST_HERE)
        self.refused = 0
        self.told = 0


class Standing:
    """The failures at the nodes of `pool`, whose accruals are `ConsecutiveFailures`. Times are monotonic seconds."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self._nodes: dict[Node, _Failures] = {}

    def __repr__(self) -> str:
        return f"<Standing {self.pool.name}: {len(self._nodes)} targets>"

    def __bool__(self) -> bool:
        """There is something to tell, now or soon."""
        return bool(self._nodes)

    def failed(self, node: Node, outcome: Outcome, now: float) -> float:
        """A failure that is held against `node`; when it will stand."""
        error = outcome.error
        heard = error is None or error.heard
        due = now + (STANDS_SECONDS if heard else SILENCE_SECONDS)
        self._nodes.setdefault(node, _Failures()).due.append(due)
        return due

    def forget(self) -> None:
        """None of it is any target's fault. What was told is taken back."""
        for node, failures in list(self._nodes.items()):
            failures.due.clear()
            if not failures.told:
                del self._nodes[node]

    def tell(self, now: float, most: int) -> list[Told]:
        """What to tell of at most so many nodes, who waited longest first; also where nothing stands any more."""
        told: list[Told] = []
        for node, failures in list(self._nodes.items()):
            if len(told) >= most:
                break
            record = self._record(node)
            number = record.standing(now) if record is not None else 0
            latest = list(failures.due)[-number:] if number else []
            if not latest:
                del self._nodes[node]
                if failures.told:
                    told.append(Told(node, 0, failures.told))
                continue
            count = sum(due <= now for due in latest)
            if count or failures.told:
                told.append(Told(node, count, failures.told))
                failures.told = count
                self._nodes[node] = self._nodes.pop(node)  # the last in the next round
        return told

    def hear(
        self, told: Told, elsewhere: int, now: float, instances: float = 1.0
    ) -> bool:
        """So many stand `elsewhere`, after something was told of a node; whether it is ejected for them.

        `elsewhere` and `instances`, how many share, are what a store says: any numbers at all.
        """
        node, pool = told.node, self.pool
        failures = self._nodes.get(node)
        if failures is None:
            return False
        pool.catch_up(node.id, now)
        record = self._record(node)
        if record is None or node.ejection != "up":
            return False
        here = min(told.count, len(failures.due), record.standing(now))
        elsewhere = max(0, min(elsewhere, MOST_ELSEWHERE))
        enough = max(record.max_fails, instances * FLEET_PART)
        if not here or not elsewhere or here + elsewhere < enough:
            return False
        if failures.refused >= here:
            return False  # it was asked already, and nothing has happened here since
        return self._eject(node, record, failures, here, elsewhere, now)

    def _eject(
        self,
        node: Node,
        record: ConsecutiveFailures,
        failures: _Failures,
        here: int,
        elsewhere: int,
        now: float,
    ) -> bool:
        pool = self.pool
        seen = node.evidence.failures
        last = f", last: {seen[-1].cause}" if seen else ""
        out = pool.ejections.eject(
            node,
            record.fail_timeout,
            f"passive: {here + elsewhere} failures in the fleet ({here} here){last}",
            now,
            members=len(pool.nodes),
            others=pool.roster.has_others(node),
            kind="fleet",
        )
        if not out:
            failures.refused = here
            return False
        record.penalise(elsewhere)
        if node.unreachable:
            for tell in pool.on_unreachable:
                tell(node, now)
        return True

    def _record(self, node: Node) -> ConsecutiveFailures | None:
        """The record of `node`, while it is in the pool."""
        record = node.accrual
        if self.pool.nodes.get(node.id) is not node:
            return None
        return record if isinstance(record, ConsecutiveFailures) else None
