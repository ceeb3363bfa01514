"""The settings of active checks and of agents, frozen.

See `model`, which offers all of these under its own name too. Durations are seconds.

Imports: config.kinds, domain.checks. Used by: config.facts, config.pools, config.rules,
net.checks, service, service.checks, simulate.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal

import attrs

from lolly_tx.config.kinds.checkkinds import CHARACTERS, CHECK_TYPE, FREE, HEX, NAME
from lolly_tx.config.kinds.httpkinds import BODY_REGEX, HEADERS, METHOD, REQUEST_PATH
from lolly_tx.config.kinds.plain import FLAG, SHARE, TEXT, Choice, Count, Duration
from lolly_tx.config.kinds.schema import about
from lolly_tx.config.kinds.tables import STATUS_RANGES, ListOf, Table
from lolly_tx.domain.checks.cadence import Cadence
from lolly_tx.domain.checks.health import Thresholds

NO_HEADERS: Mapping[str, str] = MappingProxyType({})
NO_SETTINGS: Mapping[str, Any] = MappingProxyType({})


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
class Step:
    """One step of a script: what is sent, then what is waited for."""

    send: str = attrs.field(
        default="", metadata=about(CHARACTERS, 'What is sent: "PING\\r\\n".')
    )
    send_hex: str = attrs.field(
        default="", metadata=about(HEX, 'The same as bytes: "05 01 00".')
    )
    expect: str = attrs.field(
        default="",
        metadata=about(
            CHARACTERS, "What has to come, after all that earlier steps took."
        ),
    )
    expect_hex: str = attrs.field(default="", metadata=about(HEX, "The same as bytes."))
    expect_regex: str = attrs.field(
        default="", metadata=about(BODY_REGEX, "The same as a regular expression.")
    )
    port: int = attrs.field(
        default=0,
        metadata=about(
            Count(0, 65535),
            "Go on with a new connection to this port of the target; 0 = as before.",
        ),
    )
    connect: bool = attrs.field(
        default=False,
        metadata=about(FLAG, "Go on with a new connection to the port as before."),
    )


@attrs.frozen
class Health:
    """Active checks."""

    type: str = attrs.field(
        default="http",
        metadata=about(
            CHECK_TYPE,
            '"http" asks for `path`; "tcp" connects; "tls" does a verified handshake'
            ' even with a target whose traffic is plain; "grpc" asks whether'
            ' `service` is serving (grpc.health.v1, HTTP/2); "script" goes through `steps`'
            ' on a connection, "udp" does so with datagrams; or a plugin\'s name. A probe'
            " uses the target's own endpoint and TLS.",
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
    service: str = attrs.field(
        default="",
        metadata=about(
            TEXT, 'For type = "grpc": the service asked for; "" = the whole server.'
        ),
    )
    steps: tuple[Step, ...] = attrs.field(
        default=(),
        metadata=about(
            ListOf(Table(Step), "steps"),
            "What a script sends and expects, in order: `steps = [{ send ="
            ' "PING\\r\\n", expect = "+PONG" }]`. At most 256 KiB are read.',
        ),
    )
    settings: Mapping[str, Any] = attrs.field(
        default=NO_SETTINGS,
        metadata=about(FREE, "The settings of a check that a plugin brings."),
    )
    interval: float = attrs.field(
        default=10.0,
        metadata=about(Duration(0.01), "From the start of one probe to the next."),
    )
    interval_suspect: float = attrs.field(
        default=0.0,
        metadata=about(
            Duration(0.0),
            "The same while the last probes contradict the state but are not enough to"
            " change it; 0 = `interval`.",
        ),
    )
    interval_down: float = attrs.field(
        default=0.0,
        metadata=about(
            Duration(0.0), "The same while the target is down; 0 = `interval`."
        ),
    )
    interval_idle: float = attrs.field(
        default=0.0,
        metadata=about(
            Duration(0.0),
            "The same while it is up and has had no request since the last probe; 0 ="
            " `interval`.",
        ),
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
        metadata=about(SHARE, "Share of the interval by which a probe may shift."),
    )
    concurrency: int = attrs.field(
        default=64,
        metadata=about(Count(1, 10000), "Probes in flight at once, for this pool."),
    )
    defer: int = attrs.field(
        default=0,
        metadata=about(
            Count(0, 1000),
            "Probes in a row that are left out while requests went well since the last"
            " look and none failed; 0 = none. Turns `observe` on.",
        ),
    )
    observe: bool = attrs.field(
        default=False,
        metadata=about(
            FLAG,
            "A request that fails by the target's fault brings its next probe forward:"
            " at once, but not within a second of the last one.",
        ),
    )
    drain_on_404: bool = attrs.field(
        default=False,
        metadata=about(
            FLAG,
            "A 404 from a target that is up keeps new clients away but not those bound"
            " to it (`sticky`), until the check is good again.",
        ),
    )
    match: Match = attrs.field(
        default=Match(), metadata=about(Table(Match), "What counts as a good answer.")
    )
    initial: Literal["up", "down", "probation"] = attrs.field(
        default="up",
        metadata=about(
            Choice("up", "down", "probation"),
            'The state before the first verdict: "down" sends nothing until `rise`'
            ' probes went well, "probation" nothing until the first one, which is'
            " enough if it is good.",
        ),
    )

    @property
    def cadence(self) -> Cadence:
        """The intervals, each with its default filled in."""
        return Cadence(
            steady=self.interval,
            suspect=self.interval_suspect or self.interval,
            down=self.interval_down or self.interval,
            idle=self.interval_idle or self.interval,
            defer=self.defer,
        )

    @property
    def thresholds(self) -> Thresholds:
        """`rise` and `fall` together."""
        return Thresholds(rise=self.rise, fall=self.fall)

    @property
    def alike(self) -> str:
        """Equal for checks that one probe can serve: whatever is set but the name and the vote."""
        values = (getattr(self, field.name) for field in attrs.fields(Health))
        return repr([dict(v) if isinstance(v, Mapping) else v for v in values])

    @property
    def observes(self) -> bool:
        """Whether failures of real traffic bring probes forward."""
        return self.observe or self.defer > 0


@attrs.frozen
class Check(Health):
    """One active check of several."""

    name: str = attrs.field(
        kw_only=True, metadata=about(NAME, "Name in events and causes.")
    )
    advisory: bool = attrs.field(
        default=False,
        kw_only=True,
        metadata=about(FLAG, "Only reported: it has no vote."),
    )


@attrs.frozen
class TargetAgent:
    """What each target says of itself, one line per connection."""

    port: int = attrs.field(
        metadata=about(Count(1, 65535), "Where the agent of each target listens.")
    )
    host: str = attrs.field(
        default="",
        metadata=about(TEXT, 'One agent for all targets; "" = on each target\'s host.'),
    )
    interval: float = attrs.field(
        default=2.0,
        metadata=about(Duration(0.01), "From one question to the next."),
    )
    timeout: float = attrs.field(
        default=1.0,
        metadata=about(
            Duration(0.001),
            "How long an agent may take. One that cannot be reached changes nothing.",
        ),
    )
    send: str = attrs.field(
        default="",
        metadata=about(
            CHARACTERS,
            "What is sent first. Most agents want nothing.",
        ),
    )
    concurrency: int = attrs.field(
        default=64,
        metadata=about(Count(1, 10000), "Questions in flight at once, for this pool."),
    )
