"""HTTPRoutes and GRPCRoutes, as routes of ours.

Imports: kubernetes. Used by: kubernetes.translation.
"""

from __future__ import annotations

import re
from typing import Any

from lolly_tx.kubernetes.attaching import Parent
from lolly_tx.kubernetes.backends import Backends, Unresolved
from lolly_tx.kubernetes.conditions import RESOLVED, Condition
from lolly_tx.kubernetes.drafts import Draft, Entry
from lolly_tx.kubernetes.filters import filtered
from lolly_tx.kubernetes.gateways import Doorway
from lolly_tx.kubernetes.matches import (
    Matched,
    Unsupported,
    grpc_match,
    http_match,
)
from lolly_tx.kubernetes.objects import Key, Object, created, tables, text

_DURATION = re.compile(r"(?:([0-9]+)h)?(?:([0-9]+)m)?(?:([0-9]+)s)?(?:([0-9]+)ms)?")


def http_route(
    kind: str,
    key: Key,
    item: Object,
    parents: list[Parent],
    backends: Backends,
    draft: Draft,
) -> Condition:
    """Put a route into `draft` for all of its parents; whether its references are resolved.

    Raises `Unsupported` for what is not served: then nothing of the route is.
    """
    entries: list[Entry] = []
    said = RESOLVED
    for index, rule in enumerate(tables(item["spec"].get("rules", [{}]))):
        matches = tables(rule.get("matches")) or [{}]
        for number, one in enumerate(matches):
            match = http_match(one) if kind == "HTTPRoute" else grpc_match(one)
            order = created(item), key, kind, index, number
            for parent in parents:
                for door, hosts in parent.doors:
                    if not door.serves:
                        continue
                    table, resolved = _table(kind, key, rule, match, door, backends)
                    if not resolved.holds:
                        said = resolved
                    for host in hosts:
                        at = {"listener": door.ours, "path": match.path, **table}
                        if host:
                            at["host"] = host
                        entries.append(Entry((kind, key), order, match.weight, at))
    if kind == "HTTPRoute" and not any(p.doors for p in parents):
        # Served nowhere, its references are looked at all the same.
        for rule in tables(item["spec"].get("rules", [{}])):
            _, resolved = backends.end(kind, key, tables(rule.get("backendRefs")), {})
            said = said if resolved.holds else resolved
    draft.entries += entries
    return said


def _table(
    kind: str, key: Key, rule: Object, match: Matched, door: Doorway, backends: Backends
) -> tuple[dict[str, Any], Condition]:
    """Conditions, middleware and end of one rule."""
    said = RESOLVED

    def mirrored(ref: Object) -> str:
        return backends.pool(kind, key, ref, {}, scheme)

    grpc = kind == "GRPCRoute"
    scheme = "http"
    options: dict[str, Any] = {"protocol": "h2c"} if grpc else {}
    options.update(_timeouts(rule.get("timeouts") or {}))
    try:
        found = filtered(rule.get("filters"), match, door.protocol, door.port, mirrored)
    except Unresolved as error:
        said = error.condition
        without = [
            one for one in tables(rule["filters"]) if one["type"] != "RequestMirror"
        ]
        found = filtered(without, match, door.protocol, door.port, mirrored)
    options.update(found.options)
    table: dict[str, Any] = dict(match.conditions)
    if found.use:
        table["use"] = found.use
    if found.end is not None:
        return {**table, **found.end}, said
    end, resolved = backends.end(
        kind, key, tables(rule.get("backendRefs")), options, scheme
    )
    return {**table, **end}, said if resolved.holds else resolved


def _timeouts(asked: Object) -> dict[str, Any]:
    """Of a rule, as those of a pool."""
    out: dict[str, float] = {}
    request, backend = (asked.get(key) for key in ("request", "backendRequest"))
    if request is not None:
        out["total"] = seconds(text(request))
    if backend is not None:
        out["try"] = seconds(text(backend))
    if out:
        # What may take long until the answer begins may be as slow in the middle of it.
        out["read"] = max(out.values()) if all(out.values()) else 0.0
    return {"timeout": out} if out else {}


def seconds(said: str) -> float:
    """A duration of the Gateway API (GEP-2257): "1h30m", "500ms". Raises `Unsupported`."""
    match = _DURATION.fullmatch(said)
    if match is None or not said:
        raise Unsupported(f"a duration such as {said[:40]}")
    hours, minutes, whole, parts = (float(one or 0) for one in match.groups())
    return hours * 3600 + minutes * 60 + whole + parts / 1000
