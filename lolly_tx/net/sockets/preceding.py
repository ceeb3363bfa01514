"""Connections that begin with bytes of ours, ahead of everything else: TLS, too.

Imports: net.sockets, Twisted. Used by: net.sockets.endpoints.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IAddress,
    IProtocol,
    IProtocolFactory,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import Protocol
from zope.interface import implementer

from lolly_tx.net.sockets.handover import Handover, WrappedFactory


@implementer(IStreamClientEndpoint)
class Preceding:
    """Another endpoint, on whose connections `first` is written before their protocol has them."""

    def __init__(self, inner: IStreamClientEndpoint, first: bytes) -> None:
        self._inner = inner
        self._first = first

    def __repr__(self) -> str:
        return f"<Preceding {self._inner!r}>"

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        """Connect. Fires with the protocol; errbacks as the inner endpoint."""
        connecting: Deferred[Any] = self._inner.connect(
            _First(protocolFactory, self._first)
        )
        return connecting.addCallback(_behind)


def _behind(first: _Begun) -> IProtocol:
    return first.behind


class _First(WrappedFactory):
    """Builds what writes the bytes in front of the protocols of `inner`."""

    def __init__(self, inner: IProtocolFactory, first: bytes) -> None:
        super().__init__(inner)
        self._first = first

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        return _Begun(self.build_inner(addr), self._first)


class _Begun(Handover):
    """Writes, and hands the connection over."""

    def __init__(self, behind: IProtocol, first: bytes) -> None:
        self.behind = behind
        self._first = first

    def connectionMade(self) -> None:
        """The bytes leave before anything of `behind` can."""
        assert self.transport is not None
        self.transport.write(self._first)
        self.hand_over(self.behind)
