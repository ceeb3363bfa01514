"""The settings of a pool, frozen.

See `model`, which offers all of these under its own name too. Durations are seconds.

May import: domain values, the kinds of config. Used by: model.
"""

from __future__ import annotations

from typing import Literal

import attrs

from lolly_tx.config.addresses import OPTIONAL_FILE, SENT_HOST
from lolly_tx.config.checks import Agent, Check, Health, Match, Step
from lolly_tx.config.httpkinds import HASH_KEY
from lolly_tx.config.kinds import BALANCE, FLAG, TEXT, Choice, Count, Duration
from lolly_tx.config.schema import about
from lolly_tx.config.tables import RETRY_ON, ListOf, Table
from lolly_tx.config.targets import TARGETS
from lolly_tx.domain.target import Target

__all__ = [
    "Agent",
    "Check",
    "Connections",
    "Health",
    "Match",
    "Passive",
    "PoolSettings",
    "PoolTimeout",
    "Retry",
    "Step",
    "UpstreamTLS",
]


@attrs.frozen
class Passive:
    """The record real traffic leaves."""

    max_fails: int = attrs.field(
        default=3,
        metadata=about(
            Count(0, 1000000),
            "Failures in a row that take a target down; 0 turns the record off.",
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
            " sent yet.",
        ),
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
        metadata=about(Duration(0.001), "Until the next byte of the answer."),
    )
    write: float = attrs.field(
        default=30.0,
        metadata=about(Duration(0.001), "Until it takes more of the request."),
    )


@attrs.frozen
class Connections:
    """Connections to targets kept for the next request."""

    idle: int = attrs.field(
        default=32,
        metadata=about(Count(0, 100000), "Idle ones kept per target; 0 = none."),
    )
    idle_timeout: float = attrs.field(
        default=60.0,
        metadata=about(
            Duration(0.001),
            "An idle one is closed after it. Keep it below the target's own limit.",
        ),
    )
    lifetime: float = attrs.field(
        default=0.0,
        metadata=about(Duration(0.0), "Age at which one is retired; 0 = no limit."),
    )
    requests: int = attrs.field(
        default=0,
        metadata=about(
            Count(0, 10**9), "Requests after which one is retired; 0 = no limit."
        ),
    )


@attrs.frozen
class UpstreamTLS:
    """TLS towards https:// targets."""

    verify: bool = attrs.field(
        default=True,
        metadata=about(FLAG, "Whether certificate and name are verified."),
    )
    ca: str = attrs.field(
        default="",
        metadata=about(
            OPTIONAL_FILE, 'PEM file of the trusted authorities; "" = the system\'s.'
        ),
    )
    server_name: str = attrs.field(
        default="",
        metadata=about(
            TEXT, 'Name to ask for (SNI) and to verify; "" = the target\'s host.'
        ),
    )


@attrs.frozen
class PoolSettings:
    """A named group of targets with one balancing policy."""

    name: str
    targets: tuple[Target, ...] = attrs.field(
        metadata=about(
            TARGETS,
            '"http://HOST:PORT" or "https://HOST:PORT", or a table (see below).',
        )
    )
    balance: str = attrs.field(
        default="round_robin",
        metadata=about(
            BALANCE,
            '"round_robin" (smooth, weighted), "least_conn", "random" (the better of'
            ' two), "ip_hash", or the name a plugin brings.',
        ),
    )
    hash_key: str = attrs.field(
        default="",
        metadata=about(
            HASH_KEY,
            'For `balance = "consistent_hash"`: "ip", "uri", "header:NAME" or'
            ' "cookie:NAME".',
        ),
    )
    slow_start: float = attrs.field(
        default=0.0,
        metadata=about(
            Duration(0.0), "Time over which a recovered target gets its full share."
        ),
    )
    all_down: Literal["refuse"] = attrs.field(
        default="refuse",
        metadata=about(
            Choice("refuse"),
            'What happens when no target is available: "refuse" answers 503 at once.',
        ),
    )
    host: str = attrs.field(
        default="preserve",
        metadata=about(
            SENT_HOST,
            'Host sent to targets: "preserve" (the client\'s), "target" (the'
            " target's), or a literal name.",
        ),
    )
    health: Health | None = attrs.field(
        default=None,
        metadata=about(Table(Health), "Active checks; its presence turns them on."),
    )
    checks: tuple[Check, ...] = attrs.field(
        default=(),
        metadata=about(
            ListOf(Table(Check), "checks"),
            "Several active checks in place of `health`, each with all of its settings"
            " and these.",
        ),
    )
    quorum: int = attrs.field(
        default=0,
        metadata=about(
            Count(0, 1000),
            "How many of `checks` have to be up for a target to be up; 0 = all that"
            " are not advisory.",
        ),
    )
    agent: Agent | None = attrs.field(
        default=None,
        metadata=about(
            Table(Agent), "Asks each target what it says of itself; off without it."
        ),
    )
    passive: Passive = attrs.field(
        default=Passive(),
        metadata=about(Table(Passive), "The record real traffic leaves; on."),
    )
    retry: Retry = attrs.field(
        default=Retry(),
        metadata=about(Table(Retry), "Attempts at other targets."),
    )
    timeout: PoolTimeout = attrs.field(
        default=PoolTimeout(),
        metadata=about(Table(PoolTimeout), "How long a target may take."),
    )
    connections: Connections = attrs.field(
        default=Connections(),
        metadata=about(Table(Connections), "Connections kept for the next request."),
    )
    tls: UpstreamTLS = attrs.field(
        default=UpstreamTLS(),
        metadata=about(Table(UpstreamTLS), "TLS towards https:// targets."),
    )
