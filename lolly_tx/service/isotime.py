"""A moment as logs and the API write it.

Imports: nothing of ours. Used by: service.acme, service.admin, service.certificates,
service.changes, service.process, service.providers, service.records, service.service.
"""

from __future__ import annotations

from datetime import UTC, datetime


def iso_time(when: float) -> str:
    """Seconds since the epoch as ISO 8601 in UTC, with milliseconds: "2026-11-21T20:41:00.250Z"."""
    at = datetime.fromtimestamp(when, UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
