"""What bodies of the admin API look like, as JSON Schemas (2020-12) by name.

A schema that says `whole` has every field there is: the tests hold answers against it, so that none is forgotten.
Settings, counters and traces are told with what they have; their names are those of the configuration and of
`/api/stats` itself. A table in one long file: each schema stands in it once, and they refer to each other by name.

Imports: config. Used by: service.admin.openapi, service.admin.paths,
service.admin.reads, service.admin.table.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from lolly_tx.config.diff import Kind

Schema = Mapping[str, Any]

TEXT: Schema = {"type": "string"}
FLAG: Schema = {"type": "boolean"}
WHOLE: Schema = {"type": "integer"}
NUMBER: Schema = {"type": "number"}
TIME: Schema = {"type": "string", "format": "date-time"}
ANYTHING: Schema = {"type": "object"}
TEXTS: Schema = {"type": "array", "items": TEXT}


def or_null(schema: Schema) -> Schema:
    """The same, or null."""
    return {"anyOf": [schema, {"type": "null"}]}


def listed(schema: Schema) -> Schema:
    """A list of them."""
    return {"type": "array", "items": schema}


def ref(name: str) -> Schema:
    """The schema of that name."""
    return {"$ref": f"#/components/schemas/{name}"}


def whole(fields: Mapping[str, Schema], /, **optional: Schema) -> Schema:
    """An object with all of `fields`, perhaps some of `optional`, and nothing else."""
    return {
        "type": "object",
        "properties": {**fields, **optional},
        "required": list(fields),
        "additionalProperties": False,
    }


def partly(fields: Mapping[str, Schema]) -> Schema:
    """An object with all of `fields`, and more."""
    return {"type": "object", "properties": dict(fields), "required": list(fields)}


_SECONDS = or_null(NUMBER)

_EVENT_FIELDS: Mapping[str, Schema] = {
    "seconds_ago": NUMBER,
    "fact": TEXT,
    "old": TEXT,
    "new": TEXT,
    "cause": TEXT,
}

_TARGET_FIELDS: Mapping[str, Schema] = {
    "id": TEXT,
    "address": TEXT,
    "backup": FLAG,
    "priority": WHOLE,
    "weight": WHOLE,
    "effective_weight": NUMBER,
    "slow_start": FLAG,
    "max_conns": WHOLE,
    "available": FLAG,
    "why_not": TEXT,
    "enabled": {"enum": ["up", "drain", "down"]},
    "agent": whole({"state": TEXT, "word": TEXT}),
    "draining_by_check": FLAG,
    "health": whole(
        {
            "state": {"enum": ["up", "down"]},
            "against": WHOLE,
            "flips_after": WHOLE,
            "checked_seconds_ago": _SECONDS,
            "changed_seconds_ago": _SECONDS,
        }
    ),
    "ejection": whole(
        {
            "state": {"enum": ["up", "ejected", "trial"]},
            "kind": TEXT,
            "trial_in_flight": FLAG,
            "in_a_row": WHOLE,
            "refused": or_null(TEXT),
            "evidence": TEXT,
        }
    ),
    "in_flight": WHOLE,
    "room": or_null(WHOLE),
    "last_change": or_null(whole(_EVENT_FIELDS)),
    "back": TEXTS,
    "counters": {"type": "object", "additionalProperties": NUMBER},
}

_IN_FORCE: Mapping[str, Schema] = {"generation": WHOLE, "late_workers": listed(WHOLE)}
_TARGET: Mapping[str, Schema] = {
    **_TARGET_FIELDS,
    "drain_ends_in_seconds": _SECONDS,
}

_CHANGE = whole(
    {
        "action": {"enum": ["added", "removed", "changed"]},
        "kind": {"enum": list(get_args(Kind))},
        "name": TEXT,
        "keys": listed(ref("KeyChange")),
    }
)

_SEEN = whole(
    {"seconds_ago": NUMBER, "ok": FLAG, "cause": TEXT, "took_seconds": _SECONDS}
)

_WEIGHT: Schema = {"type": "integer", "minimum": 1, "maximum": 65535}
_MAX_CONNS: Schema = {"type": "integer", "minimum": 0, "maximum": 10**7}

SCHEMAS: Mapping[str, Schema] = {
    "Error": whole({"error": TEXT}, errors=TEXTS, fields=TEXTS),
    "Paths": whole({"paths": TEXTS}),
    "Alive": whole({"alive": FLAG}),
    "Readiness": whole(
        {"ready": FLAG},
        reasons=TEXTS,
        degraded=TEXTS,
        draining=partly({"connections": WHOLE, "in_flight": WHOLE}),
    ),
    "Event": whole(
        {"number": WHOLE, "time": TIME, "pool": TEXT, "target": TEXT, **_EVENT_FIELDS}
    ),
    "Events": whole({"latest": WHOLE, "events": listed(ref("Event"))}),
    "Target": whole(_TARGET),
    "TargetChanged": whole({**_TARGET, **_IN_FORCE}),
    "TargetRemoved": whole({"removed": TEXT, "in_flight": WHOLE, **_IN_FORCE}),
    "NewTarget": {
        **whole(
            {},
            url=TEXT,
            endpoint=TEXT,
            id={"type": "string", "pattern": "^[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?$"},
            weight=_WEIGHT,
            max_conns=_MAX_CONNS,
            backup=FLAG,
            priority={"type": "integer", "minimum": 0, "maximum": 1000},
            down=FLAG,
        ),
        "oneOf": [{"required": ["url"]}, {"required": ["endpoint"]}],
        "examples": [{"url": "http://127.0.0.1:9009", "weight": 2}],
    },
    "TargetChange": {
        **whole({}, weight=_WEIGHT, max_conns=_MAX_CONNS),
        "minProperties": 1,
        "examples": [{"weight": 3}],
    },
    "LocalFault": whole(
        {
            "kind": {"enum": ["network", "resources"]},
            "since_seconds": NUMBER,
            "why": TEXT,
        }
    ),
    "Discovery": whole(
        {
            "type": TEXT,
            "state": TEXT,
            "age_seconds": _SECONDS,
            "targets": WHOLE,
            "vanished": TEXTS,
            "failures": WHOLE,
            "error": TEXT,
            "skipped": TEXTS,
        }
    ),
    "Pool": whole(
        {
            "name": TEXT,
            "available": WHOLE,
            "refusals": WHOLE,
            "local_fault": or_null(ref("LocalFault")),
            "discovery": or_null(ref("Discovery")),
            "targets": listed(ref("Target")),
            "leaving": listed(
                whole(
                    {
                        "id": TEXT,
                        "address": TEXT,
                        "in_flight": WHOLE,
                        "last_change": or_null(whole(_EVENT_FIELDS)),
                    }
                )
            ),
        }
    ),
    "Pools": whole({"pools": listed(ref("Pool"))}),
    "Account": whole(
        {
            "pool": TEXT,
            "id": TEXT,
            "address": TEXT,
            "available": FLAG,
            "why_not": TEXT,
            "summary": TEXT,
            "facts": listed(
                whole(
                    {
                        "fact": TEXT,
                        "state": TEXT,
                        "good": FLAG,
                        "detail": TEXT,
                        "since_seconds": _SECONDS,
                        "cause": TEXT,
                    }
                )
            ),
            "back": listed(TEXTS),
            "next_check_in_seconds": _SECONDS,
            "check_in_progress": FLAG,
            "evidence": whole({"checks": listed(_SEEN), "failures": listed(_SEEN)}),
            "history": listed(whole(_EVENT_FIELDS)),
            "state": whole(_TARGET_FIELDS),
            "local_fault": or_null(ref("LocalFault")),
        }
    ),
    "Accounts": whole(
        {
            "pool": TEXT,
            "available": WHOLE,
            "panic_odds": NUMBER,
            "local_fault": or_null(ref("LocalFault")),
            "discovery": or_null(ref("Discovery")),
            "targets": listed(ref("Account")),
        }
    ),
    "Choice": partly(
        {
            "listener": TEXT,
            "pool": or_null(TEXT),
            "choice": or_null(TEXT),
            "why": TEXT,
            "candidates": listed(ANYTHING),
        }
    ),
    "Traces": whole(
        {"traces": listed(partly({"number": WHOLE, "tries": {"type": "array"}}))}
    ),
    "Stats": partly(
        {
            "settings": ref("Generation"),
            "process": ANYTHING,
            "listeners": ANYTHING,
            "pools": ANYTHING,
            "caches": ANYTHING,
            "stores": ANYTHING,
        }
    ),
    "Generation": partly(
        {
            "file": TEXT,
            "generation": WHOLE,
            "loaded_at": TIME,
            "last_reload_ok": FLAG,
            "reload_failures": WHOLE,
            "unconfirmed_until": or_null(TIME),
            "applied": FLAG,
            "run_time_changes": WHOLE,
        }
    ),
    "KeyChange": whole({"key": TEXT, "before": or_null(TEXT), "after": or_null(TEXT)}),
    "RunTimeChange": whole(
        {
            "action": {"enum": ["added", "removed", "changed"]},
            "pool": TEXT,
            "target": TEXT,
            "address": TEXT,
            "at": TIME,
            "keys": listed(ref("KeyChange")),
        }
    ),
    "Config": {
        "allOf": [
            ref("Generation"),
            partly({"run_time": listed(ref("RunTimeChange")), "config": ANYTHING}),
        ]
    },
    "Listener": whole(
        {
            "name": TEXT,
            "endpoint": TEXT,
            "address": or_null(TEXT),
            "tls": FLAG,
            "state": {"enum": ["up", "draining", "drained"]},
            "drain_ends_in_seconds": _SECONDS,
            "open": or_null(WHOLE),
            "oldest_seconds": _SECONDS,
            "accepted": or_null(WHOLE),
        }
    ),
    "Listeners": whole({"listeners": listed(ref("Listener"))}),
    "Providers": whole(
        {
            "providers": listed(
                whole(
                    {
                        "name": TEXT,
                        "type": TEXT,
                        "state": TEXT,
                        "error": TEXT,
                        "age_seconds": _SECONDS,
                        "gateways": WHOLE,
                        "routes": WHOLE,
                        "ingresses": WHOLE,
                        "refused": listed(
                            whole({"kind": TEXT, "name": TEXT, "why": TEXT})
                        ),
                    }
                )
            )
        }
    ),
    "Store": whole(
        {
            "name": TEXT,
            "url": TEXT,
            "used_by": TEXTS,
            "state": {"enum": ["here", "away", "connecting"]},
            "why": TEXT,
            "since_seconds": _SECONDS,
            "summary": TEXT,
            "facts": listed(
                whole(
                    {
                        "fact": TEXT,
                        "state": TEXT,
                        "good": FLAG,
                        "detail": TEXT,
                        "since_seconds": _SECONDS,
                    }
                )
            ),
            "consequences": TEXTS,
            "answers_in_seconds": _SECONDS,
            "clock_offset_seconds": or_null(NUMBER),
            "away": WHOLE,
            "away_seconds": NUMBER,
            "losses": WHOLE,
            "sharers": WHOLE,
            "questions": ANYTHING,
            "purges": or_null(ANYTHING),
            "history": listed(
                whole({"seconds_ago": NUMBER, "state": TEXT, "why": TEXT})
            ),
        }
    ),
    "Stores": whole({"stores": listed(ref("Store"))}),
    "Certificates": whole(
        {
            "certificates": listed(
                partly(
                    {
                        "listener": TEXT,
                        "path": TEXT,
                        "names": TEXTS,
                        "not_after": TIME,
                        "expires_in_seconds": WHOLE,
                        "refused": or_null(TEXT),
                    }
                )
            ),
            "acme": listed(partly({"acme": TEXT, "host": TEXT, "next_try": TIME})),
        }
    ),
    "Watchdog": partly(
        {
            "beats": WHOLE,
            "stalls": WHOLE,
            "longest": NUMBER,
            "lateness": listed(
                whole({"at_most_seconds": _SECONDS, "beats": WHOLE}),
            ),
            "last": or_null(ANYTHING),
        }
    ),
    "Recorder": whole({"on": FLAG}, records=WHOLE, room=WHOLE, written=WHOLE),
    "Dump": partly({"tapes": TEXTS}),
    "Session": whole({"session": FLAG, "writes": FLAG, "writable": FLAG}),
    "Reloaded": whole(
        {
            **_IN_FORCE,
            "changes": listed(_CHANGE),
            "restart": listed(_CHANGE),
            "ended": listed(ref("RunTimeChange")),
        }
    ),
    "Plan": whole(
        {
            "changes": listed(_CHANGE),
            "restart": listed(_CHANGE),
            "consequences": whole({"before": TEXTS, "after": TEXTS}),
        }
    ),
    "Confirmed": whole({"confirmed": FLAG}),
    "Upgraded": whole({"upgraded": FLAG}),
    "Purge": {
        **whole({}, path=TEXT, prefix=TEXT, tag=TEXT, host=TEXT),
        "examples": [{"path": "/news"}],
    },
    "Purged": whole(
        {
            "purged": WHOLE,
            "late": listed(WHOLE),
            "told": listed(
                whole(
                    {
                        "cache": TEXT,
                        "store": TEXT,
                        "subscribers": or_null(WHOLE),
                        "why": TEXT,
                    }
                )
            ),
        }
    ),
    "Reopened": whole({"reopened": FLAG}),
    "Document": partly({"openapi": TEXT, "info": ANYTHING, "paths": ANYTHING}),
}
