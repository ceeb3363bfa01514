"""A pool as a Twisted endpoint: any client program gets the balancing, in process.

`BalancedEndpoint.connect` picks a node, connects, and tries another when that fails:

    acquire --> connect --ok--> the protocol has the connection; the lease ends with it
       ^           |
       |        refused, timed out, bad certificate: held against the node
       +-----------+   never the same node twice in one connect
    nobody left: the last failure; nobody available at all: AllDown, at once, without a SYN

`BalancedEndpointFactory` lets `twisted.web.client.Agent` and treq use it, one choice per
*connection*. A target that was reached has not answered yet, so there the verdict waits for
the answer to the first request (`net.library.holders`). An Agent that keeps connections asks
its factory for every request and uses the answer only for new ones, so with a persistent
pool requests stick to one target: `net.library.agent.BalancedAgent` chooses per request.

Imports: domain, domain.retries, net, net.library, net.sockets, Twisted. Used by:
lolly_tx, net.library.agent, net.library.client, net.library.directory,
net.library.pools, proxy, service, service.changes, service.checks.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import (
    IProtocol,
    IProtocolFactory,
    IReactorTime,
    IStreamClientEndpoint,
)
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer

from lolly_tx.domain.errors import (
    AllFull,
    ConnectTimedOut,
    NoTarget,
    ProxyError,
    TargetDown,
)
from lolly_tx.domain.node import Node
from lolly_tx.domain.pool import Lease, Pool
from lolly_tx.domain.retries.budget import RetryBudget
from lolly_tx.domain.retries.retry import RetryPolicy
from lolly_tx.domain.retries.tries import Tries
from lolly_tx.domain.target import Target
from lolly_tx.net.failures import is_cancellation
from lolly_tx.net.library.holders import AnswerFactory, LeaseFactory
from lolly_tx.net.library.tracker import Tracker
from lolly_tx.net.sockets.endpoints import CONNECT_TIMEOUT
from lolly_tx.net.timeout import within

if TYPE_CHECKING:
    from twisted.web.client import URI

ANSWER_TIMEOUT = 30.0
"""The default of `timeout.read`, in seconds."""

EVERY_NODE = RetryPolicy(tries=sys.maxsize)
"""A connect that failed has sent nothing, so it goes on while there is a node that was not tried."""

ConnectTo = Callable[[Target], IStreamClientEndpoint]


class UnknownPool(NoTarget):
    """There is no pool of that name, and no target of that id."""


@implementer(IStreamClientEndpoint)
class BalancedEndpoint:
    """Connects to one of the pool's targets.

    `connect_to`: the endpoint of a target; called for every connection, so it should
    keep what it makes, as `net.sockets.endpoints.TargetEndpoints` does, with no timeout of its own.
    `clock`: for `timeout`, the seconds one attempt may take; None = no limit.
    `now`: seconds, monotonic. `key`: what a hashing balancer chooses by. `budget`: how many connects, and requests of
    a `net.library.agent.BalancedAgent`, may be tried at further nodes; None: each as often as there are nodes, or as
    the agent's retry policy says.
    Raises ValueError for a timeout that is not more than 0.
    """

    def __init__(
        self,
        pool: Pool,
        connect_to: ConnectTo,
        clock: IReactorTime,
        now: Callable[[], float],
        *,
        timeout: float | None = CONNECT_TIMEOUT,
        key: bytes | None = None,
        budget: RetryBudget | None = None,
    ) -> None:
        if timeout is not None and timeout <= 0:
            raise ValueError(f"a timeout of {timeout:g} s; None is no limit")
        self.pool = pool
        self.clock = clock
        self.now = now
        self.key = key
        self.budget = budget
        self.connect_to = connect_to
        self._timeout = timeout

    def __repr__(self) -> str:
        return f"<BalancedEndpoint {self.pool.name}>"

    def keyed(self, key: bytes) -> BalancedEndpoint:
        """The same for a client, a session, a shard: hashing balancers go by `key`."""
        return BalancedEndpoint(
            self.pool,
            self.connect_to,
            self.clock,
            self.now,
            timeout=self._timeout,
            key=key,
            budget=self.budget,
        )

    def lease(self, tried: Sequence[Node] = ()) -> Lease:
        """A lease of whoever the pool picks, none of `tried`, for what is no connect of ours (`Tracker`).

        Raises AllDown, AllFull or AllTried.
        """
        return self._choose(self.now(), tried)

    def to(self, target: Target) -> IStreamClientEndpoint:
        """An endpoint for `target` within our limit, with no lease and no verdict: whoever connects has these."""
        return _TargetEndpoint(self, target)

    def exactly(
        self, node_id: str, seconds: float | None = None, *, asking: bool = False
    ) -> IStreamClientEndpoint:
        """An endpoint for one target of the pool, refusing with TargetDown while it is down.

        `asking`: connects as `connect_for_answer` does, with its `seconds`.
        """
        return _ExactEndpoint(self, node_id, seconds, asking)

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        """Connect to whoever the pool picks.

        Fires with the protocol; its node's lease ends with the connection. Errbacks with AllDown, AllFull, the failure
        of the last attempt when none is left to try, or the cancellation.
        """
        return Deferred.fromCoroutine(self._connect(protocolFactory))

    def connect_for_answer(
        self, protocolFactory: IProtocolFactory, seconds: float | None
    ) -> Deferred[Any]:
        """Connect for a request that is sent at once: only its answer counts for the node.

        `seconds`: without a byte of it after the request; then the connection is aborted, and that is held against
        the node. None: no limit.
        """
        return Deferred.fromCoroutine(
            self._connect(AnswerFactory(protocolFactory, self.clock, seconds))
        )

    def tries(self, retry: RetryPolicy) -> Tries:
        """The tries of one call at nodes of the pool, as `retry` and the budget allow."""
        return Tries(self._choose, self.now, retry, self.budget)

    def _choose(self, now: float, tried: Sequence[Node]) -> Lease:
        return self.pool.acquire(now, self.key, tried)

    async def _connect(self, factory: IProtocolFactory) -> IProtocol:
        return await self.tries(EVERY_NODE).make(
            lambda lease: self.connect_lease(lease, factory)
        )

    async def connect_lease(self, lease: Lease, factory: IProtocolFactory) -> IProtocol:
        """Connect to the leased node; the connection, or its failure, ends the lease.

        Raises a `ProxyError`, or the cancellation.
        """
        tracker = Tracker(lease, self.now)
        try:
            holder = await self.open(lease.node.target, LeaseFactory(factory, tracker))
        except Exception as e:
            error = tracker.failed(e, connecting=True)
            if error is e or is_cancellation(e):
                raise
            raise error from e
        except BaseException:  # the coroutine itself was closed
            tracker.ended()
            raise
        if not isinstance(factory, AnswerFactory):
            tracker.succeeded()
        return holder.inner  # type: ignore[no-any-return]  # what LeaseFactory built

    def open(self, target: Target, factory: IProtocolFactory) -> Deferred[Any]:
        """Connect to `target` within the limit, with no lease and no verdict."""
        connecting = self.connect_to(target).connect(factory)
        if self._timeout is not None:
            seconds = self._timeout
            within(
                connecting,
                seconds,
                self.clock,
                lambda: ConnectTimedOut(f"no connection in {seconds:g} s"),
            )
        return connecting


@implementer(IStreamClientEndpoint)
class _TargetEndpoint:
    """Connects to one target, whatever is known of it."""

    def __init__(self, balanced: BalancedEndpoint, target: Target) -> None:
        self._balanced = balanced
        self._target = target

    def __repr__(self) -> str:
        return f"<Endpoint of {self._target.address}>"

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        """Connect. Errbacks with a `ProxyError`, or the cancellation."""
        return self._balanced.open(self._target, protocolFactory)


class _AllBut(Collection[Node]):
    """The tried nodes of someone who wants a certain one."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def __contains__(self, node: object) -> bool:
        return node is not self._node

    def __len__(self) -> int:
        return 1  # not empty is all that matters

    def __iter__(self) -> Iterator[Node]:
        return iter(())


