"""A request on its way, as variables see it.

    Along    what all requests of a route by one listener have in common, made when the configuration is loaded
    Asked    one of them (`proxy.variables.Value`); made only where somebody fills in a template. Its `head` may become
             another, `routed` is the one that the route was found by

What takes work, the client behind trusted proxies, the time, captures, is found out when it is asked for.

Imports: domain.routing, net, proxy, wire. Used by: proxy.answering, proxy.chains,
proxy.middleware, proxy.split, proxy.streams, service, simulate, testing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import MappingProxyType
from typing import Any

from lolly_tx.domain.routing.captures import Captures
from lolly_tx.domain.routing.hosts import host_name
from lolly_tx.domain.routing.locations import pattern_captures
from lolly_tx.domain.routing.routes import normal_path
from lolly_tx.net.doors import Peer
from lolly_tx.proxy.again import Again
from lolly_tx.proxy.identity import Identity
from lolly_tx.wire.message import RequestHead

NO_CAPTURES: Captures = MappingProxyType({})


def no_captures(head: RequestHead) -> Captures:
    """Of a route without any."""
    return NO_CAPTURES


def captures_of(hosts: Sequence[str], path: str) -> Callable[[RequestHead], Captures]:
    """What finds out what the patterns of a route capture of a request that goes by it. Numbers are of the path."""
    by_host = [pattern_captures(host) for host in hosts if host.startswith("~")]
    by_host = [one for one in by_host if one.groups]
    by_path = pattern_captures(path) if path.startswith("~") else None
    if by_path is not None and not by_path.groups:
        by_path = None
    if by_path is None and not by_host:
        return no_captures

    def find(head: RequestHead) -> Captures:
        found: dict[str, bytes] = {}
        host = head.block.host
        for one in by_host if host else ():
            found.update(one.find(host_name(host).encode("ascii")) or {})
        if by_path is not None:
            target = head.target
            found.update(by_path.find(normal_path(target)) or {})
        return found

    return find


class Along:
    """See the module. `route`: its name. `client_of(peer, head)`: the client, as far as proxies can be believed.

    `wall`: seconds since the epoch. `captures_of(head)`: what its expressions capture. Of the `links` of its chain the
    first `shared` are those of the listener, and `again` finds a route behind them; None: there are none.
    """

    __slots__ = (
        "again",
        "captures_of",
        "client_of",
        "links",
        "pool",
        "route",
        "shared",
        "wall",
    )

    def __init__(
        self,
        route: str,
        *,
        client_of: Callable[[Peer, RequestHead], str],
        wall: Callable[[], float],
        pool: str = "",
        captures_of: Callable[[RequestHead], Captures] = no_captures,
        again: Again | None = None,
    ) -> None:
        self.route = route
        self.pool = pool
        self.client_of = client_of
        self.wall = wall
        self.captures_of = captures_of
        self.again = again
        self.links = self.shared = 0


class Asked:
    """See the module. `status`, `target`: of the answer, once there is one."""

    __slots__ = ("along", "head", "identity", "peer", "routed", "status", "target")

    def __init__(
        self,
        along: Along,
        head: RequestHead,
        peer: Peer,
        identity: Identity | None = None,
        status: int = 0,
    ) -> None:
        self.along = along
        self.head = self.routed = head
        self.peer = peer
        self.identity = identity
        self.status = status
        self.target: str | None = None

    @property
    def route(self) -> str:
        """The name of the route."""
        return self.along.route

    @property
    def pool(self) -> str:
        """That of the pool it leads to; "" for none, or several."""
        return self.along.pool

    @property
    def listener(self) -> str:
        """That of the listener."""
        return self.peer.listener

    @property
    def client(self) -> str:
        """The client's address."""
        return self.along.client_of(self.peer, self.routed)

    @property
    def when_wall(self) -> float:
        """Now, in seconds since the epoch."""
        return self.along.wall()

    @property
    def captures(self) -> Captures:
        """What the expressions of the route have captured."""
        return self.along.captures_of(self.routed)


class Matched:
    """A request on its way, with what a rule has captured. The rest is as `known` has it."""

    def __init__(self, known: Asked, found: Captures) -> None:
        self._known = known
        self._found = found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._known, name)

    @property
    def captures(self) -> Captures:
        """Those of the rule; by names it has not, those of the route."""
        return {**self._known.captures, **self._found}
