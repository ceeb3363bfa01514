"""GatewayClasses and Gateways: which listeners of ours serve what, with which certificates, and what is said of them.

Imports: kubernetes. Used by: kubernetes.attaching, kubernetes.httproutes,
kubernetes.ingresses, kubernetes.translation.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping
from typing import Any

import attrs

from lolly_tx.kubernetes.conditions import (
    ACCEPTED,
    CONTROLLER,
    RESOLVED,
    Condition,
    not_accepted,
    unresolved,
)
from lolly_tx.kubernetes.grants import Grants
from lolly_tx.kubernetes.objects import (
    GATEWAY_GROUP,
    MALFORMED,
    Key,
    Object,
    Objects,
    meta,
    tables,
    text,
)
from lolly_tx.kubernetes.terms import Terms

ROUTES: Mapping[str, tuple[str, ...]] = {
    "HTTP": ("HTTPRoute", "GRPCRoute"),
    "HTTPS": ("HTTPRoute", "GRPCRoute"),
    "TLS": ("TLSRoute",),
    "TCP": ("TCPRoute",),
}
"""The kinds of routes that go with a protocol."""

MOST_LISTENERS = 64
"""Of one Gateway, as the specification has it."""


@attrs.define
class Doorway:
    """A listener of a Gateway. `ours`: the listener or stream that serves it, "" = none.

    `certificates`: name and PEM text of each. `attached`: how many routes are.
    """

    gateway: Key
    name: str
    protocol: str
    port: int
    hostname: str
    ours: str = ""
    kinds: tuple[str, ...] = ()
    allowed: Mapping[str, Any] = attrs.field(factory=dict)
    certificates: list[tuple[str, str]] = attrs.field(factory=list)
    accepted: Condition = ACCEPTED
    resolved: Condition = RESOLVED
    conflicted: Condition = Condition("Conflicted", False, "NoConflicts")
    attached: int = 0

    @property
    def serves(self) -> bool:
        """Whether routes come into force by it."""
        return (
            self.accepted.holds
            and not self.conflicted.holds
            and (
                self.resolved.holds
                or bool(self.certificates)
                or self.protocol == "HTTP"
            )
        )

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """All that is said of it."""
        programmed = Condition("Programmed", True, "Programmed")
        if not (self.serves and self.resolved.holds):
            programmed = Condition(
                "Programmed", False, "Invalid", "see the other conditions"
            )
        return self.accepted, programmed, self.resolved, self.conflicted


@attrs.define
class Gateway:
    """A Gateway of ours."""

    key: Key
    item: Object
    doorways: list[Doorway] = attrs.field(factory=list)
    wrong: str = ""

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """All that is said of it."""
        if self.wrong:
            return (
                not_accepted("Invalid", self.wrong),
                Condition("Programmed", False, "Invalid", self.wrong),
            )
        bad = [one.name for one in self.doorways if not one.serves]
        said = f"not served: listener {', '.join(bad)}" if bad else ""
        some = len(bad) < len(self.doorways)
        reason = "ListenersNotValid" if bad else "Accepted"
        return (
            Condition("Accepted", some, reason, said),
            Condition("Programmed", some, "Programmed" if some else "Invalid", said),
        )


def is_ours(item: Object | None, key: str = "controllerName") -> bool:
    """Whether a GatewayClass, or what names its controller by another `key`, is one that we serve."""
    spec = item.get("spec") if item is not None else None
    return isinstance(spec, dict) and spec.get(key) == CONTROLLER


def gateways_of(objects: Objects, terms: Terms, grants: Grants) -> dict[Key, Gateway]:
    """Those of our class, the oldest first."""
    if not is_ours(objects.get("GatewayClass", "", terms.name)):
        return {}
    found: dict[Key, Gateway] = {}
    for key, item in objects.all("Gateway"):
        try:
            if item["spec"]["gatewayClassName"] != terms.name:
                continue
            gateway = found[key] = Gateway(key, item)
            listeners = tables(item["spec"]["listeners"])[:MOST_LISTENERS]
            for one in listeners:
                gateway.doorways.append(_doorway(key, one, objects, terms, grants))
            _conflicts(gateway.doorways)
        except MALFORMED as error:
            if key in found:
                found[key].doorways.clear()
                found[key].wrong = f"cannot be read: {error!r}"
    return found


def _doorway(
    key: Key, one: Object, objects: Objects, terms: Terms, grants: Grants
) -> Doorway:
    protocol, port = text(one["protocol"]), int(one["port"])
    door = Doorway(
        key, text(one["name"]), protocol, port, text(one.get("hostname")).lower()
    )
    allowed = one.get("allowedRoutes") or {}
    door.allowed = allowed.get("namespaces") or {}
    fitting = ROUTES.get(protocol, ())
    wanted = tables(allowed.get("kinds"))
    groups = (GATEWAY_GROUP, "")
    named = [
        one["kind"] for one in wanted if text(one.get("group"), GATEWAY_GROUP) in groups
    ]
    door.kinds = tuple(k for k in fitting if k in named) if wanted else fitting
    if wanted and len(door.kinds) < len(wanted):
        door.resolved = unresolved(
            "InvalidRouteKinds", f"{protocol} serves {', '.join(fitting)}"
        )
    door.ours = terms.listener(door.name, port, protocol)
    if not fitting:
        door.accepted = not_accepted("UnsupportedProtocol", f"{protocol} is not served")
    elif not door.ours or (door.ours in terms.streams) != (protocol in ("TLS", "TCP")):
        door.accepted = not_accepted(
            "PortUnavailable",
            "no listener of the proxy is meant for it",
        )
    if protocol == "HTTPS" or (protocol == "TLS" and _mode(one) == "Terminate"):
        _certificates(door, one, objects, terms, grants)
    if protocol == "TLS" and _mode(one) == "Terminate":
        door.accepted = not_accepted(
            "UnsupportedProtocol",
            "TLS listeners pass through: use HTTPS",
        )
    return door


def _mode(one: Object) -> str:
    return text((one.get("tls") or {}).get("mode"), "Terminate")


def _certificates(
    door: Doorway, one: Object, objects: Objects, terms: Terms, grants: Grants
) -> None:
    """Those that a listener names: all that can be used."""
    namespace = door.gateway[0]
    tls = one.get("tls") or {}
    if _mode(one) != "Terminate":
        door.accepted = not_accepted("UnsupportedProtocol", "HTTPS ends TLS here")
        return
    refs = tables(tls.get("certificateRefs"))
    wrong: tuple[str, str] | None = None
    if not refs:
        wrong = "InvalidCertificateRef", "no certificateRefs"
    for ref in refs:
        kind, name = text(ref.get("kind"), "Secret"), text(ref["name"])
        place = text(ref.get("namespace"), namespace)
        if kind != "Secret" or text(ref.get("group")):
            wrong = "InvalidCertificateRef", f"{kind} {name}: only Secrets are read"
        elif not grants.allow("Gateway", namespace, "Secret", place, name):
            wrong = "RefNotPermitted", f"no ReferenceGrant for Secret {place}/{name}"
        else:
            said, pem = certificate_of(objects, place, name, terms)
            if said:
                wrong = "InvalidCertificateRef", f"Secret {place}/{name}: {said}"
            else:
                door.certificates.append((f"{place}_{name}", pem))
    if wrong is not None:
        door.resolved = unresolved(*wrong)


def certificate_of(
    objects: Objects, namespace: str, name: str, terms: Terms
) -> tuple[str, str]:
    """Why a Secret has no certificate that can be used, or "" and its PEM text, chain and key."""
    secret = objects.get("Secret", namespace, name)
    if secret is None:
        return "not there, or not of type kubernetes.io/tls", ""
    try:
        data = secret["data"]
        chain, key = (
            b64decode(data[one], validate=True) for one in ("tls.crt", "tls.key")
        )
    except MALFORMED:
        return "has no tls.crt and tls.key", ""
    said = terms.unusable(chain, key)
    if said:
        return said, ""
    return "", (chain.rstrip() + b"\n" + key.strip() + b"\n").decode("ascii", "replace")


def _conflicts(doorways: list[Doorway]) -> None:
    """Of listeners that nothing tells apart none is served (`Conflicted`)."""
    seen: dict[tuple[int, str], list[Doorway]] = {}
    ports: dict[int, list[Doorway]] = {}
    for one in doorways:
        seen.setdefault((one.port, one.hostname), []).append(one)
        ports.setdefault(one.port, []).append(one)
    for same in ports.values():
        if len({one.protocol for one in same}) > 1:
            for one in same:
                one.conflicted = Condition("Conflicted", True, "ProtocolConflict")
    for same in seen.values():
        if len(same) > 1:
            for one in same:
                if not one.conflicted.holds:
                    one.conflicted = Condition("Conflicted", True, "HostnameConflict")


def allows_namespace(door: Doorway, namespace: str, objects: Objects) -> bool:
    """Whether routes of a namespace may attach."""
    source = text(door.allowed.get("from"), "Same")
    if source == "All":
        return True
    if source == "Same":
        return namespace == door.gateway[0]
    item = objects.get("Namespace", "", namespace)
    labels = meta(item).get("labels") if item is not None else None
    return source == "Selector" and selects(
        door.allowed.get("selector") or {}, labels or {}
    )


def selects(selector: Mapping[str, Any], labels: Mapping[str, Any]) -> bool:
    """Whether a label selector holds; an empty one selects everything."""
    for name, value in (selector.get("matchLabels") or {}).items():
        if labels.get(name) != value:
            return False
    for one in tables(selector.get("matchExpressions")):
        name, operator, values = one["key"], one["operator"], one.get("values") or []
        holds = {
            "In": name in labels and labels.get(name) in values,
            "NotIn": labels.get(name) not in values,
            "Exists": name in labels,
            "DoesNotExist": name not in labels,
        }[operator]
        if not holds:
            return False
    return True
