"""A finished exchange, or a refused request, as an entry of the access log.

May import: proxy. Used by: service.build.
"""

from __future__ import annotations

from lolly_tx.net.doors import DoorIn
from lolly_tx.proxy.accesslog import Entry
from lolly_tx.proxy.exchange import Exchange
from lolly_tx.wire.http1 import RequestHead

_VERSIONS = (b"HTTP/1.0", b"HTTP/1.1")


def exchange_entry(
    exchange: Exchange, client: str, listener: str, route: str, wall: float, now: float
) -> Entry:
    """The entry of `exchange`. `client`: its address as far as it can be believed."""
    head = exchange.head
    block = head.block
    node = exchange.node
    error = exchange.error
    return Entry(
        wall,
        client,
        head.method,
        head.target,
        _VERSIONS[head.version],
        exchange.status,
        exchange.bytes_out,
        block.get(b"referer"),
        block.get(b"user-agent"),
        node.target.address if node is not None else None,
        exchange.upstream_status or None,
        now - exchange.started,
        exchange.upstream_seconds if node is not None else None,
        listener,
        route,
        block.host,
        error.token if error is not None else None,
    )


def refusal_entry(
    door: DoorIn,
    head: RequestHead | None,
    status: int,
    size: int,
    listener: str,
    wall: float,
) -> Entry:
    """The entry of a request that was answered without asking a backend."""
    block = head.block if head is not None else None
    return Entry(
        wall,
        door.client,
        head.method if head is not None else b"-",
        head.target if head is not None else b"-",
        _VERSIONS[head.version] if head is not None else b"-",
        status,
        size,
        block.get(b"referer") if block is not None else None,
        block.get(b"user-agent") if block is not None else None,
        None,
        None,
        0.0,
        None,
        listener,
        "",
        block.host if block is not None else None,
        "http_request_error" if status >= 400 and head is None else None,
    )
