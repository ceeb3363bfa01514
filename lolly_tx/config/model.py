"""The settings, frozen: what a configuration file says, with every default filled in.

Each field declares its kind and its explanation once; reading, `lolly check --defaults`
and the reference page (docs/configuration.md) follow the declaration. Durations are
seconds, sizes are bytes. Nothing in here is live: no sockets, timers or counters.

Imports: config, config.kinds, config.middleware, domain.access. Used by: commands,
config, config.facts, config.rules, service, service.acme, service.certificates,
service.changes, service.demo, service.forwards, service.metrics, service.providers,
service.records, service.stores, service.tunnels, service.workers, simulate, tap.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

import attrs

from lolly_tx.config.accesslogs import AccessLog
from lolly_tx.config.kinds.addresses import OPTIONAL_FOLDER
from lolly_tx.config.kinds.extensions import NO_PLUGINS, PluginTables
from lolly_tx.config.kinds.httpkinds import OPTIONAL_FIELD_NAME
from lolly_tx.config.kinds.plain import FLAG, CountOrAuto
from lolly_tx.config.kinds.schema import about
from lolly_tx.config.kinds.tables import (
    FORWARDED_FORMS,
    NETWORKS,
    ListOf,
    Named,
    Table,
)
from lolly_tx.config.kinds.templatekinds import NO_TEXTS, VARIABLE_TABLE
from lolly_tx.config.limits import Limits, Timeouts
from lolly_tx.config.listening import Listener, ListenerTLS, TLSSite
from lolly_tx.config.local_fault import LocalFault
from lolly_tx.config.middleware.using import (
    MIDDLEWARE_TABLES,
    NO_MIDDLEWARE,
    Middleware,
)
from lolly_tx.config.operating import (
    Admin,
    Explain,
    Geo,
    Guardrails,
    Log,
    Recorder,
)
from lolly_tx.config.pools import (
    Adaptive,
    Admission,
    Check,
    Connections,
    ConsistentHash,
    FailureShare,
    Health,
    Hedge,
    LeastTime,
    Match,
    Outlier,
    Passive,
    PoolSettings,
    PoolTimeout,
    Queue,
    Retry,
    SlowShare,
    Step,
    Sticky,
    TargetAgent,
    UpstreamTLS,
)
from lolly_tx.config.providertables import ProviderTables
from lolly_tx.config.routing import Redirect, Respond, Route
from lolly_tx.domain.access.forwarded import SENT

if TYPE_CHECKING:  # pragma: no cover  # what few configurations have is imported with the first table of it
    from lolly_tx.config.acme import Acme
    from lolly_tx.config.caching import CacheSettings
    from lolly_tx.config.forward import Forward
    from lolly_tx.config.providers import AnyProvider
    from lolly_tx.config.stores import Store
    from lolly_tx.config.streams import Stream
    from lolly_tx.config.tracing import RequestId, Trace
    from lolly_tx.config.tunnels import Connector, Tunnel

__all__ = [
    "AccessLog",
    "Adaptive",
    "Admission",
    "Admin",
    "TargetAgent",
    "Check",
    "Config",
    "Connections",
    "Explain",
    "Guardrails",
    "ConsistentHash",
    "FailureShare",
    "Health",
    "Hedge",
    "LeastTime",
    "Limits",
    "Listener",
    "ListenerTLS",
    "Log",
    "Match",
    "Network",
    "Outlier",
    "Passive",
    "PoolSettings",
    "PoolTimeout",
    "Queue",
    "Redirect",
    "Respond",
    "Retry",
    "Route",
    "SlowShare",
    "TLSSite",
    "Step",
    "Sticky",
    "Timeouts",
    "UpstreamTLS",
]

Network = IPv4Network | IPv6Network
NO_LISTENERS: Mapping[str, Listener] = MappingProxyType({})
NO_ACME: Mapping[str, Acme] = MappingProxyType({})
NO_CACHES: Mapping[str, CacheSettings] = MappingProxyType({})
NO_STORES: Mapping[str, Store] = MappingProxyType({})
NO_STREAMS: Mapping[str, Stream] = MappingProxyType({})
NO_TUNNELS: Mapping[str, Tunnel] = MappingProxyType({})
NO_CONNECTORS: Mapping[str, Connector] = MappingProxyType({})
NO_FORWARDS: Mapping[str, Forward] = MappingProxyType({})
NO_POOLS: Mapping[str, PoolSettings] = MappingProxyType({})
NO_PROVIDERS: Mapping[str, AnyProvider] = MappingProxyType({})


@attrs.frozen
class Config:
    """A whole configuration. `file`: its main file, for messages."""

    file: str
    workers: int | Literal["auto"] = attrs.field(
        default=1,
        metadata=about(
            CountOrAuto(1, 256),
            'Processes that serve, beside one that probes and watches them; "auto" = one per'
            " core; 1 = one process does everything.",
        ),
    )
    admin: Admin | None = attrs.field(
        default=None,
        metadata=about(Table(Admin), "The admin side; off without this table."),
    )
    geo: Geo = attrs.field(
        default=Geo(), metadata=about(Table(Geo), "Where clients are.")
    )
    explain: Explain = attrs.field(
        default=Explain(),
        metadata=about(Table(Explain), "Traces of single exchanges; off."),
    )
    recorder: Recorder | None = attrs.field(
        default=None,
        metadata=about(
            Table(Recorder),
            "The latest of what decisions were made from, for `lolly replay`; off without this table.",
        ),
    )
    events: Mapping[str, Any] = attrs.field(
        default=NO_PLUGINS,
        metadata=about(
            PluginTables("sink"),
            "Where changes of availability go beside the log: sinks by name, each with"
            ' its settings, such as `events.file = { path = "events.jsonl" }`.',
        ),
    )
    listeners: Mapping[str, Listener] = attrs.field(
        default=NO_LISTENERS,
        metadata=about(
            Named(Listener), "One table per listener, by name.", key="listener"
        ),
    )
    routes: tuple[Route, ...] = attrs.field(
        default=(),
        metadata=about(
            ListOf(Table(Route), "routes"), "One table per route.", key="route"
        ),
    )
    middlewares: Mapping[str, Middleware] = attrs.field(
        default=NO_MIDDLEWARE,
        metadata=about(
            MIDDLEWARE_TABLES,
            "One table per middleware, by name, each with its `type` and the settings of that type; `use` of"
            " listeners and routes puts them on the way of requests.",
            key="middleware",
        ),
    )
    pools: Mapping[str, PoolSettings] = attrs.field(
        default=NO_POOLS,
        metadata=about(Named(PoolSettings), "One table per pool, by name.", key="pool"),
    )
    caches: Mapping[str, CacheSettings] = attrs.field(
        default=NO_CACHES,
        metadata=about(
            Named("caching.CacheSettings"),
            'One table per cache, by name; middleware of `type = "cache"` puts it before routes.',
            key="cache",
        ),
    )
    stores: Mapping[str, Store] = attrs.field(
        default=NO_STORES,
        metadata=about(
            Named("stores.Store"),
            "One table per `store`, by name: a Redis or Valkey that several instances share what they know by.",
            key="store",
        ),
    )
    streams: Mapping[str, Stream] = attrs.field(
        default=NO_STREAMS,
        metadata=about(
            Named("streams.Stream"),
            "One table per `stream`, by name.",
            key="stream",
        ),
    )
    tunnels: Mapping[str, Tunnel] = attrs.field(
        default=NO_TUNNELS,
        metadata=about(
            Named("tunnels.Tunnel"),
            "One table per `tunnel`, by name: where connectors connect to.",
            key="tunnel",
        ),
    )
    connectors: Mapping[str, Connector] = attrs.field(
        default=NO_CONNECTORS,
        metadata=about(
            Named("tunnels.Connector"),
            "One table per `connector`, by name: what connects to a tunnel and offers services there.",
            key="connector",
        ),
    )
    forwards: Mapping[str, Forward] = attrs.field(
        default=NO_FORWARDS,
        metadata=about(
            Named("forward.Forward"),
            "One table per `forward` proxy, by name.",
            key="forward",
        ),
    )
    providers: Mapping[str, AnyProvider] = attrs.field(
        default=NO_PROVIDERS,
        metadata=about(
            ProviderTables(),
            "One table per `provider`, by name: routes and pools from elsewhere, beside those of the file.",
            key="provider",
        ),
    )
    acme: Mapping[str, Acme] = attrs.field(
        default=NO_ACME,
        metadata=about(
            Named("acme.Acme"),
            "One table per authority that certificates are asked for by ACME, by name.",
        ),
    )
    variables: Mapping[str, str] = attrs.field(
        default=NO_TEXTS,
        metadata=about(
            VARIABLE_TABLE,
            'Variables of your own, such as `variables.site = "www.example.com"`, for values with variables:'
            " `$site`. Their texts may have variables, too.",
        ),
    )
    trusted_proxies: tuple[Network | str, ...] = attrs.field(
        default=(),
        metadata=about(
            NETWORKS,
            'Addresses or networks ("10.0.0.0/8") of proxies in front of this one, "unix"'
            " for whoever connects by a UNIX socket: their X-Forwarded-*, X-Real-IP and"
            " Forwarded are believed and continued.",
        ),
    )
    forwarded: tuple[str, ...] = attrs.field(
        default=SENT,
        metadata=about(
            FORWARDED_FORMS,
            'What targets are told about the client: "x-forwarded" (X-Forwarded-For,'
            ' -Proto, -Host), "forwarded" (RFC 7239), "x-real-ip". What trusted proxies'
            " send beside these passes: X-Real-IP, and with"
            ' "x-forwarded" every other X-Forwarded-*.',
        ),
    )
    access_log: AccessLog | None = attrs.field(
        default=None,
        metadata=about(
            Table(AccessLog), "One line per exchange; off without this table."
        ),
    )
    request_id: RequestId | None = attrs.field(
        default=None,
        metadata=about(
            Table("tracing.RequestId"),
            "An id for each request, in the access log, at the target and at the client; off"
            " without this table.",
        ),
    )
    trace: Trace | None = attrs.field(
        default=None,
        metadata=about(
            Table("tracing.Trace"),
            "W3C trace context: traces are continued, and spans exported; off without this"
            " table, and then `traceparent` passes as any field does.",
        ),
    )
    log: Log = attrs.field(
        default=Log(),
        metadata=about(Table(Log), "What the process says of itself."),
    )
    via: str = attrs.field(
        default="",
        metadata=about(
            OPTIONAL_FIELD_NAME,
            'Our name in the Via field of requests and answers; "" = no such field.',
        ),
    )
    state_dir: str = attrs.field(
        default="",
        metadata=about(
            OPTIONAL_FOLDER,
            "Folder of what outlives a restart, such as settings on trial; made when it is missing;"
            ' "" = nothing is kept.',
        ),
    )
    watch: bool = attrs.field(
        default=False,
        metadata=about(
            FLAG,
            "Whether a change of this file, or of one it includes, is a reload by itself, a second"
            " or two later.",
        ),
    )
    guardrails: Guardrails = attrs.field(
        default=Guardrails(),
        metadata=about(
            Table(Guardrails), "When settings on trial are taken back by themselves."
        ),
    )
    local_fault: LocalFault = attrs.field(
        default=LocalFault(),
        metadata=about(
            Table(LocalFault),
            "When it is this machine that nobody is reached: then nobody is ejected. On.",
        ),
    )
    limits: Limits = attrs.field(
        default=Limits(), metadata=about(Table(Limits), "Upper limits.")
    )
    timeouts: Timeouts = attrs.field(
        default=Timeouts(),
        metadata=about(Table(Timeouts), "How long a client may take."),
    )
