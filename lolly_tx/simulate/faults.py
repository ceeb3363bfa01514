"""When a fault strikes.

Imports: simulate. Used by: simulate.findings, simulate.targets, simulate.world.
"""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from lolly_tx.simulate.scenario import Fault, FaultKind

NEVER = float("inf")

_SAYS = {
    "refuse": "refuses connections",
    "unreachable": "cannot be reached",
    "no_network": "is beyond the proxy, which has no network",
    "hang": "accepts and never answers",
    "reset": "closes without an answer",
}


class Windows:
    """The times at which one fault is there.

    `end`: of the scenario, seconds.
    """

    __slots__ = (
        "factor",
        "fault",
        "first",
        "kind",
        "last",
        "length",
        "probes",
        "share",
        "step",
    )

    def __init__(self, fault: Fault, end: float) -> None:
        self.fault = fault
        self.kind: FaultKind = fault.kind
        self.share = fault.share
        self.probes = fault.probes
        self.factor = fault.factor
        self.first = fault.at
        self.step = fault.every
        self.length = fault.lasts or NEVER
        if self.step:
            self.last = min(fault.until or end, end)
        else:
            self.last = fault.at + self.length

    def strikes(self, now: float) -> bool:
        """Whether it is there at `now`."""
        if not self.first <= now < self.last:
            return False
        return not self.step or (now - self.first) % self.step < self.length

    def next_start(self, now: float) -> float:
        """When it begins next, after `now`."""
        if now < self.first:
            return self.first
        if not self.step:
            return NEVER
        start = self.first + ((now - self.first) // self.step + 1) * self.step
        return start if start < self.last else NEVER

    def all(self, end: float) -> Iterator[tuple[float, float]]:
        """Start and end of each window that begins before `end`."""
        number = 0
        start = self.first
        while start < min(self.last, end):
            yield start, min(start + self.length, self.last, end)
            if not self.step:
                return
            number += 1
            start = self.first + number * self.step

    def __str__(self) -> str:
        fault = self.fault
        if self.kind == "status":
            words = f"answers {fault.status}"
        elif self.kind == "slow":
            words = f"is {fault.factor:g} times as slow"
        else:
            words = _SAYS[self.kind]
        if fault.share < 1:
            words += f" ({fault.share:.0%} of the requests)"
        return words if fault.probes else words + ", but not for probes"


@attrs.frozen
class Window:
    """One fault of one target from `start` to `end`, seconds; `says`: what it does."""

    node_id: str
    start: float
    end: float
    windows: Windows

    @property
    def says(self) -> str:
        """What it does, in words."""
        return str(self.windows)
