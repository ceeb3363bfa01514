"""Who may refer to what in another namespace: ReferenceGrants.

Imports: kubernetes. Used by: kubernetes.backends, kubernetes.gateways,
kubernetes.translation.
"""

from __future__ import annotations

from lolly_tx.kubernetes.objects import GATEWAY_GROUP, MALFORMED, Objects, tables, text


class Grants:
    """All that are granted."""

    def __init__(self, objects: Objects) -> None:
        self._granted: set[tuple[str, str, str, str, str, str]] = set()
        for (namespace, _), item in objects.all("ReferenceGrant"):
            try:
                spec = item["spec"]
                for one in tables(spec["from"]):
                    source = text(one.get("group")), one["kind"], one["namespace"]
                    for to in tables(spec["to"]):
                        what = to["kind"], text(to.get("name"))
                        if not text(to.get("group")):
                            self._granted.add((*source, namespace, *what))
            except MALFORMED:
                continue  # what cannot be read grants nothing

    def allow(
        self, kind: str, namespace: str, to_kind: str, to_namespace: str, name: str
    ) -> bool:
        """Whether a route or Gateway in `namespace` may name the Service or Secret `name`."""
        if namespace == to_namespace:
            return True
        source = GATEWAY_GROUP, kind, namespace, to_namespace, to_kind
        return (*source, name) in self._granted or (*source, "") in self._granted
