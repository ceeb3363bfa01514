"""The settings of a pool, frozen.

See `model`, which offers all of these under its own name too. Durations are seconds.

May import: domain values, the kinds of config. Used by: model.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

import attrs

from lolly_tx.config.addresses import OPTIONAL_FILE, SENT_HOST
from lolly_tx.config.httpkinds import (
    BODY_REGEX,
    HASH_KEY,
    HEADERS,
    METHOD,
    REQUEST_PATH,
)
from lolly_tx.config.kinds import BALANCE, FLAG, SHARE, TEXT, Choice, Count, Duration
from lolly_tx.config.schema import about
from lolly_tx.config.tables import RETRY_ON, STATUS_RANGES, Table
from lolly_tx.config.targets import TARGETS
from lolly_tx.domain.target import Target

NO_HEADERS: Mapping[str, str] = MappingProxyType({})


@attrs.frozen
class Match:
    """What an answer to an active check must look like; all parts must hold."""

    status: tuple[str, ...] = attrs.field(
        default=("200-299",),
        metadata=about(
            STATUS_RANGES,
            'Good statuses: "204", "200-299"; "!404" takes one away from the others, or'
            " from all when there are no others.",
        ),
    )
    body: str = attrs.field(
        default="",
        metadata=about(
            BODY_REGEX,
            "Regular expression found in the first 256 KiB of the body; none = any"
            " body.",
        ),
    )
    headers: Mapping[str, str] = attrs.field(
        default=NO_HEADERS,
        metadata=about(HEADERS, "Header fields the answer must have, with values."),
    )


@attrs.frozen
class Health:
    """Active checks."""

    type: Literal["http", "tcp"] = attrs.field(
        default="http",
        metadata=about(
            Choice("http", "tcp"),
            '"http" asks for `path`; "tcp" only connects. A probe uses the target\'s'
            " own endpoint and TLS.",
        ),
    )
    path: str = attrs.field(
        default="/health", metadata=about(REQUEST_PATH, "What is asked for.")
    )
    method: str = attrs.field(
        default="GET", metadata=about(METHOD, "The request method.")
    )
    host: str = attrs.field(
        default="", metadata=about(TEXT, 'Host to send; "" = the target\'s.')
    )
    port: int = attrs.field(
        default=0,
        metadata=about(Count(0, 65535), "Port to probe; 0 = the target's."),
    )
    headers: Mapping[str, str] = attrs.field(
        default=NO_HEADERS, metadata=about(HEADERS, "More header fields to send.")
    )
    interval: float = attrs.field(
        default=10.0,
        metadata=about(Duration(0.01), "From the start of one probe to the next."),
    )
    timeout: float = attrs.field(
        default=5.0,
        metadata=about(Duration(0.001), "A probe without a verdict fails after it."),
    )
    rise: int = attrs.field(
        default=1,
        metadata=about(Count(1, 1000), "Good probes in a row that bring it up."),
    )
    fall: int = attrs.field(
        default=1,
        metadata=about(Count(1, 1000), "Failed probes in a row that take it down."),
    )
    jitter: float = attrs.field(
        default=0.0,
        metadata=about(SHARE, "Share of `interval` by which a probe may shift."),
    )
    concurrency: int = attrs.field(
        default=64,
        metadata=about(Count(1, 10000), "Probes in flight at once, for this pool."),
    )
    match: Match = attrs.field(
        default=Match(), metadata=about(Table(Match), "What counts as a good answer.")
    )
    initial: Literal["up", "down"] = attrs.field(
        default="up",
        metadata=about(
            Choice("up", "down"),
            'The state before the first verdict: "down" sends nothing until `rise`'
            " probes went well.",
        ),
    )


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
