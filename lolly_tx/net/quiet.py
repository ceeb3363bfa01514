"""Clients of Twisted without a line in the log for each connection, and without answers whose heads do not end.

Imports: net, Twisted. Used by: net.discovery, net.kubernetes, net.library,
service.certificates, service.demo, service.records.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.web.client import HTTPConnectionPool
from zope.interface import implementer

from lolly_tx.net.bounded import BoundedHead

PIECE = 8192
"""Bytes that are read at once: what services of the control plane say is parsed in Python."""


@implementer(IStreamClientEndpoint)
class Quietly:
    """Connects as `inner` does, without a line in the log about each factory."""

    def __init__(self, inner: IStreamClientEndpoint) -> None:
        self._inner = inner

    def connect(self, protocolFactory: Any) -> Any:
        """See IStreamClientEndpoint."""
        protocolFactory.noisy = False
        return self._inner.connect(protocolFactory).addCallback(_in_small_pieces)


def _in_small_pieces(protocol: Any) -> Any:
    """Let what comes be read a little at a time, so that others have their turn between a thousand tiny chunks."""
    transport = protocol.transport
    while hasattr(transport, "transport"):  # TLS is on top of it
        transport = transport.transport
    transport.bufferSize = PIECE
    return protocol


@implementer(IStreamClientEndpoint)
class _WithBoundedHeads:
    """Connects as `inner` does."""

    def __init__(self, inner: IStreamClientEndpoint) -> None:
        self._inner = inner

    def connect(self, protocolFactory: Any) -> Any:
        """See IStreamClientEndpoint."""
        return self._inner.connect(protocolFactory).addCallback(_with_bounded_heads)


def _with_bounded_heads(protocol: Any) -> Any:
    BoundedHead(protocol)
    return protocol


class QuietConnections(HTTPConnectionPool):
    """Kept connections of an `Agent`, which makes a noisy factory for each new one."""

    def getConnection(
        self, key: Hashable, endpoint: IStreamClientEndpoint
    ) -> Deferred[Any]:
        """See HTTPConnectionPool."""
        ours = _WithBoundedHeads(Quietly(endpoint))
        connected: Deferred[Any] = super().getConnection(key, ours)
        return connected
