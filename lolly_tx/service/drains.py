"""Drains of targets that have a deadline: then bonds end, and what is still under way there is cut.

Until then a drain is what it is without one: new clients go elsewhere, those bound to the target stay with it, and
nothing that runs is touched.

Imports: domain, Twisted. Used by: service.service, service.serving.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from lolly_tx.domain.node import Node
from lolly_tx.domain.pool import Pool

CAUSE = "the deadline of the drain has passed"


class Drains:
    """Of the targets of `pools`. `now`: seconds, monotonic. `cut`: ends what is open to a node of the named pool."""

    log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        now: Callable[[], float],
        pools: Mapping[str, Pool],
        cut: Callable[[str, Node], None],
    ) -> None:
        self._clock = clock
        self._now = now
        self._pools = pools
        self._cut = cut
        self._timers: dict[tuple[str, str], tuple[IDelayedCall, float]] = {}

    def __iter__(self) -> Iterator[tuple[str, str, float]]:
        """Pool, target, and when its time is over (monotonic)."""
        for (pool, target), (_, until) in self._timers.items():
            yield pool, target, until

    def begin(self, pool: str, target: str, seconds: float) -> None:
        """A drain that was just asked for has so long."""
        self.forget(pool, target)
        timer = self._clock.callLater(seconds, self._over, pool, target)
        self._timers[pool, target] = timer, self._now() + seconds

    def forget(self, pool: str, target: str) -> None:
        """Another word was said, or the same without a deadline."""
        timer, _ = self._timers.pop((pool, target), (None, 0.0))
        if timer is not None:
            timer.cancel()

    def left(self, pool: str, target: str) -> float | None:
        """Seconds until the deadline; None without one."""
        _, until = self._timers.get((pool, target), (None, None))
        return None if until is None else max(0.0, until - self._now())

    def stop(self) -> None:
        """The service stops."""
        for timer, _ in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _over(self, name: str, target: str) -> None:
        del self._timers[name, target]
        pool = self._pools.get(name)
        node = None if pool is None else pool.nodes.get(target)
        # Left, or told otherwise by a reload.
        if pool is None or node is None or node.enabled != "drain":
            return
        try:
            pool.set_enabled(target, "down", CAUSE, self._now())
            self._cut(name, node)
        except Exception:
            self.log.failure("The drain of {target} cannot be ended", target=target)
