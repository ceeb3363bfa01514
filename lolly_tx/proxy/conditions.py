"""The conditions of a route, made ready: what of a request has to be so beside host and path.

A value is compared as a whole, or an expression is looked for in it. Of a field or a parameter that is there several
times, one is enough.

Imports: config, domain.access, domain.routing, net, wire. Used by: service.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import unquote_to_bytes

from lolly_tx.config.routing import Route
from lolly_tx.domain.access.forwarded import TrustedPeers
from lolly_tx.domain.routing.locations import Condition, path_expression
from lolly_tx.net.doors import Peer
from lolly_tx.wire.message import RequestHead

Holds = Callable[[RequestHead, Peer], bool]

MOST_PARAMETERS = 1000
"""Of a query that are looked at; no honest one has more."""


def conditions_of(
    route: Route, client_of: Callable[[Peer, RequestHead], str]
) -> tuple[Condition, ...]:
    """Those of `route`. `client_of`: the client's address, as far as it can be believed."""
    tests: list[Holds] = []
    if route.method:
        tests.append(_method(route.method))
    tests += [_field(name, value) for name, value in route.header.items()]
    tests += [_parameter(name, value) for name, value in route.query.items()]
    if route.client:
        tests.append(_client(route.client, client_of))
    methods = [route.method] if route.method else []
    return tuple(
        Condition(what, holds, *methods[place : place + 1])
        for place, (what, holds) in enumerate(zip(route.conditions, tests, strict=True))
    )


def _method(methods: Iterable[str]) -> Holds:
    wanted = frozenset(method.encode("ascii") for method in methods)
    return lambda head, peer: head.method in wanted


def _any_of(value: str) -> Callable[[Iterable[bytes]], bool]:
    """Whether one of some values is what `value` says."""
    if value.startswith("~"):
        matches = path_expression(value).matches
        return lambda values: any(map(matches, values))
    wanted = value.encode()
    return lambda values: wanted in values


def _field(name: str, value: str) -> Holds:
    wanted, holds = name.lower().encode("ascii"), _any_of(value)
    return lambda head, peer: holds(head.block.get_all(wanted))


def _parameter(name: str, value: str) -> Holds:
    wanted, holds = name.encode(), _any_of(value)
    return lambda head, peer: holds(_values(head.target, wanted))


def _values(target: bytes, wanted: bytes) -> list[bytes]:
    """The values of the parameter `wanted`, as forms are encoded (WHATWG URL, section 5.1)."""
    query = target.partition(b"?")[2].partition(b"#")[0]
    found = []
    for pair in query.split(b"&", MOST_PARAMETERS)[:MOST_PARAMETERS]:
        name, _, value = pair.partition(b"=")
        if _decoded(name) == wanted:
            found.append(_decoded(value))
    return found


def _decoded(text: bytes) -> bytes:
    if b"+" in text:
        text = text.replace(b"+", b" ")
    return unquote_to_bytes(text) if b"%" in text else text


def _client(networks: Any, client_of: Callable[[Peer, RequestHead], str]) -> Holds:
    inside = TrustedPeers(networks)
    return lambda head, peer: client_of(peer, head) in inside
