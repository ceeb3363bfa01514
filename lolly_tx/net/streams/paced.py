"""The end of a tunnel whose bytes come no faster than somebody lets them: that of a target.

    target --received--> PacedEnd --each piece--> pace --> tunnel
                             ^--- hold ------------+

The kernel does not move the bytes of such a tunnel: somebody has to see them.

Imports: net.http1, net.sockets. Used by: proxy.streams.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lolly_tx.net.http1.upgraded import Upgradable, Upgraded
from lolly_tx.net.sockets.parting import cut


class PacedTransport:
    """A transport that is read while neither its tunnel nor a pace wants it to wait. All else is `inner`'s."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self._paused = False
        self._holds = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def pauseProducing(self) -> None:
        """The tunnel wants it to wait."""
        self._paused = True
        self._inner.pauseProducing()

    def resumeProducing(self) -> None:
        """The tunnel wants more."""
        self._paused = False
        if not self._holds:
            self._inner.resumeProducing()

    def abortConnection(self) -> None:
        """Break it."""
        cut(self._inner)

    def hold(self, held: bool) -> None:
        """A pace wants it to wait, or has done with that."""
        self._holds += 1 if held else -1
        if held:
            self._inner.pauseProducing()
        elif not self._holds and not self._paused:
            self._inner.resumeProducing()


class PacedEnd(Upgraded):
    """See the module. `pace(data)`: what goes on of it, told of each piece; `closed`: called when it is over."""

    __slots__ = ("_closed", "_pace")

    def __init__(
        self,
        door: Upgradable,
        pace: Callable[[bytes], bytes],
        closed: Callable[[], None],
    ) -> None:
        super().__init__(door)
        self.transport: Any = PacedTransport(door.transport)
        self._pace = pace
        self._closed = closed

    def hold(self, held: bool) -> None:
        """Read no more for now, or go on."""
        self.transport.hold(held)

    def received(self, data: bytes) -> None:
        """Bytes came from the target."""
        super().received(self._pace(data))

    def close_tunnel(self, had_its_time: bool) -> None:
        """The tunnel is over."""
        self._closed()
        super().close_tunnel(had_its_time)

    def lost(self, reason: Any) -> None:
        """The connection is gone."""
        self._closed()
        super().lost(reason)
