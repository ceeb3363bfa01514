"""Runs the active checks of one pool.

    LoopingCall --tick--> due targets --check--> Observation --> pool.observe
                             ^                        |
                             +---- next due time <----+

One `LoopingCall` ticks for the whole pool and starts what is due, instead of one loop for
each target: then a thousand targets cost one timer, the cap on probes in flight is a
queue that is there already (the heap of due times), a probe that is still running simply
is not in the heap, so probes of one target cannot overlap, and a late tick, after a clock
jump or a pause of the machine, starts each target once. The price is that a probe starts
up to half a tick (1/40 of the interval) early or late.

The first probes start at once, as many as may be in flight. From then on the targets are
spread evenly over the interval.

May import: domain, config settings, Twisted. Used by: service.build.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heapify, heappop, heappush
from random import Random
from typing import NamedTuple

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from lolly_tx.config.pools import Health
from lolly_tx.domain.errors import ProxyError
from lolly_tx.domain.health import Observation
from lolly_tx.domain.interfaces import IHealthCheck
from lolly_tx.domain.pool import Pool

TICKS_PER_INTERVAL = 20
_SHORTEST_TICK = 0.02
_LONGEST_TICK = 1.0
_GRACE = 1.0
"""Seconds beyond the timeout that a check may take to give up by itself."""


class _Due(NamedTuple):
    """When a target is to be probed next. A tuple, because a heap compares a lot.

    `number` orders equal times. `slot`: the time the following probe is reckoned from; it
    differs from `at` for a target's first probe, which does not wait for its turn.
    """

    at: float
    number: int
    node_id: str
    slot: float


@attrs.frozen
class _Probe:
    """A probe in flight. `slot`: as of its due time; `started`: when it did start."""

    slot: float
    started: float
    result: Deferred[Observation]


class HealthChecker:
    """Probes every target of `pool` each `interval` and tells the pool what it saw.

    `check`: probes one target. `settings`: the pool's `health` table. `clock`: drives the
    loop. `now`: seconds, monotonic; what due times are compared with. `random`: for the
    jitter.

    A probe that was cancelled, by a stop or because its target left, is never held against
    the target; neither is one that could not be made because this machine ran out of
    descriptors.
    """

    log = Logger()

    def __init__(
        self,
        pool: Pool,
        check: IHealthCheck,
        settings: Health,
        *,
        clock: IReactorTime,
        now: Callable[[], float],
        random: Random,
    ) -> None:
        self.pool = pool
        self.check = check
        self.interval = settings.interval
        self.timeout = settings.timeout
        self.path = settings.path
        self.concurrency = settings.concurrency
        self.jitter = settings.jitter
        self.probes = 0
        """Probes started since this object was made."""
        self._clock = clock
        self._now = now
        self._random = random
        tick = max(self.interval / TICKS_PER_INTERVAL, _SHORTEST_TICK)
        self._tick_seconds = min(tick, _LONGEST_TICK, self.interval)
        self._loop: LoopingCall | None = None
        self._heap: list[_Due] = []
        self._waiting: dict[str, _Due] = {}
        self._in_flight: dict[str, _Probe] = {}
        self._numbers = 0
        self._starting = False
        self._excuse = ""

    def __repr__(self) -> str:
        state = "running" if self.is_running else "stopped"
        return (
            f"<HealthChecker of {self.pool.name} {state}, "
            f"{len(self._in_flight)} probes in flight>"
        )

    @property
    def is_running(self) -> bool:
        """Whether it probes."""
        return self._loop is not None

    @property
    def in_flight(self) -> int:
        """Probes without a verdict yet."""
        return len(self._in_flight)

    def start(self) -> None:
        """Start probing, every target at once first. Does nothing when running."""
        if self._loop is not None:
            return
        now = self._now()
        nodes = self.pool.nodes
        for number, node_id in enumerate(nodes):
            self._schedule(node_id, now, now - self.interval * number / len(nodes))
        self._loop = loop = LoopingCall(self._tick)
        loop.clock = self._clock
        loop.start(self._tick_seconds, now=True).addErrback(self._eb_bug)

    def stop(self) -> None:
        """Stop probing and cancel the probes in flight. Does nothing when stopped.

        When it returns no timer and no socket is left, and `start` may be called again.
        """
        loop, self._loop = self._loop, None
        if loop is None:
            return
        loop.stop()
        self._heap.clear()
        self._waiting.clear()
        for node_id in list(self._in_flight):
            self._abandon(node_id)

    def mark_healthy(self, node_id: str) -> None:
        """Take a target up by hand, until checks say otherwise. Raises UnknownNode."""
        self.pool.mark(node_id, True, "marked healthy", self._now())

    def mark_unhealthy(self, node_id: str) -> None:
        """Take a target down by hand, until checks say otherwise. Raises UnknownNode."""
        self.pool.mark(node_id, False, "marked unhealthy", self._now())

    # -- the loop

    def _tick(self) -> None:
        """One turn. Must not raise: a LoopingCall never runs again after that."""
        try:
            now = self._now()
            self._follow_membership(now)
            self._give_up_on_overdue(now)
            self._start_due(now)
        except Exception:
            self.log.failure("Health checks of pool {pool}", pool=self.pool.name)

    def _eb_bug(self, failure: Failure) -> None:
        self.log.failure(
            "Health checks of pool {pool}", failure=failure, pool=self.pool.name
        )

    def _follow_membership(self, now: float) -> None:
        """Probe who joined at once, forget who left."""
        members = self.pool.nodes
        waiting, in_flight = self._waiting, self._in_flight
        if len(waiting) + len(in_flight) == len(members) and all(
            node_id in waiting or node_id in in_flight for node_id in members
        ):
            return
        for node_id in [one for one in waiting if one not in members]:
            del waiting[node_id]
        self._heap = list(waiting.values())
        heapify(self._heap)
        for node_id in [one for one in in_flight if one not in members]:
            self._abandon(node_id)
        for node_id in members:
            if node_id not in waiting and node_id not in in_flight:
                slot = now - self.interval * self._random.random()
                self._schedule(node_id, now, slot)

    def _give_up_on_overdue(self, now: float) -> None:
        """End probes whose check did not keep its own limit; ours always do."""
        limit = now - self.timeout - _GRACE
        overdue = [
            node_id
            for node_id, probe in self._in_flight.items()
            if probe.started < limit
        ]
        for node_id in overdue:
            probe = self._in_flight[node_id]
            self._abandon(node_id)
            verdict = Observation(False, f"no verdict in {self.timeout:g} s")
            self.pool.observe(node_id, verdict, now)
            self._again(node_id, probe.slot, now)

    def _start_due(self, now: float) -> None:
        """Start what is due, as far as the cap allows."""
        if self._starting:
            return  # a check that answers at once calls back from within the loop below
        self._starting = True
        try:
            # Half a tick early is nearer than half a tick late.
            until = now + self._tick_seconds / 2
            heap = self._heap
            while heap and heap[0].at <= until:
                if len(self._in_flight) >= self.concurrency:
                    return
                due = heappop(heap)
                del self._waiting[due.node_id]
                self._probe(due, now)
                heap = self._heap
        finally:
            self._starting = False

    def _schedule(self, node_id: str, at: float, slot: float) -> None:
        self._numbers += 1
        due = self._waiting[node_id] = _Due(at, self._numbers, node_id, slot)
        heappush(self._heap, due)

    def _again(self, node_id: str, slot: float, now: float) -> None:
        """Schedule the next probe: an interval after `slot`, or in a tick if that is over."""
        shift = self.jitter * self._random.uniform(-1.0, 1.0) if self.jitter else 0.0
        at = max(now + self._tick_seconds, slot + self.interval * (1.0 + shift))
        self._schedule(node_id, at, at)

    # -- one probe

    def _probe(self, due: _Due, now: float) -> None:
        node_id = due.node_id
        node = self.pool.nodes.get(node_id)
        if node is None:
            return  # left since the last look
        self.probes += 1
        try:
            result: Deferred[Observation] = self.check.check(node.target)
        except Exception:
            self.log.failure(
                "The check of {target} in pool {pool} failed to start",
                target=node_id,
                pool=self.pool.name,
            )
            self._again(node_id, max(now, due.slot), now)
            return
        probe = self._in_flight[node_id] = _Probe(due.slot, now, result)
        result.addCallbacks(
            self._cb_observed,
            self._eb_no_verdict,
            callbackArgs=(node_id,),
            errbackArgs=(node_id,),
        )
        result.addBoth(self._cb_over, node_id, probe)
        result.addErrback(self._eb_bug)

    def _cb_observed(self, observation: Observation, node_id: str) -> None:
        self._excuse = ""
        self.pool.observe(node_id, observation, self._now())

    def _eb_no_verdict(self, failure: Failure, node_id: str) -> None:
        """Nothing was learned about the target, so its state stays."""
        if node_id not in self._in_flight:
            return  # cancelled by us
        if not failure.check(ProxyError):
            self.log.failure(
                "The check of {target} in pool {pool} failed",
                failure=failure,
                target=node_id,
                pool=self.pool.name,
            )
            return
        excuse = failure.getErrorMessage()
        if excuse != self._excuse:  # it may hold for a thousand probes a second
            self._excuse = excuse
            self.log.warn(
                "Targets of pool {pool} cannot be probed: {excuse}",
                pool=self.pool.name,
                excuse=excuse,
            )

    def _cb_over(self, bug: Failure | None, node_id: str, probe: _Probe) -> None:
        """The probe is over: schedule the next, and start who waited for room."""
        if bug is not None:
            self.log.failure(
                "Taking in the check of {target} in pool {pool}",
                failure=bug,
                target=node_id,
                pool=self.pool.name,
            )
        if self._in_flight.get(node_id) is not probe:
            return  # abandoned
        del self._in_flight[node_id]
        now = self._now()
        self._again(node_id, probe.slot, now)
        self._start_due(now)

    def _abandon(self, node_id: str) -> None:
        """Cancel a probe and want nothing more of it."""
        probe = self._in_flight.pop(node_id)
        probe.result.cancel()
