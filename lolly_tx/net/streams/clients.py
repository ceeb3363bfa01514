"""A client's connection whose bytes are nobody's business, as its acceptor sees it (`net.sockets.acceptor.Door`).

Imports: net, net.sockets, net.streams, Twisted. Used by: net.forward, net.streams.door.
"""

from __future__ import annotations

from typing import Any

from twisted.python.failure import Failure

from lolly_tx.net.doors import Peer
from lolly_tx.net.sockets.acceptor import Acceptor
from lolly_tx.net.sockets.transports import is_secure
from lolly_tx.net.streams.raw import LINGER, TUNNEL, RawConnection


class ClientConnection(RawConnection):
    """See the module. `peer`: who the client is."""

    def __init__(self, acceptor: Acceptor, peer: Peer, write_seconds: float) -> None:
        super().__init__(acceptor.deadlines, write_seconds)
        self.acceptor = acceptor
        self.peer = peer

    def makeConnection(self, transport: Any) -> None:
        """A client has connected."""
        super().makeConnection(transport)
        self.peer.transport = transport
        self.peer.secure = is_secure(transport)
        self.acceptor.connected(self)

    def connectionLost(self, reason: Failure) -> None:
        """The connection is over."""
        super().connectionLost(reason)
        self.acceptor.lost(self)

    @property
    def address(self) -> str:
        """The client's."""
        return self.peer.address

    @property
    def idle(self) -> bool:
        """Nothing of it is under way."""
        return self.state == LINGER and self._rest is None

    def shed(self) -> bool:
        """Close it, idle, at once."""
        self.hang_up()
        return True

    def shut(self) -> None:
        """The proxy stops now."""
        if self.state == TUNNEL and self.end is not None:
            self.end.shut()
        else:
            self.abort()

    def drain(self, until: float) -> None:
        """The proxy stops: a tunnel goes on until it is over, or its time is."""
