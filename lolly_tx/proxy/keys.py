"""What exchanges are told apart by: the key of a hash, a cookie, a priority.

Imports: domain.access, wire. Used by: proxy.forwarder, service.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Protocol

from lolly_tx.domain.access.forwarded import UNIX, TrustedPeers, original_client
from lolly_tx.wire.cookies import cookie_reader
from lolly_tx.wire.message import RequestHead


class Caller(Protocol):
    """Who sends a request: `net.doors.Peer`, or a client that is simulated."""

    address: str


Key = Callable[[RequestHead, Caller], bytes | None]
"""The bytes an exchange is hashed by; None: it takes its turn."""

WORST_PRIORITY = 2047
_NUMBER = re.compile(rb"-?[0-9]{1,4}")


def no_key(head: RequestHead, peer: Caller) -> None:
    """Balancers that hash nothing."""


def by_client(trusted: TrustedPeers) -> Key:
    """The address of the client, believing trusted proxies only; None where it has none."""

    def key(head: RequestHead, peer: Caller) -> bytes | None:
        client = peer.address
        received = head.block.forwarded
        if received:
            client = original_client(client, received, trusted)
        return None if client == UNIX else client.encode() or None

    return key


def by_uri(head: RequestHead, peer: Caller) -> bytes:
    """Path and query."""
    return head.target


def by_header(name: str) -> Key:
    """The value of a request header; the first line of several."""
    lowered = name.lower().encode("ascii")

    def key(head: RequestHead, peer: Caller) -> bytes | None:
        return head.block.get(lowered) or None

    return key


def by_cookie(name: str) -> Key:
    """The value of a cookie; the first one of several."""
    read = cookie_reader(name)

    def key(head: RequestHead, peer: Caller) -> bytes | None:
        values = read(head)
        return values[0] or None if values else None

    return key


def by_priority_header(
    name: str, trusted: TrustedPeers
) -> Callable[[RequestHead, Caller], int]:
    """The number in a header that a trusted proxy sent, else 0; lower goes first."""
    lowered = name.lower().encode("ascii")

    def priority(head: RequestHead, peer: Caller) -> int:
        if not name or peer.address not in trusted:
            return 0
        block = head.block
        value = block.get(lowered) or b""
        if lowered in block.connection:
            return 0  # meant for the hop before us
        if _NUMBER.fullmatch(value) is None:
            return 0
        return max(-WORST_PRIORITY, min(WORST_PRIORITY, int(value)))

    return priority
