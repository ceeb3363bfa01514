"""The settings of attempts, waiting and limits, frozen.

Imports: config.kinds. Used by: config.forward, config.pools.
"""

from __future__ import annotations

import attrs

from lolly_tx.config.kinds.httpkinds import OPTIONAL_FIELD_NAME
from lolly_tx.config.kinds.plain import Count, Duration, Number
from lolly_tx.config.kinds.schema import about
from lolly_tx.config.kinds.tables import RETRY_ON


@attrs.frozen
class Retry:
    """Attempts at other targets when one fails before its answer began."""

    tries: int = attrs.field(
        default=2,
        metadata=about(Count(1, 100), "Attempts in all, the first included."),
    )
    on: tuple[str, ...] = attrs.field(
        default=("connect", "timeout", "reset"),
        metadata=about(
            RETRY_ON,
            'What is tried again: "connect", "timeout", "reset", and statuses such'
            ' as "502". Only requests that can be sent again: idempotent, or nothing'
            ' sent yet. "grpc:unavailable": gRPC calls that their target answers with'
            " UNAVAILABLE, and all of them may be sent again.",
        ),
    )
    budget: float = attrs.field(
        default=0.2,
        metadata=about(
            Number(0.0, 100.0),
            "Further attempts and hedges as a share of the requests of the last ten"
            " seconds.",
        ),
    )
    budget_floor: float = attrs.field(
        default=3.0,
        metadata=about(
            Number(0.0, 1e6), "And so many per second besides, for quiet pools."
        ),
    )
    backoff: float = attrs.field(
        default=0.025,
        metadata=about(
            Duration(0.0),
            "Wait before the second and later retries: random, up to 1, 3, 7 ... times"
            " this. The first goes to another target at once. 0 = no wait.",
        ),
    )
    backoff_max: float = attrs.field(
        default=0.0,
        metadata=about(Duration(0.0), "Longest wait; 0 = ten times `backoff`."),
    )


@attrs.frozen
class PoolTimeout:
    """How long a target may take."""

    connect: float = attrs.field(
        default=5.0,
        metadata=about(Duration(0.001), "Until connected, TLS included."),
    )
    read: float = attrs.field(
        default=30.0,
        metadata=about(
            Duration(0.0), "Until the next byte of the answer; 0 = no limit."
        ),
    )
    write: float = attrs.field(
        default=30.0,
        metadata=about(Duration(0.001), "Until it takes more of the request."),
    )
    attempt: float = attrs.field(
        default=0.0,
        metadata=about(
            Duration(0.0),
            "One attempt until its answer begins, connecting included; then another"
            " target is tried. 0 = no limit of its own.",
            key="try",
        ),
    )
    total: float = attrs.field(
        default=0.0,
        metadata=about(
            Duration(0.0),
            "All attempts and waits until the answer begins; then 504. 0 = no limit.",
        ),
    )


@attrs.frozen
class Hedge:
    """A second attempt while the first is slow; the faster one answers."""

    percentile: float = attrs.field(
        default=0.95,
        metadata=about(
            Number(0.5, 0.999),
            "Hedge what takes longer to its first byte than this share of the recent"
            " exchanges.",
        ),
    )
    least: float = attrs.field(
        default=0.01, metadata=about(Duration(0.001), "But never sooner than this.")
    )


@attrs.frozen
class Queue:
    """Where exchanges wait when all targets are full."""

    size: int = attrs.field(
        default=1000,
        metadata=about(Count(1, 10**6), "Exchanges that may wait; others get 503."),
    )
    timeout: float = attrs.field(
        default=5.0,
        metadata=about(Duration(0.001), "Longest wait; then 503."),
    )
    priority_header: str = attrs.field(
        default="",
        metadata=about(
            OPTIONAL_FIELD_NAME,
            "Request header with a number, -2047 to 2047; lower goes first, 0 without"
            " it. Believed from `trusted_proxies` only.",
        ),
    )


@attrs.frozen
class Adaptive:
    """A limit of exchanges at once that follows the latency."""

    initial: int = attrs.field(
        default=20, metadata=about(Count(1, 10**6), "Where it starts.")
    )
    floor: int = attrs.field(
        default=3, metadata=about(Count(1, 10**6), "Never below this.")
    )
    ceiling: int = attrs.field(
        default=1000, metadata=about(Count(1, 10**6), "Never above this.")
    )
    buffer: float = attrs.field(
        default=0.25,
        metadata=about(
            Number(0.0, 100.0),
            "How much longer than on idle targets answers may take: 0.25 = a quarter.",
        ),
    )
    window: float = attrs.field(
        default=1.0, metadata=about(Duration(0.05), "From one adjustment to the next.")
    )


@attrs.frozen
class Admission:
    """Refusing a part of the requests when too few of them succeed."""

    window: float = attrs.field(
        default=120.0,
        metadata=about(Duration(1.0), "Time over which successes are counted."),
    )
    threshold: float = attrs.field(
        default=0.95,
        metadata=about(
            Number(0.01, 1.0), "Share of successes below which some are refused."
        ),
    )
    aggression: float = attrs.field(
        default=1.0,
        metadata=about(Number(0.1, 100.0), "With more, more are refused sooner."),
    )
    at_least: float = attrs.field(
        default=1.0,
        metadata=about(
            Number(0.0, 1e6), "Requests per second below which nobody is refused."
        ),
    )
    most: float = attrs.field(
        default=0.8,
        metadata=about(
            Number(0.0, 0.99), "Largest share refused; the others show a recovery."
        ),
    )
