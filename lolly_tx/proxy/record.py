"""A finished exchange, or a refused request, as an entry of the access log.

Imports: proxy, wire. Used by: service.
"""

from __future__ import annotations

import re

from lolly_tx.proxy.accesslog import Entry
from lolly_tx.proxy.exchange import Attempted, Exchange
from lolly_tx.wire.message import RequestHead

_METHOD = re.compile(rb"[A-Za-z-]{1,32}")


def exchange_entry(exchange: Exchange, client: str, wall: float, now: float) -> Entry:
    """The entry of `exchange`. `client`: its address as far as it can be believed."""
    head = exchange.head
    block = head.block
    node = exchange.node
    error = exchange.error
    # Past the constructor of a named tuple, which takes its values one by one.
    return tuple.__new__(
        Entry,
        (
            wall,
            client,
            head.method,
            head.target,
            head.version,
            exchange.status,
            exchange.bytes_out,
            block.get(b"referer"),
            block.get(b"user-agent"),
            node.target.address if node is not None else None,
            exchange.upstream_status or None,
            now - exchange.started,
            exchange.upstream_seconds if node is not None else None,
            exchange.peer.listener,
            exchange.forwarder.pool.name,
            block.host,
            error.token if error is not None else None,
            tuple(map(_attempted, exchange.past)) if exchange.past else (),
        ),
    )


def _attempted(one: Attempted) -> tuple[str, int | None, float]:
    node, status, seconds, _ = one
    return node.target.address, status or None, seconds


def refusal_entry(
    head: RequestHead | bytes,
    client: str,
    status: int,
    size: int,
    listener: str,
    wall: float,
) -> Entry:
    """The entry of a request that was answered without asking a backend.

    `head`: where it is none, the line that the client began with, as far as it was read.
    """
    if isinstance(head, bytes):
        method, target, version = _words(head)
        referer = agent = host = None
    else:
        block = head.block
        method, target, version = head.method, head.target, head.version
        referer, agent = block.get(b"referer"), block.get(b"user-agent")
        host = block.host
    return Entry(
        wall,
        client,
        method,
        target,
        version,
        status,
        size,
        referer,
        agent,
        None,
        None,
        0.0,
        None,
        listener,
        "",
        host,
        "http_request_error" if status >= 400 and isinstance(head, bytes) else None,
    )


def _words(line: bytes) -> tuple[bytes, bytes, bytes]:
    """Method, target and version of a request line, as far as it has them; the target has what is none of them."""
    method, _, rest = line.partition(b" ")
    if not _METHOD.fullmatch(method):
        return b"-", line or b"-", b"-"
    target, _, version = rest.rpartition(b" ")
    if not version.startswith(b"HTTP/"):
        target, version = rest, b"-"
    return method, target or b"-", version
