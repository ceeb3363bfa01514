"""Who may use a forward proxy: networks that clients come from, and users with passwords.

Imports: domain.access, proxy.middleware, Twisted. Used by: proxy.forwards.forwarding,
service.forwards.

Passwords are compared in threads, failures are counted by client (`proxy.middleware.verifying`): as for the middleware
`basic_auth`, whoever speaks HTTP or SOCKS.
"""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.defer import Deferred

from lolly_tx.domain.access.forwarded import Network, TrustedPeers
from lolly_tx.proxy.middleware.clientkeys import household
from lolly_tx.proxy.middleware.verifying import Threads, Verifier


class Gate:
    """See the module. `allow`: networks; none: everybody. `verifier`: None: nobody has to log in."""

    def __init__(
        self,
        allow: Sequence[Network | str],
        verifier: Verifier | None,
        threads: Threads | None = None,
    ) -> None:
        self._peers = TrustedPeers(allow) if allow else None
        self._threads = threads
        self.verifier = verifier

    def lets_in(self, client: str) -> bool:
        """Whether one may come from the address `client`."""
        return self._peers is None or client in self._peers

    def knows(self, user: bytes, password: bytes) -> bool:
        """That was found right a moment ago."""
        return self.verifier is not None and self.verifier.knows(user, password)

    def check(self, client: str, user: bytes, password: bytes) -> Deferred[bool]:
        """Whether that is right. Raises `LockedOut`."""
        assert self.verifier is not None
        return self.verifier.check(household(client).hex(), user, password)

    def stop(self) -> None:
        """Let the threads end."""
        if self._threads is not None:
            self._threads.stop()
