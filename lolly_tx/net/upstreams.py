"""The connections to one target, and their reuse.

    Upstreams (one per pool)         by node
      +-- Upstream (one per node)    idle connections, the one used last first
            +-- Connection           one exchange at a time: net.http1.client.Http1Client

One that is idle for too long closes itself (`Http1Client.expired`). An idle connection on
which anything arrives is closed. And as such bytes could just as well have come after the
next request had been sent, where nothing tells them from its response, a target that sends
any is not trusted with a second request on any connection for a while.

Imports: domain, net, Twisted. Used by: net.forward, net.http1, net.http2,
net.multiplexed, net.per_client, net.streams, proxy, service, service.changes,
service.forwards, simulate.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, ClassVar, Final

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IAddress,
    IProtocolFactory,
    IStreamClientEndpoint,
)
from twisted.logger import Logger
from zope.interface import classImplements

from lolly_tx.domain.native import Referable, mypyc_attr
from lolly_tx.domain.node import Node
from lolly_tx.domain.target import Target
from lolly_tx.net.deadlines import NEVER, Deadlines
from lolly_tx.net.doors import DoorOut, Peer

MAX_INTERIM: Final = 16
"""1xx responses to one request: some are usual, a flood of them is an attack."""

RENEW_SECONDS: Final = 5.0
"""How long no connection is kept after the way there has changed."""
DISTRUST_SECONDS: Final = 60.0
"""How long connections are not used twice after their target has sent bytes nobody asked
for."""


AS_USED: Final = -1
"""For `UpstreamLimits.idle`: as many as were in use of late."""

STEADY_IDLE: Final = 32
"""So many of them are kept for the whole `idle_timeout`."""

SURPLUS_SECONDS: Final = 10.0
"""Those beyond are kept while each of them is used at least so often."""


@attrs.frozen
class UpstreamLimits:
    """Of the connections to one target.

    `idle`: kept open unused, or `AS_USED`. `idle_timeout`, `lifetime`: seconds, 0 = no limit.
    `requests`: exchanges on one connection, 0 = no limit. `read`, `write`: seconds
    without a byte in that direction. `interim`: 1xx responses to one request. `ping`: seconds
    of silence after which an HTTP/2 target is asked whether it is there, 0 = never.
    """

    idle: int = AS_USED
    idle_timeout: float = 60.0
    lifetime: float = 0.0
    requests: int = 0
    read: float = 30.0
    write: float = 30.0
    interim: int = MAX_INTERIM
    ping: float = 0.0


@mypyc_attr(allow_interpreted_subclasses=True)
class Connection(DoorOut):
    """A connection to a target, as its owner sees it."""

    __slots__ = ()

    def hurry(self, until: float) -> None:
        """It is idle, and closes itself then at the latest."""
        raise NotImplementedError

    def is_old(self, requests: int, lifetime: float, now: float) -> bool:
        """It has had so many exchanges, or is so many seconds old; 0: no matter."""
        raise NotImplementedError

    def is_quiet(self) -> bool:
        """Nothing has arrived on it while it was idle, no end of file either."""
        raise NotImplementedError

    def retire(self) -> None:
        """Close it, idle, in good order."""
        raise NotImplementedError

    def discard(self) -> None:
        """Close it, idle, at once."""
        raise NotImplementedError


@mypyc_attr(allow_interpreted_subclasses=True)
class Upstream(Referable):
    """The connections to one target.

    `endpoint`: connects to it, within its own limit. `make(upstream)`: a `Connection` that is a protocol (of
    `net.multiplexed` one with streams), before it has its transport; it tells `upstream` of its coming and going.
    `name`: for the log. `open`: connections that are up. `idle_seconds`: how long one may wait for its next exchange.
    `unsolicited`: how often bytes came that nobody had asked for.
    """

    noisy = False
    log: ClassVar = Logger()
    shared: ClassVar[bool] = True
    """Exchanges of all clients may use its connections."""

    def __init__(
        self,
        endpoint: IStreamClientEndpoint,
        make: Callable[[Upstream], Any],
        *,
        deadlines: Deadlines,
        limits: UpstreamLimits,
        name: str = "a target",
    ) -> None:
        self.endpoint = endpoint
        self.make = make
        self.deadlines = deadlines
        self.now: Callable[[], float] = deadlines.now
        self.limits = limits
        self.open = 0
        self.connects = 0
        self.name = name
        self.unsolicited = 0
        self._idle: deque[Connection] = deque()
        self._trusted_at = NEVER
        self._closed = False
        self._room = 0
        self.go_by(limits)

    def of(self, peer: Peer | None) -> Upstream:
        """The connections that may be used for `peer`: any client's requests go on any of these."""
        return self

    def parts(self) -> Iterator[Upstream]:
        """Itself, and others that belong to it."""
        yield self

    def go_by(self, limits: UpstreamLimits) -> None:
        """Have these limits from now on; idle connections that are too many by them are closed."""
        self.limits = limits
        self._as_used = limits.idle == AS_USED
        self._steady = STEADY_IDLE if self._as_used else limits.idle
        self.idle_seconds = limits.idle_timeout or NEVER
        self._surplus_seconds = min(self.idle_seconds, SURPLUS_SECONDS)
        self._ageing = bool(limits.requests or limits.lifetime)
        self.read_seconds = limits.read
        if self._closed or self._trusted_at != NEVER:
            return  # there is no room, or will be when it is trusted again
        self._room = self._steady
        while not self._as_used and len(self._idle) > self._room:
            self._idle.popleft().retire()
        until = self.now() + self.idle_seconds
        for client in self._idle:
            client.hurry(until)

    def doStart(self) -> None:
        """Nothing to do."""

    def doStop(self) -> None:
        """Nothing to do."""

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """A connection."""
        make = self.make
        return make(self)

    def take(self, careful: bool = False) -> DoorOut | None:
        """The idle connection used last, or None.

        `careful`: the request cannot be repeated, so look whether the backend has closed
        the connection in the meantime (one system call).
        """
        idle = self._idle
        while idle:
            client = idle.pop()
            if not careful or client.is_quiet():
                return client
            client.retire()
        return None

    def connect(self) -> Deferred[DoorOut]:
        """Open a connection. Errbacks with a `ProxyError`, or the cancellation."""
        self.connects += 1
        connecting: Deferred[Any] = self.endpoint.connect(self)
        return connecting

    def give_back(self, client: Connection, now: float) -> None:
        """Keep `client`, which waits for `idle_seconds`, for another exchange, unless it is old or one too many."""
        idle = self._idle
        if len(idle) >= self._room and self._has_been_seen_to(client, now):
            return
        if self._ageing and self._is_old(client, now):
            client.retire()
            return
        idle.append(client)

    def _has_been_seen_to(self, client: Connection, now: float) -> bool:
        """Keep `client` for less long or close it, where the room is taken; False: there is room again."""
        if self._trusted_at == NEVER:
            old = self._ageing and self._is_old(client, now)
            if old or self._closed or not self._as_used:
                client.retire()
            else:
                # The oldest of these are found first, whether they expire or are closed.
                client.hurry(now + self._surplus_seconds)
                self._idle.append(client)
            return True
        if now < self._trusted_at:
            client.discard()
            return True
        self._trusted_at = NEVER
        self._room = self._steady
        return False

    def _is_old(self, client: Connection, now: float) -> bool:
        return client.is_old(self.limits.requests, self.limits.lifetime, now)

    def forget(self, client: Connection) -> None:
        """An idle connection is closing."""
        try:
            self._idle.remove(client)
        except ValueError:
            pass

    def distrust(self) -> None:
        """Bytes came that nobody had asked for: use no connection twice for a while."""
        self.unsolicited += 1
        if self._closed or not self.limits.idle:
            return
        if self._room:
            self.log.warn(
                "{name} sent bytes nobody had asked for: for {seconds:g} s no connection"
                " to it is used twice",
                name=self.name,
                seconds=DISTRUST_SECONDS,
            )
        self._trusted_at = self.now() + DISTRUST_SECONDS
        self._room = 0
        while self._idle:
            self._idle.pop().discard()

    @property
    def idle(self) -> int:
        """Idle connections."""
        return len(self._idle)

    def renew(self) -> None:
        """Close the idle connections, and keep none for a moment: the way that they take is about to end."""
        if not self._closed and self.limits.idle:
            self._trusted_at = self.now() + RENEW_SECONDS
            self._room = 0
        while self._idle:
            self._idle.pop().retire()

    def close(self) -> None:
        """Close the idle connections, and keep none from now on."""
        self._closed = True
        self._trusted_at = NEVER
        self._room = 0
        while self._idle:
            self._idle.pop().retire()


