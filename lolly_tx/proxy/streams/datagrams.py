"""A stream of datagrams: its clients' sessions, each with a target of the pool.

The target is chosen once for a session, by the pool's lease, and the lease lasts as long as the session: what balances,
limits and judges elsewhere does so here. Somebody who refuses (ICMP) is held to have failed; the first answer is what
counts for a target, and for its latency.

Imports: domain, net, net.datagrams, net.sockets, proxy, proxy.chains, proxy.streams,
Twisted. Used by: service, service.metrics, simulate.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from lolly_tx.domain.errors import NoTarget, ProxyError
from lolly_tx.domain.node import Node
from lolly_tx.net.datagrams.session import (
    NO_TARGET,
    DatagramSession,
    DatagramsRefused,
)
from lolly_tx.net.datagrams.sockets import UNREACHED
from lolly_tx.net.deadlines import NEVER
from lolly_tx.net.doors import Peer
from lolly_tx.net.failures import translate
from lolly_tx.net.sockets.dialing import is_literal
from lolly_tx.proxy.asked import Along
from lolly_tx.proxy.chains.link import Link
from lolly_tx.proxy.forwarder import Forwarder
from lolly_tx.proxy.streams.datagramrecord import DATAGRAMS, DatagramRecord, peer_of
from lolly_tx.proxy.streams.streaming import StreamCounters
from lolly_tx.proxy.streams.streampassage import StreamPassage

Resolve = Callable[[str], Deferred[Any]]

MOST_TRIED = 4
"""Targets that are tried for one session while none of them can be sent to from here."""


class DatagramCounters(StreamCounters):
    """What became of the sessions of a stream.

    `datagrams`, `answers`: passed on to targets and to clients, of sessions that are over. `dropped_up`,
    `dropped_down`: not passed on, by why.
    """

    def __init__(self) -> None:
        super().__init__()
        self.datagrams = 0
        self.answers = 0
        self.dropped_up: dict[str, int] = {}
        self.dropped_down: dict[str, int] = {}


class _Visit:
    """What is known of a session: who its client is, the pool it began with, and its way through middleware."""

    __slots__ = ("forwarder", "passage", "peer", "refused_by")

    def __init__(self, peer: Peer, forwarder: Forwarder) -> None:
        self.peer = peer
        self.forwarder = forwarder
        self.passage: StreamPassage | None = None
        self.refused_by = ""


class DatagramStreaming:
    """Serves one stream (`net.datagrams.session.DatagramSite`).

    `forwarder_of`: who has the pool now; called for each session. `links()`: the middleware in force; `along`: what it
    knows of all sessions. `idle`: seconds that end a session. `parting`: those it may go on for when its target is no
    more. `header_of`: what goes in front of a client's datagrams to targets.
    """

    log: ClassVar[Logger] = Logger()

    def __init__(
        self,
        name: str,
        forwarder_of: Callable[[], Forwarder],
        resolve: Resolve,
        *,
        counters: DatagramCounters,
        links: Callable[[], Sequence[Link]],
        along: Along,
        idle: float,
        parting: float,
        header_of: Callable[[Peer], bytes],
    ) -> None:
        self.name = name
        self.counters = counters
        self.idle = idle
        self._forwarder_of = forwarder_of
        self._resolve = resolve
        self._links = links
        self._along = along
        self._parting = parting
        self._header_of = header_of

    # -- who gets a session, and with whom

    def find(self, session: DatagramSession, avoid: Sequence[Node]) -> None:
        """See `DatagramSite`."""
        forwarder = self._forwarder_of()
        forwarder.in_flight += 1
        peer = peer_of(session, self._along.route)
        session.notes = visit = _Visit(peer, forwarder)
        links = self._links()
        if not links:
            self._find(session, avoid, ())
            return
        visit.passage = StreamPassage(
            self._along,
            links,
            peer,
            DATAGRAMS,
            lambda: self._find(session, avoid, ()),
            lambda name, status: self._turn_away(session, name),
        )
        visit.passage.go_on()

    def _turn_away(self, session: DatagramSession, name: str) -> None:
        """Middleware does not want it."""
        session.notes.refused_by = name
        session.end(NO_TARGET, session.acceptor.now())

    def _find(
        self, session: DatagramSession, avoid: Sequence[Node], tried: Sequence[Node]
    ) -> None:
        now = session.acceptor.now()
        key = session.address.encode()
        try:
            lease = session.notes.forwarder.pool.acquire(now, key, tried, avoid=avoid)
        except NoTarget as error:
            session.fail(error)
            return
        session.lease = lease
        target = lease.node.target
        if is_literal(target.host):
            self._cb_found((target.host,), session, tried)
            return
        finding = self._resolve(target.host)
        session.finding = finding
        finding.addCallbacks(
            self._cb_found,
            self._eb_not_found,
            callbackArgs=(session, tried),
            errbackArgs=(session, tried),
        )
        finding.addErrback(self._eb_broken, session)

    def _cb_found(
        self, addresses: Sequence[str], session: DatagramSession, tried: Sequence[Node]
    ) -> None:
        session.finding = None
        lease = session.lease
        if session.closed or lease is None:
            return
        node = lease.node
        # With several addresses, a failure has the next session try the next one.
        address = addresses[node.stats.failures % len(addresses)]
        session.header = self._header_of(session.notes.peer)
        try:
            session.open(address, node.target.port)
        except OSError as error:
            said = translate(error, connecting=True)
            if error.errno in UNREACHED:
                said = DatagramsRefused(said.detail)
            self._next(session, said, tried)

    def _eb_not_found(
        self, reason: Failure, session: DatagramSession, tried: Sequence[Node]
    ) -> None:
        session.finding = None
        if not session.closed:
            self._next(session, translate(reason, connecting=True), tried)

    def _eb_broken(self, reason: Failure, session: DatagramSession) -> None:
        self.log.failure("A session of stream {name} broke", reason, name=self.name)
        session.fail(ProxyError("a bug of ours"))

    def _next(
        self, session: DatagramSession, error: ProxyError, tried: Sequence[Node]
    ) -> None:
        """The target cannot be sent to: somebody else, if it is its doing and others are there."""
        lease, now = session.lease, session.acceptor.now()
        assert lease is not None
        if not error.blames or len(tried) + 1 >= MOST_TRIED:
            session.fail(error)
            return
        session.lease = None
        lease.failed(now, error)
        lease.release(now)
        self._find(session, (), (*tried, lease.node))

    def stays(self, node: Node, since: float, now: float) -> bool:
        """See `DatagramSite`.

        A drain lets sessions go on until its deadline. A target that is down, refuses, or is told to be down keeps
        those that have nobody else to go to; one that was removed keeps them for a while.
        """
        if since == NEVER:
            return True
        pool = self._forwarder_of().pool
        if pool.nodes.get(node.id) is not node:
            return now < since + self._parting
        if not node.closed and node.well and node.ejection != "ejected":
            return True
        return not pool.available(now)

    # -- what became of them

    def dropped(self, why: str, upwards: bool) -> None:
        """See `DatagramSite`."""
        counters = self.counters
        dropped = counters.dropped_up if upwards else counters.dropped_down
        dropped[why] = dropped.get(why, 0) + 1

    def over(self, session: DatagramSession, error: ProxyError | None) -> None:
        """See `DatagramSite`."""
        counters, why = self.counters, session.why
        visit: _Visit = session.notes
        if visit.passage is not None:
            visit.passage.over()
        node = session.node
        if why == NO_TARGET or node is None:
            # Nothing but counted: whoever forges addresses would fill the logs.
            visit.forwarder.in_flight -= 1
            token = "none" if error is None else error.token
            counters.refuse(visit.refused_by or token)
        else:
            counters.end(session.sent, session.received, why)
            counters.datagrams += session.datagrams
            counters.answers += session.answers
            record = DatagramRecord(visit.forwarder, session, visit.peer, node)
            took = record.upstream_seconds
            visit.forwarder.record(
                record,
                record.error,
                visit.peer.listener,
                record.status,
                record.bytes_in,
                record.bytes_out,
                took,
                session.acceptor.now(),
            )
        self.log.debug(
            "stream {stream}: session of {client} is over: {why} {error}",
            stream=self.name,
            client=session.address,
            why=why,
            error="" if error is None else error,
        )
