"""Spans as OTLP over HTTP takes them in JSON (opentelemetry-proto 1.x, `ExportTraceServiceRequest`).

Identifiers are hexadecimal, times are texts of nanoseconds, and 64-bit numbers are texts.

Imports: nothing of ours. Used by: service.records.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import attrs

SERVER = 2
ERROR = 2


@attrs.frozen
class Attempted:
    """An attempt at a target. `at`, `seconds`: when it ended, since the start of the span, and how long it took."""

    upstream: str
    status: int | None
    seconds: float | None


@attrs.frozen
class Span:
    """One exchange. `start`, `end`: seconds since the epoch. `attributes`: texts, numbers, flags."""

    trace_id: bytes
    span_id: bytes
    parent_id: bytes
    state: bytes
    name: str
    start: float
    end: float
    attributes: Mapping[str, Any]
    attempts: tuple[Attempted, ...] = ()
    failed: str = ""
    """Why it counts as an error; "" when it does not."""


def export_request(
    spans: Sequence[Span], resource: Mapping[str, Any], version: str
) -> bytes:
    """The body of a POST to /v1/traces. `resource`: who they come from. `version`: ours."""
    scope = {"name": "lolly_tx", "version": version}
    told = {
        "resourceSpans": [
            {
                "resource": {"attributes": _attributes(resource)},
                "scopeSpans": [{"scope": scope, "spans": [_span(s) for s in spans]}],
            }
        ]
    }
    return json.dumps(told, separators=(",", ":")).encode("ascii")


def _span(span: Span) -> dict[str, Any]:
    told: dict[str, Any] = {
        "traceId": span.trace_id.decode("ascii"),
        "spanId": span.span_id.decode("ascii"),
        "name": span.name,
        "kind": SERVER,
        "startTimeUnixNano": _nanoseconds(span.start),
        "endTimeUnixNano": _nanoseconds(span.end),
        "attributes": _attributes(span.attributes),
        "status": {"code": ERROR, "message": span.failed} if span.failed else {},
    }
    if span.parent_id:
        told["parentSpanId"] = span.parent_id.decode("ascii")
    if span.state:
        told["traceState"] = span.state.decode("ascii")
    if span.attempts:
        at = _nanoseconds(span.end)
        told["events"] = [
            {"timeUnixNano": at, "name": "attempt", "attributes": _attempt(one)}
            for one in span.attempts
        ]
    return told


def _attempt(one: Attempted) -> list[dict[str, Any]]:
    told = {"upstream": one.upstream, "status": one.status, "seconds": one.seconds}
    return _attributes({key: value for key, value in told.items() if value is not None})


def _nanoseconds(seconds: float) -> str:
    return str(int(seconds * 1_000_000) * 1000)


def _attributes(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": _value(value)} for key, value in values.items()]


def _value(value: Any) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    return {"stringValue": value}
