"""A whole proxy in memory: clients, a listener, routes, pools and backends.

    client = world.client()           a client's connection (a `Line`)
    client.send(b"GET / ...")         bytes from the client
    backend = world.accept("a")       the backend's end of the oldest connect to node a
    backend.take()                    what the proxy sent it
    backend.send(b"HTTP/1.1 200 ...") its answer
    client.take()                     what the client got

Time is `world.clock`. Nothing happens by itself but what the test advances.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.error import (
    ConnectionAborted,
    ConnectionLost,
    ConnectionRefusedError,
)
from twisted.internet.main import CONNECTION_DONE
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.domain.access.forwarded import TrustedPeers
from lolly_tx.domain.retries.policy import Policy
from lolly_tx.domain.retries.retry import RetryPolicy
from lolly_tx.domain.routing.routes import Pattern, RouteTable
from lolly_tx.net.deadlines import Deadlines
from lolly_tx.net.http1.client import Http1Client
from lolly_tx.net.http1.shared import ClientTimeouts, Http1Settings
from lolly_tx.net.http2.client import Http2Client
from lolly_tx.net.http2.client_shared import ClientShared
from lolly_tx.net.http2.listening import http_acceptor
from lolly_tx.net.http2.shared import Http2Settings
from lolly_tx.net.multiplexed import Multiplexed
from lolly_tx.net.per_client import PerClient
from lolly_tx.net.sockets.acceptor import Census
from lolly_tx.net.turn import Turn
from lolly_tx.net.upstreams import Upstream, UpstreamLimits, Upstreams
from lolly_tx.proxy.exchange import Exchange
from lolly_tx.proxy.forwarder import Forwarder
from lolly_tx.proxy.introduction import Introduction
from lolly_tx.proxy.proxy import Proxy
from lolly_tx.proxy.route import ToPool
from lolly_tx.wire.grammar import HeadLimits
from lolly_tx.wire.http1 import ResponseReader
from tests.domain.pools import pool_of
from tests.net.connects import Attempt, FakeEndpoint
from tests.net.fakes import MemoryTransport

UPSTREAM_LIMITS = UpstreamLimits()
CLIENT_TIMEOUTS = ClientTimeouts()
HEAD_LIMITS = HeadLimits()

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nDate: d\r\nContent-Length: 2\r\n\r\nok"


def get(path: str = "/", extra: str = "", version: str = "1.1") -> bytes:
    """A GET request."""
    return f"GET {path} HTTP/{version}\r\nHost: x\r\n{extra}\r\n".encode()


def post(
    length: int, body: bytes = b"", method: str = "POST", extra: str = ""
) -> bytes:
    """A request that promises `length` bytes of body, and begins with `body`."""
    head = f"{method} / HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n{extra}\r\n"
    return head.encode() + body


def chunked(*chunks: bytes, method: str = "POST", end: bytes = b"") -> bytes:
    """A request with a chunked body; `end` b"" leaves it open."""
    head = f"{method} / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head.encode() + b"".join(b"%x\r\n%b\r\n" % (len(c), c) for c in chunks) + end


def answer(body: bytes = b"ok", status: int = 200, extra: str = "") -> bytes:
    """A response with a length."""
    return (
        f"HTTP/1.1 {status} R\r\nDate: d\r\n{extra}Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body


class Line(MemoryTransport):
    """One connection in memory, as the proxy's transport and as the peer sees it.

    What the peer sends waits while the proxy does not read. `queued`: bytes that the
    proxy wrote and the peer has not taken (see `stop_reading`). `in_kernel`: what has left
    that queue and not yet arrived.
    """

    def __init__(self, clock: Clock, client: str = "") -> None:
        super().__init__(lenient=True)
        self.clock = clock
        self.protocol: Any = None
        self.aborted = False
        self.lost = False
        self.stuck = False
        self.in_kernel = 0
        self.inbox: list[bytes | None] = []
        self.peerAddr = IPv4Address("TCP", client or "192.0.2.1", 4000)
        self.delivering = False

    # -- the proxy's side

    def write(self, data: bytes) -> None:
        """Take bytes, or queue them while the peer does not read."""
        assert data.__class__ is bytes, type(data)
        if self.lost or self.aborted or self.disconnecting or self.half_closed:
            return
        super().write(data)
        if self.stuck:
            self.queued += len(data)
            if self.queued > 65536 and self.producer is not None:
                self.producer.pauseProducing()

    def untaken_bytes(self) -> int:
        """What waits here, and what the test says the kernel has."""
        return self.queued + self.in_kernel

    def loseConnection(self) -> None:
        """Close when all is sent."""
        if not self.disconnecting and not self.lost:
            self.disconnecting = True
            if not self.queued:
                self.clock.callLater(0, self.lose)

    def abortConnection(self) -> None:
        """Close at once, in the reactor's next round."""
        if not self.aborted and not self.lost:
            self.aborted = True
            self.disconnecting = True
            self.clock.callLater(0, self.lose, ConnectionAborted())

    def unregisterProducer(self) -> None:
        """Repeated, it does nothing, as in Twisted's own transports."""
        self.producer = None

    def resumeProducing(self) -> None:
        """Read again; what waited arrives in the next round."""
        self.producerState = "producing"
        if self.inbox:
            self.clock.callLater(0, self._deliver)

    def pauseProducing(self) -> None:
        """Read no more."""
        self.producerState = "paused"

    def getHandle(self) -> Any:
        """The socket, as far as the proxy peeks at it."""
        return self

    def recv(self, size: int, flags: int) -> bytes:
        """Peek."""
        if not self.inbox and not self.lost:
            raise BlockingIOError
        return (self.inbox and self.inbox[0]) or b""

    # -- the peer's side

    def send(self, data: bytes, size: int | None = None) -> None:
        """Send bytes, in pieces of `size`."""
        for at in range(0, len(data), size or len(data)):
            self.inbox.append(data[at : at + (size or len(data))])
            self._deliver()

    def end(self) -> None:
        """Shut the sending side down."""
        self.inbox.append(None)
        self._deliver()

    def _deliver(self) -> None:
        while self.inbox and not (self.paused or self.lost or self.aborted):
            if self.disconnecting:
                return
            data = self.inbox.pop(0)
            if data is None:
                self.protocol.readConnectionLost()
            else:
                self.protocol.dataReceived(data)

    def take(self) -> bytes:
        """What the proxy has written since the last time."""
        data: bytes = self.value()
        self.clear()
        return data

    def stop_reading(self) -> None:
        """Take no more bytes: the proxy's writes queue up."""
        self.stuck = True

    def read_some(self, count: int) -> None:
        """Take a little, not enough to empty the queue."""
        self.queued -= count

    def read_on(self) -> None:
        """Take everything again."""
        self.stuck = False
        self.queued = 0
        if self.producer is not None:
            self.producer.resumeProducing()
        if self.disconnecting and not self.aborted and not self.lost:
            self.clock.callLater(0, self.lose)

    def lose(self, reason: Exception = CONNECTION_DONE) -> None:
        """The connection is gone."""
        if not self.lost:
            self.lost = True
            self.connected = False
            self.protocol.connectionLost(Failure(reason))

    def reset(self) -> None:
        """The peer sends a RST."""
        self.lose(ConnectionLost())

    @property
    def closed(self) -> bool:
        """The proxy has closed the connection, in good order."""
        return self.disconnecting and not self.aborted


