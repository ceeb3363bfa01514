"""Who is behind a tunnel that nobody is at the end of: such a target is there only while a connector has its service.

    connector comes, goes, or may offer something else --> Connectors.moved --> LollyService --> Pool.look_for_absent

Each process finds that out by itself: it knows which connectors it has, and which its siblings have.

Imports: config.kinds, domain, net.tunnels. Used by: service.build.
"""

from __future__ import annotations

from lolly_tx.config.kinds.addresses import endpoint_parts
from lolly_tx.domain.target import Target

_BEGINS = "tunnel:"


def absence(target: Target) -> str:
    """Why nobody can be connected to for `target` now; "": somebody can, or it is not behind a tunnel."""
    if target.endpoint[: len(_BEGINS)].lower() != _BEGINS:
        return ""
    # Few configurations have any of this, and it takes time to import.
    from lolly_tx.net.tunnels.directory import parse_service_endpoint

    plain, named = endpoint_parts(target.endpoint)
    try:
        return parse_service_endpoint(*plain[1:], **named).absence
    except ValueError:
        return ""  # that is said when its endpoint is made
