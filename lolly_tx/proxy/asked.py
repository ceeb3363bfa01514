"""A request on its way, as variables see it.

    Along    what all requests of a route by one listener have in common, made when the configuration is loaded
    Asked    one of them (`proxy.variables.Value`); made only where somebody fills in a template

What takes work, the client behind trusted proxies, the time, captures, is found out when it is asked for.

Imports: net, proxy, wire. Used by: proxy.answering, proxy.chain, proxy.link,
proxy.passage, service.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from lolly_tx.net.doors import Peer
from lolly_tx.proxy.identity import Identity
from lolly_tx.wire.message import RequestHead

Captures = Mapping[str, bytes]
"""What a route's expressions have captured: by number, "1" to "9", and by name."""

NO_CAPTURES: Captures = MappingProxyType({})


def no_captures(head: RequestHead) -> Captures:
    """Of a route without any."""
    return NO_CAPTURES


class Along:
    """See the module. `route`: its name. `client_of(peer, head)`: the client, as far as proxies can be believed.

    `wall`: seconds since the epoch. `captures_of(head)`: what its expressions capture.
    """

    __slots__ = ("captures_of", "client_of", "pool", "route", "wall")

    def __init__(
        self,
        route: str,
        *,
        client_of: Callable[[Peer, RequestHead], str],
        wall: Callable[[], float],
        pool: str = "",
        captures_of: Callable[[RequestHead], Captures] = no_captures,
    ) -> None:
        self.route = route
        self.pool = pool
        self.client_of = client_of
        self.wall = wall
        self.captures_of = captures_of


class Asked:
    """See the module. `status`, `target`: of the answer, once there is one."""

    __slots__ = ("along", "head", "identity", "peer", "status", "target")

    def __init__(
        self,
        along: Along,
        head: RequestHead,
        peer: Peer,
        identity: Identity | None = None,
        status: int = 0,
    ) -> None:
        self.along = along
        self.head = head
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
        return self.along.client_of(self.peer, self.head)

    @property
    def when_wall(self) -> float:
        """Now, in seconds since the epoch."""
        return self.along.wall()

    @property
    def captures(self) -> Captures:
        """What the expressions of the route have captured."""
        return self.along.captures_of(self.head)
