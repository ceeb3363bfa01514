"""Every metric there is: its name, what kind it is, what it says, and its labels. docs/metrics.md is made of this.

Imports: wire. Used by: service.metrics.exposition, service.metrics.readings.

No path and no Host is a label of any: whoever can send requests could make as many series as he likes.

A table in one long file: who looks for a metric looks here.
"""

from __future__ import annotations

from lolly_tx.wire.exposition import Family

REQUESTS = Family(
    "lolly_requests_total",
    "counter",
    "Requests that are over, by the status that the client got. Those that no pool has seen have an empty pool.",
    ("pool", "listener", "code"),
)
REQUEST_SECONDS = Family(
    "lolly_request_duration_seconds",
    "histogram",
    "From the head of a request to the end of its answer; of WebSockets and other tunnels to their beginning.",
    ("pool",),
)
POOL_IN_FLIGHT = Family(
    "lolly_requests_in_flight",
    "gauge",
    "Requests of a pool that are not over, those that wait for room among them.",
    ("pool",),
)
REFUSALS = Family(
    "lolly_pool_refusals_total",
    "counter",
    "Attempts for which no target was available, had room, or was left to be tried.",
    ("pool",),
)
RETRIES = Family(
    "lolly_retries_total",
    "counter",
    "Attempts after the first of a request.",
    ("pool",),
)
HEDGES = Family(
    "lolly_hedges_total",
    "counter",
    "Attempts made beside one that took too long.",
    ("pool",),
)
AMPLIFICATION = Family(
    "lolly_retry_amplification",
    "gauge",
    "Attempts for each request since the start: 1 without retries and hedges.",
    ("pool",),
)
QUEUE = Family(
    "lolly_queue_depth",
    "gauge",
    "Requests that wait for a target with room.",
    ("pool",),
)
UPSTREAM_CONNECTIONS = Family(
    "lolly_upstream_connections",
    "gauge",
    "Open connections to targets: in use (active), or kept for the next request (idle).",
    ("pool", "state"),
)

LOCAL_FAULT = Family(
    "lolly_local_fault",
    "gauge",
    "1 while it is this machine that has lost the network, or run out of something (resources).",
    ("kind",),
)
LOCAL_FAULTS = Family(
    "lolly_local_faults_total",
    "counter",
    "How often one began.",
)

DISCOVERED = Family(
    "lolly_discovered_targets",
    "gauge",
    "Targets of a pool that its `discover` has found, those that are leaving among them.",
    ("pool",),
)
DISCOVERY_AGE = Family(
    "lolly_discovery_age_seconds",
    "gauge",
    "Since the last answer that is believed; none before the first.",
    ("pool",),
)
DISCOVERY_STALE = Family(
    "lolly_discovery_stale",
    "gauge",
    "1 while the last question had no answer that is believed, and what was found before stays.",
    ("pool",),
)
DISCOVERY_FAILURES = Family(
    "lolly_discovery_failures_total",
    "counter",
    "Questions for targets that had no answer that is believed.",
    ("pool",),
)

TARGET_UP = Family(
    "lolly_target_up",
    "gauge",
    "1 while active checks, and the target's agent if it has one, say that it can do its work.",
    ("pool", "target"),
)
TARGET_AVAILABLE = Family(
    "lolly_target_available",
    "gauge",
    "1 while a target takes new requests: up, not ejected, and nobody has drained or disabled it.",
    ("pool", "target"),
)
IN_FLIGHT = Family(
    "lolly_in_flight", "gauge", "Attempts that are not over.", ("pool", "target")
)
TARGET_REQUESTS = Family(
    "lolly_target_requests_total",
    "counter",
    "Attempts that were begun.",
    ("pool", "target"),
)
TARGET_FAILURES = Family(
    "lolly_target_failures_total",
    "counter",
    "Attempts that brought no whole answer by the target's fault: no connection (connect), too late (timeout), broken"
    " off (reset), or no HTTP (other).",
    ("pool", "target", "kind"),
)
TARGET_ERRORS = Family(
    "lolly_target_server_errors_total",
    "counter",
    "Answers of a target with a status from 500 on.",
    ("pool", "target"),
)
TARGET_BYTES = Family(
    "lolly_target_bytes_total",
    "counter",
    "Bytes of bodies, tunnels and sessions that are over, from clients (in) and to clients (out).",
    ("pool", "target", "direction"),
)
UPSTREAM_SECONDS = Family(
    "lolly_upstream_duration_seconds",
    "histogram",
    "From the whole request to the head of its answer, of attempts that were answered.",
    ("pool", "target"),
)
EJECTIONS = Family(
    "lolly_target_ejections_total",
    "counter",
    "How often a target was left alone because of its traffic: by its own record (passive), because there were no"
    " connections (connect), next to its peers (outlier), or by what other instances have seen (fleet).",
    ("pool", "target", "policy"),
)
CHECKS = Family(
    "lolly_checks_total",
    "counter",
    "Active checks by what they said: success, failure, or that no new clients are wanted (drain).",
    ("pool", "target", "result"),
)
CHECK_SECONDS = Family(
    "lolly_check_duration_seconds",
    "histogram",
    "How long active checks took that came so far as to be measured, or ran out of time.",
    ("pool",),
)

