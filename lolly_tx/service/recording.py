"""What the access log is told: of each finished exchange, and of each refused request.

May import: proxy. Used by: service.build.
"""

from __future__ import annotations

from collections.abc import Callable

from lolly_tx.net.doors import DoorIn
from lolly_tx.proxy.accesslog import AccessLog
from lolly_tx.proxy.exchange import Exchange
from lolly_tx.proxy.introduction import Introduction
from lolly_tx.proxy.record import exchange_entry, refusal_entry
from lolly_tx.wire.http1 import RequestHead


class Recorder:
    """Makes the entries of `log`.

    `introduction`: knows how far a client's address can be believed. `wall`: seconds since
    the epoch; `now`: monotonic.
    """

    def __init__(
        self,
        log: AccessLog,
        introduction: Introduction,
        wall: Callable[[], float],
        now: Callable[[], float],
    ) -> None:
        self._log = log
        self._client_of = introduction.client_of
        self._wall = wall
        self._now = now

    def finished(self, exchange: Exchange) -> None:
        """An exchange is over."""
        client = self._client_of(exchange.peer, exchange.head)
        self._log.record(exchange_entry(exchange, client, self._wall(), self._now()))

    def refused(
        self,
        door: DoorIn,
        head: RequestHead | bytes,
        status: int,
        size: int,
        why: str,
    ) -> None:
        """A request was answered without asking a backend (`proxy.proxy.OnRefusal`)."""
        client = door.peer.address
        if isinstance(head, RequestHead):
            client = self._client_of(door.peer, head)
        listener = door.peer.listener
        self._log.record(
            refusal_entry(head, client, status, size, listener, self._wall())
        )
