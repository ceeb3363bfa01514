"""Attempts that are made in fact: what exchanges and sessions have in common.

Time is a forwarder's, and what has become of each attempt is kept for the record.

Imports: domain, domain.retries, proxy, Twisted. Used by: proxy.exchange, proxy.records,
proxy.streams.
"""

from __future__ import annotations

from twisted.internet.interfaces import IDelayedCall

from lolly_tx.domain.errors import ProxyError
from lolly_tx.domain.lease import Lease
from lolly_tx.domain.native import mypyc_attr
from lolly_tx.domain.node import Node
from lolly_tx.domain.retries.attempts import NEVER, Attempts
from lolly_tx.proxy.connecting import Connecting
from lolly_tx.proxy.forwarder import Forwarder

Attempted = tuple[Node, int, float, ProxyError | None]
"""An attempt that is over: whom it asked, the status of the answer (0: none), how many seconds it took, its failure."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Attempting(Attempts):
    """See the module. `past`: the attempts before the current one, in the order they ended.

    Of the current one: `upstream_status`, what the node answered (0: nothing yet); `upstream_seconds`, its time;
    `fault`, how it failed.
    """

    __slots__ = (
        "_connecting",
        "_pause",
        "fault",
        "forwarder",
        "past",
        "upstream_seconds",
        "upstream_status",
    )

    # Set by the subclasses in one go, as those of `Attempts`.
    forwarder: Forwarder
    past: tuple[Attempted, ...]
    upstream_status: int
    upstream_seconds: float
    fault: ProxyError | None
    _connecting: Connecting | None
    _pause: IDelayedCall | None

    def withdraw(self) -> None:
        """The current attempt is given up: no connect and no wait goes on."""
        connecting, self._connecting = self._connecting, None
        pause, self._pause = self._pause, None
        if pause is not None:
            pause.cancel()
        if connecting is not None:
            connecting.cancel()

    def limit(self, at: float) -> None:
        """Have `expired` called at that time."""
        if self.deadline == NEVER:
            self.forwarder.deadlines.add(self)
        self.deadline = at

    def pause(self, seconds: float, lease: Lease) -> None:
        """Make the attempt with `lease` then."""
        self._pause = self.forwarder.clock.callLater(seconds, self._paused, lease)

    def _paused(self, lease: Lease) -> None:
        self._pause = None
        self.resumed(lease, self.forwarder.now())

    def turned_over(self) -> None:
        """An attempt is over, and another node's turn begins."""
        node = self.node
        assert node is not None
        why, self.fault = self.fault, None
        self.past += ((node, self.upstream_status, self.upstream_seconds, why),)
        self.upstream_status = 0
        self.upstream_seconds = 0.0

    def dropped(self, lease: Lease, error: ProxyError, now: float) -> None:
        """The attempt of `lease` has ended in `error`."""
        self.upstream_seconds = now - lease.started
        self.fault = error
