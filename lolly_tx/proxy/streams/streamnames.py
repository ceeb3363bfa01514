"""What streams are called among the listeners.

Imports: nothing of ours. Used by: proxy.records, service, service.changes,
service.metrics, service.records, simulate.
"""

from __future__ import annotations

_PREFIX = "stream "


def place_name(stream: str) -> str:
    """What a stream is called among the listeners; none of these can be called so."""
    return f"{_PREFIX}{stream}"


def stream_of(place: str) -> str | None:
    """The stream that is called so among the listeners; None: it is none."""
    return place.removeprefix(_PREFIX) if place.startswith(_PREFIX) else None
