"""The response side of an exchange: from the backend's connection to the client's.

    response_head -> response_data ... -> response_end
                          |
                          +-- long, and both sides plain: a relay moves the rest
    upgraded -> a tunnel joins the two connections

May import: domain, wire, net, proxy. Used by: proxy.exchange, which adds the attempts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lolly_tx.domain.errors import BadResponse, DownstreamGone, ProxyError
from lolly_tx.domain.lease import Lease
from lolly_tx.domain.node import Node
from lolly_tx.net.doors import LENGTH, DoorIn
from lolly_tx.net.http1.client import Http1Client
from lolly_tx.net.sockets.splice import SINK_LOST, SOURCE_RESET, Relay, can_splice
from lolly_tx.net.tunnel import Tunnel
from lolly_tx.wire.http1 import RequestHead, ResponseHead

if TYPE_CHECKING:  # pragma: no cover
    from lolly_tx.proxy.forward import Forwarder

RELAY_BYTES = 131072
"""A body with less than this to come is copied: a pipe is not worth its system calls."""


Attempted = tuple[Node, int, float]
"""An attempt that is over: whom it asked, the status of the answer (0: none), and how many seconds it took."""


class Delivery:
    """Passes one response on.

    `bytes_in`, `bytes_out`: body bytes from and to the client. `status`: sent to the
    client; `upstream_status`: what the last node answered. `upstream_seconds`: the last
    attempt's. `past`: the attempts before it (`Attempted`), in the order they ended.
    """

    __slots__ = (
        "_relay_down",
        "_relay_up",
        "_response_started",
        "bytes_in",
        "bytes_out",
        "client",
        "door",
        "error",
        "forwarder",
        "head",
        "lease",
        "node",
        "past",
        "status",
        "upstream_seconds",
        "upstream_status",
    )

    # Set by `proxy.exchange` in one go: a chain of constructors costs as much as a route.
    forwarder: Forwarder
    door: DoorIn
    head: RequestHead
    client: Http1Client | None
    lease: Lease | None
    node: Node | None
    status: int
    upstream_status: int
    upstream_seconds: float
    past: tuple[Attempted, ...]
    bytes_in: int
    bytes_out: int
    error: ProxyError | None
    _relay_up: Relay | None
    _relay_down: Relay | None
    _response_started: bool

    # -- what the attempts decide

    def downstream_failed(self, error: ProxyError) -> None:
        """The client is gone."""
        raise NotImplementedError

    def _give_up(self, error: ProxyError) -> None:
        raise NotImplementedError

    def _over(self) -> None:
        raise NotImplementedError

    def _cancel(self) -> None:
        raise NotImplementedError

    def _end_relays(self) -> None:
        raise NotImplementedError

    # -- ResponseSink: what the door out tells us

    def response_interim(self, head: ResponseHead) -> None:
        """A 1xx: passed on."""
        self.door.interim(head.status, head.reason, head.block.without_length())

    def _pass_on(self, head: ResponseHead, framing: int) -> None:
        """Begin the client's response with `head`."""
        block = head.block
        status = head.status
        self.status = self.upstream_status = status
        self._response_started = True
        if self.lease is not None:
            self.lease.answered(self.forwarder.now(), status)
        fields = block.kept
        if status == 204:
            fields = block.without_length()
        elif framing == LENGTH and not block.length_kept:
            fields += b"Content-Length: %d\r\n" % (block.length or 0)
        if not block.date:
            fields += self.forwarder.date_line()
        if status == 426:
            fields += block.offer()
        if self.forwarder.marking:
            fields += self._marks(head)
        self.door.start(status, head.reason, fields, framing)

    def _marks(self, head: ResponseHead) -> bytes:
        """The lines we add: Via, and the cookie that binds a client."""
        marks = b""
        via = self.forwarder.via
        if via:
            marks = via[head.version]
        sticky = self.forwarder.sticky
        if sticky is not None and self.node is not None:
            ids = self.forwarder.pool.nodes
            marks += sticky.set_cookie(self.head, self.node, ids, self.door.secure)
        return marks

    def response_data(self, data: bytes) -> None:
        """Body bytes from the backend."""
        self.bytes_out += len(data)
        self.door.write(data)

    def response_end(self, trailers: bytes, last: bytes = b"") -> None:
        """The response is complete with `last`."""
        self.client = None
        self.bytes_out += len(last)
        lease, self.lease = self.lease, None
        if lease is not None:
            now = self.forwarder.now()
            lease.ended(now, self.upstream_status)
            self.upstream_seconds = now - lease.started
        if self._relay_up is not None:
            self._end_relays()
        self.door.finish(trailers, last)
        self._over()

    # -- relays: long bodies stay in the kernel

    def response_waits(self) -> None:
        """More is to come: let the client have what there is."""
        self.door.flush()

    def relay_response(self, source: Any, left: int | None) -> Relay | None:
        """Let a relay move the rest of the body, if one may."""
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
            patience=self.door.write_seconds,
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

    def stood_still(self, seconds: float, now: float) -> None:
        """The process did: the node is not slow for that."""
        if self.lease is not None:
            self.lease.forgive(seconds, now)

    def response_stalled(self) -> None:
        """The client takes nothing of the body."""
        self.downstream_failed(DownstreamGone("client took no more of the response"))
        self.door.abort()

    # -- upgrades

    def upgraded(self, head: ResponseHead) -> None:
        """The backend has agreed: join the two connections."""
        client, lease = self.client, self.lease
        end = self.door.tunnel_end()
        if client is None or lease is None or end is None:
            self._cancel()
            self._give_up(BadResponse("upgrade that cannot be served"))
            return
        self.status = self.upstream_status = 101
        self._response_started = True
        fields = head.block.without_length()
        fields += b"Connection: Upgrade\r\nUpgrade: %b\r\n" % head.block.upgrade
        if self.forwarder.marking:
            fields += self._marks(head)
        self.door.interim(101, head.reason, fields)
        lease.succeeded(self.forwarder.now(), 101)
        self.client = None
        Tunnel(
            end,
            client,
            self._tunnel_closed,
            deadlines=self.forwarder.deadlines,
            half_closed=self.forwarder.half_closed,
        )

    def _tunnel_closed(self, sent: int, received: int) -> None:
        self.bytes_in += sent
        self.bytes_out += received
        lease, self.lease = self.lease, None
        if lease is not None:
            now = self.forwarder.now()
            self.upstream_seconds = now - lease.started
            lease.release(now)
        self._over()
