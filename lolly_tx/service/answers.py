"""What the admin API answers, as JSON-able values: pools, targets, events, traces, the watchdog.

May import: domain, service.journal, service.watchdog. Used by: service.admin.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Protocol

import attrs

from lolly_tx.domain.account import account
from lolly_tx.domain.pool import Pool
from lolly_tx.domain.snapshot import event_dict
from lolly_tx.service.dryrun import Question
from lolly_tx.service.journal import Journal
from lolly_tx.service.watchdog import WatchdogSnapshot

MOST_EVENTS = 1000


class Serving(Protocol):
    """The running proxy, as far as the admin endpoint shows it."""

    @property
    def pools(self) -> Mapping[str, Pool]:
        """The pools by name."""

    @property
    def listening(self) -> bool:
        """Every configured listener accepts connections."""

    @property
    def draining(self) -> bool:
        """A stop was asked for; exchanges in flight are being finished."""

    @property
    def journal(self) -> Journal:
        """The latest events."""

    def watched(self) -> WatchdogSnapshot:
        """How the event loop has been."""

    def statistics(self) -> dict[str, Any]:
        """All counters."""

    def next_check(self, pool: str, target: str) -> float | None:
        """When a target is checked next (monotonic), None when it is not or a check is running."""

    def dry_run(self, question: Question) -> dict[str, Any]:
        """What would become of a request. Raises `dryrun.CannotExplain`."""

    def traced(self) -> list[dict[str, Any]]:
        """The traces that are kept, oldest first."""


def unready(serving: Serving, now: float) -> list[str]:
    """Why new requests are better sent elsewhere; empty when all is well."""
    reasons = []
    if not serving.listening:
        reasons.append("not every listener is up")
    if serving.draining:
        reasons.append("draining")
    return reasons + [
        f"pool {name}: no target is available"
        for name, pool in serving.pools.items()
        if not pool.available(now)
    ]


def pool_shown(pool: Pool, now: float) -> dict[str, Any]:
    """One pool with its targets."""
    return {
        "name": pool.name,
        "available": len(pool.available(now)),
        "refusals": pool.refusals,
        "targets": pool.snapshot(now),
    }


def pool_explained(serving: Serving, pool: Pool, now: float) -> dict[str, Any]:
    """Every target of a pool with its account."""
    targets = [target_explained(serving, pool, name, now) for name in pool.nodes]
    return {
        "pool": pool.name,
        "available": len(pool.available(now)),
        "panic_odds": round(pool.panic_odds, 6),
        "targets": targets,
    }


def target_explained(
    serving: Serving, pool: Pool, target: str, now: float
) -> dict[str, Any]:
    """The account of one target. Raises `UnknownNode`."""
    pool.available(now)  # what time has brought is to be told as well
    node = pool.node(target)
    due = serving.next_check(pool.name, target)
    return account(node, pool.thresholds, now, due)


def events_shown(
    journal: Journal, now: float, *, after: int = 0, limit: int = MOST_EVENTS
) -> dict[str, Any]:
    """The latest `limit` events with a number above `after`, oldest first."""
    chosen = list(journal.after(after))[-limit:] if limit else []
    return {
        "latest": journal.count,
        "events": [
            {
                "number": number,
                "pool": event.pool,
                "target": event.node,
                **(event_dict(event, now) or {}),
            }
            for number, event in chosen
        ],
    }


def watchdog_shown(seen: WatchdogSnapshot, now: float) -> dict[str, Any]:
    """How the event loop has been."""
    last = seen.last
    return {
        **attrs.asdict(
            seen,
            filter=attrs.filters.exclude(
                attrs.fields(WatchdogSnapshot).last,
                attrs.fields(WatchdogSnapshot).lateness,
            ),
        ),
        "lateness": [
            {"at_most_seconds": None if math.isinf(bound) else bound, "beats": count}
            for bound, count in seen.lateness
        ],
        "last": None
        if last is None
        else {
            "seconds_ago": round(max(0.0, now - last.at), 3),
            "seconds": last.seconds,
            "waiting": last.waiting,
            "stack": list(last.stack),
        },
    }
