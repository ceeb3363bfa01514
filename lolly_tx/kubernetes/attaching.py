"""Which listeners of which Gateways a route is served at, and for which hosts.

Imports: kubernetes. Used by: kubernetes.httproutes, kubernetes.streamroutes,
kubernetes.translation.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import attrs

from lolly_tx.kubernetes.conditions import ACCEPTED, Condition, not_accepted
from lolly_tx.kubernetes.gateways import Doorway, Gateway, allows_namespace
from lolly_tx.kubernetes.objects import (
    GATEWAY_GROUP,
    Key,
    Object,
    Objects,
    tables,
    text,
)


@attrs.frozen
class Parent:
    """A Gateway that a route names. `doors`: where it is served, each with its hosts ("" = any)."""

    ref: Object
    accepted: Condition
    doors: tuple[tuple[Doorway, tuple[str, ...]], ...] = ()


def parents_of(
    kind: str, key: Key, item: Object, gateways: Mapping[Key, Gateway], objects: Objects
) -> list[Parent]:
    """Those of its parents that are ours. `kind`: of the route."""
    spec = item["spec"]
    hosts = [text(one).lower() for one in spec.get("hostnames") or ()]
    found = []
    for ref in tables(spec.get("parentRefs")):
        if (
            text(ref.get("group"), GATEWAY_GROUP) != GATEWAY_GROUP
            or text(ref.get("kind"), "Gateway") != "Gateway"
        ):
            continue
        gateway = gateways.get((text(ref.get("namespace"), key[0]), text(ref["name"])))
        if gateway is not None:
            found.append(_parent(kind, key, ref, hosts, gateway, objects))
    return found


def _parent(
    kind: str,
    key: Key,
    ref: Object,
    hosts: list[str],
    gateway: Gateway,
    objects: Objects,
) -> Parent:
    section, port = ref.get("sectionName"), ref.get("port")
    doors = [
        door
        for door in gateway.doorways
        if section in (None, door.name) and port in (None, door.port)
    ]
    if not doors:
        return _refused(ref, "NoMatchingParent", "no listener of that name or port")
    doors = [
        door
        for door in doors
        if kind in door.kinds and allows_namespace(door, key[0], objects)
    ]
    if not doors:
        said = f"no listener allows {kind}s of namespace {key[0]}"
        return _refused(ref, "NotAllowedByListeners", said)
    at = []
    for door in doors:
        common = common_hosts(door.hostname, hosts)
        if common:
            at.append((door, common))
    if not at:
        return _refused(
            ref, "NoMatchingListenerHostname", "no listener has such a hostname"
        )
    return Parent(ref, ACCEPTED, tuple(at))


def _refused(ref: Object, reason: str, said: str) -> Parent:
    return Parent(ref, not_accepted(reason, said))


def common_hosts(listener: str, route: Iterable[str]) -> tuple[str, ...]:
    """The hosts that both are for; () = none. "" is any host."""
    wanted = list(route)
    if not wanted:
        return (listener,)
    common = (_common(listener, one) for one in wanted)
    return tuple(dict.fromkeys(one for one in common if one is not None))


def _common(one: str, other: str) -> str | None:
    if one in ("", other):
        return other
    for wide, narrow in ((one, other), (other, one)):
        # More than one label may stand for the star.
        if wide.startswith("*.") and narrow.removeprefix("*").endswith(wide[1:]):
            return narrow
    return None
