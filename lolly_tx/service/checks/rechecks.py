"""Asks targets that take no connections, by connects of our own, whether they do again.

    pool --a node is ejected for its connects--> due --tick--> connect --> what came of it, to the pool

So no client has to be the one who finds out, and a restart costs about a second. Nothing runs while no target is out
for that. When to ask is `domain.checks.recheck`'s to say; what it means, the pool's (`Pool.reached`). A pool with
active checks has none of this: they ask.

Imports: domain, domain.checks, service.checks, Twisted. Used by: service.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import ClassVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from lolly_tx.domain.checks.health import Observation
from lolly_tx.domain.checks.recheck import RecheckDelays
from lolly_tx.domain.errors import ProxyError
from lolly_tx.domain.interfaces import IHealthCheck
from lolly_tx.domain.node import Node
from lolly_tx.domain.pool import Pool
from lolly_tx.domain.wayback import NextCheck
from lolly_tx.service.checks.rounds import tick_of

AT_ONCE = 64
"""Connects of one pool in flight."""


class Rechecker:
    """Asks the unreachable nodes of `pool`.

    `make`: makes what connects to a target, when there is one to ask. `clock`: drives the loop. `now`: seconds,
    monotonic. `random`: for the spread. `asked`: connects begun so far.
    """

    log: ClassVar[Logger] = Logger()

    def __init__(
        self,
        pool: Pool,
        make: Callable[[], IHealthCheck],
        delays: RecheckDelays,
        *,
        clock: IReactorTime,
        now: Callable[[], float],
        random: Random,
    ) -> None:
        self.pool = pool
        self.delays = delays
        self.asked = 0
        self._make = make
        self._check: IHealthCheck | None = None
        self._clock = clock
        self._now = now
        self._random = random
        self._running = False
        self._loop: LoopingCall | None = None
        self._due: dict[str, float] = {}
        self._in_flight: dict[str, Deferred[Observation]] = {}

    def __repr__(self) -> str:
        return f"<Rechecker of {self.pool.name}: {len(self._due)} to ask>"

    def start(self) -> None:
        """Ask from now on. Does nothing when running."""
        if self._running:
            return
        self._running = True
        self.pool.on_unreachable.append(self.wanted)
        now = self._now()
        for node in self.pool.nodes.values():
            if node.unreachable:
                self.wanted(node, now)

    def stop(self) -> None:
        """Cancel what is in flight; no timer is left. Does nothing when stopped."""
        if not self._running:
            return
        self._running = False
        self.pool.on_unreachable.remove(self.wanted)
        self._due.clear()
        self._rest()
        in_flight, self._in_flight = self._in_flight, {}
        for asking in in_flight.values():
            asking.cancel()

    def due(self, node_id: str) -> NextCheck:
        """When `node_id` is asked next; None when it need not be."""
        if node_id in self._in_flight:
            return "in progress"
        return self._due.get(node_id)

    def wanted(self, node: Node, now: float) -> None:
        """`node` takes no connections."""
        if node.id in self._in_flight:
            return
        self._due[node.id] = now + self.delays.first(self._random.random())
        if self._loop is None:
            self._loop = loop = LoopingCall(self._tick)
            loop.clock = self._clock
            loop.start(tick_of(self.delays.interval), now=False).addErrback(
                self._eb_bug
            )

    def _rest(self) -> None:
        loop, self._loop = self._loop, None
        if loop is not None:
            loop.stop()

    def _tick(self) -> None:
        """One turn. Must not raise: a LoopingCall never runs again after that."""
        try:
            now = self._now()
            for node_id, due in list(self._due.items()):
                if due > now or node_id in self._in_flight:
                    continue
                if len(self._in_flight) >= AT_ONCE:
                    break
                self._ask(node_id, now)
            if not self._due:
                self._rest()
        except Exception:
            self.log.failure("Asking targets of pool {pool}", pool=self.pool.name)

    def _eb_bug(self, failure: Failure) -> None:
        self.log.failure(
            "Asking targets of pool {pool}", failure=failure, pool=self.pool.name
        )

    def _ask(self, node_id: str, now: float) -> None:
        node = self.pool.nodes.get(node_id)
        if node is None or not node.unreachable:
            del self._due[node_id]
            return
        if self._check is None:
            self._check = self._make()
        self.asked += 1
        asking = self._in_flight[node_id] = self._check.check(node.target)
        asking.addCallback(self._cb_heard, node_id)
        asking.addErrback(self._eb_unknown)
        asking.addCallback(self._cb_over, node_id, asking, now)
        asking.addErrback(self._eb_bug)

    def _cb_heard(self, found: Observation, node_id: str) -> bool:
        if node_id in self._in_flight:
            self.pool.reached(node_id, found, self._now())
        return found.ok

    def _eb_unknown(self, failure: Failure) -> bool:
        """Cancelled, or this machine has no descriptor left: nothing was learned."""
        if self._running and not failure.check(ProxyError):
            self._eb_bug(failure)
        return False

    def _cb_over(
        self, reached: bool, node_id: str, asking: Deferred[Observation], started: float
    ) -> None:
        if self._in_flight.get(node_id) is not asking:
            return  # stopped
        del self._in_flight[node_id]
        node = self.pool.nodes.get(node_id)
        if node is None or not node.unreachable:
            self._due.pop(node_id, None)
            return
        delay = self.delays.following(reached, self._random.random())
        self._due[node_id] = max(self._now(), started + delay)
