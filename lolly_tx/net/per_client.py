"""Connections to targets that are told of each client: who opened one is the only one that may use it.

    PerClient (one per node)        connects for nobody: programs, which have no client
      +-- Upstream (one per client  those opened for it; they end with its connection (`Peer.gone`)
          connection and node)

A target that was told whose a connection is takes all requests on it for that client's. So none is ever lent to
another, and a client's second connection has its own: the header names its port. What that costs is a connect for each
connection of a client and each target it is served by.

Imports: net, Twisted. Used by: service.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, ClassVar
from weakref import WeakSet

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IStreamClientEndpoint

from lolly_tx.net.deadlines import Deadlines
from lolly_tx.net.doors import DoorOut, Peer
from lolly_tx.net.upstreams import Upstream, UpstreamLimits

Introduce = Callable[[Peer], IStreamClientEndpoint]


class PerClient(Upstream):
    """See the module. `introduce`: the endpoint that tells the target of a client. The rest is `Upstream`'s."""

    shared: ClassVar[bool] = False

    def __init__(
        self,
        endpoint: IStreamClientEndpoint,
        make: Callable[[Upstream], Any],
        *,
        introduce: Introduce,
        deadlines: Deadlines,
        limits: UpstreamLimits,
        name: str = "a target",
    ) -> None:
        self._introduce = introduce
        self._each: WeakSet[Upstream] = WeakSet()
        super().__init__(endpoint, make, deadlines=deadlines, limits=limits, name=name)

    def of(self, peer: Peer | None) -> Upstream:
        """The connections for `peer`, made when it is served here first; None: for nobody."""
        if peer is None:
            return self
        if peer.bound is None:
            peer.bound = {}
        own = peer.bound.get(self)
        if own is None:
            own = _Own(
                self,
                self._introduce(peer),
                deadlines=self.deadlines,
                limits=self.limits,
                name=self.name,
            )
            self._each.add(own)
            peer.bound[self] = own
        assert isinstance(own, Upstream)
        return own

    def parts(self) -> Iterator[Upstream]:
        """Itself, and those of each client that has or had some."""
        yield self
        yield from list(self._each)

    def go_by(self, limits: UpstreamLimits) -> None:
        """The same for each client's."""
        super().go_by(limits)
        for own in self._each:
            own.go_by(limits)

    def close(self) -> None:
        """Close the idle connections of all clients, and keep none from now on."""
        super().close()
        for own in list(self._each):
            own.close()


class _Own(Upstream):
    """Those of one client. They are counted where all are, because this one goes with its client."""

    def __init__(
        self,
        whole: PerClient,
        endpoint: IStreamClientEndpoint,
        *,
        deadlines: Deadlines,
        limits: UpstreamLimits,
        name: str,
    ) -> None:
        self._whole = whole
        super().__init__(
            endpoint, self._make_one, deadlines=deadlines, limits=limits, name=name
        )

    def _make_one(self, upstream: Upstream) -> Any:
        # As others are made now: settings may have changed since the client came.
        make = self._whole.make
        return make(upstream)

    def connect(self) -> Deferred[DoorOut]:
        """Open a connection. Errbacks with a `ProxyError`, or the cancellation."""
        self._whole.connects += 1
        connecting: Deferred[Any] = self.endpoint.connect(self)
        return connecting

    def distrust(self) -> None:
        """Bytes came that nobody had asked for: this client uses no connection twice for a while."""
        super().distrust()
        self._whole.unsolicited += 1
        self.unsolicited = 0
