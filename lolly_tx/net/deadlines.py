"""Deadlines of many connections, looked at together.

A timer per request costs more than the request's parsing. Here a connection has a plain
attribute `deadline` (seconds on the monotonic clock, or infinity); changing it is one
store. Ten times a second all watched connections are looked at: 10,000 of them cost less
than one per cent of a core, and a deadline is met within `PERIOD`. After a standstill of
the process the sockets are read first (`net.alarm`).

Imports: net, Twisted. Used by: net.datagrams, net.forward, net.http1, net.http2,
net.library, net.multiplexed, net.per_client, net.sockets, net.streams, net.tunnel,
net.tunnels, net.upstreams, proxy, proxy.caching, proxy.files, proxy.middleware,
proxy.streams, service, service.forwards, simulate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import ClassVar, Final, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from lolly_tx.net.alarm import Patience

PERIOD: Final = 0.1
"""Seconds between two looks: the most a deadline is missed by."""

AT_ONCE: Final = 64
"""Expired connections that are dealt with in one turn of the event loop, some 5 ms; the others
follow, each part behind what has come meanwhile."""

NEVER: Final = float("inf")


class Watched(Protocol):
    """Something with a deadline.

    Whoever measures how long others take has a method `stood_still(seconds, now)` as well:
    the process has done nothing for so long.
    """

    deadline: float

    def expired(self, now: float) -> None:
        """The deadline has passed."""


class Deadlines:
    """The watched connections of one process.

    `now`: the monotonic clock, seconds. `clock`: what the looks are scheduled on.
    """

    _log: ClassVar = Logger()

    def __init__(self, clock: IReactorTime, now: Callable[[], float]) -> None:
        self.now = now
        self._watched: set[Watched] = set()
        self.add = self._watched.add
        self.discard = self._watched.discard
        self._loop = LoopingCall(self._look)
        self._loop.clock = clock
        self._patience = Patience(PERIOD)
        self.clock = clock
        self._more: IDelayedCall | None = None
        self._done: Deferred[LoopingCall] | None = None

    def __len__(self) -> int:
        return len(self._watched)

    def __iter__(self) -> Iterator[Watched]:
        """All that are watched, in no order; for what is rare and concerns many."""
        return iter(self._watched)

    def start(self) -> None:
        """Begin to look; does nothing when already begun."""
        if not self._loop.running:
            self._patience.begin(self.now())
            self._done = self._loop.start(PERIOD, now=False)

    def stop(self) -> None:
        """Stop looking; does nothing when not begun."""
        if self._loop.running:
            self._loop.stop()
        more, self._more = self._more, None
        if more is not None:
            more.cancel()

    def _look(self) -> None:
        now = self.now()
        judging = self._patience.allows(now)
        if self._patience.lost:
            self._tell(self._patience.lost, now)
        if not judging:
            return
        if self._more is None:  # else those of the last look are not done yet
            self._end([each for each in self._watched if each.deadline <= now], now)

    def _end(self, expired: list[Watched], now: float) -> None:
        self._more = None
        for each in expired[:AT_ONCE]:
            if each.deadline > now or each not in self._watched:
                continue  # one that expired before it, or the time between, has changed that
            try:
                each.expired(now)
            except Exception:
                self._log.failure("A connection failed at its deadline")
        rest = expired[AT_ONCE:]
        if rest:
            self._more = self.clock.callLater(0, self._end, rest, now)

    def _tell(self, seconds: float, now: float) -> None:
        """The process stood still."""
        for each in self._watched:
            stood_still = getattr(each, "stood_still", None)
            if stood_still is not None:
                stood_still(seconds, now)