class World:
    """See the module. `nodes`: ids of the backends. `make`: makes another forwarder."""

    def __init__(
        self,
        *nodes: Any,
        tries: int = 2,
        on: tuple[str, ...] = ("connect", "timeout", "reset"),
        upstream: UpstreamLimits = UPSTREAM_LIMITS,
        timeouts: ClientTimeouts = CLIENT_TIMEOUTS,
        limits: HeadLimits = HEAD_LIMITS,
        census: Census | None = None,
        path: str = "/",
        trusted: Any = (),
        host: str = "preserve",
        via: str = "",
        hop: bytes = b"",
        attempts: dict[str, Any] | None = None,
        make: Callable[[World], Forwarder] | None = None,
        secure: bool = False,
        most: int = 0,
        http2: Http2Settings | None = None,
        per_client: Callable[[Any, Any], Any] | None = None,
        protocol: str = "http1",
        **acceptor: Any,
    ) -> None:
        self.clock = Clock()
        self.deadlines = Deadlines(self.clock, self.clock.seconds)
        self.deadlines.start()
        self.ended: list[Exchange] = []
        self.forgotten = 0
        """Those that were let go of."""
        self.refusals: list[tuple[Any, int, str]] = []
        self.lines: list[Line] = []
        self.endpoints: dict[str, FakeEndpoint] = {}
        self.upstreams: dict[str, Upstream] = {}
        self.upstream_limits = upstream
        self.per_client = per_client
        self.protocol = protocol
        self.forwarder = (
            make(self)
            if make
            else Forwarder(
                pool_of(*(nodes or ("a",))),
                upstreams=Upstreams(self.connect_to),
                policy=Policy(retry=RetryPolicy(tries=tries, on=on), **attempts or {}),
                deadlines=self.deadlines,
                clock=self.clock,
                wall=self.clock.seconds,
                random=Random(1),
                host=host,
                via=via,
                on_end=self.ended.append,
            )
        )
        self.pool = self.forwarder.pool
        self.proxy = Proxy(
            RouteTable([Pattern((), path, ToPool(self.forwarder))]),
            Introduction(TrustedPeers(trusted), via=via, hop=hop),
            lambda door, head, status, size, why, **_: self.refusals.append(
                (head, status, why)
            ),
        )
        self.acceptor = http_acceptor(
            "web",
            self.proxy,
            secure=secure,
            deadlines=self.deadlines,
            census=census or Census(0, 0),
            settings=Http1Settings(timeouts, limits, **acceptor),
            most=most,
            http2=http2,
        )

    def connect_to(self, target: Any) -> Upstream:
        endpoint = self.endpoints.setdefault(target.id, FakeEndpoint())
        kind: Callable[..., Upstream] = Upstream
        if self.per_client is not None:
            introduce = partial(self.per_client, endpoint)
            kind = partial(PerClient, introduce=introduce)
        make: Callable[..., Any] = partial(Http1Client, ResponseReader())
        if self.protocol != "http1":
            kind = Multiplexed
            shared = ClientShared.of(
                self.protocol == "h2", HeadLimits(), Turn(self.clock)
            )
            make = partial(Http2Client, shared)
        upstream = kind(
            endpoint,
            make,
            deadlines=self.deadlines,
            limits=self.upstream_limits,
        )
        self.upstreams[target.id] = upstream
        return upstream

    def client(self, address: str = "192.0.2.1") -> Line:
        """A client connects."""
        line = Line(self.clock, address)
        line.protocol = self.acceptor.buildProtocol(line.peerAddr)
        self.lines.append(line)
        line.protocol.makeConnection(line)
        return line

    def connects(self, node: str = "a") -> list[Attempt]:
        """The attempts to connect to a node that are not decided yet."""
        endpoint = self.endpoints.get(node)
        return [
            attempt
            for attempt in (endpoint.attempts if endpoint else [])
            if attempt.protocol is None and not attempt.result.called
        ]

    def accept(self, node: str = "a") -> Line:
        """The backend accepts the oldest undecided connect."""
        line = Line(self.clock)
        self.lines.append(line)
        attempt = self.connects(node)[0]
        line.protocol = attempt.factory.buildProtocol(None)
        attempt.protocol = line.protocol
        line.protocol.makeConnection(line)
        attempt.result.callback(line.protocol)
        return line

    def refuse(self, node: str = "a", error: Exception | None = None) -> None:
        """The backend refuses it."""
        self.connects(node)[0].refuse(error or ConnectionRefusedError())

    def pass_time(self, seconds: float = 0.0) -> None:
        """Advance the clock as a reactor would, in steps."""
        self.clock.advance(0)
        left = seconds
        while left > 1e-9:
            step = min(0.05, left)
            self.clock.advance(step)
            left -= step
        self.clock.advance(0)

    def forget(self) -> None:
        """Let go of the exchanges that are over."""
        self.forgotten += len(self.ended)
        self.ended.clear()

    @property
    def in_flight(self) -> dict[str, int]:
        """Leases that are out, by node."""
        return {n.id: n.in_flight for n in self.pool.nodes.values() if n.in_flight}


