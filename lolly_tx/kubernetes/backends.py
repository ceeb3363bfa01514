"""Where rules lead to: Services, as pools whose targets are discovered.

Imports: kubernetes. Used by: kubernetes.httproutes, kubernetes.ingresses,
kubernetes.streamroutes, kubernetes.translation.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

from lolly_tx.kubernetes.conditions import RESOLVED, Condition, unresolved
from lolly_tx.kubernetes.grants import Grants
from lolly_tx.kubernetes.objects import Key, Object, Objects, tables, text
from lolly_tx.kubernetes.terms import Terms

EMPTY = "k8s_none"
"""The pool that takes the share of backends that cannot be: it has no targets."""

MOST_NAME = 64


class Unresolved(Exception):
    """A reference that leads nowhere, and the `condition` that says so."""

    def __init__(self, reason: str, said: str) -> None:
        super().__init__(said)
        self.condition = unresolved(reason, said)


class Backends:
    """Makes pools of references. `pools`: those made, by name, each as a table."""

    def __init__(self, objects: Objects, terms: Terms, grants: Grants) -> None:
        self._objects, self._terms, self._grants = objects, terms, grants
        self.pools: dict[str, dict[str, Any]] = {}

    def end(
        self,
        kind: str,
        key: Key,
        refs: list[Object],
        options: Mapping[str, Any],
        scheme: str = "http",
    ) -> tuple[dict[str, Any], Condition]:
        """The end of a route that leads to `refs`, and whether all of them could be resolved.

        `kind`, `key`: of the route; `options`: settings of the pools, from the rule.
        """
        shares: dict[str, int] = {}
        said = RESOLVED
        for ref in refs:
            weight = ref.get("weight", 1)
            if not isinstance(weight, int) or not 0 <= weight <= 1_000_000:
                raise ValueError("a weight was expected")
            try:
                if ref.get("filters"):
                    raise Unresolved(
                        "UnsupportedValue", "filters of backends are not served"
                    )
                name = self.pool(kind, key, ref, options, scheme)
            except Unresolved as error:
                said = error.condition
                name = ""
            shares[name] = shares.get(name, 0) + weight
        shares = {name: weight for name, weight in shares.items() if weight}
        if not shares or list(shares) == [""]:
            return {"respond": {"status": 500, "body": "no backend\n"}}, said
        if "" in shares:
            shares[self._empty()] = shares.pop("")
        if len(shares) == 1:
            return {"pool": next(iter(shares))}, said
        return {"split": _split(shares)}, said

    def pool(
        self,
        kind: str,
        key: Key,
        ref: Object,
        options: Mapping[str, Any],
        scheme: str = "http",
    ) -> str:
        """The name of the pool for one reference. Raises `Unresolved`."""
        name = text(ref["name"])
        if text(ref.get("group")) or text(ref.get("kind"), "Service") != "Service":
            raise Unresolved(
                "InvalidKind", f"{ref.get('kind')} {name}: only Services are backends"
            )
        namespace = text(ref.get("namespace"), key[0])
        if not self._grants.allow(kind, key[0], "Service", namespace, name):
            raise Unresolved(
                "RefNotPermitted", f"no ReferenceGrant for Service {namespace}/{name}"
            )
        return self.pool_of(namespace, name, ref.get("port"), options, scheme)

    def pool_of(
        self,
        namespace: str,
        name: str,
        port: Any,
        options: Mapping[str, Any],
        scheme: str = "http",
    ) -> str:
        """The name of the pool for a port, by number or name, of a Service. Raises `Unresolved`."""
        item = self._objects.get("Service", namespace, name)
        if item is None:
            raise Unresolved("BackendNotFound", f"no Service {namespace}/{name}")
        spec = item["spec"]
        if text(spec.get("type")) == "ExternalName":
            # It could name anything, also what only the cluster's own network reaches.
            raise Unresolved(
                "BackendNotFound", f"Service {namespace}/{name} is an ExternalName"
            )
        for one in tables(spec.get("ports")):
            if (
                port in (one["port"], one.get("name"))
                and one.get("protocol", "TCP") == "TCP"
            ):
                return self._made(namespace, name, one, options, scheme)
        raise Unresolved(
            "BackendNotFound", f"Service {namespace}/{name} has no port {port}"
        )

    def _made(
        self,
        namespace: str,
        name: str,
        port: Object,
        options: Mapping[str, Any],
        scheme: str,
    ) -> str:
        table: dict[str, Any] = {**self._terms.pool, **options}
        protocol = text(port.get("appProtocol"))
        if scheme == "http" and protocol == "https":
            scheme = "https"
        if scheme == "http" and protocol == "kubernetes.io/h2c":
            table["protocol"] = "h2c"
        table["targets"] = []
        table["discover"] = {
            **self._terms.discover,
            "type": "kubernetes",
            "service": name,
            "namespace": namespace,
            "port": text(port.get("name")),
            "scheme": scheme,
            "least": 0,
        }
        plain = f"k8s_{namespace}_{name}_{port['port']}"
        beside = repr((scheme, sorted(options.items(), key=str)))
        special = bool(options) or scheme != "http"
        pool = plain if not special else f"{plain}_{_digest(beside)}"
        if len(pool) > MOST_NAME:
            pool = f"{plain[:44]}_{_digest(pool)}"
        self.pools[pool] = table
        return pool

    def _empty(self) -> str:
        discover = {**self._terms.discover, "type": "kubernetes", "least": 0}
        discover.update(service="none", namespace="default")
        self.pools[EMPTY] = {"targets": [], "discover": discover}
        return EMPTY


def _digest(of: str) -> str:
    return blake2b(of.encode(), digest_size=4).hexdigest()


def _split(shares: Mapping[str, int]) -> list[dict[str, Any]]:
    """Weights of up to a million as ours, of up to a thousand; none of them vanishes."""
    most = max(shares.values())
    scale = 1000 / most if most > 1000 else 1
    return [
        {"pool": name, "weight": max(1, round(weight * scale))}
        for name, weight in shares.items()
    ]
