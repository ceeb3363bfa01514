"""Who is let in where datagrams come: the acceptor of a stream of theirs.

A session needs a descriptor, so it counts among the connections, and the limits of those hold for it as well. At a
limit the new client gets nothing; nobody makes room, for whoever forges addresses would have all others put out.

Imports: net, net.datagrams, net.sockets, Twisted. Used by: net.datagrams.endpoint,
net.datagrams.port, service, simulate.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

from twisted.logger import Logger

from lolly_tx.net.datagrams.session import DatagramSession, DatagramSite
from lolly_tx.net.datagrams.sockets import connected
from lolly_tx.net.deadlines import NEVER, Deadlines
from lolly_tx.net.sockets.acceptor import Acceptor, Census

TELL_SECONDS = 1.0
"""Between two lines of the log about clients that are turned away."""


def _nothing(transport: Any, data: bytes) -> bytes:
    """What clients beyond the limits are told; a datagram to a forged address would be one too many."""
    return b""


class DatagramAcceptor(Acceptor):
    """Makes the sessions of one stream.

    The parameters are those of `Acceptor`; `site` serves them. `connect(address, port)`: a socket to a target.
    """

    log: ClassVar[Logger] = Logger()

    def __init__(
        self,
        name: str,
        site: DatagramSite,
        *,
        deadlines: Deadlines,
        census: Census,
        most: int,
        connect: Callable[[str, int], Any] = connected,
    ) -> None:
        make: Callable[..., Any] = partial(DatagramSession, site)
        super().__init__(
            name,
            make,
            alpn=[],
            overloaded=_nothing,
            idle_seconds=NEVER,
            deadlines=deadlines,
            census=census,
            most=most,
        )
        self.site = site
        self.connect = connect
        self._tell_at = -NEVER
        self._untold = 0

    def go_by(self, other: Acceptor) -> None:
        """Make the sessions to come as `other` would."""
        super().go_by(other)
        if isinstance(other, DatagramAcceptor):
            self.site = other.site

    def session_for(self, client: str, now: float) -> DatagramSession | None:
        """One for a client at that address, which is to be told apart by who asks; None: it gets nothing."""
        if not self._has_room(client):
            self.turned_away += 1
            self._tell(client, now)
            return None
        self.accepted += 1
        session: Any = self._make(self, client)
        return session  # type: ignore[no-any-return]  # what _make is

    def _tell(self, client: str, now: float) -> None:
        self._untold += 1
        if now < self._tell_at:
            return
        self._tell_at = now + TELL_SECONDS
        untold, self._untold = self._untold, 0
        self.log.warn(
            "{listener}: no session for {client}: {open} are open, and no more are allowed"
            " ({untold} datagrams were dropped for that since it was said last)",
            listener=self.name,
            client=client,
            open=len(self.doors),
            untold=untold,
        )
