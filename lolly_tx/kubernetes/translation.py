"""The objects of a cluster, as tables of a configuration and as what is to be said of each object: pure.

    translate(objects, terms) --> Outcome
      .draft                      routes, pools, certificates, streams
      .statuses(refused, now)     what each status is to say; `refused`: objects whose tables cannot be used, and why

An object that cannot be read, or asks for what is not served, is left out with a condition that says so.

Imports: kubernetes. Used by: service.providers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from lolly_tx.kubernetes.attaching import Parent, parents_of
from lolly_tx.kubernetes.backends import Backends
from lolly_tx.kubernetes.conditions import (
    ACCEPTED,
    CONTROLLER,
    RESOLVED,
    Condition,
    Status,
    not_accepted,
    written,
)
from lolly_tx.kubernetes.drafts import Draft, Owner
from lolly_tx.kubernetes.gateways import Gateway, gateways_of, is_ours
from lolly_tx.kubernetes.grants import Grants
from lolly_tx.kubernetes.httproutes import http_route
from lolly_tx.kubernetes.ingresses import ingress, ingress_is_ours
from lolly_tx.kubernetes.matches import Unsupported
from lolly_tx.kubernetes.objects import (
    GATEWAY_GROUP,
    MALFORMED,
    Key,
    Object,
    Objects,
    generation,
)
from lolly_tx.kubernetes.streamroutes import stream_route
from lolly_tx.kubernetes.terms import Terms

_ROUTES = {
    "HTTPRoute": http_route,
    "GRPCRoute": http_route,
    "TLSRoute": stream_route,
    "TCPRoute": stream_route,
}


@attrs.define
class Attached:
    """A route with parents of ours, and what is said of it beside what each parent says."""

    kind: str
    key: Key
    item: Object
    parents: list[Parent]
    resolved: Condition = RESOLVED
    refused: Condition | None = None


@attrs.define
class Outcome:
    """See the module. `wrong`: what could not be served, by owner, in words."""

    terms: Terms
    classes: list[tuple[Key, Object]]
    gateways: dict[Key, Gateway]
    routes: list[Attached]
    ingresses: list[tuple[Key, Object]]
    draft: Draft
    wrong: dict[Owner, str] = attrs.field(factory=dict)

    def statuses(self, refused: Mapping[Owner, str], now: str) -> list[Status]:
        """What the status of each object of ours is to say. `now`: ISO time."""
        found = [self._class(item, now) for _, item in self.classes]
        for one in self.routes:
            found.append(self._route(one, refused.get((one.kind, one.key)), now))
        found += [self._gateway(one, now) for one in self.gateways.values()]
        if self.terms.addresses:
            said = [
                {"ip" if _is_ip(one) else "hostname": one}
                for one in self.terms.addresses
            ]
            for key, _ in self.ingresses:
                found.append(
                    Status("Ingress", *key, {"loadBalancer": {"ingress": said}})
                )
        return found

    def _class(self, item: Object, now: str) -> Status:
        before = (item.get("status") or {}).get("conditions")
        said = written((ACCEPTED,), before, generation(item), now)
        return Status(
            "GatewayClass", "", item["metadata"]["name"], {"conditions": said}
        )

    def _gateway(self, one: Gateway, now: str) -> Status:
        before = one.item.get("status") or {}
        old = {each.get("name"): each for each in before.get("listeners") or ()}
        number = generation(one.item)
        listeners = [
            {
                "name": door.name,
                "supportedKinds": [
                    {"group": GATEWAY_GROUP, "kind": k} for k in door.kinds
                ],
                "attachedRoutes": door.attached,
                "conditions": written(
                    door.conditions,
                    (old.get(door.name) or {}).get("conditions"),
                    number,
                    now,
                ),
            }
            for door in one.doorways
        ]
        value: dict[str, Any] = {
            "conditions": written(
                one.conditions, before.get("conditions"), number, now
            ),
            "listeners": listeners,
        }
        if self.terms.addresses:
            value["addresses"] = [
                {"type": "IPAddress" if _is_ip(each) else "Hostname", "value": each}
                for each in self.terms.addresses
            ]
        return Status("Gateway", *one.key, value)

    def _route(self, one: Attached, refused: str | None, now: str) -> Status:
        before = (one.item.get("status") or {}).get("parents")
        there = [each for each in before or () if isinstance(each, dict)]
        # What other controllers say of it stays.
        parents = [each for each in there if each.get("controllerName") != CONTROLLER]
        own = [each for each in there if each.get("controllerName") == CONTROLLER]
        for parent in one.parents:
            accepted = one.refused or parent.accepted
            if refused is not None and accepted.holds:
                accepted = not_accepted("UnsupportedValue", refused)
            old = next(
                (each for each in own if each.get("parentRef") == parent.ref), {}
            )
            said = written(
                (accepted, one.resolved),
                old.get("conditions"),
                generation(one.item),
                now,
            )
            parents.append(
                {
                    "parentRef": parent.ref,
                    "controllerName": CONTROLLER,
                    "conditions": said,
                }
            )
        return Status(one.kind, *one.key, {"parents": parents})


def _is_ip(text: str) -> bool:
    return ":" in text or text.replace(".", "").isdigit()


def translate(objects: Objects, terms: Terms) -> Outcome:
    """See the module."""
    grants = Grants(objects)
    classes = [
        (key, item)
        for key, item in objects.all("GatewayClass")
        if key[1] == terms.name and is_ours(item)
    ]
    gateways = gateways_of(objects, terms, grants)
    outcome = Outcome(terms, classes, gateways, [], [], Draft())
    backends = Backends(objects, terms, grants)
    for gateway in gateways.values():
        for door in gateway.doorways:
            if door.serves:
                there = outcome.draft.certificates.setdefault(door.ours, {})
                there.update(door.certificates)
    for kind in _ROUTES:
        for key, item in objects.all(kind):
            _attach(kind, key, item, objects, backends, outcome)
    for key, item in objects.all("Ingress"):
        try:
            if ingress_is_ours(item, objects, terms):
                outcome.ingresses.append((key, item))
                said = ingress(key, item, objects, terms, backends, outcome.draft)
                if said:
                    outcome.wrong["Ingress", key] = "; ".join(said)
        except MALFORMED as error:
            outcome.wrong["Ingress", key] = f"cannot be read: {error!r}"
    outcome.draft.certificates = {
        k: v for k, v in outcome.draft.certificates.items() if v
    }
    outcome.draft.pools = backends.pools
    return outcome


def _attach(
    kind: str,
    key: Key,
    item: Object,
    objects: Objects,
    backends: Backends,
    outcome: Outcome,
) -> None:
    try:
        parents = parents_of(kind, key, item, outcome.gateways, objects)
    except MALFORMED as error:
        outcome.wrong[kind, key] = f"cannot be read: {error!r}"
        return
    if not parents:
        return
    one = Attached(kind, key, item, parents)
    outcome.routes.append(one)
    said = ""
    try:
        one.resolved = _ROUTES[kind](kind, key, item, parents, backends, outcome.draft)
    except Unsupported as error:
        said = f"{error} is not served"
    except MALFORMED as error:
        said = f"cannot be read: {error!r}"
    if said:
        one.refused = not_accepted("UnsupportedValue", said)
        outcome.wrong[kind, key] = said
        return
    for parent in parents:
        for door, _ in parent.doors:
            door.attached += 1
