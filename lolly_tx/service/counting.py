"""The numbers of one process by flat names, and totals put where the admin side looks for them.

    worker: numbers_of(service) -> Tally.changes --(a message)--> supervisor: Totals.heard, then `show`

Imports: domain, service. Used by: service.supervisor, service.worker.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from lolly_tx.domain.tallies import Number, Totals
from lolly_tx.service.service import LollyService

GAUGES = ("open", "idle", "in_flight", "waiting", "left", "parting")
"""What a process has now; all the rest is counted since its start."""

COUNTING_PAUSE = 50.0
"""Times as long as counting took it is not done again: with very many targets it takes some milliseconds."""

_OWN_STATS = frozenset(("ejections", "rechecks"))
"""Of a node, counted where it is judged."""

_OWN = frozenset(("available", "targets", "ejections", "panic", "certificates"))
"""The same of a pool, and what all processes read from the same files."""


def numbers_of(service: LollyService) -> dict[str, Number]:
    """All that the process of `service` counts."""
    numbers: dict[str, Number] = {}
    told = service.statistics()
    for kind in ("listeners", "pools"):
        for name, one in told[kind].items():
            numbers.update(_flat(one, f"{kind}/{name}"))
    for name, pool in service.pools.items():
        numbers[f"pools/{name}/refusals"] = pool.refusals
        for node in pool.nodes.values():
            base = f"nodes/{name}/{node.id}"
            numbers[f"{base}/in_flight"] = node.in_flight
            stats = node.stats
            for word in stats.__slots__:
                if word not in _OWN_STATS:
                    numbers[f"{base}/{word}"] = getattr(stats, word)
    return numbers


def _flat(tree: Any, base: str) -> Iterator[tuple[str, Number]]:
    for name, value in tree.items():
        if isinstance(value, dict):
            if name not in _OWN:
                yield from _flat(value, f"{base}/{name}")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            if name not in _OWN and name != "amplification":
                yield f"{base}/{name}", value


def filled_in(told: dict[str, Any], totals: Totals) -> dict[str, Any]:
    """`told`, the statistics of a process that serves nobody, with the numbers of those that do."""
    found = dict(told)
    for kind in ("listeners", "pools"):
        found[kind] = {
            name: _filled(one, totals, f"{kind}/{name}")
            for name, one in told[kind].items()
        }
    for name, number in totals.items():
        kind, one, *path = name.split("/")
        # Reasons that a process names once it has met them; targets come and go by themselves.
        if kind in ("listeners", "pools") and number and "targets" not in path:
            _add(found[kind].get(one), path, number)
    return found


def _add(tree: dict[str, Any] | None, path: list[str], number: Number) -> None:
    """Put in what is not there."""
    *way, last = path
    for word in way:
        tree = tree.get(word) if tree is not None else None
    if isinstance(tree, dict):
        tree.setdefault(last, number)


def _filled(tree: dict[str, Any], totals: Totals, base: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in tree.items():
        at = f"{base}/{name}"
        if name in _OWN:
            found[name] = value
        elif isinstance(value, dict):
            found[name] = _filled(value, totals, at)
        elif isinstance(value, bool) or not isinstance(value, int | float):
            found[name] = value
        elif name == "amplification":
            requests = totals[f"{base}/requests"]
            spent = totals[f"{base}/spent"]
            found[name] = round(1.0 + spent / requests, 4) if requests else 1.0
        else:
            found[name] = totals[at]
    return found


def worked(numbers: Mapping[str, Number]) -> dict[str, int]:
    """What one process has done, of its `numbers`: exchanges since its start, and connections that are open."""
    found = {"exchanges": 0, "open": 0}
    for name, number in numbers.items():
        kind, _, *path = name.split("/")
        if (kind, path) == ("pools", ["exchanges"]):
            found["exchanges"] += int(number)
        elif (kind, path) == ("listeners", ["open"]):
            found["open"] += int(number)
    return found


def show(service: LollyService, totals: Totals) -> None:
    """Give the nodes and pools of a process that serves nobody the numbers of those that do."""
    for name, pool in service.pools.items():
        pool.refusals = int(totals[f"pools/{name}/refusals"])
        counters = service.running_pools[name].forwarder.counters
        for word in attrs.fields_dict(type(counters)):
            setattr(counters, word, int(totals[f"pools/{name}/{word}"]))
        for node in pool.nodes.values():
            base = f"nodes/{name}/{node.id}"
            node.in_flight = int(totals[f"{base}/in_flight"])
            stats = node.stats
            for word in stats.__slots__:
                if word not in _OWN_STATS:
                    setattr(stats, word, totals[f"{base}/{word}"])
    for name, resource in service.resources.items():
        resource.proxy.refusals = int(totals[f"listeners/{name}/refused"])
