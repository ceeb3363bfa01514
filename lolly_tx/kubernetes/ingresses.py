"""Ingresses, as routes of ours.

Imports: kubernetes. Used by: kubernetes.translation.
"""

from __future__ import annotations

from typing import Any

from lolly_tx.kubernetes.backends import Backends, Unresolved
from lolly_tx.kubernetes.drafts import Draft, Entry
from lolly_tx.kubernetes.gateways import certificate_of, is_ours
from lolly_tx.kubernetes.objects import (
    Key,
    Object,
    Objects,
    created,
    meta,
    tables,
    text,
)
from lolly_tx.kubernetes.terms import Terms

DEFAULT_CLASS = "ingressclass.kubernetes.io/is-default-class"
_CONTROLLER = "controller"
"""The key by which an IngressClass names who serves it."""


def ingress_is_ours(item: Object, objects: Objects, terms: Terms) -> bool:
    """Whether we serve an Ingress: it names a class of ours, or none where ours is the default."""
    name = item["spec"].get("ingressClassName")
    if name is not None:
        named = objects.get("IngressClass", "", name)
        return is_ours(named, _CONTROLLER) or (named is None and name == terms.name)
    for _, one in objects.all("IngressClass"):
        annotations = meta(one).get("annotations") or {}
        if annotations.get(DEFAULT_CLASS) == "true":
            return is_ours(one, _CONTROLLER)
    return False


def ingress(
    key: Key,
    item: Object,
    objects: Objects,
    terms: Terms,
    backends: Backends,
    draft: Draft,
) -> list[str]:
    """Put an Ingress into `draft`; what of it cannot be served, in words."""
    spec, said = item["spec"], []
    listeners = [
        name
        for name in (terms.listener("", 80, "http"), terms.listener("", 443, "https"))
        if name
    ]
    entries: list[Entry] = []
    order = created(item), key, "Ingress"

    def add(number: int, host: str, path: str, backend: Object) -> None:
        try:
            end: dict[str, Any] = {"pool": _pool(key, backend, backends)}
        except Unresolved as error:
            said.append(str(error))
            end = {"respond": {"status": 503, "body": "no backend\n"}}
        for listener in dict.fromkeys(listeners):
            table = {"listener": listener, "path": path, **end}
            if host:
                table["host"] = host
            entries.append(Entry(("Ingress", key), (*order, number), (0, 0, 0), table))

    number = 0
    for rule in tables(spec.get("rules")):
        host = text(rule.get("host")).lower()
        for one in tables((rule.get("http") or {}).get("paths")):
            number += 1
            path = text(one.get("path"), "/") or "/"
            exact = text(one.get("pathType")) == "Exact"
            add(
                number,
                host,
                f"={path}" if exact else path.rstrip("/") or "/",
                one["backend"],
            )
    if spec.get("defaultBackend") is not None:
        add(number + 1, "", "/", spec["defaultBackend"])
    secure = terms.listener("", 443, "https")
    for one in tables(spec.get("tls")):
        name = text(one.get("secretName"))
        if name and secure:
            why, pem = certificate_of(objects, key[0], name, terms)
            if why:
                said.append(f"Secret {key[0]}/{name}: {why}")
            else:
                draft.certificates.setdefault(secure, {})[f"{key[0]}_{name}"] = pem
    draft.entries += entries
    return said


def _pool(key: Key, backend: Object, backends: Backends) -> str:
    service = backend.get("service")
    if service is None:
        raise Unresolved("InvalidKind", "only Services are backends")
    port = service.get("port") or {}
    wanted = port.get("number", port.get("name"))
    return backends.pool_of(key[0], text(service["name"]), wanted, {})
