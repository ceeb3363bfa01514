"""One connect under way: the only Deferred of an exchange.

    Deferred --errback--> Tracker: held against the node, its lease released --> on_failed(error)
       +------callback--> on_connected(door): the lease goes on, the answer is to decide

Imports: domain, net.library, Twisted. Used by: proxy.attempting, proxy.exchange,
proxy.hedge, proxy.streams.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Protocol

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from lolly_tx.domain.errors import ProxyError
from lolly_tx.domain.lease import Lease
from lolly_tx.net.library.tracker import Tracker


class Connects(Protocol):
    """Who opens connections to a target: `net.upstreams.Upstream`, or `net.streams.target.Dial`."""

    now: Callable[[], float]

    def connect(self) -> Deferred[Any]:
        """One with a method `cancel`. Errbacks with a `ProxyError`, or the cancellation."""


class Connecting:
    """Opens a connection of `upstream` for `lease`: `on_connected(door)` or `on_failed(error)`.

    `open` begins, and may have failed when it returns: whoever keeps this does so before. Before `on_failed` the
    failure is held against the node and the lease is released. After `cancel` neither is called and nobody blamed; a
    connection that comes all the same is closed.
    """

    __slots__ = (
        "_deferred",
        "_on_connected",
        "_on_failed",
        "_tracker",
        "_upstream",
        "_wanted",
    )

    _log: ClassVar[Logger] = Logger()

    def __init__(
        self,
        upstream: Connects,
        lease: Lease,
        on_connected: Callable[[Any], None],
        on_failed: Callable[[ProxyError], None],
    ) -> None:
        self._on_connected = on_connected
        self._on_failed = on_failed
        self._deferred: Deferred[Any] | None = None
        self._wanted = True
        self._upstream = upstream
        self._tracker = Tracker(lease, upstream.now)

    def open(self) -> None:
        """Connect."""
        connecting = self._deferred = self._upstream.connect()
        self._tracker.track(connecting, connecting=True)
        connecting.addCallbacks(self._cb_connected, self._eb_failed)
        connecting.addErrback(self._eb_bug)

    def cancel(self) -> None:
        """Nobody waits for it any more. Whoever has the lease ends it."""
        self._wanted = False
        self._tracker.give_up()
        if self._deferred is not None:
            self._deferred.cancel()

    def _cb_connected(self, door: Any) -> None:
        self._deferred = None
        if self._wanted:
            self._on_connected(door)
        else:
            door.cancel()

    def _eb_failed(self, failure: Failure) -> None:
        self._deferred = None
        if self._wanted:
            error = failure.value
            assert isinstance(error, ProxyError)  # the tracker's
            self._on_failed(error)

    def _eb_bug(self, failure: Failure) -> None:
        self._log.failure("What follows a connect has failed", failure=failure)
        self._on_failed(ProxyError("internal"))
