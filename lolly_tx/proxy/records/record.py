"""A finished exchange, or a refused request, as an entry of the access log.

Imports: net, proxy, proxy.streams, wire. Used by: proxy.records.firstcolumns,
proxy.records.lineformat, service.records.
"""

from __future__ import annotations

import re
from typing import Final

from lolly_tx.net.doors import Peer
from lolly_tx.proxy.attempting import Attempted
from lolly_tx.proxy.entry import Entry, Words
from lolly_tx.proxy.exchange import Exchange
from lolly_tx.proxy.identity import Identity
from lolly_tx.proxy.streams.datagramrecord import DatagramRecord
from lolly_tx.proxy.streams.session import Session
from lolly_tx.proxy.streams.streamnames import stream_of
from lolly_tx.wire.forwardform import Onward
from lolly_tx.wire.message import RequestHead

_METHOD: Final = re.compile(rb"[A-Za-z-]{1,32}")


def exchange_entry(
    exchange: Exchange | Session | DatagramRecord, client: str, wall: float, now: float
) -> Entry:
    """The entry of `exchange`. `client`: its address as far as it can be believed."""
    node = exchange.node
    target = node.target if node is not None else None
    error = exchange.error
    door = exchange.door
    peer = door.peer
    head = door.asked or exchange.head
    if isinstance(head, Onward):
        head = head.as_asked
    # Past the constructor of a named tuple, which takes its values one by one.
    return tuple.__new__(
        Entry,
        (
            wall,
            client,
            head,
            exchange.status,
            exchange.bytes_out,
            target.address if target is not None else None,
            exchange.upstream_status or None,
            now - exchange.started,
            exchange.upstream_seconds if target is not None else None,
            peer.listener,
            exchange.forwarder.pool.name,
            error.token if error is not None else None,
            tuple(map(_attempted, exchange.past)) if exchange.past else (),
            target.id if target is not None else None,
            exchange.bytes_in,
            exchange.route,
            peer,
            exchange.identity or door.identity,
            door.verdict or None,
            None,
        ),
    )


def session_entry(
    session: Session | DatagramRecord, client: str, wall: float, now: float
) -> Entry:
    """The entry of `session`, as `exchange_entry` makes it."""
    entry = exchange_entry(session, client, wall, now)
    stream = stream_of(entry.listener) or entry.listener
    return entry._replace(listener=stream, ended=session.ended or None)


def entry_of(
    ended: Exchange | Session | DatagramRecord, client: str, wall: float, now: float
) -> Entry:
    """The entry of whatever is over."""
    if isinstance(ended, (Session, DatagramRecord)):
        return session_entry(ended, client, wall, now)
    return exchange_entry(ended, client, wall, now)


def turned_away_entry(
    head: RequestHead, peer: Peer, status: int, why: str, wall: float, seconds: float
) -> Entry:
    """The entry of a client of a stream that no pool has seen. `why`: what it was refused by."""
    return Entry(
        wall,
        peer.address,
        head,
        status,
        0,
        None,
        None,
        seconds,
        None,
        stream_of(peer.listener) or peer.listener,
        error=why,
        peer=peer,
        ended="refused",
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
    peer: Peer | None = None,
    identity: Identity | None = None,
    route: str | None = None,
    seconds: float = 0.0,
    cache: str | None = None,
    error: str | None = None,
) -> Entry:
    """The entry of a request that was answered without asking a backend.

    `head`: where it is none, the line that the client began with, as far as it was read. `route`: the one that led to
    the answer. `cache`: what a cache made of it. `error`: what it was refused by, a token of RFC 9209.
    """
    if error is None and status >= 400 and isinstance(head, bytes):
        error = "http_request_error"
    return Entry(
        wall,
        client,
        Words(*_words(head)) if isinstance(head, bytes) else head,
        status,
        size,
        None,
        None,
        seconds,
        None,
        listener,
        error=error,
        route=route,
        peer=peer,
        identity=identity,
        cache=cache,
    )


def _words(line: bytes) -> tuple[bytes, bytes, bytes]:
    """Method, target and version of a request line, as far as it has them; the target has what is none of them."""
    method, _, rest = line.partition(b" ")
    # "Cookie : a=b" is a field, although its name could be a method.
    if not _METHOD.fullmatch(method) or rest.lstrip().startswith(b":"):
        return b"-", line or b"-", b"-"
    target, _, version = rest.rpartition(b" ")
    if not version.startswith(b"HTTP/"):
        target, version = rest, b"-"
    return method, target or b"-", version
