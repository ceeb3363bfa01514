"""Objects of Kubernetes, as short as tests want them."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

from lolly_tx.kubernetes.conditions import CONTROLLER
from lolly_tx.kubernetes.objects import KINDS, Objects
from lolly_tx.kubernetes.terms import Terms
from tests.kubernetes.cluster import endpoint_slice

TERMS = Terms(
    listeners={"http": "web", "https": "secure", "tls": "pass", "tcp": "raw"},
    streams=frozenset(("pass", "raw")),
)


def named(name: str, namespace: str = "default", **more: Any) -> dict[str, Any]:
    """Metadata."""
    meta = {"name": name, "generation": 1, "creationTimestamp": "2026-01-01T00:00:00Z"}
    return {**meta, **({"namespace": namespace} if namespace else {}), **more}


def gateway_class(name: str = "lolly", controller: str = CONTROLLER) -> dict[str, Any]:
    """A GatewayClass."""
    return {"metadata": named(name, ""), "spec": {"controllerName": controller}}


def listener(name: str = "http", **more: Any) -> dict[str, Any]:
    """A listener of a Gateway."""
    return {"name": name, "protocol": "HTTP", "port": 80, **more}


def gateway(*listeners: Any, name: str = "gate", **meta: Any) -> dict[str, Any]:
    """A Gateway of our class."""
    spec = {"gatewayClassName": "lolly", "listeners": list(listeners or (listener(),))}
    return {"metadata": named(name, **meta), "spec": spec}


def backend(name: str = "api", port: int = 80, **more: Any) -> dict[str, Any]:
    """A reference to a Service."""
    return {"name": name, "port": port, **more}


def rule(*matches: Any, to: Any = None, **more: Any) -> dict[str, Any]:
    """A rule of an HTTPRoute."""
    refs = [backend()] if to is None else to
    out: dict[str, Any] = {"backendRefs": refs, **more}
    return {**out, "matches": list(matches)} if matches else out


def prefix(value: str) -> dict[str, Any]:
    """A match of a prefix."""
    return {"path": {"type": "PathPrefix", "value": value}}


def route(
    *rules: Any, name: str = "route", hosts: Any = (), parent: Any = None, **meta: Any
) -> dict[str, Any]:
    """An HTTPRoute at the Gateway "gate"."""
    spec: dict[str, Any] = {"parentRefs": [parent or {"name": "gate"}]}
    spec["rules"] = list(rules or (rule(),))
    if hosts:
        spec["hostnames"] = list(hosts)
    return {"metadata": named(name, **meta), "spec": spec}


def service(name: str = "api", *ports: Any, **meta: Any) -> dict[str, Any]:
    """A Service."""
    given = list(ports or ({"name": "http", "port": 80},))
    return {"metadata": named(name, **meta), "spec": {"ports": given}}


def secret(
    name: str = "site", chain: bytes = b"chain", key: bytes = b"key", **meta: Any
) -> Any:
    """A Secret with a certificate."""
    data = {"tls.crt": b64encode(chain).decode(), "tls.key": b64encode(key).decode()}
    return {
        "metadata": named(name, **meta),
        "type": "kubernetes.io/tls",
        "data": data,
    }


def grant(
    kind: str, of: str, to: str, namespace: str, name: str = ""
) -> dict[str, Any]:
    """A ReferenceGrant: `kind`s of the namespace `of` may name `to`s of `namespace`."""
    source = {"group": "gateway.networking.k8s.io", "kind": kind, "namespace": of}
    target = {"group": "", "kind": to, **({"name": name} if name else {})}
    spec = {"from": [source], "to": [target]}
    return {"metadata": named(f"grant-{kind.lower()}", namespace), "spec": spec}


def world(**kinds: Any) -> Objects:
    """All of these, and our class."""
    kinds.setdefault("GatewayClass", [gateway_class()])
    by_kind: dict[str, Any] = {}
    for kind, items in kinds.items():
        assert kind in KINDS
        by_kind[kind] = {
            (one["metadata"].get("namespace", ""), one["metadata"]["name"]): one
            for one in items
        }
    return Objects(by_kind)


def endpoints(of: str, *addresses: str) -> dict[str, Any]:
    """An EndpointSlice of a Service."""
    found: dict[str, Any] = endpoint_slice(
        f"{of}-1", of, addresses, ports=(("http", 8080),)
    )
    return found
