"""The objects of a cluster that say what is served, as they were read: JSON, by kind, namespace and name.

They are foreign text: a schema has checked most of them before, and nothing here relies on it. What reads an object
raises LookupError, TypeError, ValueError or AttributeError for one that is none (`MALFORMED`), and harms no other.

Imports: nothing of ours. Used by: kubernetes, service.providers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import attrs

Key = tuple[str, str]
"""Namespace ("" where there is none) and name."""

Object = Mapping[str, Any]

GATEWAY_GROUP = "gateway.networking.k8s.io"

MALFORMED = (LookupError, TypeError, ValueError, AttributeError)


@attrs.frozen
class Kind:
    """`version`: group and version; `plural`: as paths have it; `optional`: clusters may not know it."""

    name: str
    version: str
    plural: str
    optional: bool = True
    cluster_wide: bool = False


KINDS: Mapping[str, Kind] = {
    one.name: one
    for one in (
        Kind("GatewayClass", f"{GATEWAY_GROUP}/v1", "gatewayclasses", True, True),
        Kind("Gateway", f"{GATEWAY_GROUP}/v1", "gateways"),
        Kind("HTTPRoute", f"{GATEWAY_GROUP}/v1", "httproutes"),
        Kind("GRPCRoute", f"{GATEWAY_GROUP}/v1", "grpcroutes"),
        Kind("TLSRoute", f"{GATEWAY_GROUP}/v1alpha2", "tlsroutes"),
        Kind("TCPRoute", f"{GATEWAY_GROUP}/v1alpha2", "tcproutes"),
        Kind("ReferenceGrant", f"{GATEWAY_GROUP}/v1beta1", "referencegrants"),
        Kind("Ingress", "networking.k8s.io/v1", "ingresses"),
        Kind("IngressClass", "networking.k8s.io/v1", "ingressclasses", True, True),
        Kind("Service", "v1", "services", False),
        Kind("Secret", "v1", "secrets", False),
        Kind("Namespace", "v1", "namespaces", False, True),
    )
}
"""All that is looked at, by name."""


class Objects:
    """What there is of every kind."""

    def __init__(self, by_kind: Mapping[str, Mapping[Key, Object]]) -> None:
        self._by_kind = by_kind

    def get(self, kind: str, namespace: str, name: str) -> Object | None:
        """One of them."""
        return self._by_kind.get(kind, {}).get((namespace, name))

    def all(self, kind: str) -> Iterator[tuple[Key, Object]]:
        """Those of a kind: the oldest first, then by namespace and name, as conflicts are settled."""
        found = self._by_kind.get(kind, {}).items()
        return iter(sorted(found, key=lambda one: (created(one[1]), one[0])))


def created(item: Object) -> str:
    """When it was; what does not say is younger than all others."""
    at = meta(item).get("creationTimestamp")
    return at if isinstance(at, str) and at else "~"


def meta(item: Object) -> Mapping[str, Any]:
    """Its metadata."""
    found = item.get("metadata")
    return found if isinstance(found, dict) else {}


def generation(item: Object) -> int:
    """Of its spec."""
    found = meta(item).get("generation")
    return found if isinstance(found, int) else 0


def tables(raw: Any) -> list[Mapping[str, Any]]:
    """A list of objects that may be missing. Raises TypeError for anything else."""
    found = [] if raw is None else raw
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise TypeError("a list of objects was expected")
    return found


def text(raw: Any, default: str = "") -> str:
    """A text that may be missing. Raises TypeError for anything else."""
    if raw is None:
        return default
    if not isinstance(raw, str):
        raise TypeError("a text was expected")
    return raw
