"""An exchange: one request with its response, through as many attempts as it takes.

    begin -> acquire a lease -> idle connection, or connect -> send
                ^                                               |
                +-- another node <- may be retried <- failed <--+--> response head -> body -> end

It stands between a door in and a door out (`net.doors`) and is the only mutable thing of
a request. Between them are plain calls; a Deferred exists only while connecting.

The first `REPLAY_BYTES` of a request body are kept until the response begins, so that
another attempt can send them again; a longer body cannot be replayed.

May import: domain, wire, net, proxy.replies. Used by: proxy.forward.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from lolly_tx.domain.errors import (
    BadResponse,
    DownstreamGone,
    NoTarget,
    ProxyError,
    StaleConnection,
    WriteTimedOut,
)
from lolly_tx.domain.lease import Lease
from lolly_tx.domain.node import Node
from lolly_tx.domain.retry import IDEMPOTENT
from lolly_tx.net.doors import LENGTH, STREAM, DoorIn
from lolly_tx.net.failures import translate
from lolly_tx.net.splice import SINK_LOST, SOURCE_RESET, Relay, can_splice
from lolly_tx.net.tunnel import Tunnel
from lolly_tx.net.upstream import Http1Client
from lolly_tx.proxy.held import Held
from lolly_tx.proxy.replies import reply, status_of
from lolly_tx.wire.chunked import encode_chunk, last_chunk
from lolly_tx.wire.http1 import RequestHead, ResponseHead

if TYPE_CHECKING:  # pragma: no cover
    from lolly_tx.proxy.forward import Forwarder

REPLAY_BYTES = 65536
"""Of a request body, kept for another attempt."""

RELAY_BYTES = 131072
"""A body with less than this to come is copied: a pipe is not worth its system calls."""


class Exchange:
    """One request, from its head to the end of its response."""

    __slots__ = (
        "_complete",
        "_connecting",
        "_door_paused",
        "_held",
        "_relay_up",
        "_relay_down",
        "_replay",
        "_replay_bytes",
        "_response_started",
        "_trailers",
        "attempts",
        "bytes_in",
        "bytes_out",
        "client",
        "door",
        "error",
        "forwarder",
        "head",
        "lease",
        "node",
        "started",
        "status",
        "tried",
        "upstream_seconds",
        "upstream_status",
    )

    _log = Logger()

    def __init__(
        self,
        forwarder: Forwarder,
        door: DoorIn,
        head: RequestHead,
        body: bytes,
        trailers: bytes,
        complete: bool,
    ) -> None:
        self.forwarder = forwarder
        self.door = door
        self.head = head
        self.client: Http1Client | None = None
        self.lease: Lease | None = None
        self.node: Node | None = None
        self.tried: tuple[Node, ...] = ()
        self.attempts = 0
        self.status = 0
        self.upstream_status = 0
        self.bytes_in = len(body)
        self.bytes_out = 0
        self.upstream_seconds = 0.0
        self.error: ProxyError | None = None
        self._complete = complete
        self._trailers = trailers
        self._replay: list[bytes] | None = [body] if body else []
        self._replay_bytes = len(body)
        self._connecting: Deferred[Any] | None = None
        self._held: Held | None = None
        self._relay_up: Relay | None = None
        self._relay_down: Relay | None = None
        self._response_started = False
        self._door_paused = False
        self.started = forwarder.now()

    # -- attempts

    def begin(self) -> None:
        """Make the first attempt."""
        forwarder = self.forwarder
        try:
            lease = forwarder.pool.acquire(self.started, forwarder.key(self))
        except NoTarget as error:
            self._give_up(error)
            return
        self._attempt(lease)

    def _attempt(self, lease: Lease) -> None:
        self.lease = lease
        self.node = node = lease.node
        self.attempts += 1
        upstream = self.forwarder.upstream(node)
        client = upstream.take(self.head.method not in IDEMPOTENT)
        if client is not None:
            self._send(client)
        else:
            self._connect(upstream)

    def _connect(self, upstream: Any) -> None:
        self._connecting = connecting = upstream.connect()
        connecting.addCallbacks(self._cb_connected, self._eb_connect)
        connecting.addErrback(self._eb_bug)

    def _cb_connected(self, client: Http1Client) -> None:
        self._connecting = None
        if self.lease is None:  # given up in the meantime, yet it connected
            client.cancel()
        else:
            self._send(client)

    def _eb_connect(self, failure: Failure) -> None:
        self._connecting = None
        if self.lease is None:
            return
        error = failure.value
        if not isinstance(error, ProxyError):
            error = translate(failure, connecting=True)
        self._attempt_failed(error)

    def _eb_bug(self, failure: Failure) -> None:
        self._log.failure("An exchange failed", failure=failure)
        self._give_up(ProxyError("internal"))

    def _send(self, client: Http1Client) -> None:
        """Send the head and what there is of the body."""
        self.client = client
        head = self.head
        data = self.forwarder.render(self)
        replay = self._replay
        if replay:
            body = b"".join(replay)
            data += encode_chunk(body) if head.block.chunked else body
            if self._replay_bytes > REPLAY_BYTES:
                self._replay = None
        if self._complete and head.block.chunked:
            data += last_chunk(self._trailers)
        client.send(
            self,
            data,
            complete=self._complete,
            is_head=head.method == b"HEAD",
            upgrade=bool(head.block.upgrade),
        )
        if not self._complete:
            if self._door_paused:
                self._door_paused = False
                self.door.resume_request()
            self._relay_request(client)

    def _attempt_failed(self, error: ProxyError) -> None:
        """This attempt is over; make another, or tell the client."""
        lease = self.lease
        assert lease is not None
        if isinstance(error, StaleConnection) and self._may_repeat():
            # The node is not to blame, and a new connection cannot be stale.
            self.client = None
            self._connect(self.forwarder.upstream(lease.node))
            return
        forwarder = self.forwarder
        now = forwarder.now()
        lease.failed(now, error)
        self._end_attempt(now)
        if forwarder.retry.decide(
            error,
            attempts=self.attempts,
            method=self.head.method,
            replayable=self._replay is not None,
            response_started=self._response_started,
            idempotency_key=self._has_idempotency_key(),
        ):
            try:
                another = forwarder.pool.acquire(now, forwarder.key(self), self.tried)
            except NoTarget:
                pass
            else:
                forwarder.retries += 1
                self._attempt(another)
                return
        self._give_up(error)

    def _end_attempt(self, now: float) -> None:
        """Let go of the lease and the connection of an attempt that failed."""
        lease, self.lease = self.lease, None
        self.client = None
        if lease is not None:
            self.tried += (lease.node,)
            self.upstream_seconds = now - lease.started
            lease.release(now)

    def _may_repeat(self) -> bool:
        return (
            self._replay is not None
            and not self._response_started
            and (self.head.method in IDEMPOTENT or self._has_idempotency_key())
        )

    def _has_idempotency_key(self) -> bool:
        return (
            self.head.method not in IDEMPOTENT
            and self.head.block.get(b"idempotency-key") is not None
        )

    def _give_up(self, error: ProxyError) -> None:
        """No further attempt: pass on the last real answer, or answer ourselves."""
        self.error = error
        if self._response_started:
            self.door.abort()
            self._over()
            return
        held = self._held
        if held is not None:
            self._held = None
            held.deliver(self)
            return
        self.status = status_of(error)
        self.bytes_out = reply(
            self.door,
            self.status,
            token=error.token,
            is_head=self.head.method == b"HEAD",
        )
        self._over()

    def _over(self) -> None:
        """The exchange is over: count it, log it, forget the others."""
        if self._held is not None:
            self._held.discard()
            self._held = None
        self.forwarder.record(self)

    # -- RequestSink: what the door in tells us

    def request_data(self, data: bytes) -> None:
        """Body bytes from the client."""
        self.bytes_in += len(data)
        client = self.client
        replay = self._replay
        if replay is not None:
            self._replay_bytes += len(data)
            if client is None or self._replay_bytes <= REPLAY_BYTES:
                replay.append(data)
            else:
                self._replay = None
        if client is not None:
            client.write(encode_chunk(data) if self.head.block.chunked else data)
        elif self._replay_bytes > REPLAY_BYTES and not self._door_paused:
            self._door_paused = True
            self.door.pause_request()

    def request_end(self, trailers: bytes) -> None:
        """The body is complete."""
        self._complete = True
        self._trailers = trailers
        if self.client is not None:
            self.client.finish(
                last_chunk(trailers) if self.head.block.chunked else b""
            )

    def downstream_failed(self, error: ProxyError) -> None:
        """The client is gone: stop the work done for it. Nobody is blamed."""
        self.error = error
        self._cancel()
        if not self.status:
            self.status = 499 if isinstance(error, DownstreamGone) else status_of(error)
        self._over()

    def _cancel(self) -> None:
        client, self.client = self.client, None
        lease, self.lease = self.lease, None
        for relay in (self._relay_up, self._relay_down):
            if relay is not None:
                relay.cancel()
        self._relay_up = self._relay_down = None
        if client is not None:
            client.cancel()
        connecting, self._connecting = self._connecting, None
        if connecting is not None:
            connecting.cancel()
        if lease is not None:
            now = self.forwarder.now()
            if self._response_started:
                lease.succeeded(now, self.upstream_status)
            self.upstream_seconds = now - lease.started
            lease.release(now)

    def request_stalled(self) -> None:
        """The backend takes nothing of the body."""
        client = self.client
        if client is not None:
            client.cancel()
            self.upstream_failed(WriteTimedOut("took no more of the request"))

    def pause_response(self) -> None:
        """The client reads slower than the backend sends."""
        if self.client is not None:
            self.client.pause()

    def resume_response(self) -> None:
        """The client reads on."""
        if self.client is not None:
            self.client.resume()

    # -- ResponseSink: what the door out tells us

    def response_interim(self, head: ResponseHead) -> None:
        """A 1xx: passed on, but a 100 only to a client that waits for one."""
        if head.status != 100 or self.head.block.expect:
            self.door.interim(head.status, head.reason, head.block.without_length())

    def response_head(self, head: ResponseHead, framing: int) -> None:
        """The final head: pass it on, unless its status asks for another attempt."""
        forwarder = self.forwarder
        status = head.status
        self.upstream_status = status
        if forwarder.retry_statuses and status in forwarder.retry_statuses:
            if self._try_for_better(head, framing):
                return
        self._pass_on(head, framing)

    def _pass_on(self, head: ResponseHead, framing: int) -> None:
        if self._held is not None:
            self._held.discard()
            self._held = None
        block = head.block
        status = head.status
        self.status = self.upstream_status = status
        self._response_started = True
        fields = block.kept
        if status == 204:
            fields = block.without_length()
        elif framing == LENGTH and not block.length_kept:
            fields += b"Content-Length: %d\r\n" % (block.length or 0)
        if not block.date:
            fields += self.forwarder.date_line()
        self.door.start(status, head.reason, fields, framing)

    def _try_for_better(self, head: ResponseHead, framing: int) -> bool:
        """Hold this answer back and ask another node; False: there is no other."""
        forwarder = self.forwarder
        lease, client = self.lease, self.client
        if lease is None or client is None:
            return False
        if not forwarder.retry.decide(
            head.status,
            attempts=self.attempts,
            method=self.head.method,
            replayable=self._replay is not None,
            response_started=self._response_started,
            idempotency_key=self._has_idempotency_key(),
        ):
            return False
        now = forwarder.now()
        try:
            another = forwarder.pool.acquire(
                now, forwarder.key(self), (*self.tried, lease.node)
            )
        except NoTarget:
            return False
        forwarder.retries += 1
        lease.succeeded(now, head.status)
        if self._held is not None:
            self._held.discard()
        self._held = Held(client, lease, head, framing, now)
        self.tried += (lease.node,)
        self.lease = self.client = None
        self._attempt(another)
        return True

    def take_back(
        self, client: Http1Client | None, lease: Lease, head: ResponseHead, framing: int
    ) -> None:
        """Deliver an answer that was held: it is the best there is."""
        self.client = client
        self.lease = lease
        self.node = lease.node
        self._pass_on(head, framing)

    def response_data(self, data: bytes) -> None:
        """Body bytes from the backend."""
        self.bytes_out += len(data)
        self.door.write(data)

    def response_end(self, trailers: bytes) -> None:
        """The response is complete."""
        self.client = None
        lease, self.lease = self.lease, None
        if lease is not None:
            now = self.forwarder.now()
            lease.succeeded(now, self.upstream_status)
            lease.release(now)
            self.upstream_seconds = now - lease.started
        if self._relay_up is not None:
            self._relay_up.cancel()
            self._relay_up = None
        self.door.finish(trailers)
        self._over()

    def upstream_failed(self, error: ProxyError) -> None:
        """The connection of this attempt is gone."""
        relay, self._relay_up = self._relay_up, None
        if relay is not None:
            relay.cancel()
            self._replay = None
        self._relay_down = None
        self.client = None
        if self.lease is not None:
            self._attempt_failed(error)

    def pause_request(self) -> None:
        """The backend reads slower than the client sends."""
        if not self._complete and self._relay_up is None:
            self.door.pause_request()

    def resume_request(self) -> None:
        """The backend reads on."""
        if not self._complete and self._relay_up is None:
            self.door.resume_request()

    # -- relays: long bodies stay in the kernel

    def response_waits(self) -> None:
        """More is to come: let the client have what there is."""
        self.door.flush()

    def relay_response(self, source: Any, left: int | None) -> Relay | None:
        """May a relay move the rest of the body?"""
        if left is not None and left < RELAY_BYTES:
            return None
        sink = self.door.response_sink()
        if sink is None or not can_splice(source, sink):
            return None
        self._relay_down = Relay(
            source,
            sink,
            left,
            on_done=self._response_relayed,
            on_error=self._response_relay_failed,
        )
        return self._relay_down

    def _response_relayed(self) -> None:
        relay, self._relay_down = self._relay_down, None
        if relay is not None and self.client is not None:
            self.bytes_out += relay.moved
            self.client.response_relayed()

    def _response_relay_failed(self, reason: str) -> None:
        relay, self._relay_down = self._relay_down, None
        if relay is not None:
            self.bytes_out += relay.moved
        if self.client is not None and reason != SINK_LOST:
            # The door learns of its own connection's loss by itself.
            self.client.relay_failed(reset=reason == SOURCE_RESET)

    def response_stalled(self) -> None:
        """The client takes nothing of the body."""
        self.downstream_failed(DownstreamGone("client took no more of the response"))
        self.door.abort()

    def _relay_request(self, client: Http1Client) -> None:
        """May a relay move the rest of the request's body?"""
        source = self.door.request_source()
        if source is None or source[1] < RELAY_BYTES:
            return
        transport, left = source
        if not can_splice(transport, client.transport):
            return
        self._replay = None
        self.bytes_in += left
        self._relay_up = Relay(
            transport,
            client.transport,
            left,
            on_done=self._request_relayed,
            on_error=self._request_relay_failed,
        )
        self.door.request_relaying(self._relay_up)

    def _request_relayed(self) -> None:
        self._relay_up = None
        self._complete = True
        self.door.request_relayed()
        if self.client is not None:
            self.client.finish()

    def _request_relay_failed(self, reason: str) -> None:
        self._relay_up = None
        self._replay = None
        if reason == SINK_LOST:
            return  # the backend's connection reports its loss itself
        self.downstream_failed(DownstreamGone("request body cut short"))
        self.door.abort()

    # -- upgrades

    def upgraded(self, head: ResponseHead) -> None:
        """The backend has agreed: join the two connections."""
        client, lease = self.client, self.lease
        end = self.door.tunnel_end()
        if client is None or lease is None or end is None:
            self._give_up(BadResponse("upgrade that cannot be served"))
            return
        self.status = self.upstream_status = 101
        self._response_started = True
        self.door.interim(
            101,
            head.reason,
            head.block.without_length()
            + b"Connection: Upgrade\r\nUpgrade: %b\r\n" % head.block.upgrade,
        )
        lease.succeeded(self.forwarder.now(), 101)
        self.client = None
        Tunnel(end, client, self._tunnel_closed)

    def _tunnel_closed(self, sent: int, received: int) -> None:
        self.bytes_in += sent
        self.bytes_out += received
        lease, self.lease = self.lease, None
        if lease is not None:
            now = self.forwarder.now()
            self.upstream_seconds = now - lease.started
            lease.release(now)
        self._over()
