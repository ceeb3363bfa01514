"""The settings of a pool, frozen.

See `model`, which offers all of these under its own name too. Durations are seconds.

Imports: config, config.kinds, domain. Used by: config, config.facts, config.rules,
lolly_tx, net.checks, net.library, net.sockets, service, service.changes,
service.checks, service.providers, service.upgrades, simulate.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import attrs

from lolly_tx.config.balancing import ConsistentHash, LeastTime, Sticky
from lolly_tx.config.checks import NO_SETTINGS, Check, Health, Match, Step, TargetAgent
from lolly_tx.config.discovering import DISCOVER, Discover
from lolly_tx.config.kinds.addresses import OPTIONAL_FILE, SENT_HOST
from lolly_tx.config.kinds.checkkinds import FREE
from lolly_tx.config.kinds.httpkinds import HASH_KEY
from lolly_tx.config.kinds.plain import (
    BALANCE,
    FLAG,
    PART,
    TEXT,
    Choice,
    Count,
    CountOrAuto,
    Duration,
    Number,
)
from lolly_tx.config.kinds.schema import about
from lolly_tx.config.kinds.tables import ListOf, Table
from lolly_tx.config.kinds.targets import TARGETS
from lolly_tx.config.passive import FailureShare, Outlier, Passive, SlowShare
from lolly_tx.config.retrying import (
    Adaptive,
    Admission,
    Hedge,
    PoolTimeout,
    Queue,
    Retry,
)
from lolly_tx.domain.target import Target

__all__ = [
    "Adaptive",
    "Admission",
    "TargetAgent",
    "Check",
    "Connections",
    "ConsistentHash",
    "FailureShare",
    "Health",
    "Hedge",
    "LeastTime",
    "Match",
    "Outlier",
    "Passive",
    "PoolSettings",
    "PoolTimeout",
    "Queue",
    "Retry",
    "SendProxy",
    "SlowShare",
    "Step",
    "Sticky",
    "UpstreamTLS",
]


SendProxy = Literal["", "v1", "v2"]


@attrs.frozen
class Connections:
    """Connections to targets kept for the next request."""

    idle: int | Literal["auto"] = attrs.field(
        default="auto",
        metadata=about(
            CountOrAuto(0, 100000),
            'Idle ones kept per target: "auto" = as many as were in use of late, 32 of them'
            " for `idle_timeout`, those beyond for 10 s; 0 = none.",
        ),
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
    ping: float = attrs.field(
        default=0.0,
        metadata=about(
            Duration(0.0),
            "HTTP/2: silence of a target that owes something after which it is asked by a PING whether it is there; no"
            " answer in the same time ends the connection. 0 = never.",
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
    certificate: str = attrs.field(
        default="",
        metadata=about(
            OPTIONAL_FILE,
            'PEM file with our own certificate, shown to targets that ask for one, and the chain behind it; "" ='
            " none.",
        ),
    )
    key: str = attrs.field(
        default="",
        metadata=about(
            OPTIONAL_FILE,
            'PEM file with its private key; "" when `certificate` has it too.',
        ),
    )
    minimum: Literal["1.2", "1.3"] = attrs.field(
        default="1.2",
        metadata=about(Choice("1.2", "1.3"), "The oldest version of TLS."),
    )


@attrs.frozen
class PoolSettings:
    """A named group of targets with one balancing policy."""

    name: str
    targets: tuple[Target, ...] = attrs.field(
        default=(),
        metadata=about(
            TARGETS,
            '"http://HOST:PORT" or "https://HOST:PORT", or a table (see below). One at least where there is no'
            " `discover`.",
        ),
    )
    balance: str = attrs.field(
        default="round_robin",
        metadata=about(
            BALANCE,
            '"round_robin" (smooth, weighted), "least_conn", "random" (the better of'
            ' two), "least_time", "first", "ip_hash", "consistent_hash", "sticky", or'
            " the name a plugin brings. See docs/balancing.md.",
        ),
    )
    balance_settings: Mapping[str, Any] = attrs.field(
        default=NO_SETTINGS,
        metadata=about(FREE, "The settings of a balancer that a plugin brings."),
    )
    hash_key: str = attrs.field(
        default="",
        metadata=about(
            HASH_KEY,
            'For `balance = "consistent_hash"`: "ip", "uri", "header:NAME" or'
            ' "cookie:NAME".',
        ),
    )
    max_conns: int = attrs.field(
        default=0,
        metadata=about(
            Count(0, 10**7), "Exchanges of the whole pool at once; 0 = no limit."
        ),
    )
    max_retries: int = attrs.field(
        default=0,
        metadata=about(
            Count(0, 10**7),
            "Of them, those that are further attempts or hedges; 0 = no limit but the"
            " budget.",
        ),
    )
    slow_start: float = attrs.field(
        default=0.0,
        metadata=about(
            Duration(0.0), "Time over which a recovered target gets its full share."
        ),
    )
    slow_start_floor: float = attrs.field(
        default=0.1,
        metadata=about(PART, "The smallest part of it, from the first moment on."),
    )
    slow_start_aggression: float = attrs.field(
        default=1.0,
        metadata=about(
            Number(0.1, 100.0), "1 = a straight line; more = faster in the beginning."
        ),
    )
    all_down: Literal["refuse", "least_bad"] = attrs.field(
        default="refuse",
        metadata=about(
            Choice("refuse", "least_bad"),
            'What happens when no target is available: "refuse" answers 503 at once,'
            ' "least_bad" tries one all the same, and now and then already when most'
            " are unavailable.",
        ),
    )
    panic_draws: int = attrs.field(
        default=4,
        metadata=about(
            Count(0, 16),
            'For "least_bad": with more the odds rise later; 0 = only when none is'
            " available.",
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
    protocol: Literal["http1", "h2", "h2c"] = attrs.field(
        default="http1",
        metadata=about(
            Choice("http1", "h2", "h2c"),
            'What targets speak: "http1" (HTTP/1.1), "h2" (HTTP/2 over TLS, agreed on by ALPN) or "h2c" (HTTP/2 without'
            " TLS, by prior knowledge).",
        ),
    )
    send_proxy: SendProxy = attrs.field(
        default="",
        metadata=about(
            Choice("", "v1", "v2"),
            'Version of the PROXY header that connections to targets begin with, "v1" or "v2"; "" = none. It tells'
            " them of the client, so a connection is only used for the client it was opened for.",
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
    agent: TargetAgent | None = attrs.field(
        default=None,
        metadata=about(
            Table(TargetAgent),
            "Asks each target what it says of itself; off without it.",
        ),
    )
    passive: Passive = attrs.field(
        default=Passive(),
        metadata=about(Table(Passive), "The record real traffic leaves; on."),
    )
    outlier: Outlier | None = attrs.field(
        default=None,
        metadata=about(
            Table(Outlier),
            "Ejects targets that do worse than their peers; its presence turns it on.",
        ),
    )
    consistent_hash: ConsistentHash | None = attrs.field(
        default=None,
        metadata=about(Table(ConsistentHash), 'For `balance = "consistent_hash"`.'),
    )
    least_time: LeastTime | None = attrs.field(
        default=None,
        metadata=about(Table(LeastTime), 'For `balance = "least_time"`.'),
    )
    sticky: Sticky | None = attrs.field(
        default=None,
        metadata=about(
            Table(Sticky), 'The cookie of `balance = "sticky"`, which needs it.'
        ),
    )
    retry: Retry = attrs.field(
        default=Retry(),
        metadata=about(Table(Retry), "Attempts at other targets."),
    )
    hedge: Hedge | None = attrs.field(
        default=None,
        metadata=about(
            Table(Hedge),
            "Second attempts while the first is slow; its presence turns them on.",
        ),
    )
    queue: Queue | None = attrs.field(
        default=None,
        metadata=about(
            Table(Queue),
            "Where exchanges wait when all targets are full; without it they get 503"
            " at once.",
        ),
    )
    adaptive: Adaptive | None = attrs.field(
        default=None,
        metadata=about(
            Table(Adaptive),
            "A limit of exchanges at once that follows the latency; its presence turns"
            " it on.",
        ),
    )
    admission: Admission | None = attrs.field(
        default=None,
        metadata=about(
            Table(Admission),
            "Refuses a part of the requests with 503 while too few succeed; its presence"
            " turns it on.",
        ),
    )
    timeout: PoolTimeout = attrs.field(
        default=PoolTimeout(),
        metadata=about(Table(PoolTimeout), "How long a target may take."),
    )
    connections: Connections = attrs.field(
        default=Connections(),
        metadata=about(Table(Connections), "Connections kept for the next request."),
    )
    discover: Discover | None = attrs.field(
        default=None,
        metadata=about(
            DISCOVER,
            "Who says which targets there are beside `targets`; see docs/discovery.md.",
        ),
    )
    tls: UpstreamTLS = attrs.field(
        default=UpstreamTLS(),
        metadata=about(Table(UpstreamTLS), "TLS towards https:// targets."),
    )
