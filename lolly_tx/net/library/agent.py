"""A pool as a `twisted.web` Agent: treq and others send requests, the pool picks per request.

`Agent` keys its kept connections by the URI's scheme, host and port, and asks its endpoint
factory for every request, though it uses the answer only for new connections. So the
choice is made first, and each target gets an authority of its own; the Host field stays
the caller's:

    GET http://api/x  -->  lease of node t1  -->  Agent: http://t1.0/x, Host: api

Each attempt is tracked: the lease ends at the end of the response body, failures of the
node are held against it, a cancel by the caller is not. A failed attempt goes to another
node where the retry policy allows it. A kept connection that dies under a request was
closed while it was idle: the node is not blamed, and the request is sent again if it can be.

Imports: domain, domain.retries, net, net.library, Twisted. Used by: lolly_tx,
net.library.client.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IProtocol,
    IProtocolFactory,
    IStreamClientEndpoint,
)
from twisted.web.client import URI, Agent
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IAgentEndpointFactory, IBodyProducer, IResponse
from zope.interface import implementer

from lolly_tx.domain.errors import ResponseTimedOut
from lolly_tx.domain.lease import Lease
from lolly_tx.domain.node import Node
from lolly_tx.domain.retries.retry import RetryPolicy
from lolly_tx.net.failures import is_cancellation
from lolly_tx.net.library.balanced import BalancedEndpoint, balanced_endpoint
from lolly_tx.net.library.bodies import TrackedBody
from lolly_tx.net.library.responses import TrackedResponse
from lolly_tx.net.library.tracker import Tracker
from lolly_tx.net.quiet import QuietConnections
from lolly_tx.net.timeout import Limit

IDLE_PER_TARGET = 32
"""Connections kept per target."""
IDLE_SECONDS = 60.0
READ_TIMEOUT = 30.0
"""The default of `timeout.read`, in seconds."""


@implementer(IAgent)
class BalancedAgent:
    """Sends each request to a target that the pool picks for it.

    `endpoints`: by the names that URIs use as host; as for BalancedEndpointFactory. A keyed
    one sends all its requests by its key.
    `retry`: when another node is tried. `timeout`: seconds until the response head, or
    None; running out of it is held against the node. It does not run while a body producer
    takes its time. Raises ValueError for a timeout that is not more than 0.
    """

    def __init__(
        self,
        reactor: Any,
        endpoints: Mapping[str, BalancedEndpoint],
        *,
        retry: RetryPolicy | None = None,
        timeout: float | None = READ_TIMEOUT,
    ) -> None:
        if timeout is not None and timeout <= 0:
            raise ValueError(f"a timeout of {timeout:g} s; None is no limit")
        self._reactor = reactor
        self._endpoints = endpoints
        self._retry = retry or RetryPolicy()
        self._timeout = timeout
        self._connections = QuietConnections(reactor)
        # Our own loop and the tracker must see every failure.
        self._connections.retryAutomatically = False
        self._connections.maxPersistentPerHost = IDLE_PER_TARGET
        self._connections.cachedConnectionTimeout = IDLE_SECONDS  # type: ignore[assignment]  # any number

    def close(self) -> Deferred[None]:
        """Close the kept connections; fires when they are closed."""
        closed: Deferred[None] = self._connections.closeCachedConnections()
        return closed

    def request(
        self,
        method: bytes,
        uri: bytes,
        headers: Headers | None = None,
        bodyProducer: IBodyProducer | None = None,
    ) -> Deferred[IResponse]:
        """Send a request to the pool that the host of `uri` names.

        Fires with the response when its head is there; read its body, the node is in use
        until then. Errbacks with a `ProxyError` (UnknownPool, AllDown, ConnectFailed,
        ResponseTimedOut, ...) or with the cancellation.
        """
        return Deferred.fromCoroutine(self._request(method, uri, headers, bodyProducer))

    async def _request(
        self,
        method: bytes,
        uri: bytes,
        own_headers: Headers | None,
        body: IBodyProducer | None,
    ) -> IResponse:
        parsed = URI.fromBytes(uri)
        host = parsed.host.decode("latin-1")
        endpoint = balanced_endpoint(self._endpoints, host)
        headers = Headers() if own_headers is None else own_headers.copy()
        if not headers.hasHeader(b"host"):
            headers.setRawHeaders(b"host", [parsed.netloc])
        target = parsed.originForm

        async def attempt(lease: Lease) -> IResponse:
            tracker = Tracker(lease, endpoint.now)
            going = _Attempt(endpoint, lease.node)
            return await self._send(going, tracker, method, target, headers, body)

        return await endpoint.tries(self._retry).make(
            attempt, method=method, replayable=body is None
        )

    async def _send(
        self,
        attempt: _Attempt,
        tracker: Tracker,
        method: bytes,
        target: bytes,
        headers: Headers,
        body: IBodyProducer | None,
    ) -> IResponse:
        """One attempt. Raises a `ProxyError`, or the cancellation; either ends the lease."""
        try:
            agent = Agent.usingEndpointFactory(
                self._reactor, attempt, self._connections
            )
            tracked = None if body is None else TrackedBody(body, tracker)
            answering: Deferred[IResponse] = agent.request(
                method,
                b"http://%b%b" % (self._authority(attempt), target),
                headers,
                tracked,
            )
            if self._timeout is not None:
                seconds = self._timeout
                limit = Limit(
                    answering,
                    seconds,
                    attempt.balanced.clock,
                    lambda: ResponseTimedOut(f"no answer in {seconds:g} s"),
                )
                if tracked is None:
                    limit.run()
                else:
                    tracked.limited_by(limit)
            response = await answering
        except Exception as e:
            if is_cancellation(e):
                tracker.ended()
                raise
            if attempt.reused:
                error = tracker.forgiven(e)
            else:
                error = tracker.failed(e, connecting=attempt.connecting)
            if error is e:
                raise
            raise error from e
        except BaseException:  # the coroutine itself was closed
            tracker.ended()
            raise
        if response.length == 0:
            tracker.completed(response.code)
            return response
        tracker.answered(response.code)
        return TrackedResponse(response, tracker)

    def _authority(self, attempt: _Attempt) -> bytes:
        """What keys the kept connections: ids are unique within a pool only."""
        pools = list(self._endpoints.values())
        return b"%b.%d" % (attempt.node.id.encode(), pools.index(attempt.balanced))


@implementer(IAgentEndpointFactory, IStreamClientEndpoint)
class _Attempt:
    """The endpoint of one attempt, which knows whether it was used.

    `reused`: the request went down a kept connection. `connecting`: there is none yet.
    """

    def __init__(self, balanced: BalancedEndpoint, node: Node) -> None:
        self.balanced = balanced
        self.node = node
        self.reused = True
        self.connecting = False

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        """The attempt is its own."""
        return self

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        """Make a new connection to the node."""
        self.reused = False
        self.connecting = True
        return self.balanced.open(self.node.target, protocolFactory).addCallback(
            self._cb_connected
        )

    def _cb_connected(self, protocol: IProtocol) -> IProtocol:
        self.connecting = False
        return protocol
