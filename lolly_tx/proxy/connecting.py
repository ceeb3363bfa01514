"""One connect under way: the only Deferred of an exchange.

May import: domain.errors, net. Used by: proxy.exchange, proxy.hedge.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from lolly_tx.domain.errors import ProxyError
from lolly_tx.net.doors import DoorOut
from lolly_tx.net.failures import translate
from lolly_tx.net.upstream import Upstream


class Connecting:
    """Opens a connection of `upstream`: `on_connected(door)` or `on_failed(error)`.

    Neither is called after `cancel`; a connection that comes all the same is closed.
    """

    __slots__ = ("_deferred", "_on_connected", "_on_failed", "_wanted")

    _log: ClassVar[Logger] = Logger()

    def __init__(
        self,
        upstream: Upstream,
        on_connected: Callable[[DoorOut], None],
        on_failed: Callable[[ProxyError], None],
    ) -> None:
        self._on_connected = on_connected
        self._on_failed = on_failed
        self._deferred: Deferred[Any] | None = None
        self._wanted = True
        connecting = upstream.connect()
        self._deferred = connecting
        connecting.addCallbacks(self._cb_connected, self._eb_failed)
        connecting.addErrback(self._eb_bug)

    def cancel(self) -> None:
        """Nobody waits for it any more."""
        self._wanted = False
        if self._deferred is not None:
            self._deferred.cancel()

    def _cb_connected(self, door: DoorOut) -> None:
        self._deferred = None
        if self._wanted:
            self._on_connected(door)
        else:
            door.cancel()

    def _eb_failed(self, failure: Failure) -> None:
        self._deferred = None
        if self._wanted:
            error = failure.value
            if not isinstance(error, ProxyError):
                error = translate(failure, connecting=True)
            self._on_failed(error)

    def _eb_bug(self, failure: Failure) -> None:
        self._log.failure("What follows a connect has failed", failure=failure)
        self._on_failed(ProxyError("internal"))
