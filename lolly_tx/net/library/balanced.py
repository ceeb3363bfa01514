"""A pool as a Twisted endpoint: any client program gets the balancing, in process.

`BalancedEndpoint.connect` picks a node, connects, and tries another when that fails:

    acquire --> connect --ok--> the protocol has the connection; the lease ends with it
       ^           |
       |        refused, timed out, bad certificate: held against the node
       +-----------+   never the same node twice in one connect
    nobody left: the last failure; nobody available at all: AllDown, at once, without a SYN

`BalancedEndpointFactory` lets `twisted.web.client.Agent` and treq use it, one choice per
*connection*. An Agent that keeps connections asks its factory for every request and uses
the answer only for new ones, so with a persistent pool requests stick to one target:
`net.library.agent.BalancedAgent` chooses per request.

May import: domain, net.sockets.endpoints, net.library.tracker, Twisted. Used by: service.build,
net.library.agent, net.library.directory, and programs that use lolly_tx as a library.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import (
    IAddress,
    IProtocol,
    IProtocolFactory,
    IReactorTime,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import URI
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer

from lolly_tx.domain.errors import (
    AllFull,
    ConnectFailed,
    ConnectTimedOut,
    NoTarget,
    ProxyError,
    TargetDown,
)
from lolly_tx.domain.node import Node
from lolly_tx.domain.pool import Lease, Pool
from lolly_tx.domain.target import Target
from lolly_tx.net.failures import is_cancellation
from lolly_tx.net.library.tracker import Tracker
from lolly_tx.net.sockets.endpoints import CONNECT_TIMEOUT
from lolly_tx.net.sockets.handover import Handover, WrappedFactory
from lolly_tx.net.timeout import within

ConnectTo = Callable[[Target], IStreamClientEndpoint]


class UnknownPool(NoTarget):
    """There is no pool of that name, and no target of that id."""


@implementer(IStreamClientEndpoint)
class BalancedEndpoint:
    """Connects to one of the pool's targets.

    `connect_to`: the endpoint of a target; called for every connection, so it should
    keep what it makes, as `net.sockets.endpoints.TargetEndpoints` does, with no timeout of its own.
    `clock`: for `timeout`, the seconds one attempt may take; None = no limit.
    `now`: seconds, monotonic. `key`: what a hashing balancer chooses by.
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
    ) -> None:
        if timeout is not None and timeout <= 0:
            raise ValueError(f"a timeout of {timeout:g} s; None is no limit")
        self.pool = pool
        self.clock = clock
        self.now = now
        self.key = key
        self._connect_to = connect_to
        self._timeout = timeout

    def __repr__(self) -> str:
        return f"<BalancedEndpoint {self.pool.name}>"

    def keyed(self, key: bytes) -> BalancedEndpoint:
        """The same for a client, a session, a shard: hashing balancers go by `key`."""
        return BalancedEndpoint(
            self.pool,
            self._connect_to,
            self.clock,
            self.now,
            timeout=self._timeout,
            key=key,
        )

    def exactly(self, node_id: str) -> IStreamClientEndpoint:
        """An endpoint for one target of the pool, refusing with TargetDown while it is down."""
        return _ExactEndpoint(self, node_id)

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        """Connect to whoever the pool picks.

        Fires with the protocol; its node's lease ends with the connection. Errbacks with AllDown, AllFull, the failure
        of the last attempt when none is left to try, or the cancellation.
        """
        return Deferred.fromCoroutine(self._connect(protocolFactory))

    async def _connect(self, factory: IProtocolFactory) -> IProtocol:
        tried: list[Node] = []
        last: ProxyError | None = None
        while True:
            try:
                lease = self.pool.acquire(self.now(), self.key, tried)
            except NoTarget as nobody:
                if last is not None:
                    raise last from nobody
                raise
            tried.append(lease.node)
            try:
                return await self.connect_lease(lease, factory)
            except ConnectFailed as e:
                last = e

    async def connect_lease(self, lease: Lease, factory: IProtocolFactory) -> IProtocol:
        """Connect to the leased node; the connection, or its failure, ends the lease.

        Raises a `ProxyError`, or the cancellation.
        """
        tracker = Tracker(lease, self.now)
        try:
            holder = await self.open(lease.node.target, _LeaseFactory(factory, tracker))
        except Exception as e:
            error = tracker.failed(e, connecting=True)
            if error is e or is_cancellation(e):
                raise
            raise error from e
        except BaseException:  # the coroutine itself was closed
            tracker.ended()
            raise
        tracker.succeeded()
        return holder.inner  # type: ignore[no-any-return]  # what _LeaseFactory built

    def open(self, target: Target, factory: IProtocolFactory) -> Deferred[Any]:
        """Connect to `target` within the limit, with no lease and no verdict."""
        connecting = self._connect_to(target).connect(factory)
        if self._timeout is not None:
            seconds = self._timeout
            within(
                connecting,
                seconds,
                self.clock,
                lambda: ConnectTimedOut(f"no connection in {seconds:g} s"),
            )
        return connecting


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

    def __init__(self, balanced: BalancedEndpoint, node_id: str) -> None:
        self._balanced = balanced
        self._node_id = node_id

    def __repr__(self) -> str:
        return f"<Endpoint of target {self._node_id} of {self._balanced.pool.name}>"

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        """Connect, unless the node is down: then TargetDown, at once, without a SYN."""
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


class _LeaseFactory(WrappedFactory):
    """Builds the protocol that holds the lease in front of the user's."""

    def __init__(self, inner: IProtocolFactory, tracker: Tracker) -> None:
        super().__init__(inner)
        self._tracker = tracker

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        return _LeaseHolder(self.build_inner(addr), self._tracker)


class _LeaseHolder(Handover):
    """Ends a lease with the connection."""

    def __init__(self, inner: IProtocol, tracker: Tracker) -> None:
        self._wanted = inner
        self._tracker = tracker

    def connectionMade(self) -> None:
        """Hand over at once."""
        self.hand_over(self._wanted)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The connection is over, and with it the lease."""
        self._tracker.ended()
        super().connectionLost(reason)


@implementer(IStreamClientEndpoint)
class _NoEndpoint:
    """Stands for a name nobody knows: an Agent cannot take an exception for it."""

    def __init__(self, error: ProxyError) -> None:
        self._error = error

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        return fail(self._error)


@implementer(IAgentEndpointFactory)
class BalancedEndpointFactory:
    """Reads the host of a URI as the name of a pool, or else as the id of a target.

    A pool's name balances; a target's id connects to that one. Whether TLS is spoken is
    the target's affair: the scheme of the URI is not looked at, nor is its port.
    """

    def __init__(self, endpoints: Mapping[str, BalancedEndpoint]) -> None:
        self._endpoints = endpoints

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        """The endpoint for `uri`. An unknown host errbacks with UnknownPool on connect."""
        host = uri.host.decode("latin-1")
        try:
            return balanced_endpoint(self._endpoints, host)
        except UnknownPool as unknown:
            for endpoint in self._endpoints.values():
                if host in endpoint.pool.nodes:
                    return endpoint.exactly(host)
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
