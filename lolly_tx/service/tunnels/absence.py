"""Who is behind a tunnel that nobody is at the end of: such a target is there only while a connector has its service.

    connector comes, goes, or may offer something else --> Connectors.moved --> LollyService --> Pool.look_for_absent

Each process finds that out by itself: it knows which connectors it has, and which its siblings have.

Imports: config.kinds, domain, net.tunnels. Used by: service.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from lolly_tx.config.kinds.addresses import endpoint_parts
from lolly_tx.domain.target import Target

if TYPE_CHECKING:  # pragma: no cover
    from lolly_tx.net.tunnels.directory import ServiceEndpoint

_BEGINS = "tunnel:"
_REMEMBERED = 16384
"""Endpoint strings; with a thousand connectors all of them are looked at whenever one connects."""


@lru_cache(_REMEMBERED)
def _read(text: str) -> ServiceEndpoint | None:
    # Few configurations have any of this, and it takes time to import.
    from lolly_tx.net.tunnels.directory import parse_service_endpoint

    plain, named = endpoint_parts(text)
    try:
        return parse_service_endpoint(*plain[1:], **named)
    except ValueError:
        return None  # that is said when its endpoint is made


def _way_of(target: Target) -> ServiceEndpoint | None:
    """The way through a tunnel, if that is where `target` is."""
    text = target.endpoint
    return _read(text) if text[: len(_BEGINS)].lower() == _BEGINS else None


def is_behind(target: Target, connector: str) -> bool:
    """Whether `connector` leads to `target`; "": any does."""
    way = _way_of(target)
    return way is not None and connector in ("", way.name)


def absence(target: Target) -> str:
    """Why nobody can be connected to for `target` now; "": somebody can, or it is not behind a tunnel."""
    way = _way_of(target)
    return "" if way is None else way.absence
