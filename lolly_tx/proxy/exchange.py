"""An exchange: one request with its response, between a door in and a door out.

    door in --request_data--> Upload --write--> door out
    door in <----write------- Exchange <--response_data-- door out

It performs what `domain.retries.attempts` decides: sends attempts, holds answers, passes the
client's on. Only a kept connection that turns out to be closed is made anew without
asking: nothing was tried yet. A body has an `proxy.upload.Upload`, a held answer a `proxy.held.Held`, a
second attempt a `proxy.hedge.HedgeLine`; most exchanges have none of them. Between the
doors are plain calls; a Deferred exists only while connecting.

This module is long because an exchange is one thing: whatever only some of them have stands
apart already, and what is left changes together.

Imports: domain, domain.retries, net, net.sockets, proxy, wire. Used by: proxy.records,
proxy.route, service.records.
"""

from __future__ import annotations

from typing import Any, Final

from lolly_tx.domain.errors import (
    BadResponse,
    DownstreamGone,
    GrpcUnavailable,
    NotProcessed,
    ProxyError,
    StaleConnection,
    WriteTimedOut,
)
from lolly_tx.domain.lease import Lease
from lolly_tx.domain.node import Node
from lolly_tx.domain.retries.attempts import NEVER
from lolly_tx.net.doors import BODILESS, BodyStart, DoorIn, DoorOut, Peer, ResponseSink
from lolly_tx.net.sockets.splice import Relay
from lolly_tx.net.tunnel import Tunnel
from lolly_tx.net.upstreams import Upstream
from lolly_tx.proxy.attempting import Attempting
from lolly_tx.proxy.connecting import Connecting
from lolly_tx.proxy.download import Download, download
from lolly_tx.proxy.forwarder import Forwarder
from lolly_tx.proxy.hedge import HedgeLine
from lolly_tx.proxy.held import Held
from lolly_tx.proxy.identity import Identity
from lolly_tx.proxy.owner import Supplies
from lolly_tx.proxy.replies import fields_of, reply, status_of
from lolly_tx.proxy.trace import Trace
from lolly_tx.proxy.upload import Upload
from lolly_tx.wire.grpc import UNAVAILABLE, as_http_status, grpc_status, is_grpc
from lolly_tx.wire.message import HTTP_2, RequestHead, ResponseHead

NO_KEY: Final = (None, b"", b'""')
"""Of Idempotency-Key: none, or an empty one as it is, and as a structured field's string."""

MOST_MOVES: Final = 3
"""How often an attempt goes on on another connection of its node, because the first one was closing."""