CONNECTIONS = Family(
    "lolly_connections",
    "gauge",
    "Open connections of clients: waiting for their next request (idle), or not (active).",
    ("listener", "state"),
)
ACCEPTED = Family(
    "lolly_connections_accepted_total",
    "counter",
    "Connections of clients that were accepted and served.",
    ("listener",),
)
TURNED_AWAY = Family(
    "lolly_connections_turned_away_total",
    "counter",
    "Connections of clients beyond the limits.",
    ("listener",),
)
BYTES = Family(
    "lolly_bytes_total",
    "counter",
    "Bytes of bodies and tunnels, from clients (in) and to clients (out); heads are not counted.",
    ("listener", "direction"),
)
SESSIONS = Family(
    "lolly_stream_sessions_total",
    "counter",
    "Sessions of streams that are over, by who or what ended them (docs/streams.md).",
    ("listener", "ended"),
)
SESSIONS_REFUSED = Family(
    "lolly_stream_refusals_total",
    "counter",
    "Clients of streams that had no target, by why.",
    ("listener", "reason"),
)
DATAGRAMS = Family(
    "lolly_stream_datagrams_total",
    "counter",
    "Datagrams passed on from clients (in) and to clients (out), of sessions that are over.",
    ("listener", "direction"),
)
DATAGRAMS_DROPPED = Family(
    "lolly_stream_datagrams_dropped_total",
    "counter",
    "Datagrams not passed on, from clients (in) or to clients (out), by why.",
    ("listener", "direction", "reason"),
)
HANDSHAKES = Family(
    "lolly_tls_handshakes_total",
    "counter",
    "TLS handshakes of clients that were completed.",
    ("listener",),
)
HANDSHAKES_FAILED = Family(
    "lolly_tls_handshake_failures_total",
    "counter",
    "TLS handshakes of clients that were not, by reason.",
    ("listener", "reason"),
)
PROXY_REFUSED = Family(
    "lolly_proxy_header_refusals_total",
    "counter",
    "Connections that ended for their PROXY header, or for having none, by reason.",
    ("listener", "reason"),
)
EXPIRY = Family(
    "lolly_certificate_expiry_seconds",
    "gauge",
    "When a certificate that is served ends, in seconds since 1970; name: the first host that it is for.",
    ("name",),
)
CERTIFICATES_REFUSED = Family(
    "lolly_certificate_refusals_total",
    "counter",
    "Files of certificates that were not taken up, because something is wrong with them.",
    ("listener",),
)
ACME_ORDERS = Family(
    "lolly_acme_orders_total",
    "counter",
    "Certificates that were ordered by ACME, by what became of it: issued or failed.",
    ("result",),
)
ACME_FAILING = Family(
    "lolly_acme_failing",
    "gauge",
    "Hosts whose last order by ACME was in vain.",
)
ACME_TURN = Family(
    "lolly_acme_turn",
    "gauge",
    "1 while this instance orders for all that share an authority by a store.",
    ("acme",),
)
ACME_INSTANCES = Family(
    "lolly_acme_instances",
    "gauge",
    "Instances that share an authority by a store; 0: the store does not answer.",
    ("acme",),
)
ACME_TROUBLE = Family(
    "lolly_acme_trouble",
    "gauge",
    "1 while the store of a shared authority is away, or has entries for it that are not used.",
    ("acme",),
)
STAPLES = Family(
    "lolly_staples",
    "gauge",
    "Certificates that are to have staples (OCSP), by what clients are shown: good, revoked or none.",
    ("status",),
)
STAPLE_REQUESTS = Family(
    "lolly_staple_requests_total",
    "counter",
    "Questions to OCSP responders, by what became of them: answered or failed.",
    ("result",),
)

