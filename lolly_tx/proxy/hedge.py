"""Hedged requests: a second attempt while the first is slow, and the faster one wins.

When an attempt has taken longer than most (a percentile of the recent times to the first
byte), the same request goes to another node as well. Both draw on the budget that retries
use. The slower one is cancelled, and nobody is blamed for losing.

May import: domain, wire, net. Used by: proxy.exchange, proxy.forward.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from lolly_tx.domain.errors import NoTarget, ProxyError
from lolly_tx.domain.lease import Lease
from lolly_tx.domain.percentile import Percentile
from lolly_tx.net.alarm import Alarm
from lolly_tx.net.failures import translate
from lolly_tx.net.http1.client import Http1Client
from lolly_tx.net.sockets.splice import Relay
from lolly_tx.wire.http1 import ResponseHead

if TYPE_CHECKING:  # pragma: no cover
    from lolly_tx.proxy.exchange import Exchange


class Hedging:
    """When exchanges of one pool are hedged.

    `percentile`: of the times to the first byte. `least`: seconds; never sooner.
    """

    def __init__(
        self, percentile: Percentile, least: float, clock: IReactorTime
    ) -> None:
        self.percentile = percentile
        self.least = least
        self.clock = clock
        self.started = 0
        """Second attempts made."""
        self.won = 0
        """Of them, those that were faster."""

    def note(self, seconds: float) -> None:
        """An attempt took `seconds` to its first byte."""
        self.percentile.add(seconds)

    def note_answer(self, lease: Lease, now: float) -> None:
        """The answer of `lease` begins; an early one says nothing about how long they take."""
        if lease.asked <= now:
            self.percentile.add(now - lease.asked)

    def consider(self, exchange: Exchange) -> Hedge | None:
        """The hedge of `exchange`, waiting for its time, if it may have one."""
        delay = self.percentile.value()
        if delay is None or not exchange.repeatable or exchange.head.block.upgrade:
            return None
        return Hedge(self, exchange, max(delay, self.least))


class Hedge:
    """One second attempt: a `ResponseSink` until its answer begins."""

    _log = Logger()

    def __init__(self, hedging: Hedging, exchange: Exchange, delay: float) -> None:
        self._hedging = hedging
        self._exchange = exchange
        self._timer: Alarm | None = Alarm(hedging.clock, delay, self._start)
        self._lease: Lease | None = None
        self._client: Http1Client | None = None
        self._connecting: Deferred[Any] | None = None

    @property
    def running(self) -> bool:
        """Its attempt is under way."""
        return self._lease is not None

    def cancel(self) -> None:
        """Not needed any more."""
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
        lease, self._lease = self._lease, None
        client, self._client = self._client, None
        connecting, self._connecting = self._connecting, None
        if client is not None:
            client.cancel()
        if connecting is not None:
            connecting.cancel()
        if lease is not None:
            now = self._exchange.forwarder.now()
            lease.release(now)
            self._exchange.hedge_over(lease.node, now - lease.started)

    def _start(self) -> None:
        self._timer = None
        exchange = self._exchange
        forwarder = exchange.forwarder
        now = forwarder.now()
        budget = forwarder.budget
        if exchange.lease is None:
            return
        if budget is not None and not budget.withdraw(now):
            return
        tried = exchange.tried
        exchange.tried = (*tried, exchange.lease.node)
        try:
            self._lease = forwarder.acquire(exchange, now)
        except NoTarget:
            if budget is not None:
                budget.give_back()
            return
        finally:
            exchange.tried = tried
        self._hedging.started += 1
        upstream = forwarder.upstream(self._lease.node)
        client = upstream.take()
        if client is not None:
            self._send(client)
        else:
            self._connecting = connecting = upstream.connect()
            connecting.addCallbacks(self._cb_connected, self._eb_connect)
            connecting.addErrback(self._eb_bug)

    def _cb_connected(self, client: Http1Client) -> None:
        self._connecting = None
        if self._lease is None:
            client.cancel()
        else:
            self._send(client)

    def _eb_connect(self, failure: Failure) -> None:
        self._connecting = None
        error = failure.value
        if not isinstance(error, ProxyError):
            error = translate(failure, connecting=True)
        self.upstream_failed(error)

    def _eb_bug(self, failure: Failure) -> None:
        self._log.failure("A hedge failed", failure=failure)
        self.upstream_failed(ProxyError("internal"))

    def _send(self, client: Http1Client) -> None:
        assert self._lease is not None
        self._client = client
        exchange = self._exchange
        client.send(
            self,
            exchange.head,
            exchange.request_bytes(self._lease.node),
            True,
            exchange.forwarder.now(),
        )

    # -- ResponseSink

    def response_interim(self, head: ResponseHead) -> None:
        """Not passed on: the first attempt may have sent one already."""

    def response_whole(self, head: ResponseHead, body: bytes, now: float) -> bool:
        """The exchange is to have it, once it knows of this connection."""
        return False

    def response_head(self, head: ResponseHead, framing: int) -> None:
        """It was faster."""
        client, self._client = self._client, None
        lease, self._lease = self._lease, None
        if client is not None and lease is not None:
            self._hedging.won += 1
            self._exchange.hedge_answered(client, lease, head, framing)

    def upstream_failed(self, error: ProxyError) -> None:
        """It has failed."""
        self._client = None
        lease, self._lease = self._lease, None
        if lease is not None:
            now = self._exchange.forwarder.now()
            lease.failed(now, error)
            lease.release(now)
            self._exchange.tried += (lease.node,)
            self._exchange.hedge_over(lease.node, now - lease.started)
            self._exchange.hedge_failed(error)

    def response_data(self, data: bytes) -> None:
        """After the head it is the exchange that is told."""

    def response_end(self, trailers: bytes, last: bytes = b"") -> None:
        """As above."""

    def response_waits(self) -> None:
        """As above."""

    def relay_response(self, source: Any, left: int | None) -> Relay | None:
        """As above."""
        return None

    def stood_still(self, seconds: float, now: float) -> None:
        """The process did: the node is not slow for that."""
        if self._lease is not None:
            self._lease.forgive(seconds, now)

    def response_stalled(self) -> None:
        """As above."""

    def upgraded(self, head: ResponseHead) -> None:
        """Upgrades are not hedged."""

    def pause_request(self) -> None:
        """The request is complete and small."""

    def resume_request(self) -> None:
        """As above."""
