"""What exchanges with pools came to that are no more: what a listener has moved never gets less.

Imports: proxy, service. Used by: service.metrics, service.service.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from lolly_tx.proxy.counters import Counters, Served
from lolly_tx.service.pools import RunningPool

NOTHING = MappingProxyType({"exchanges": 0, "bytes_in": 0, "bytes_out": 0})
"""Of a listener that had no exchange yet."""


class Past:
    """Pools that have left, summed up by listener once the last of their exchanges is over."""

    def __init__(self) -> None:
        self._served: dict[str, Served] = {}
        self._leaving: list[RunningPool] = []

    def add(self, running: RunningPool) -> None:
        """It has left; exchanges with it may go on."""
        self._leaving.append(running)
        over = [one for one in self._leaving if not one.in_flight]
        for one in over:
            self._leaving.remove(one)
            self._keep(one.forwarder.counters)

    def _keep(self, counters: Counters) -> None:
        for name, served in counters.served.items():
            self._served.setdefault(name, Served()).add(served)

    def served(self, running: Iterable[RunningPool]) -> dict[str, dict[str, int]]:
        """Exchanges of the clients of each listener that had some, and bytes of bodies and tunnels.

        `running`: the pools there are.
        """
        found: dict[str, dict[str, int]] = {}
        there = (one.forwarder.counters.served for one in (*self._leaving, *running))
        for served in (self._served, *there):
            for listener, one in served.items():
                sums = found.setdefault(listener, dict(NOTHING))
                sums["exchanges"] += one.exchanges
                sums["bytes_in"] += one.bytes_in
                sums["bytes_out"] += one.bytes_out
        return found

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        whole = Past()
        whole._served = {
            name: Served.of_dict(one.as_dict()) for name, one in self._served.items()
        }
        for one in self._leaving:
            whole._keep(one.forwarder.counters)
        return {name: served.as_dict() for name, served in whole._served.items()}

    def take(self, said: Mapping[str, Any]) -> None:
        """Go on from what `as_dict` made. Raises what `Served.of_dict` does, with nothing taken."""
        self._served = {str(name): Served.of_dict(one) for name, one in said.items()}
