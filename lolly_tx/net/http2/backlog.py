"""What the peer of a connection does not take off its socket, and what follows from that.

Who takes nothing is not read either: else what has to be said to it (acknowledgements, resets) would come together
here. And who takes nothing for too long is gone.

Imports: net.http2, net.sockets. Used by: net.http2, net.tunnels.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from lolly_tx.net.http2.sending import Outlet, Sender
from lolly_tx.net.sockets.transports import pending_bytes, untaken_bytes


class Owner(Protocol):
    """The connection."""

    transport: Any


class Backlog:
    """Of the connection `owner`. `unread`: reading has stopped."""

    __slots__ = ("_owner", "_sender", "_untaken", "unread")

    def __init__(self, owner: Owner, sender: Sender) -> None:
        self._owner = owner
        self._sender = sender
        self._untaken = -1
        self.unread = False

    def begins(self) -> None:
        """The transport takes no more."""
        self._sender.full = True
        self._untaken = -1

    def ends(self) -> None:
        """It does."""
        self._sender.full = False
        self._untaken = -1

    def stop_reading(self) -> None:
        """Until there is none."""
        if not self.unread:
            self.unread = True
            self._owner.transport.pauseProducing()

    def read_on(self) -> None:
        """Read again, if that had been stopped."""
        if self.unread:
            self.unread = False
            self._owner.transport.resumeProducing()

    def relieve(self, streams: Iterable[Outlet]) -> None:
        """Send on, and let those of `streams` that had been told to wait bring more."""
        sender = self._sender
        sender.flush()
        for stream in streams:
            if stream.paused and not sender.full and not stream.queued:
                stream.relieved()

    def look(self) -> tuple[bool, bool]:
        """Whether there is one, and whether nothing of it was taken since the last look."""
        if not pending_bytes(self._owner.transport) and not self._sender.full:
            return False, False
        before, self._untaken = self._untaken, untaken_bytes(self._owner.transport)
        return True, before == self._untaken
