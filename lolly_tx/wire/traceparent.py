"""Trace context: the fields `traceparent` and `tracestate` (W3C Trace Context, level 1).

    00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01
    version  trace id                   parent id        flags

Imports: nothing of ours. Used by: proxy.identity.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

_CONTEXT = re.compile(
    rb"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?"
)
MOST_STATE_BYTES = 512
"""Of tracestate that are passed on (section 3.3.1.5)."""

_STATE = re.compile(rb"[\t -~]+")


class TraceContext(NamedTuple):
    """What came with a request. `sampled`: whoever sent it keeps its part of the trace."""

    trace_id: bytes
    parent_id: bytes
    sampled: bool


def trace_context(values: Sequence[bytes]) -> TraceContext | None:
    """What the `traceparent` fields of a request say; None when they are not one that can be understood."""
    if len(values) != 1:
        return None
    match = _CONTEXT.fullmatch(values[0])
    if match is None:
        return None
    version, trace_id, parent_id, flags, more = match.groups()
    if more is not None and version == b"00":
        return None
    return TraceContext(trace_id, parent_id, bool(int(flags, 16) & 1))


def trace_state(values: Sequence[bytes]) -> bytes:
    """The `tracestate` fields as one value to pass on; b"" where they cannot be."""
    joined = b",".join([value for value in values if value])
    if len(joined) > MOST_STATE_BYTES or not _STATE.fullmatch(joined):
        return b""
    return joined


def context_line(trace_id: bytes, span_id: bytes, sampled: bool) -> bytes:
    """The field that tells a target to continue a trace, with its CRLF."""
    return b"traceparent: 00-%b-%b-0%d\r\n" % (trace_id, span_id, sampled)
