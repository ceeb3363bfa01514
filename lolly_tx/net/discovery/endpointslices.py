"""The targets that the EndpointSlices of a service name (discovery.k8s.io/v1): pure.

    taken(slice) --> Slice                          what we keep of one
    entries_of(slices, ...) --> entries             as `IDiscovery` has them

An endpoint that is ready is a target. One that ends takes nothing new, but where none is ready those that still serve
while they end are better than none, as kube-proxy has it. Of several addresses of an endpoint the first counts.

Imports: nothing of ours. Used by: net.discovery.kubernetes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import attrs

SERVICE = "kubernetes.io/service-name"
"""The label that says whose a slice is."""


@attrs.frozen
class Endpoint:
    """`address`: as it was said, "?" for what is no text. `zones`: those that it is meant for; None: nobody says."""

    address: Any
    ready: bool
    serving: bool
    zones: tuple[str, ...] | None = None


@attrs.frozen
class Slice:
    """Of one service. `ports`: name and number of each of TCP."""

    service: str
    endpoints: tuple[Endpoint, ...]
    ports: tuple[tuple[str, Any], ...]
    names: bool = False
    """Whether its addresses are names (`addressType: FQDN`), which no proxy of Kubernetes serves."""


def taken(item: dict[str, Any]) -> Slice | None:
    """What is kept of an EndpointSlice; None: it is of no service.

    Raises LookupError, TypeError, ValueError and AttributeError for what is none.
    """
    service = (item["metadata"].get("labels") or {}).get(SERVICE)
    if not isinstance(service, str):
        return None
    ports = tuple(
        (str(_plain(one.get("name")) or ""), _plain(one["port"]))
        for one in item.get("ports") or ()
        if one.get("protocol", "TCP") == "TCP" and one.get("port") is not None
    )
    endpoints = tuple(_endpoint(one) for one in item.get("endpoints") or ())
    return Slice(service, endpoints, ports, item.get("addressType") == "FQDN")


def _endpoint(one: dict[str, Any]) -> Endpoint:
    conditions = one.get("conditions") or {}
    # Who does not say is ready; who is ready serves.
    ready = conditions.get("ready") is not False
    said = conditions.get("serving")
    serving = ready if said is None else said is True
    if conditions.get("terminating") is True:
        ready = False
    hints = (one.get("hints") or {}).get("forZones")
    zones = None if not hints else tuple(str(each["name"]) for each in hints)
    address = (one.get("addresses") or [None])[0]
    return Endpoint(_plain(address), ready, serving, zones)


def _plain(said: Any) -> Any:
    """Itself, if it holds nothing else: how deep that goes is up to others."""
    return "?" if isinstance(said, (dict, list)) else said


def entries_of(
    slices: Iterable[Slice], port: str, scheme: str = "http", zone: str = ""
) -> list[Any]:
    """The targets in these slices of one service, each address once.

    `port`: its name, or its number; "" = the only one there is. `zone`: ours: what is meant for others is the second
    choice, as long as every endpoint says what it is meant for. What cannot be a target is an entry that says why.
    """
    wrong: dict[str, None] = {}
    found: dict[str, Endpoint] = {}
    for one in slices:
        if one.names:
            wrong["a slice of names (FQDN) in place of addresses"] = None
            continue
        numbers = _numbers(one.ports, port)
        if len(numbers) != 1:
            if one.endpoints:
                wrong[_why_no_port(one.ports, port)] = None
            continue
        for each in one.endpoints:
            url = f"{scheme}://{_host(each.address)}:{numbers[0]}"
            before = found.get(url)
            if before is None or (each.ready, each.serving) > (
                before.ready,
                before.serving,
            ):
                found[url] = each
    usable = {url: one for url, one in found.items() if one.ready}
    if not usable:
        usable = {url: one for url, one in found.items() if one.serving}
    hinted = zone and all(one.zones is not None for one in usable.values())
    # Its first word is all that is read of an entry that has no URL.
    entries: list[Any] = [{"url": "", why[:200]: 1} for why in wrong]
    for url in sorted(usable):
        zones = usable[url].zones
        far = hinted and zones is not None and zone not in zones
        entries.append({"url": url, "priority": 1} if far else url)
    return entries


def _numbers(ports: tuple[tuple[str, Any], ...], wanted: str) -> list[Any]:
    if not wanted:
        return [number for _, number in ports]
    if wanted.isdigit():
        return [number for _, number in ports if str(number) == wanted][:1]
    return [number for name, number in ports if name == wanted]


def _why_no_port(ports: tuple[tuple[str, Any], ...], wanted: str) -> str:
    there = ", ".join(f"{name or '-'} ({number})" for name, number in ports) or "none"
    if wanted:
        return f"no port {wanted} among those of TCP: {there}"
    return f"not one port of TCP, so port has to name one: {there}"


def _host(address: Any) -> str:
    text = str(address)
    return f"[{text}]" if ":" in text else text