@implementer(IStreamClientEndpoint)
class _ExactEndpoint:
    """Connects to one node of the pool of `balanced`."""

    def __init__(
        self,
        balanced: BalancedEndpoint,
        node_id: str,
        seconds: float | None,
        asking: bool,
    ) -> None:
        self._balanced = balanced
        self._node_id = node_id
        self._seconds = seconds
        self._asking = asking

    def __repr__(self) -> str:
        return f"<Endpoint of target {self._node_id} of {self._balanced.pool.name}>"

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        """Connect, unless the node is down: then TargetDown, at once, without a SYN."""
        if self._asking:
            clock = self._balanced.clock
            protocolFactory = AnswerFactory(protocolFactory, clock, self._seconds)
        return Deferred.fromCoroutine(self._connect(protocolFactory))

    async def _connect(self, factory: IProtocolFactory) -> IProtocol:
        balanced = self._balanced
        pool = balanced.pool
        node = pool.nodes.get(self._node_id)
        if node is None:
            raise UnknownPool(f"pool {pool.name} has no target {self._node_id}")
        try:
            lease = pool.acquire(balanced.now(), None, _AllBut(node))
        except AllFull:
            raise
        except NoTarget as e:
            why = node.why_not() or "unavailable"
            raise TargetDown(f"target {node.id} is {why}") from e
        return await balanced.connect_lease(lease, factory)


