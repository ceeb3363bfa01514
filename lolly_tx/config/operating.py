"""What concerns those who run the proxy: the admin side, how much is explained, where clients are. Frozen.

Imports: config.kinds. Used by: config.model, service.changes, service.process, tap.
"""

from __future__ import annotations

from typing import Literal

import attrs

from lolly_tx.config.kinds.addresses import LISTEN, OPTIONAL_FILE, OPTIONAL_FOLDER
from lolly_tx.config.kinds.httpkinds import OPTIONAL_FIELD_NAME, OPTIONAL_TOKEN
from lolly_tx.config.kinds.plain import PART, Choice, Count, Duration, Size
from lolly_tx.config.kinds.schema import about
from lolly_tx.config.kinds.tables import NAME_LIST, ListOf


@attrs.frozen
class Geo:
    """Where addresses are."""

    database: str = attrs.field(
        default="",
        metadata=about(
            OPTIONAL_FILE,
            "A MaxMind database (.mmdb) of countries. Read when the configuration is, and again by each reload.",
        ),
    )


@attrs.frozen
class Admin:
    """The admin side: API, health of the proxy itself, metrics."""

    endpoint: str = attrs.field(
        metadata=about(
            LISTEN,
            "Where the admin side listens: any Twisted server endpoint string. On loopback"
            " or a unix socket, unless there is a `read_token`: reading needs no password. The"
            " file of a unix socket is for its owner and group, unless it says else:"
            ' "unix:/run/lolly.sock:mode=600".',
        )
    )
    token: str = attrs.field(
        default="",
        repr=False,
        metadata=about(
            OPTIONAL_TOKEN,
            "What a client has to send to change anything (`lolly drain`), 16 characters"
            ' or more, from the environment: "${LOLLY_TOKEN}"; "" = nothing can be'
            " changed.",
        ),
    )
    read_token: str = attrs.field(
        default="",
        repr=False,
        metadata=about(
            OPTIONAL_TOKEN,
            "What a client has to send to read anything but /healthz and /readyz, this or"
            ' `token`; "" = nothing, and the endpoint has to be a local one.',
        ),
    )
    hosts: tuple[str, ...] = attrs.field(
        default=(),
        metadata=about(
            NAME_LIST,
            "Names, beside IP addresses and localhost, that the Host of a request to the"
            " admin side may have.",
        ),
    )


@attrs.frozen
class Explain:
    """Traces of single exchanges, kept in memory for `/api/traces`."""

    sample: float = attrs.field(
        default=0.0,
        metadata=about(PART, "Share of the exchanges that leave a trace; 0 = none."),
    )
    header: str = attrs.field(
        default="",
        metadata=about(
            OPTIONAL_FIELD_NAME,
            "Header field that asks for a trace: one that carries `admin.token` gets it,"
            ' and does not reach the target; "" = none does.',
        ),
    )
    keep: int = attrs.field(
        default=100, metadata=about(Count(1, 10000), "Traces kept, the latest.")
    )


@attrs.frozen
class Guardrails:
    """What settings that were applied on trial must keep to; if they do not, those before are in force again."""

    error_share: float = attrs.field(
        default=0.1,
        metadata=about(
            PART,
            "The largest share of requests that end with an error of ours or of a target (5xx, cut"
            " short, refused for want of a route); 0 = any.",
        ),
    )
    latency: float = attrs.field(
        default=0.0,
        metadata=about(
            Duration(0.0),
            "The longest average time from a whole request to the head of its answer; 0 = any.",
        ),
    )
    window: float = attrs.field(
        default=10.0,
        metadata=about(Duration(1.0), "Over so long, the latest time."),
    )
    requests: int = attrs.field(
        default=20,
        metadata=about(
            Count(1, 10**9), "With fewer requests in that time nothing is judged."
        ),
    )


@attrs.frozen
class Log:
    """What the process says of itself, where twistd puts it: standard output, `--logfile`, `--syslog`."""

    level: Literal["debug", "info", "warn", "error", "critical"] = attrs.field(
        default="info",
        metadata=about(
            Choice("debug", "info", "warn", "error", "critical"),
            "The least that is said. A line that repeats one of the last 5 s is counted"
            " and summed up.",
        ),
    )
    format: Literal["text", "json"] = attrs.field(
        default="text",
        metadata=about(
            Choice("text", "json"),
            "Lines for people, or one JSON object each; syslog has its own form.",
        ),
    )


@attrs.frozen
class Recorder:
    """What decisions were made from, the latest of it, in memory: for `lolly replay`."""

    size: int = attrs.field(
        default=16 << 20,
        metadata=about(
            Size(64 << 10, 1 << 30),
            "Memory for it, in each process that serves; 32 bytes for an exchange or a check.",
        ),
    )
    dir: str = attrs.field(
        default="",
        metadata=about(
            OPTIONAL_FOLDER,
            'Folder for the dumps that triggers make, of which the last ten are kept; "" = there are none.',
        ),
    )
    triggers: tuple[str, ...] = attrs.field(
        default=("panic", "pool_down"),
        metadata=about(
            ListOf(Choice("panic", "pool_down"), "triggers"),
            'What makes a dump, ten seconds later: "panic", a pool that sends requests to targets whatever is'
            ' known of them; "pool_down", one that has no target left.',
        ),
    )
