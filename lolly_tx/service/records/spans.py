"""Spans of exchanges sent to a collector, in batches, and never in anybody's way.

    an exchange ends -> Spans.finished -> queue (bounded) -> one POST at a time

A span that finds the queue full is dropped, and so are those of a batch that is not taken. Both are counted.

Imports: _version, domain, net, proxy, wire, Twisted. Used by: service, service.metrics.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, ClassVar

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.client import Agent
from twisted.web.http_headers import Headers
from twisted.web.iweb import IResponse

from lolly_tx._version import __version__
from lolly_tx.domain.target import host_and_port
from lolly_tx.net.bounded import Sent
from lolly_tx.net.quiet import QuietConnections
from lolly_tx.proxy.exchange import Exchange
from lolly_tx.proxy.masking import mask_secrets
from lolly_tx.wire.otlp import Attempted, Span, export_request

QUEUE = 4096
"""Spans that wait; some 4 MB."""
BATCH = 256
"""Spans in one request; making it takes 3 ms."""
PAUSE = 1.0
"""Seconds that a span waits for others, at most."""
TIMEOUT = 10.0
"""Seconds that a collector may take."""
LAST_SECONDS = 1.0
"""The same at the end of the process."""
WARNING_INTERVAL = 60.0
"""Seconds between two warnings while spans are lost."""


Post = Callable[..., Deferred[IResponse]]
"""Sends a body, as `twisted.web.client.Agent.request` does: method, URL, fields, body."""


class Spans:
    """Tells the collector at `url`. `service`: who says so. `wall`, `now`: the clocks.

    `post`: sends it; None: a client of HTTP on `reactor`.
    """

    log: ClassVar[Logger] = Logger()

    def __init__(
        self,
        url: str,
        service: str,
        reactor: Any,
        *,
        wall: Callable[[], float],
        now: Callable[[], float],
        post: Post | None = None,
    ) -> None:
        self._url = url.encode("ascii")
        self._resource = {"service.name": service}
        self._clock: IReactorTime = reactor
        self._wall = wall
        self._now = now
        self._connections: QuietConnections | None = None
        if post is None:
            self._connections = QuietConnections(reactor)
            self._connections.retryAutomatically = False
            post = Agent(
                reactor, connectTimeout=TIMEOUT, pool=self._connections
            ).request
        self._post: Post = post
        self._queue: deque[Span] = deque()
        self._timer: IDelayedCall | None = None
        self._sending: Deferred[Any] | None = None
        self._stopping = False
        self._ended: Deferred[None] | None = None
        self._last: IDelayedCall | None = None
        self._warned_at: float | None = None
        self._told = 0
        self.exported = 0
        self.dropped = 0

    def goes_on_from(self, before: Spans) -> None:
        """Count on: this comes in the place of `before`."""
        self.exported += before.exported
        self.dropped += before.dropped
        self._told += before.dropped

    def finished(self, exchange: Exchange) -> None:
        """An exchange is over."""
        identity = exchange.identity
        if identity is None or not identity.sampled:
            return
        if len(self._queue) >= QUEUE or self._stopping:
            self._lose(1, "the queue is full")
            return
        self._queue.append(span_of(exchange, self._wall(), self._now()))
        self._go_on()

    def _due(self) -> None:
        self._timer = None
        self._send()

    def _send(self, seconds: float = TIMEOUT) -> None:
        """Send a batch."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        queue = self._queue
        spans = [queue.popleft() for _ in range(min(BATCH, len(queue)))]
        body = export_request(spans, self._resource, __version__)
        fields = Headers({b"Content-Type": [b"application/json"]})
        try:
            asked = self._post(b"POST", self._url, fields, Sent(body))
        except Exception:
            asked = Deferred()
            asked.errback(Failure())
        answered = asked.addCallback(_cb_read)
        answered.addTimeout(seconds, self._clock)
        self._sending = answered
        answered.addCallbacks(
            self._cb_taken,
            self._eb_lost,
            callbackArgs=(len(spans),),
            errbackArgs=(len(spans),),
        )
        answered.addErrback(lambda why: self.log.failure("Exporting spans", why))
        answered.addCallback(self._cb_next)

    def _cb_taken(self, status: int, count: int) -> None:
        if 200 <= status < 300:
            self.exported += count
        else:
            self._lose(count, f"status {status}")

    def _eb_lost(self, why: Failure, count: int) -> None:
        self._lose(count, why.getErrorMessage() or str(why.type))

    def _cb_next(self, _: object) -> None:
        self._sending = None
        self._go_on()

    def _go_on(self) -> None:
        """Do what is next, when no request is under way."""
        if self._sending is not None:
            return
        if self._stopping:
            if self._queue:
                self._send(LAST_SECONDS)
            else:
                self._end()
        elif len(self._queue) >= BATCH:
            self._send()
        elif self._queue and self._timer is None:
            self._timer = self._clock.callLater(PAUSE, self._due)

    def _lose(self, count: int, why: str) -> None:
        self.dropped += count
        now = self._now()
        if self._warned_at is None or now - self._warned_at >= WARNING_INTERVAL:
            self._warned_at = now
            self._tell(why)

    def _tell(self, why: str) -> None:
        lost, self._told = self.dropped - self._told, self.dropped
        self.log.warn(
            "traces: spans dropped: {lost}, in all {total}: {why}",
            lost=lost,
            total=self.dropped,
            why=why,
        )

    def stop(self) -> Deferred[None]:
        """Send the rest, as far as it is taken within a second; fires then."""
        self._stopping = True
        ended: Deferred[None] = Deferred()
        self._ended = ended
        self._last = self._clock.callLater(LAST_SECONDS, self._give_up)
        self._go_on()
        return ended

    def _give_up(self) -> None:
        if self._queue:
            self._lose(len(self._queue), "no time is left")
            self._queue.clear()
        if self._sending is not None:
            self._sending.cancel()

    def _end(self) -> None:
        if self._last is not None and self._last.active():
            self._last.cancel()
        if self.dropped != self._told:
            self._tell("it ends here")
        closed: Deferred[Any] = succeed(None)
        if self._connections is not None:
            closed = self._connections.closeCachedConnections()
        ended, self._ended = self._ended, None
        if ended is not None:
            closed.addBoth(lambda _: ended.callback(None))


