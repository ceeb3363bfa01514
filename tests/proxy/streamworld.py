"""A stream in memory: its clients, its pools, and the targets that are asked."""

from __future__ import annotations

from random import Random
from typing import Any

from twisted.internet.task import Clock

from lolly_tx.config.streams import Stream
from lolly_tx.domain.access.forwarded import TrustedPeers
from lolly_tx.domain.retries.policy import Policy
from lolly_tx.domain.target import Target
from lolly_tx.net.deadlines import Deadlines
from lolly_tx.net.sockets.acceptor import Census
from lolly_tx.net.streams.listening import stream_acceptor
from lolly_tx.net.upstreams import Upstream, UpstreamLimits, Upstreams
from lolly_tx.proxy.asked import Along
from lolly_tx.proxy.chains.link import Link
from lolly_tx.proxy.forwarder import Forwarder
from lolly_tx.proxy.keys import by_client
from lolly_tx.proxy.streams.session import Session
from lolly_tx.proxy.streams.streaming import StreamCounters, Streaming
from tests.domain.pools import pool_of, target
from tests.net.connects import FakeEndpoint
from tests.proxy.world import Line


class StreamWorld:
    """A stream whose pools are "app" (`targets`, by default a and b) and "other" (target c).

    `links`: its middleware. `policy(deadlines)`: of its pools. `max_conns`: of the targets of "app". `ended`: the
    sessions that are over; `refused`: clients that no pool has seen, as status and why.
    """

    def __init__(
        self,
        pool: str = "app",
        names: dict[str, str] | None = None,
        policy: Any = None,
        max_conns: int = 0,
        most: int = 0,
        targets: str = "ab",
        **settings: Any,
    ) -> None:
        self.clock = Clock()
        self.deadlines = Deadlines(self.clock, self.clock.seconds)
        self.deadlines.start()
        self.policy = Policy() if policy is None else policy(self.deadlines)
        self.endpoints: dict[str, FakeEndpoint] = {}
        self.pools = {
            "app": pool_of(
                *(target(n, max_conns=max_conns) for n in targets), **settings
            ),
            "other": pool_of("c"),
        }
        self.links: list[Link] = []
        self.ended: list[Session] = []
        self.refused: list[tuple[int, str]] = []
        self.counters = StreamCounters()
        self.lines: list[Line] = []
        self.forwarders = {n: self._forwarder(p) for n, p in self.pools.items()}
        stream = Stream("s", "tcp:1", pool=pool, sni=names or {})
        self.site = Streaming(
            "s",
            stream.pool_of,
            self.forwarders.__getitem__,
            by_name=bool(names),
            counters=self.counters,
            links=lambda: self.links,
            along=Along(
                "stream s", client_of=lambda peer, head: peer.address, wall=lambda: 0.0
            ),
            refused=lambda door, head, status, why: self.refused.append((status, why)),
            hello_seconds=5.0,
            half_closed=60.0,
            idle=30.0,
            write_seconds=10.0,
        )
        self.acceptor = stream_acceptor(
            "stream s",
            self.site,
            deadlines=self.deadlines,
            census=Census(0, 0),
            most=most,
        )

    def _forwarder(self, pool: Any) -> Forwarder:
        return Forwarder(
            pool,
            upstreams=Upstreams(self._connect_to),
            policy=self.policy,
            deadlines=self.deadlines,
            clock=self.clock,
            wall=self.clock.seconds,
            random=Random(1),
            key=by_client(TrustedPeers(())),
            on_end=self.ended.append,
        )

    def _connect_to(self, target: Target) -> Upstream:
        endpoint: Any = self.endpoints.setdefault(target.id, FakeEndpoint())
        made: Any = None  # nobody keeps connections of streams
        return Upstream(
            endpoint, made, deadlines=self.deadlines, limits=UpstreamLimits()
        )

    def client(self, address: str = "192.0.2.1") -> Line:
        """One connects."""
        line = Line(self.clock, address)
        line.protocol = self.acceptor.buildProtocol(line.peerAddr)
        self.lines.append(line)
        if line.protocol is None:
            line.lose()
        else:
            line.protocol.makeConnection(line)
        return line

    def attempts(self) -> dict[str, Any]:
        """The connects that are not decided, by target."""
        return {
            name: attempt
            for name, endpoint in self.endpoints.items()
            for attempt in endpoint.attempts
            if attempt.protocol is None and not attempt.result.called
        }

    def accept(self, which: str = "") -> Line:
        """The target that is asked accepts; `which`: if there are several."""
        attempts = self.attempts()
        if which:
            attempt = attempts[which]
        else:
            [attempt] = attempts.values()
        line = Line(self.clock)
        self.lines.append(line)
        line.protocol = attempt.factory.buildProtocol(None)
        attempt.protocol = line.protocol
        line.protocol.makeConnection(line)
        attempt.result.callback(line.protocol)
        return line

    def refuse(self, error: Exception) -> None:
        """The target that is asked does not accept."""
        [attempt] = self.attempts().values()
        attempt.refuse(error)

    def joined(self) -> tuple[Line, Line]:
        """A client and its target."""
        client = self.client()
        return client, self.accept()

    @property
    def nodes(self) -> list[Any]:
        """Of both pools."""
        return [n for pool in self.pools.values() for n in pool.nodes.values()]

    @property
    def in_flight(self) -> int:
        """Leases that are out."""
        return sum(node.in_flight for node in self.nodes)

    @property
    def failures(self) -> int:
        """Connects that were held against targets."""
        return sum(node.stats.connect_failures for node in self.nodes)

    @property
    def open(self) -> int:
        """Connections to targets, as the pools count them."""
        return sum(
            upstream.open
            for forwarder in self.forwarders.values()
            for _, upstream in forwarder.upstreams
        )

    def pass_time(self, seconds: float) -> None:
        """In steps, as a reactor would."""
        for _ in range(int(seconds * 10)):
            self.clock.advance(0.1)

    def at_base(self) -> bool:
        """Nothing is left of anybody: no door, lease, connection, session, nor anything with a deadline."""
        sessions = sum(one.in_flight for one in self.forwarders.values())
        return not (
            self.acceptor.doors
            or self.in_flight
            or self.open
            or sessions
            or len(self.deadlines)
            or len(self.clock.getDelayedCalls()) > 1  # the deadlines' own
        )