class WorldTestCase(SynchronousTestCase):
    """Checks after each test that nothing is left over."""

    def world(self, *nodes: Any, **settings: Any) -> World:
        """A fresh one."""
        world = World(*nodes, **settings)
        self.addCleanup(self._check, world)
        return world

    def _check(self, world: World) -> None:
        """All connections lost, no lease is out and each exchange was recorded once."""
        world.pass_time()
        for line in world.lines:
            line.lose()
        world.pass_time()
        for endpoint in world.endpoints.values():
            for attempt in endpoint.attempts:
                self.assertTrue(attempt.result.called, "a connect was left alone")
        self.assertEqual(world.in_flight, {})
        self.assertEqual(world.forwarder.in_flight, 0)
        self.assertEqual(len(world.ended), len({id(e) for e in world.ended}))
        over = world.forgotten + len(world.ended)
        self.assertEqual(world.forwarder.counters.exchanges, over)
        self.assertEqual(world.acceptor.doors, {})
        self.assertEqual(world.acceptor.census.open, 0)
        self.assertEqual(len(world.deadlines), 0)
        for upstream in world.upstreams.values():
            self.assertEqual((upstream.open, upstream.idle), (0, 0))
        for exchange in world.ended:
            self.assertIsNone(exchange.client)
            self.assertIsNone(exchange.lease)
            self.assertGreater(exchange.status, 0)
        world.deadlines.stop()
        left = [c for c in world.clock.getDelayedCalls() if c.active()]
        self.assertEqual(left, [])
        self.assertEqual(self.flushLoggedErrors(), [])

    def assert_nobody_blamed(self, world: World) -> None:
        """No node has a failure on its record."""
        for node in world.pool.nodes.values():
            self.assertEqual(node.stats.failures, 0)
