"""A modelled target: how it answers a request that comes now.

An answer is fixed when the request arrives: what it will be, and after how long. A busy
target works on as many requests as it has capacity for, first come, first served, and goes
on working when nobody waits for the answer any more.

Imports: simulate. Used by: simulate.probes, simulate.recorded, simulate.staging.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from heapq import heappop, heappush
from random import Random
from typing import Literal

from lolly_tx.simulate.faults import NEVER, Windows
from lolly_tx.simulate.scenario import TargetModel

Trouble = Literal["", "refused", "unreachable", "no_network", "silent", "reset"]
ConnectTrouble = Literal["", "refused", "unreachable", "no_network"]

Answer = tuple[float, int, Trouble]
"""Seconds until it comes, its status (0 = none), and what happens instead of an answer."""

REFUSAL_SECONDS = 0.0005
"""A refusal takes a round trip on a local network."""


_CONNECTS: Mapping[str, ConnectTrouble] = {
    "refuse": "refused",
    "unreachable": "unreachable",
    "no_network": "no_network",
}
"""What connects meet, by the kind of the fault."""


class ModelledTarget:
    """One target. `random`: draws for the traffic; `probe_random`: for the probes.

    Two sources, so that more or fewer probes do not change what the traffic meets.
    """

    def __init__(
        self,
        model: TargetModel,
        faults: Sequence[Windows],
        random: Random,
        probe_random: Random,
    ) -> None:
        self.model = model
        self.faults = tuple(faults)
        self.answered = 0
        """Requests of clients it worked on."""
        self._deaths = [f for f in faults if f.kind == "refuse" and f.share >= 1]
        self._random = random
        self._probe_random = probe_random
        self._draw = model.latency.draw
        self._errors = model.errors
        self._free: list[float] = []
        self._starts: list[float] = []
        self._calm_until = 0.0

    def _is_troubled(self, now: float) -> bool:
        """Whether a fault strikes at `now`; if none does, when to look again is noted."""
        if any(fault.strikes(now) for fault in self.faults):
            return True
        starts = (fault.next_start(now) for fault in self.faults)
        self._calm_until = min(starts, default=NEVER)
        return False

    def answer(self, now: float, probe: bool = False, number: int = 0) -> Answer:
        """What becomes of a request, or of a probe, that arrives at `now`; to this one numbers are all alike."""
        random = self._probe_random if probe else self._random
        status = 200
        factor = 1.0
        if now >= self._calm_until and self._is_troubled(now):
            for fault in self.faults:
                if not fault.strikes(now) or (probe and not fault.probes):
                    continue
                if fault.share < 1 and random.random() >= fault.share:
                    continue
                kind = fault.kind
                if kind == "slow":
                    factor *= fault.factor
                elif kind == "status":
                    status = fault.fault.status
                elif kind == "refuse":
                    if fault.share >= 1:
                        self._free.clear()
                        self._starts.clear()
                    return REFUSAL_SECONDS, 0, "refused"
                elif kind == "unreachable":
                    return NEVER, 0, "unreachable"
                elif kind == "no_network":
                    return 0.0, 0, "no_network"
                elif kind == "hang":
                    return NEVER, 0, "silent"
                else:
                    return self._draw(random) * factor, 0, "reset"
        if self._errors and (not probe or self.model.probes):
            if random.random() < self._errors:
                status = 500
        seconds = self._draw(random) * factor
        if self.model.capacity:
            waited = self._wait(now, seconds)
            if waited is None:
                if self.model.when_full == "refuse":
                    return REFUSAL_SECONDS, 0, "refused"
                return REFUSAL_SECONDS, 503, ""
            seconds += waited
        if not probe:
            self.answered += 1
        for death in self._deaths:
            cut = death.next_start(now)
            if cut < now + seconds:
                return cut - now, 0, "reset"
        return seconds, status, ""

    def next_death(self, now: float) -> float:
        """When what is going on there is cut, after `now`; never: infinity."""
        return min((death.next_start(now) for death in self._deaths), default=NEVER)

    def slowness(self, now: float) -> float:
        """How many times as long everything takes, that begins at `now`."""
        factor = 1.0
        for fault in self.faults:
            if fault.kind == "slow" and fault.strikes(now):
                if fault.share >= 1 or self._random.random() < fault.share:
                    factor *= fault.factor
        return factor

    def connect_fault(self, now: float) -> ConnectTrouble:
        """What keeps a connect from it at `now`, if anything does; nothing else is asked of it."""
        for fault in self.faults:
            trouble = _CONNECTS.get(fault.kind)
            if trouble is not None and fault.strikes(now):
                if fault.share < 1 and self._probe_random.random() >= fault.share:
                    continue
                return trouble
        return ""

    def retry_after(self, now: float) -> int:
        """The Retry-After that its answers carry at `now`, seconds; 0: none."""
        for fault in self.faults:
            if fault.kind == "status" and fault.strikes(now):
                return fault.fault.retry_after
        return 0

    def _wait(self, now: float, seconds: float) -> float | None:
        """Seconds until one of the slots is free, or None when the queue is full."""
        free = self._free
        while free and free[0] <= now:
            heappop(free)
        if len(free) < self.model.capacity:
            heappush(free, now + seconds)
            return 0.0
        starts = self._starts
        while starts and starts[0] <= now:
            heappop(starts)
        if self.model.queue and len(starts) >= self.model.queue:
            return None
        # `free` has for each slot the time at which it has done all that was given to it.
        start = heappop(free)
        heappush(free, start + seconds)
        heappush(starts, start)
        return start - now
