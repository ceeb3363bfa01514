"""A proxy to one pool, with no configuration, listener or service around it.

Imports: domain, domain.access, domain.retries, domain.routing, net, net.http1,
net.library, proxy, wire. Used by: lolly_tx.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from ipaddress import ip_network
from random import Random
from secrets import token_hex
from typing import Any

from lolly_tx.domain.access.forwarded import UNIX, Network, TrustedPeers
from lolly_tx.domain.retries.backoff import Backoff
from lolly_tx.domain.retries.budget import RetryBudget
from lolly_tx.domain.retries.policy import Policy
from lolly_tx.domain.retries.retry import RetryPolicy
from lolly_tx.domain.routing.routes import Pattern, RouteTable
from lolly_tx.domain.target import Target
from lolly_tx.net.deadlines import Deadlines
from lolly_tx.net.http1.client import Http1Client
from lolly_tx.net.library.balanced import BalancedEndpoint, BalancedEndpointFactory
from lolly_tx.net.library.pools import Events, Targets, balanced
from lolly_tx.net.upstreams import Upstream, UpstreamLimits, Upstreams
from lolly_tx.proxy.forwarder import Forwarder
from lolly_tx.proxy.introduction import Introduction
from lolly_tx.proxy.proxy import Proxy
from lolly_tx.proxy.resource import ReverseProxyResource
from lolly_tx.proxy.route import ToPool
from lolly_tx.wire.http1 import ResponseReader


class Standalone:
    """Forwards every request to the pool of `endpoint`, from now until `close`.

    `host`: the Host that targets get: "preserve" (the client's), "target" (their own), or a literal one. `retry`: when
    another target is tried; the budget is the endpoint's, or the usual one. `read`: seconds without a byte of an
    answer. `trusted`: networks ("10.0.0.0/8") and "unix", whose word on the client is taken. `random`: for waits.

    Raises ValueError for a network that is none.
    """

    def __init__(
        self,
        reactor: Any,
        endpoint: BalancedEndpoint,
        *,
        host: str = "preserve",
        retry: RetryPolicy | None = None,
        read: float = 30.0,
        trusted: Sequence[str] = (),
        random: Random | None = None,
    ) -> None:
        self.endpoint = endpoint
        peers = TrustedPeers([_network(each) for each in trusted])
        self._deadlines = deadlines = Deadlines(reactor, endpoint.now)
        make = partial(Http1Client, ResponseReader())
        limits = UpstreamLimits(read=read)

        def connect_to(target: Target) -> Upstream:
            return Upstream(
                endpoint.to(target),
                make,
                deadlines=deadlines,
                limits=limits,
                name=f"{endpoint.pool.name}/{target.id}",
            )

        self._forwarder = forwarder = Forwarder(
            endpoint.pool,
            upstreams=Upstreams(connect_to),
            policy=Policy(
                retry=retry or RetryPolicy(),
                budget=endpoint.budget or RetryBudget(),
                backoff=Backoff(),
            ),
            deadlines=deadlines,
            clock=reactor,
            wall=time.time,
            random=random or Random(),
            host=host,
        )
        # Of this object, so that a request that comes back is known.
        hop = token_hex(8).encode("ascii")
        self.proxy = Proxy(
            RouteTable([Pattern((), "/", ToPool(forwarder))]),
            Introduction(peers, hop=hop),
        )
        deadlines.start()

    def close(self) -> None:
        """Close idle connections, keep none from now on, and leave no timer; answers under way have no limit then."""
        self._forwarder.close()
        self._deadlines.stop()


def _network(text: str) -> Network | str:
    if text in (UNIX, "unix"):
        return "unix"
    try:
        return ip_network(text)
    except ValueError as e:
        raise ValueError(f"trusted: {e}; write 10.0.0.0/8, ::1 or unix") from None


def reverse_proxy(
    reactor: Any,
    where: BalancedEndpoint | Targets,
    *,
    strip_prefix: bool = False,
    events: Events | None = None,
    **settings: Any,
) -> ReverseProxyResource:
    """A resource that needs nothing else. `close` it when it is not wanted any more.

    `where`: what `net.library.pools.balanced` takes as targets, with `events`, or the endpoint that it makes.
    `strip_prefix`: targets get "/x" for a request to "/api/x", where the resource is mounted at "/api".
    `settings`: `host`, `retry`, `read`, `trusted`, `random`, those of `Standalone`.

    Raises ValueError and TypeError for what cannot be meant.
    """
    if not isinstance(where, BalancedEndpoint):
        where = balanced(reactor, where, events=events)
    elif events is not None:
        raise ValueError("events: the pool has been told who hears of it")
    standalone = Standalone(reactor, where, **settings)
    endpoints = BalancedEndpointFactory({where.pool.name: where})
    resource = ReverseProxyResource(
        standalone.proxy, endpoints=endpoints, strip_prefix=strip_prefix
    )
    resource.ending = standalone.close
    return resource