class _Ignored(TwistedProtocol):
    """The body of an answer, which says nothing that we need; `done` fires at its end."""

    def __init__(self) -> None:
        self.done: Deferred[None] = Deferred(self._cancel)

    def _cancel(self, _: object) -> None:
        if self.transport is not None:
            getattr(self.transport, "abortConnection", self.transport.loseConnection)()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """All of it has come, or will not come any more."""
        if not self.done.called:
            self.done.callback(None)


def _cb_read(answer: IResponse) -> Deferred[int]:
    """The status, once the connection can be used again."""
    body = _Ignored()
    answer.deliverBody(body)
    return body.done.addCallback(lambda _: answer.code)


def span_of(exchange: Exchange, wall: float, now: float) -> Span:
    """The span of `exchange`, which ends at `wall`; by the conventions for HTTP servers (OpenTelemetry 1.23)."""
    identity = exchange.identity
    assert identity is not None
    head, peer = exchange.door.asked or exchange.head, exchange.peer
    node = exchange.node
    method = head.method.decode("latin-1")
    path, _, query = mask_secrets(head.target).partition(b"?")
    told: dict[str, Any] = {
        "http.request.method": method,
        "http.response.status_code": exchange.status,
        "url.scheme": "https" if peer.secure else "http",
        "url.path": path.decode("latin-1"),
        "client.address": peer.address,
        "http.response.body.size": exchange.bytes_out,
        "lolly.listener": peer.listener,
        "lolly.pool": exchange.forwarder.pool.name,
        "lolly.tries": exchange.attempts,
    }
    place = host_and_port(head.block.host.decode("latin-1"))
    if place is not None:
        told["server.address"] = place[0]
        told["server.port"] = place[1] or (443 if peer.secure else 80)
    if query:
        told["url.query"] = query.decode("latin-1")
    if identity.request_id:
        told["lolly.request_id"] = identity.request_id.decode("ascii")
    if node is not None:
        told["lolly.target"] = node.id
        told["lolly.upstream"] = node.target.address
    error = exchange.error
    failed = ""
    if exchange.status >= 500 or (error is not None and error.source != "downstream"):
        failed = error.token if error is not None else str(exchange.status)
        told["error.type"] = failed
    attempts: list[Attempted] = []
    if exchange.past and node is not None:
        attempts = [
            Attempted(one[0].target.address, one[1] or None, one[2])
            for one in exchange.past
        ]
        status, seconds = exchange.upstream_status, exchange.upstream_seconds
        attempts.append(Attempted(node.target.address, status or None, seconds))
    return Span(
        identity.trace_id,
        identity.span_id,
        identity.parent_id,
        identity.state,
        method if method.isalpha() and len(method) < 33 else "HTTP",
        wall - (now - exchange.started),
        wall,
        told,
        tuple(attempts),
        failed,
    )
