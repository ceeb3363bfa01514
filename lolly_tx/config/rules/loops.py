"""Targets that are sockets of this proxy: what would come back, and what nobody else may name.

    listeners -> pools -> listeners    a request would come back (508)
    streams -> pools -> streams        nothing tells a connection or a datagram that it was here: it would for ever
    forward proxies -> parents         what comes back is known by who it came through (508)
    registries -> any of our sockets   the admin endpoint trusts this machine, and so do others

All of it as far as texts say; what a name resolves to is not asked.

Imports: config, config.kinds, domain. Used by: config, config.facts,
config.rules.together.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING, Any

from lolly_tx.config.kinds.addresses import endpoint_parts, part_of
from lolly_tx.config.kinds.datagrams import of_datagrams
from lolly_tx.config.kinds.schema import Place
from lolly_tx.config.model import Config, Listener, PoolSettings
from lolly_tx.domain.target import Target, speaks_datagrams

if TYPE_CHECKING:  # pragma: no cover
    from lolly_tx.config.forward import Forward
    from lolly_tx.config.parents import Parent
    from lolly_tx.config.streams import Stream

_PORTS = ("tcp", "ssl", "tls", "ws", "wss")
"""Types of endpoints that have a port of TCP."""

_parts = lru_cache(1024)(endpoint_parts)
"""Of our own sockets, which many targets are compared with."""

_NUMBER = re.compile("0x[0-9a-f]{1,8}|0[0-7]{0,11}|[1-9][0-9]{0,9}")


def loops(
    listeners: Mapping[str, Listener], pools: Iterable[tuple[PoolSettings, Place]]
) -> None:
    """Targets that are `listeners` of the same configuration."""
    for pool, place in pools:
        for index, target in enumerate(pool.targets):
            for name, listener in listeners.items():
                if leads_to(target, listener.endpoint):
                    place.at("targets").at(index).wrong(
                        f'is the listener "{name}" itself: its requests would come back'
                        " (508); name the backend that is meant"
                    )
                    break


def stream_loops(
    streams: Mapping[str, Stream], pools: Mapping[str, PoolSettings], place: Place
) -> None:
    """Streams whose targets are, or lead back to, themselves. `pools`: those that could be read."""
    ways = {name: dict(_ways(one, streams, pools)) for name, one in streams.items()}
    for name, stream in streams.items():
        for first, (pool, target) in ways[name].items():
            if not _reaches(first, name, ways):
                continue
            what = "datagrams" if of_datagrams(stream.endpoint) else "connections"
            which = "is this stream itself"
            if first != name:
                which = f'is the stream "{first}" and leads back here'
            place.at(name).at("pool").wrong(
                f'pool {pool} has the target "{target.address}", which {which}:'
                f" its {what} would come back for ever"
            )
            break


def forward_loops(forwards: Mapping[str, Forward], place: Place) -> None:
    """Forward proxies that are their own parents."""
    for name, forward in forwards.items():
        for index, parent in enumerate(forward.parents):
            if _is_at(parent, forward.endpoint):
                at = place.at(name).at("parents").at(index)
                at.at("proxy").wrong("is this forward proxy itself")


def _is_at(parent: Parent, endpoint: str) -> bool:
    if parent.pool or parent.direct:
        return False
    there = parent.address
    target = Target(id="", address=there.place, host=there.host, port=there.port)
    return leads_to(target, endpoint)


def forward_circles(forwards: Mapping[str, Forward]) -> Iterator[tuple[str, str]]:
    """Forward proxies whose parents lead back to them: the name of each, and a sentence."""
    ways = {
        name: {
            other: parent.address.place
            for parent in forward.parents
            for other, there in forwards.items()
            if _is_at(parent, there.endpoint)
        }
        for name, forward in forwards.items()
    }
    for name in forwards:
        for first, place in ways[name].items():
            if _reaches(first, name, ways):
                yield (
                    name,
                    f'its parent {place} is the forward proxy "{first}", whose parents lead back here: what goes by'
                    " these rules of all of them is refused (508)",
                )


def own_places(config: Config) -> dict[str, str]:
    """What sockets of ours there are beside listeners, each with its endpoint."""
    ours = {
        f'the {kind} "{name}"': one.endpoint
        for kind, table in (
            ("stream", config.streams),
            ("forward proxy", config.forwards),
            ("tunnel", config.tunnels),
        )
        for name, one in table.items()
    }
    if config.admin is not None:
        ours["the admin endpoint"] = config.admin.endpoint
    return ours


def _ways(
    stream: Stream, streams: Mapping[str, Stream], pools: Mapping[str, PoolSettings]
) -> Iterator[tuple[str, tuple[str, Target]]]:
    """The streams that targets of `stream` are, each with a pool and a target that lead there."""
    for pool in stream.pools:
        for target in pools[pool].targets if pool in pools else ():
            for name, other in streams.items():
                if leads_to(target, other.endpoint):
                    yield name, (pool, target)


def _reaches(start: str, end: str, ways: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether who is at `start` may come to `end`."""
    seen, ahead = set(), [start]
    while ahead:
        name = ahead.pop()
        if name == end:
            return True
        if name not in seen:
            seen.add(name)
            ahead += ways[name]
    return False


def leads_to(target: Target, server: str) -> bool:
    """Whether connecting to `target` gets to the server endpoint `server`, as far as their texts say."""
    plain, named = _parts(server)
    kind = plain[0]
    if speaks_datagrams(target.address) is not of_datagrams(server):
        return False
    there, there_named = (
        endpoint_parts(target.endpoint) if target.endpoint else ([], {})
    )
    if kind == "unix":
        path = part_of(plain, named, "address", 1)
        theirs = part_of(there, there_named, "path", 1)
        return bool(there) and there[0].lower() == "unix" and path == theirs
    if kind not in _PORTS and not of_datagrams(server):
        return False
    host, port = target.host, str(target.port)
    if there:
        if there[0].lower() not in _PORTS:
            return False
        host = part_of(there, there_named, "host", 1)
        port = part_of(there, there_named, "port", 2)
    if port in ("", "0") or port != part_of(plain, named, "port", 1):
        return False
    interface = part_of(plain, named, "interface", 2)
    host, interface = _plain(host), _plain(interface)
    if interface in ("", "0.0.0.0", "::"):
        # All IPv4 addresses, or those of both families.
        own = ("localhost", "0.0.0.0", *(("::1", "::") if interface == "::" else ()))
        return host in own or host.startswith("127.")
    return host == interface or (
        host in ("localhost", "0.0.0.0") and interface == "127.0.0.1"
    )


def _plain(host: str) -> str:
    """An address in the one form that is compared, as `connect` takes it; names in small letters."""
    host = host.strip("[]").lower().removesuffix(".")
    try:
        address = ip_address(host)
    except ValueError:
        return _of_numbers(host)
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)


def _of_numbers(host: str) -> str:
    """The address that the C library takes for one: 127.1, 2130706433, 0x7f.1, 0177.1; else `host`."""
    parts = host.split(".")
    if len(parts) > 4 or not all(map(_NUMBER.fullmatch, parts)):
        return host
    *first, last = (int(part, _base(part)) for part in parts)
    if any(number > 255 for number in first) or last >= 256 ** (4 - len(first)):
        return host
    high = sum(number << 24 - 8 * index for index, number in enumerate(first))
    return str(IPv4Address(high + last))


def _base(number: str) -> int:
    if number.startswith("0x"):
        return 16
    return 8 if number.startswith("0") else 10
