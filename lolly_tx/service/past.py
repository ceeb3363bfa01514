"""What exchanges with pools came to that are no more: what a listener has moved never gets less.

Imports: proxy, service. Used by: service.metrics, service.service.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from lolly_tx.proxy.counters import Counters, Served
from lolly_tx.service.pools import RunningPool


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

    def served_to(
        self, listener: str, running: Iterable[RunningPool]
    ) -> dict[str, int]:
        """Exchanges of the clients of `listener`, and bytes of bodies and tunnels. `running`: the pools there are."""
        found = [self._served.get(listener)]
        for one in (*self._leaving, *running):
            found.append(one.forwarder.counters.served.get(listener))
        there = [one for one in found if one is not None]
        return {
            "exchanges": sum(one.exchanges for one in there),
            "bytes_in": sum(one.bytes_in for one in there),
            "bytes_out": sum(one.bytes_out for one in there),
        }

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