@implementer(IStreamClientEndpoint)
class _NoEndpoint:
    """Stands for a name nobody knows: an Agent cannot take an exception for it."""

    def __init__(self, error: ProxyError) -> None:
        self._error = error

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        return fail(self._error)


@implementer(IStreamClientEndpoint)
class _AskingEndpoint:
    """Connects to `balanced` for an Agent, which sends its request at once."""

    def __init__(self, balanced: BalancedEndpoint, seconds: float | None) -> None:
        self._balanced = balanced
        self._seconds = seconds

    def __repr__(self) -> str:
        return f"<{self._balanced!r} for requests>"

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        """As BalancedEndpoint.connect."""
        return self._balanced.connect_for_answer(protocolFactory, self._seconds)


@implementer(IAgentEndpointFactory)
class BalancedEndpointFactory:
    """Reads the host of a URI as the name of a pool, or else as the id of a target.

    A pool's name balances; a target's id connects to that one. Whether TLS is spoken is
    the target's affair: the scheme of the URI is not looked at, nor is its port.

    `timeout`: seconds from a request to the first byte of its answer, for the first one on each connection; then the
    connection is aborted and its target blamed. None: no limit. A program's own time-outs look like a user who hangs
    up, and blame nobody: let them be longer than this one.
    """

    def __init__(
        self,
        endpoints: Mapping[str, BalancedEndpoint],
        *,
        timeout: float | None = ANSWER_TIMEOUT,
    ) -> None:
        self._endpoints = endpoints
        self._timeout = timeout

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        """The endpoint for `uri`. An unknown host errbacks with UnknownPool on connect."""
        host = uri.host.decode("latin-1")
        try:
            balanced = balanced_endpoint(self._endpoints, host)
            return _AskingEndpoint(balanced, self._timeout)
        except UnknownPool as unknown:
            for endpoint in self._endpoints.values():
                if host in endpoint.pool.nodes:
                    return endpoint.exactly(host, self._timeout, asking=True)
            return _NoEndpoint(unknown)


def balanced_endpoint(
    endpoints: Mapping[str, BalancedEndpoint], host: str
) -> BalancedEndpoint:
    """The endpoint of the pool that `host` names. Raises UnknownPool.

    URIs are often put in lower case on the way, so the case need not match.
    """
    found = endpoints.get(host)
    if found is None:
        folded = {name.lower(): name for name in endpoints}
        name = folded.get(host.lower())
        if name is None:
            known = ", ".join(endpoints) or "none"
            raise UnknownPool(f'no pool is called "{host}"; known: {known}')
        found = endpoints[name]
    return found
