"""Exemplars: of each bucket of a pool's durations the latest exchange whose trace is kept.

    an exchange ends -> Exemplars.finished -> Counters.exemplars -> /metrics, as OpenMetrics
    worker: ExemplarNews.changes --(a message)--> supervisor: take_exemplars

Who sees slow requests in a histogram finds one of them in the collector of traces. No more is kept than one for each
bucket of a pool; where no traces are kept nobody is told of exchanges for it.

Imports: domain, proxy. Used by: service, service.workers.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lolly_tx.domain.histogram import BOUNDS, Exemplar
from lolly_tx.proxy.counters import Counters
from lolly_tx.proxy.exchange import Exchange

Told = dict[str, dict[str, Sequence[Any]]]
"""By pool and place in the histogram: trace id, seconds, and when (seconds since the epoch)."""


class Exemplars:
    """Puts exchanges down. `now`: the clock that they are measured by; `wall`: seconds since the epoch."""

    def __init__(self, now: Callable[[], float], wall: Callable[[], float]) -> None:
        self._now = now
        self._wall = wall

    def finished(self, exchange: Exchange) -> None:
        """An exchange is over."""
        identity = exchange.identity
        if identity is None or not identity.sampled:
            return
        seconds = max(0.0, self._now() - exchange.started)
        trace_id = identity.trace_id.decode("ascii")
        kept = exchange.forwarder.counters.exemplars
        kept[bisect_left(BOUNDS, seconds)] = Exemplar(trace_id, seconds, self._wall())


class ExemplarNews:
    """What of the exemplars of a worker is to be told."""

    def __init__(self) -> None:
        self._told: dict[tuple[str, int], Exemplar] = {}

    def changes(self, counters: Mapping[str, Counters]) -> Told:
        """Those that were not told yet, of `counters` by pool."""
        found: Told = {}
        there: dict[tuple[str, int], Exemplar] = {}
        for name, counted in counters.items():
            for place, one in counted.exemplars.items():
                there[name, place] = one
                if self._told.get((name, place)) is not one:
                    told = found.setdefault(name, {})
                    told[str(place)] = (one.trace_id, one.seconds, one.at)
        self._told = there
        return found


def take_exemplars(counters: Mapping[str, Counters], told: Mapping[str, Any]) -> None:
    """What a worker has told; the latest one counts, whosever it is."""
    for name, places in told.items():
        if name not in counters:
            continue  # it has left meanwhile
        kept = counters[name].exemplars
        for place, (trace_id, seconds, at) in places.items():
            before = kept.get(int(place))
            if before is None or before.at <= at:
                kept[int(place)] = Exemplar(trace_id, seconds, at)
