"""The settings of what real traffic tells of targets, frozen.

Imports: config.kinds. Used by: config.facts, config.forward, config.pools.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from lolly_tx.config.kinds.extensions import NO_PLUGINS, PluginTables
from lolly_tx.config.kinds.plain import FLAG, PART, TEXT, Count, Duration, Number
from lolly_tx.config.kinds.schema import about
from lolly_tx.config.kinds.tables import STATUS_RANGES, Table


@attrs.frozen
class FailureShare:
    """Ejection by the share of recent exchanges that failed."""

    share: float = attrs.field(
        default=0.5,
        metadata=about(Number(0.01, 1.0), "Share of the exchanges that failed."),
    )
    window: float = attrs.field(
        default=10.0, metadata=about(Duration(0.1), "Time they are counted over.")
    )
    at_least: int = attrs.field(
        default=20,
        metadata=about(Count(1, 10**6), "Exchanges without which it says nothing."),
    )


@attrs.frozen
class SlowShare:
    """Ejection by the share of recent answers that took too long."""

    over: float = attrs.field(
        default=2.0,
        metadata=about(Duration(0.001), "An answer is slow when it takes longer."),
    )
    share: float = attrs.field(
        default=0.5, metadata=about(Number(0.01, 1.0), "Share of the slow ones.")
    )
    window: float = attrs.field(
        default=10.0, metadata=about(Duration(0.1), "Time they are counted over.")
    )
    at_least: int = attrs.field(
        default=20,
        metadata=about(Count(1, 10**6), "Exchanges without which it says nothing."),
    )


@attrs.frozen
class PassiveRecord:
    """What is remembered of a place: of a target, or of an address that clients of a forward proxy are sent to."""

    max_fails: int = attrs.field(
        default=3,
        metadata=about(
            Count(0, 1000000),
            "Failures in a row that take it down; 0 turns the record off.",
        ),
    )
    fail_timeout: float = attrs.field(
        default=60.0,
        metadata=about(
            Duration(0.001),
            "How long it stays down, and how long a failure is remembered.",
        ),
    )
    min_rises: int = attrs.field(
        default=2,
        metadata=about(
            Count(1, 1000000), "Successes in a row that clear the record again."
        ),
    )


@attrs.frozen
class Passive(PassiveRecord):
    """The record real traffic leaves."""

    statuses: tuple[str, ...] = attrs.field(
        default=(),
        metadata=about(
            STATUS_RANGES,
            'Answers that count as failures, such as "500-599". Those of `retry.on` from'
            " 500 on count as well.",
        ),
    )
    gateway_errors: int = attrs.field(
        default=0,
        metadata=about(
            Count(0, 1000000),
            "So many failures or answers 502, 503, 504 in a row take a target down too;"
            " 0 = off.",
        ),
    )
    rate: FailureShare | None = attrs.field(
        default=None,
        metadata=about(
            Table(FailureShare), "Ejection by the share of failures; off without it."
        ),
    )
    latency: SlowShare | None = attrs.field(
        default=None,
        metadata=about(
            Table(SlowShare), "Ejection by the share of slow answers; off without it."
        ),
    )
    policies: Mapping[str, Any] = attrs.field(
        default=NO_PLUGINS,
        metadata=about(
            PluginTables("accrual"),
            "More policies, by name, each with its settings: those a plugin brings.",
        ),
    )
    recheck: float = attrs.field(
        default=1.0,
        metadata=about(
            Duration(0.0),
            "From one connect of our own to the next that asks a target which is out because it took no connections;"
            " `min_rises` of them in a row bring it back. 0 = off, and with active checks they ask.",
        ),
    )
    ejection_max: float = attrs.field(
        default=300.0,
        metadata=about(
            Duration(0.0),
            "Each further time in a row a target stays down longer by the first time, up"
            " to this, while others serve; 0 = always as long.",
        ),
    )
    ejection_decay: float = attrs.field(
        default=0.0,
        metadata=about(
            Duration(0.0),
            "Good service that takes one step of that growth back; 0 = as long as the"
            " first time down.",
        ),
    )
    ejection_share: float = attrs.field(
        default=1.0,
        metadata=about(
            PART, "Largest part of the pool ejected at once; one target always may be."
        ),
    )
    keep_last: bool = attrs.field(
        default=True,
        metadata=about(
            FLAG,
            "The last available target is ejected only when it cannot be connected to,"
            " never for what it answers or how long that takes.",
        ),
    )
    abandon: bool = attrs.field(
        default=True,
        metadata=about(
            FLAG,
            "When checks take a target down, requests that wait there for an answer and"
            " may be repeated go to another one at once, as `retry` allows.",
        ),
    )
    shadow: bool = attrs.field(
        default=False,
        metadata=about(FLAG, "Only report what would have been ejected."),
    )
    share: str = attrs.field(
        default="",
        metadata=about(
            TEXT,
            "Name of a `[store.NAME]` by which instances tell each other of failures: `max_fails` in all of them"
            ' eject where at least one of these was seen; "" = each counts for itself.',
        ),
    )
    retry_after: tuple[str, ...] = attrs.field(
        default=(),
        metadata=about(
            STATUS_RANGES,
            'Answers of these statuses ("503") with Retry-After keep requests for the'
            " same path (without its query) from the target for that time, at most 5m,"
            " while another target takes them; nothing else is kept from it.",
        ),
    )


@attrs.frozen
class Outlier:
    """Comparing each target with its peers."""

    window: float = attrs.field(
        default=10.0,
        metadata=about(Duration(0.1), "Time over which exchanges are counted."),
    )
    interval: float = attrs.field(
        default=1.0, metadata=about(Duration(0.01), "From one comparison to the next.")
    )
    ejection: float = attrs.field(
        default=30.0, metadata=about(Duration(0.001), "How long the first one takes.")
    )
    requests: int = attrs.field(
        default=5,
        metadata=about(Count(1, 10**6), "Exchanges without which nobody stands out."),
    )
    false_rate: float = attrs.field(
        default=1e-8,
        metadata=about(
            Number(1e-15, 0.1),
            "Odds of standing out by chance, for one target in one comparison.",
        ),
    )
    at_least_rate: float = attrs.field(
        default=0.1,
        metadata=about(PART, "Share of server errors that is tolerated anyway."),
    )
    times: float = attrs.field(
        default=2.0,
        metadata=about(
            Number(1.0, 1000.0), "How many times the share of its peers it must be."
        ),
    )
    latency: bool = attrs.field(
        default=False,
        metadata=about(FLAG, "Whether slow targets are outliers as well."),
    )
    times_slower: float = attrs.field(
        default=3.0,
        metadata=about(Number(1.0, 1000.0), "How many times slower than its peers."),
    )
    deviations: float = attrs.field(
        default=5.0,
        metadata=about(
            Number(0.0, 1000.0), "And how many of their median deviations above them."
        ),
    )
    at_least_slower: float = attrs.field(
        default=0.025,
        metadata=about(
            Duration(0.0),
            "Time above its peers that is tolerated anyway: a busy moment is no slow target.",
        ),
    )
    shadow: bool = attrs.field(
        default=False,
        metadata=about(FLAG, "Only report what would have been ejected."),
    )
