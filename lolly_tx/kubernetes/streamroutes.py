"""TLSRoutes and TCPRoutes, as what streams of ours lead to.

Imports: kubernetes. Used by: kubernetes.translation.
"""

from __future__ import annotations

from lolly_tx.kubernetes.attaching import Parent
from lolly_tx.kubernetes.backends import Backends, Unresolved
from lolly_tx.kubernetes.conditions import RESOLVED, Condition
from lolly_tx.kubernetes.drafts import Draft
from lolly_tx.kubernetes.matches import Unsupported
from lolly_tx.kubernetes.objects import Key, Object, tables


def stream_route(
    kind: str,
    key: Key,
    item: Object,
    parents: list[Parent],
    backends: Backends,
    draft: Draft,
) -> Condition:
    """Put a route into `draft`; whether its references are resolved. Raises `Unsupported`."""
    refs = [
        ref
        for rule in tables(item["spec"]["rules"])
        for ref in tables(rule.get("backendRefs"))
    ]
    heavy = [ref for ref in refs if ref.get("weight", 1)]
    if len(heavy) > 1:
        raise Unsupported("several backends of a stream")
    pool, said = "", RESOLVED
    for ref in heavy:
        try:
            pool = backends.pool(kind, key, ref, {}, "tcp")
        except Unresolved as error:
            said = error.condition
    if not pool:
        return said
    for parent in parents:
        for door, hosts in parent.doors:
            for host in hosts:
                if door.serves:
                    draft.stream(door.ours, host, (kind, key), pool)
    return said
