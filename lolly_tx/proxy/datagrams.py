"""A stream of datagrams: its clients' sessions, each with a target of the pool.

The target is chosen once for a session, by the pool's lease, and the lease lasts as long as the session: what balances,
limits and judges elsewhere does so here. Somebody who refuses (ICMP) is held to have failed; the first answer is what
counts for a target, and for its latency.

Imports: domain, net, net.datagrams, net.sockets, proxy, Twisted. Used by: service.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from lolly_tx.domain.errors import NoTarget, ProxyError
from lolly_tx.domain.node import Node
from lolly_tx.domain.pool import Pool
from lolly_tx.net.datagrams.session import (
    NO_TARGET,
    DatagramSession,
    DatagramsRefused,
)
from lolly_tx.net.datagrams.sockets import UNREACHED
from lolly_tx.net.deadlines import NEVER
from lolly_tx.net.failures import translate
from lolly_tx.net.sockets.dialing import is_literal
from lolly_tx.proxy.streaming import StreamCounters

Resolve = Callable[[str], Deferred[Any]]

MOST_TRIED = 4
"""Targets that are tried for one session while none of them can be sent to from here."""


class DatagramCounters(StreamCounters):
    """What became of the sessions of a stream. `served`: those with a target that are over, `ended`: by how.

    `datagrams`, `answers`: passed on to targets and to clients. `dropped`: not passed on, by why, to targets ("up")
    and to clients ("down").
    """

    def __init__(self) -> None:
        super().__init__()
        self.datagrams = 0
        self.answers = 0
        self.ended: dict[str, int] = {}
        self.dropped_up: dict[str, int] = {}
        self.dropped_down: dict[str, int] = {}


class DatagramStreaming:
    """Serves one stream (`net.datagrams.session.DatagramSite`).

    `pool_of`: called for each session; settings may have changed. `idle`: seconds that end a session. `parting`: those
    it may go on for when its target is no more. `header_of`: what goes in front of its datagrams to targets.
    """

    log: ClassVar[Logger] = Logger()

    def __init__(
        self,
        name: str,
        pool_of: Callable[[], Pool],
        resolve: Resolve,
        *,
        counters: DatagramCounters,
        idle: float,
        parting: float,
        header_of: Callable[[DatagramSession], bytes] | None = None,
    ) -> None:
        self.name = name
        self.counters = counters
        self.idle = idle
        self._pool_of = pool_of
        self._resolve = resolve
        self._parting = parting
        self._header_of = header_of

    # -- who gets a session

    def why_not(self, client: str, now: float) -> str:
        """See `DatagramSite`."""
        return ""

    def refused(self, client: str, why: str) -> None:
        """See `DatagramSite`."""
        self.counters.refuse(why)

    # -- and with whom

    def find(self, session: DatagramSession, avoid: Sequence[Node]) -> None:
        """See `DatagramSite`."""
        self._find(session, avoid, ())

    def _find(
        self, session: DatagramSession, avoid: Sequence[Node], tried: Sequence[Node]
    ) -> None:
        now = session.acceptor.now()
        key = session.address.encode()
        try:
            lease = self._pool_of().acquire(now, key, tried, avoid=avoid)
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
        if self._header_of is not None:
            session.header = self._header_of(session)
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
        pool = self._pool_of()
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
        if why == NO_TARGET:
            counters.refuse("none" if error is None else error.token)
        else:
            counters.served += 1
            counters.sent += session.sent
            counters.received += session.received
            counters.datagrams += session.datagrams
            counters.answers += session.answers
            counters.ended[why] = counters.ended.get(why, 0) + 1
        self.log.debug(
            "stream {stream}: session of {client} is over: {why} {error}",
            stream=self.name,
            client=session.address,
            why=why,
            error="" if error is None else error,
        )
