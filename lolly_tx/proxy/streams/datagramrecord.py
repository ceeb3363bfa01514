"""What a session of datagrams has in common with other sessions: its record, and what middleware asks of it.

Imports: domain, net, net.datagrams, proxy, proxy.streams, wire, Twisted. Used by:
proxy.records, proxy.streams.datagrams.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address

from lolly_tx.domain.errors import ProxyError
from lolly_tx.domain.node import Node
from lolly_tx.net.datagrams.session import DatagramSession
from lolly_tx.net.doors import Peer
from lolly_tx.proxy.forwarder import Forwarder
from lolly_tx.proxy.streams.session import SERVED, head_of
from lolly_tx.proxy.trace import Trace
from lolly_tx.wire.message import RequestHead

DATAGRAMS = head_of("", b"UDP")
"""What is known of any client, in the shape of a request's head."""


class Addresses:
    """Both ends of a session, as transports say them."""

    __slots__ = ("_client", "_ours")

    def __init__(self, session: DatagramSession) -> None:
        self._client = session.address, session.client[1]
        self._ours = session.place

    def getPeer(self) -> IPv4Address | IPv6Address:
        """The client's."""
        return _address(*self._client)

    def getHost(self) -> IPv4Address | IPv6Address:
        """Ours, which the client uses."""
        return _address(*self._ours)


def _address(host: str, port: int) -> IPv4Address | IPv6Address:
    return (IPv6Address if ":" in host else IPv4Address)("UDP", host, port)


def _unspoken(peer: Peer, head: RequestHead) -> bytes:
    """No target of datagrams is told of its client in a request."""
    return b""


def peer_of(session: DatagramSession, listener: str) -> Peer:
    """Who the client of `session` is."""
    peer = Peer(session.address, listener, False, _unspoken)
    peer.transport = Addresses(session)
    return peer


class DatagramRecord:
    """A session that is over, as logs and counters of exchanges have it (`proxy.streams.session.Session`).

    `began`: seconds, monotonic. Its `bytes_in` and `bytes_out` are what was passed on to the target and to the client.
    """

    method = b""
    attempts = 1
    head = DATAGRAMS
    identity = None
    asked = None
    verdict = ""
    route = None
    trace: Trace | None = None
    error: ProxyError | None = None
    fault: ProxyError | None = None
    past = ()
    hedge = None

    def __init__(
        self, forwarder: Forwarder, session: DatagramSession, peer: Peer, node: Node
    ) -> None:
        lease = session.lease
        self.forwarder = forwarder
        self.peer = peer
        self.node: Node | None = node
        self.started = session.since
        self.bytes_in = session.sent
        self.bytes_out = session.received
        self.status = SERVED
        answered = lease is not None and session.answers
        self.upstream_status = SERVED if answered else 0
        self.upstream_seconds = lease.seconds if answered and lease is not None else 0.0
        self.ended = session.why

    @property
    def door(self) -> Any:
        """What else is told of its client, which is all here."""
        return self