class Exchange(Attempting, ResponseSink):
    """One request, from its head to the end of its response; its door's exchange from the beginning.

    `status`: sent to the client. `bytes_in`, `bytes_out`: body bytes from and to the client. `client`: the door out of
    the current attempt. `moves`: how often one went on on another connection of its node. `grpc`: the status in the
    head of its answer. `route`: the name of its route, if anybody asks. `identity`: its request id and its place in a
    trace, likewise.
    """

    __slots__ = (
        "_hedge",
        "_held",
        "answering",
        "bytes_in",
        "bytes_out",
        "client",
        "door",
        "download",
        "error",
        "grpc",
        "head",
        "identity",
        "moves",
        "route",
        "status",
        "trace",
        "upload",
    )

    answering: bool
    client: DoorOut | None
    error: ProxyError | None
    upload: Upload | None
    download: Download | None
    trace: Trace | None
    route: str | None
    identity: Identity | None
    _held: Held | None
    _hedge: HedgeLine | None

    def __init__(
        self, forwarder: Forwarder, door: DoorIn, head: RequestHead, start: BodyStart
    ) -> None:
        self.forwarder = self.chooser = forwarder
        self.door = door
        self.head = head
        # In one go: an exchange is made for each request.
        self.client = self.lease = self.node = self.hedge = self.error = self.fault = (
            None
        )
        self.upload = self.download = self.trace = self.route = self.identity = None
        self._connecting = self._held = self._hedge = self._pause = None
        self.status = self.upstream_status = self.attempts = self.moves = 0
        self.grpc = 0
        self.bytes_in = self.bytes_out = 0
        self.upstream_seconds = 0.0
        self.tried = self.past = ()
        self.deadline = self._until = NEVER
        self.answering = self.pausing = False
        if start is not BODILESS and (start.data or not start.complete):
            self.bytes_in = len(start.data)
            self.upload = Upload(self, start)
        self.started = forwarder.now()
        forwarder.in_flight += 1
        door.exchange = self

    # -- what domain.attempts, the forwarder and the parts ask

    @property
    def supplies(self) -> Supplies:
        """Clock and connections."""
        return self.forwarder

    @property
    def peer(self) -> Peer:
        """Who sent the request."""
        return self.door.peer

    @property
    def method(self) -> bytes:
        """The request's."""
        return self.head.method

    @property
    def complete(self) -> bool:
        """The client has sent all of the request."""
        upload = self.upload
        return upload is None or upload.complete

    @property
    def replayable(self) -> bool:
        """All of the request is there to be sent once more."""
        upload = self.upload
        return upload is None or upload.replayable

    @property
    def idempotent(self) -> bool:
        """Done twice it does no more than once, or the origin tells it apart."""
        head = self.head
        if head.idempotent:
            return True
        block = head.block
        key = block.get(b"idempotency-key")
        if key not in NO_KEY and b"idempotency-key" not in block.connection:
            return True
        return self.forwarder.policy.repeats_grpc and is_grpc(head)

    @property
    def sent(self) -> bool:
        """A byte of the current attempt may have reached its node."""
        return self.client is not None

    # -- attempts

    def send(self, lease: Lease, now: float) -> None:
        """Ask the node of `lease`, on an idle connection or a new one."""
        forwarder = self.forwarder
        head = self.head
        node = lease.node
        upstreams = forwarder.upstreams
        known = upstreams.known.get(node)
        if known is None or known[0] is not node.target:
            upstream = upstreams.of(node, self.door.peer)
        else:
            upstream = known[1]
        client = upstream.take(not head.idempotent)
        if client is None:
            self._connect(upstream)
        elif head.plain and self.identity is None:
            self.client = client
            host = b"" if forwarder.keeps_host else forwarder.host_for(head, node)
            peer = self.door.peer
            lines = peer.last if head.block.host == peer.host else peer.lines(head)
            client.send(self, head, host, lines, b"", True, now)
        else:
            self._send(client, now)

    def _connect(self, upstream: Upstream) -> None:
        lease = self.lease
        assert lease is not None
        connecting = self._connecting = Connecting(
            upstream, lease, self._connected, self._unconnected
        )
        connecting.open()

    def _connected(self, client: DoorOut) -> None:
        self._connecting = None
        self._send(client, self.forwarder.now())

    def _unconnected(self, error: ProxyError) -> None:
        self._connecting = None
        self.withdraw()
        self.failed(error, self.forwarder.now())

    def _send(self, client: DoorOut, now: float) -> None:
        """Send the head and what there is of the body."""
        self.client = client
        assert self.node is not None
        self.send_on(client, self, self.node, now)
        if self.upload is not None:
            self.upload.begin(client, now)

    def send_on(
        self, client: DoorOut, sink: ResponseSink, node: Node, now: float
    ) -> None:
        """Send the request to `node` on `client`, as far as it is there."""
        head, upload = self.head, self.upload
        host = self.forwarder.host_for(head, node)
        lines = self.door.peer.lines(head)
        if self.identity is not None:
            lines += self.identity.lines
        if upload is None:
            client.send(sink, head, host, lines, b"", True, now)
        else:
            body, complete, trailers = upload.so_far()
            client.send(sink, head, host, lines, body, complete, now)
            if trailers:
                client.finish(trailers)

    def withdraw(self) -> None:
        """The current attempt is given up."""
        client, self.client = self.client, None
        self._end_relays()
        super().withdraw()
        if client is not None:
            client.cancel()

    # -- what becomes of attempts, for the record

    def dropped(self, lease: Lease, error: ProxyError, now: float) -> None:
        """The attempt of `lease` has ended in `error`."""
        super().dropped(lease, error, now)
        if self.trace is not None:
            self.trace.failed(lease.node, error)

    def hedge_over(self, lease: Lease, now: float) -> None:
        """A hedge has ended without an answer."""
        seconds = now - lease.started
        if self.lease is not None:
            self.past += ((lease.node, 0, seconds, None),)
        else:  # the first attempt was over before
            self.turned_over()
            self.node = lease.node
            self.upstream_seconds = seconds

    def failure_of(self, status: int) -> ProxyError | int:
        """UNAVAILABLE of gRPC is tried again where its own word says so."""
        if self.grpc == UNAVAILABLE and self.forwarder.policy.repeats_grpc:
            return GrpcUnavailable("grpc-status 14")
        return status

    # -- hedges

    def hedge_after(self, seconds: float, lease: Lease) -> None:
        """A second attempt may be due then."""
        if not self.head.block.upgrade:
            self._hedge = HedgeLine(self, seconds, lease)

    def send_hedge(self, lease: Lease, now: float) -> None:
        """Make it."""
        if self._hedge is not None:
            self._hedge.send(lease, now)

    def withdraw_hedge(self) -> None:
        """It is given up, or not waited for any more."""
        hedge, self._hedge = self._hedge, None
        if hedge is not None:
            hedge.cancel()

    def hedge_brought(self, client: DoorOut, head: ResponseHead, framing: int) -> None:
        """The hedge has the head of an answer, on `client`."""
        self._hedge = None
        now = self.forwarder.now()
        if self.lease is not None:
            self.upstream_seconds = now - self.lease.started
        self.hedge_answered(now)
        self.client = client
        client.deliver_to(self)
        self.response_head(head, framing)

    # -- answers that are held back

    def hold(self, lease: Lease, answer: tuple[ResponseHead, int], now: float) -> None:
        """Keep the answer that has just come on `client`."""
        client, self.client = self.client, None
        assert client is not None
        self.drop_held()
        self.upstream_seconds = now - lease.started
        self._held = Held(client, lease, *answer, now)

    def heed(self, lease: Lease, answer: tuple[ResponseHead, int], now: float) -> None:
        """It may ask to be left alone for a while."""
        seconds = self.forwarder.retry_after(answer[0])
        self.forwarder.grant_respite(lease.node, self.head.target, seconds, now)

    def drop_held(self) -> None:
        """A better answer has come."""
        held, self._held = self._held, None
        if held is not None:
            held.discard()

    def deliver_held(self) -> bool:
        """Nothing better has come: pass on the answer that is kept."""
        held, self._held = self._held, None
        if held is None:
            return False
        self.error = None
        self.lease = lease = held.lease
        if self.node is not lease.node:
            self.turned_over()
            self.past = tuple([one for one in self.past if one[0] is not lease.node])
        self.node = lease.node
        self.client = held.client
        self.pass_on(held.head, held.framing)
        held.replay(self)
        return True

    # -- ResponseSink: what the door out tells us

    def response_interim(self, head: ResponseHead) -> None:
        """A 1xx: passed on, but a 100 only once and to a client that waits for it."""
        upload = self.upload
        # Another attempt's, or one that comes when the body does, is no news.
        if head.status == 100 and (upload is None or not upload.continued()):
            return
        self.door.interim(head.status, head.reason, head.block.without_length())
        if head.status == 100 and upload is not None:
            upload.go_on()

    def response_whole(self, head: ResponseHead, body: bytes, now: float) -> bool:
        """The answer in one piece: the common end of an exchange, in one go."""
        forwarder, lease, client = self.forwarder, self.lease, self.client
        status = head.status
        if (
            status not in forwarder.easy_statuses
            or self.attempts != 1  # there may be an answer held back
            or lease is None
            or client is None
        ):
            return False
        self.client = self.lease = None
        client.answered(now)
        lease.ended(now, status)
        self.status = self.upstream_status = status
        self.upstream_seconds = now - lease.started
        self.bytes_out = len(body)
        fields = head.block.kept
        if forwarder.marking:
            fields = forwarder.fields.marked(fields, head, self)
        door = self.door
        door.answer(status, head.reason, fields, body)
        if door.status and door.still_sending(self._has_left):
            return True
        forwarder.record(
            self,
            self.error,
            door.peer.listener,
            status,
            self.bytes_in,
            len(body),
            now - self.started,
            now,
        )
        return True

    def response_head(self, head: ResponseHead, framing: int) -> None:
        """The final head: pass it on, unless its status asks for another attempt."""
        self.upstream_status = status = head.status
        if head.version is HTTP_2:
            self.grpc = code = grpc_status(head.block.raw)
            if code:  # and nothing else will come
                status = as_http_status(code)
        if self.answered(status, (head, framing), self.forwarder.now()):
            self.pass_on(head, framing)

    def pass_on(self, head: ResponseHead, framing: int) -> None:
        """Begin the client's response with `head`."""
        self.status = self.upstream_status = status = head.status
        self.answering = True
        fields = self.forwarder.fields.of(head, framing, self)
        never = head.block.never
        if never:
            self.door.keep_unindexed(never)
        self.door.start(status, head.reason, fields, framing)

    def response_data(self, data: bytes) -> None:
        """Body bytes from the backend."""
        self.bytes_out += len(data)
        self.door.write(data)

    def response_end(self, trailers: bytes, last: bytes = b"") -> None:
        """The response is complete with `last`."""
        self.client = None
        self.bytes_out += len(last)
        code = grpc_status(trailers) if trailers else self.grpc
        self._leave(self.lease, code)
        self._end_relays()
        self.door.finish(trailers, last)
        self._over()

    def upstream_failed(self, error: ProxyError) -> None:
        """The connection of this attempt is gone."""
        self._end_relays()
        self.client = None
        lease = self.lease
        if lease is None:
            return
        if self._may_go_on_there(lease.node, error):
            self._connect(self.forwarder.upstreams.of(lease.node, self.door.peer))
        else:
            self.failed(error, self.forwarder.now())

    def _may_go_on_there(self, node: Node, error: ProxyError) -> bool:
        """The node is not to blame, and another connection to it may do."""
        if node.closed or self.forwarder.pool.nodes.get(node.id) is not node:
            return False  # it may have been the end of a drain that cut the connection
        if isinstance(error, NotProcessed):
            # Whatever the method, if there is something to repeat.
            error.nothing_sent = again = self.replayable and not self.answering
        else:
            again = isinstance(error, StaleConnection) and self.repeatable
        if not again or self.moves >= MOST_MOVES:
            return False
        self.moves += 1
        return True

    def pause_request(self) -> None:
        """The backend reads slower than the client sends."""
        if self.upload is not None:
            self.upload.pause()

    def resume_request(self) -> None:
        """The backend reads on."""
        if self.upload is not None:
            self.upload.resume()

    # -- RequestSink: what the door in tells us

    def request_data(self, data: bytes) -> None:
        """Body bytes from the client."""
        assert self.upload is not None
        self.upload.data(data)

    def request_end(self, trailers: bytes) -> None:
        """The body is complete."""
        assert self.upload is not None
        self.upload.end(trailers)

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

    def downstream_failed(self, error: ProxyError) -> None:
        """The client is gone: stop the work done for it. Nobody is blamed."""
        self.error = error
        self._cancel()
        if not self.status:
            self.status = 499 if isinstance(error, DownstreamGone) else status_of(error)
        self._over()

    def response_changed(self, status: int, size: int) -> None:
        """A chain has made something else of the answer."""
        self.status = status
        self.bytes_out = size

    def response_unwanted(self) -> None:
        """The client has another answer in place of the rest of this one."""
        self._cancel()
        self._over()

    # -- relays: long bodies stay in the kernel

    def response_waits(self) -> None:
        """More is to come: let the client have what there is."""
        self.door.flush()

    def relay_response(self, source: Any, left: int | None) -> Relay | None:
        """Let a relay move the rest of the body, if one may."""
        return download(self, source, left)

    def _end_relays(self) -> None:
        """Stop those at work, and count what they have moved."""
        if self.download is not None:
            self.download.end()
        if self.upload is not None:
            self.upload.end_relay()

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
            self.give_up(BadResponse("upgrade that cannot be served"))
            return
        self.status = self.upstream_status = status = head.status
        self.answering = True
        forwarder = self.forwarder
        other = client.raw()
        if status == 101:
            fields = forwarder.fields.of_upgrade(head, self)
            self.door.interim(101, head.reason, fields)
        else:
            self.door.opened(other.transport)
        lease.succeeded(forwarder.now(), status)
        self.client = None
        Tunnel(
            end,
            other,
            self._tunnel_closed,
            deadlines=forwarder.deadlines,
            half_closed=forwarder.half_closed,
            idle=forwarder.idle,
            frames=status == 101,
        )

    def _tunnel_closed(self, sent: int, received: int) -> None:
        self.bytes_in += sent
        self.bytes_out += received
        lease, since = self.lease, None
        if lease is not None:  # what follows the answer is no part of how long it took
            since = lease.asked + lease.seconds
        self._leave(lease)
        self.door.tunnel_closed()
        self._over(since)

    def stood_still(self, seconds: float, now: float) -> None:
        """The process did: the node is not slow for that."""
        if self.lease is not None:
            self.lease.forgive(seconds, now)

    # -- the end

    def _leave(self, lease: Lease | None, grpc: int = 0) -> None:
        """The current attempt has ended well, or in the status of a `grpc` call."""
        self.lease = None
        if lease is not None:
            now = self.forwarder.now()
            status = self.upstream_status
            if grpc:
                lease.status = status = as_http_status(grpc)
            lease.ended(now, status)
            self.upstream_seconds = now - lease.started

    def _cancel(self) -> None:
        lease, now = self.lease, self.forwarder.now()
        if lease is not None:
            self.upstream_seconds = now - lease.started
        self.stop(now)

    def refuse(self, error: ProxyError) -> None:
        """No attempt is left: tell the client."""
        self.error = error
        if self.answering:
            self.door.abort(error.code)
        else:
            self.status = status_of(error)
            identity = self.identity
            size = reply(
                self.door,
                self.status,
                token=error.token,
                extra=fields_of(error) + (b"" if identity is None else identity.echo),
                is_head=self.head.is_head,
            )
            self.bytes_out = self.bytes_out or size  # a chain may have answered more
        self._over()

    def _over(self, since: float | None = None) -> None:
        """The exchange is over: count it, log it, forget the others. `since`: for how long it took; None: now."""
        self.drop_held()
        forwarder = self.forwarder
        if not forwarder.policy.direct:
            self.withdraw_hedge()
            forwarder.deadlines.discard(self)
        if since is not None:
            self._record(since)
        elif not self.door.status or not self.door.still_sending(self._has_left):
            self._record(forwarder.now())

    def _has_left(self, error: ProxyError | None) -> None:
        """What something in front had to send yet of the answer is over, by `error` or at its end."""
        self.error = self.error or error
        self._record(self.forwarder.now())

    def _record(self, now: float) -> None:
        self.forwarder.record(
            self,
            self.error,
            self.door.peer.listener,
            self.status,
            self.bytes_in,
            self.bytes_out,
            now - self.started,
            now,
        )
