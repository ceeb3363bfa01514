"""What happened in a simulation: counts, and the changes of every target in order.

Imports: domain. Used by: simulate.findings, simulate.journey, simulate.replay,
simulate.world.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from math import exp, log

import attrs
from zope.interface import implementer

from lolly_tx.domain.errors import ProxyError
from lolly_tx.domain.events import Event
from lolly_tx.domain.interfaces import IEventSink
from lolly_tx.domain.node import Node

SLICES = 12
"""Parts of the whole time that the report shows the course of things in."""

SERVED = 200
"""The status of a session that was up, whatever ended it."""

GONE = 499
"""The status of a request whose client has hung up, as in the access log."""

_FINE = 100.0
"""Buckets of a latency histogram per factor e: percentiles are exact to one per cent."""


@attrs.define
class Slice:
    """One part of the time. `requests`: ended in it; `errors`: 5xx that clients got."""

    requests: int = 0
    errors: int = 0
    retries: int = 0
    latency: Counter[int] = attrs.field(factory=Counter)


@attrs.frozen
class Outage:
    """A target out of service from `start` to `end` (None: to the last).

    `fact`: what took it out, "health" or "ejection".
    """

    start: float
    end: float | None
    fact: str
    cause: str


def percentile(histogram: Counter[int], share: float) -> float:
    """The value below which `share` of the recorded seconds lie; 0 when there are none."""
    left = share * histogram.total()
    for bucket in sorted(histogram):
        left -= histogram[bucket]
        if left <= 0:
            return exp(bucket / _FINE)
    return 0.0


@implementer(IEventSink)
class Recording:
    """Takes everything in. `duration`: seconds. `nodes`: set once the pool is there."""

    def __init__(self, duration: float) -> None:
        self.duration = duration
        self.nodes: Callable[[], Mapping[str, Node]] = dict
        self.statuses: Counter[int] = Counter()
        """What clients got, by status."""
        self.own: Counter[str] = Counter()
        """Our own answers among them, by error token."""
        self.retries = 0
        self.hedges = 0
        self.slices = [Slice() for _ in range(SLICES)]
        self.events: list[Event] = []
        self.outages: dict[str, list[Outage]] = {}
        self._out: dict[str, tuple[float, str, str]] = {}
        self._per_second = SLICES / duration if duration else 0.0

    def _slice(self, now: float) -> Slice:
        return self.slices[min(SLICES - 1, int(now * self._per_second))]

    def finished(
        self, started: float, status: int, error: ProxyError | None, now: float
    ) -> None:
        """A request that came at `started` is over, with the status its client got."""
        self.statuses[status] += 1
        if error is not None:
            self.own[error.token] += 1
        part = self.slices[min(SLICES - 1, int(now * self._per_second))]
        part.requests += 1
        if status >= 500:
            part.errors += 1
        else:
            seconds = now - started
            part.latency[int(log(seconds) * _FINE) if seconds > 1e-6 else -1400] += 1

    def retried(self, now: float) -> None:
        """Another attempt is made."""
        self.retries += 1
        self._slice(now).retries += 1

    def hedged(self, now: float) -> None:
        """A second attempt is made beside the first."""
        self.hedges += 1

    def emit(self, event: Event) -> None:
        """A fact about a target or the pool has changed."""
        self.events.append(event)
        node = self.nodes().get(event.node)
        if node is None or event.fact not in ("health", "ejection"):
            return
        serves = node.well and node.ejection == "up"
        if not serves and event.node not in self._out:
            self._out[event.node] = (event.at, event.fact, event.cause)
        elif serves and event.node in self._out:
            start, fact, cause = self._out.pop(event.node)
            outage = Outage(start, event.at, fact, cause)
            self.outages.setdefault(event.node, []).append(outage)

    def close(self) -> None:
        """The time is over: whoever is out stays so."""
        for node_id, (start, fact, cause) in self._out.items():
            outage = Outage(start, None, fact, cause)
            self.outages.setdefault(node_id, []).append(outage)
        self._out.clear()

    @property
    def requests(self) -> int:
        """Requests that have ended."""
        return self.statuses.total()

    @property
    def errors(self) -> int:
        """5xx that clients got, ours and the targets'."""
        return sum(n for status, n in self.statuses.items() if status >= 500)

    @property
    def latency(self) -> Counter[int]:
        """Of all requests that were no errors."""
        whole: Counter[int] = Counter()
        for part in self.slices:
            whole.update(part.latency)
        return whole