classImplements(Upstream, IProtocolFactory)


class Upstreams:
    """The connections of a pool by node; `connect_to` makes those to one target.

    They outlive a change of settings: who serves the same node by other ones shares them.
    `known`: those there are, with the address they lead to; whoever asks for each request
    looks there first, and asks `of` when there is none, the node has other settings, or clients do not share.
    """

    def __init__(self, connect_to: Callable[[Target], Upstream]) -> None:
        self.connect_to = connect_to
        self.known: dict[Node, tuple[Target, Upstream]] = {}
        self._apart: dict[Node, tuple[Target, Upstream]] = {}
        self.departed = {"connects": 0, "unsolicited": 0}
        """What was counted at nodes that have left."""

    def of(self, node: Node, peer: Peer | None = None) -> Upstream:
        """The connections to `node` that may be used for `peer`."""
        found = self.known.get(node) or self._apart.get(node)
        # At another address it would be another node.
        upstream = self.connect_to(node.target) if found is None else found[1]
        if found is None or found[0] is not node.target:
            place = self.known if upstream.shared else self._apart
            place[node] = (node.target, upstream)
        return upstream.of(peer)

    def _whole(self) -> Iterator[tuple[Node, Upstream]]:
        for place in (self.known, self._apart):
            for node, (_, upstream) in place.items():
                yield node, upstream

    def __iter__(self) -> Iterator[tuple[Node, Upstream]]:
        """Those there are; several for a node whose clients do not share."""
        found = [(n, part) for n, whole in self._whole() for part in whole.parts()]
        return iter(found)

    def keep(self, nodes: Iterable[Node]) -> list[Upstream]:
        """Close the idle connections of all others, which have left; returns those with connections in use."""
        nodes = set(nodes)
        left = [(n, whole) for n, whole in self._whole() if n not in nodes]
        for node, whole in left:
            self.known.pop(node, None)
            self._apart.pop(node, None)
            whole.close()
            for part in whole.parts():
                for word in self.departed:
                    self.departed[word] += getattr(part, word)
        return [part for _, whole in left for part in whole.parts() if part.open]

    def go_by(self, limits: UpstreamLimits, make: Callable[[Upstream], Any]) -> None:
        """Have other limits from now on, on the connections that there are as well. `make`: makes new ones."""
        same = limits  # those made by one generation of settings share the object
        for _, upstream in self._whole():
            upstream.make = make
            if upstream.limits is same:
                continue
            if upstream.limits == limits:
                same = upstream.limits
            else:
                upstream.go_by(limits)

    def lead(self, connect_to: Callable[[Target], Upstream]) -> list[Upstream]:
        """Connect in another way from now on; what there is ends after what is on it. Those that are in use."""
        self.connect_to = connect_to
        return self.keep(())

    def close(self) -> None:
        """Close idle connections, and keep none from now on."""
        for _, upstream in self._whole():
            upstream.close()
