"""Status conditions: what is said of an object, and how that is written beside what others and we said before.

Imports: nothing of ours. Used by: kubernetes, service.providers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import attrs

CONTROLLER = "lolly-tx.dev/gateway-controller"
"""How a GatewayClass and the status of a route name us."""


@attrs.frozen
class Condition:
    """One of them. `reason`: a word of the specification; `message`: for people."""

    type: str
    holds: bool
    reason: str
    message: str = ""


ACCEPTED = Condition("Accepted", True, "Accepted")
RESOLVED = Condition("ResolvedRefs", True, "ResolvedRefs")


def not_accepted(reason: str, message: str = "") -> Condition:
    """In place of `ACCEPTED`."""
    return Condition("Accepted", False, reason, message)


def unresolved(reason: str, message: str) -> Condition:
    """In place of `RESOLVED`."""
    return Condition("ResolvedRefs", False, reason, message)


def written(
    conditions: Iterable[Condition], before: Any, generation: int, now: str
) -> list[dict[str, Any]]:
    """As a status has them; the time of what did not change is that of `before`."""
    old = {
        one.get("type"): one
        for one in (before if isinstance(before, list) else ())
        if isinstance(one, dict)
    }
    out = []
    for one in conditions:
        status = "True" if one.holds else "False"
        then: Mapping[str, Any] = old.get(one.type) or {}
        same = then.get("status") == status
        since = then.get("lastTransitionTime") if same else None
        out.append(
            {
                "type": one.type,
                "status": status,
                "reason": one.reason,
                "message": one.message[:1000],
                "observedGeneration": generation,
                "lastTransitionTime": since or now,
            }
        )
    return out


@attrs.frozen
class Status:
    """What the status of an object is to say: keys of it that are ours."""

    kind: str
    namespace: str
    name: str
    value: Mapping[str, Any]