GENERATION = Family(
    "lolly_config_generation",
    "gauge",
    "The number of the settings in force; it grows with each change.",
)
LAST_RELOAD = Family(
    "lolly_config_last_reload_success",
    "gauge",
    "1 unless the latest change of settings was refused.",
)
RELOADS_REFUSED = Family(
    "lolly_config_refusals_total", "counter", "Changes of settings that were refused."
)
STALL = Family(
    "lolly_event_loop_stall_seconds",
    "gauge",
    "The longest time for which the event loop stood still in the last minute; of the worst process.",
)
TUNNEL_CONNECTORS = Family(
    "lolly_tunnel_connections",
    "gauge",
    "Connections of a connector to a tunnel of ours; 0: it is not connected.",
    ("tunnel", "connector"),
)
TUNNEL_STREAMS = Family(
    "lolly_tunnel_streams",
    "gauge",
    "Connections that are open through the tunnels of a connector.",
    ("tunnel", "connector"),
)
TUNNEL_JOINED = Family(
    "lolly_tunnel_joined_total",
    "counter",
    "How often a connector has connected.",
    ("tunnel", "connector"),
)
TUNNEL_BYTES = Family(
    "lolly_tunnel_bytes_total",
    "counter",
    "Bytes through the tunnels of a connector: from its services (in) and to them (out).",
    ("tunnel", "connector", "direction"),
)
TUNNEL_DENIED = Family(
    "lolly_tunnel_refusals_total",
    "counter",
    "Connectors, or others, that were refused, by why: denied, busy, version, malformed, silent, left, tls_...",
    ("tunnel", "reason"),
)
CONNECTOR_UP = Family(
    "lolly_connector_up",
    "gauge",
    "Connections of our own to a tunnel that are up.",
    ("connector",),
)
CACHE_REQUESTS = Family(
    "lolly_cache_requests_total",
    "counter",
    "Requests that a cache has looked at, by what became of them: hit, miss, collapsed (fetched for another one),"
    " revalidated, expired, stale, updating, bypass (not from the store).",
    ("cache", "result"),
)
CACHE_BYTES = Family(
    "lolly_cache_bytes",
    "gauge",
    "Bytes of what is stored, with what it takes to know of it.",
    ("cache",),
)
CACHE_ENTRIES = Family(
    "lolly_cache_entries", "gauge", "Answers that are stored.", ("cache",)
)
CACHE_STORED = Family(
    "lolly_cache_stored_total", "counter", "Answers that were stored.", ("cache",)
)
CACHE_EVICTIONS = Family(
    "lolly_cache_evictions_total",
    "counter",
    "Answers that had to go for want of room.",
    ("cache",),
)
CACHE_FILE_ERRORS = Family(
    "lolly_cache_file_errors_total",
    "counter",
    "Files of stored answers that could not be written, or read.",
    ("cache",),
)
STORE_AWAY = Family(
    "lolly_store_away",
    "gauge",
    "Processes that a store is away for; 0 is well.",
    ("store",),
)
STORE_LOSSES = Family(
    "lolly_store_losses_total",
    "counter",
    "How often a store went away, as each process saw it.",
    ("store",),
)
STORE_QUESTIONS = Family(
    "lolly_store_questions_total",
    "counter",
    "Questions to a store, by what became of them: asked, and of these answered, late, refused, lost (it went away"
    " meanwhile); and skipped (not asked, for it was away).",
    ("store", "result"),
)
STORE_SHARERS = Family(
    "lolly_store_processes",
    "gauge",
    "Processes that share limits by a store, as it counts them; 0 while that is not known.",
    ("store",),
)
STORE_LISTENING = Family(
    "lolly_store_listening",
    "gauge",
    "1 while purges of other instances are heard at once.",
    ("store",),
)
STORE_PURGES = Family(
    "lolly_store_purges_total",
    "counter",
    "Purges by a store, by what became of them: told, heard (of others), ignored (they were none), missed (how often"
    " the cache was purged as a whole, because nobody knew what others had purged).",
    ("store", "cache", "result"),
)
STORE_UNTOLD = Family(
    "lolly_store_purges_waiting",
    "gauge",
    "Purges that other instances could not be told yet.",
    ("store", "cache"),
)
LOG_LINES = Family(
    "lolly_access_log_lines_total",
    "counter",
    "Lines of access logs, by what became of them: written or dropped.",
    ("result",),
)
SPANS = Family(
    "lolly_spans_total",
    "counter",
    "Spans of exchanges that were kept, by what became of them: exported or dropped.",
    ("result",),
)
STALLS = Family(
    "lolly_event_loop_stalls_total",
    "counter",
    "How often the event loop stood still for more than 0.1 s.",
)
WORKER_UP = Family(
    "lolly_worker_up",
    "gauge",
    "1 while a worker serves and is heard of; only with workers.",
    ("worker",),
)
WORKER_STARTS = Family(
    "lolly_worker_starts_total",
    "counter",
    "How often a worker was started; only with workers.",
    ("worker",),
)
BUILD = Family(
    "lolly_build_info",
    "gauge",
    "Always 1; the labels say what runs.",
    ("version", "python", "twisted"),
)

CPU = Family(
    "process_cpu_seconds_total",
    "counter",
    "Processor time used, of all processes of the proxy.",
)
RESIDENT = Family(
    "process_resident_memory_bytes",
    "gauge",
    "Memory in use, of all processes of the proxy; what they share is counted for each.",
)
VIRTUAL = Family(
    "process_virtual_memory_bytes",
    "gauge",
    "Address space, of all processes of the proxy.",
)
OPEN_FDS = Family(
    "process_open_fds", "gauge", "Open descriptors, of all processes of the proxy."
)
MAX_FDS = Family(
    "process_max_fds", "gauge", "How many descriptors one process may have open."
)
STARTED = Family(
    "process_start_time_seconds",
    "gauge",
    "When the process was started, in seconds since 1970; of several the one that answers.",
)

ALL: tuple[Family, ...] = tuple(
    one for one in tuple(globals().values()) if isinstance(one, Family)
)
