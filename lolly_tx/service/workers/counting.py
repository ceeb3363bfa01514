"""The numbers of one process by flat names, and totals put where the admin side looks for them.

    worker: numbers_of(service) -> Tally.changes --(a message)--> supervisor: Totals.heard, then `show`

Imports: domain, domain.shared, service. Used by: service.workers.supervisor,
service.workers.worker.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from operator import attrgetter
from typing import Any

from lolly_tx.domain.histogram import NONE
from lolly_tx.domain.node import NODE_COUNTERS, Node
from lolly_tx.domain.shared.tallies import Number, Totals
from lolly_tx.service.service import LollyService

GAUGES = (
    "open",
    "idle",
    "in_flight",
    "waiting",
    "left",
    "parting",
    "stall_seconds",
    "away",
    "bytes_held",
    "entries",
)
"""What a process has now; all the rest is counted since its start."""

COUNTING_PAUSE = 50.0
"""Times as long as counting took it is not done again: with very many targets it takes some milliseconds."""

_TOLD = ("listeners/", "pools/", "caches/", "stores/")

_SERVED = (*_TOLD, "nodes/")

_OWN_STATS = frozenset(("ejections", "rechecks"))
"""Of a node, counted where it is judged."""

_SEEN_STATS = tuple(word for word in NODE_COUNTERS if word not in _OWN_STATS)

_seen = attrgetter(*_SEEN_STATS)

_PLACES = tuple(f"/slower/{place}" for place in range(len(NONE)))

_OWN = frozenset(
    (
        "available",
        "targets",
        "ejections",
        "panic",
        "certificates",
        "away_seconds",
        "sharers",
        "purges",
    )
)
"""The same of a pool, what all processes read from the same files, what a store tells all of them, and what only one of
them listens to."""


def numbers_of(service: LollyService) -> dict[str, Number]:
    """All that the process of `service` counts."""
    numbers: dict[str, Number] = {}
    told = service.statistics()
    numbers.update(_flat(told["process"], "process"))
    for kind in ("listeners", "pools", "caches", "stores"):
        for name, one in told.get(kind, {}).items():
            numbers.update(_flat(one, f"{kind}/{name}"))
    for name, pool in service.pools.items():
        numbers[f"pools/{name}/refusals"] = pool.refusals
        for node in (*pool.departed.values(), *pool.nodes.values()):
            base = f"nodes/{name}/{node.id}"
            numbers[f"{base}/in_flight"] = node.in_flight
            stats = node.stats
            # What has not been counted yet is 0 for everybody: of a thousand targets few have failures.
            for word, number in zip(_SEEN_STATS, _seen(stats), strict=True):
                if number:
                    numbers[f"{base}/{word}"] = number
            for place, count in enumerate(stats.slower):
                if count:
                    numbers[f"{base}/slower/{place}"] = count
    return numbers


def counted_alone(service: LollyService) -> dict[str, Number]:
    """What the only process there was has counted, for those that serve in its place: not how its own loop was."""
    numbers = numbers_of(service).items()
    return {name: number for name, number in numbers if name.startswith(_SERVED)}


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
    for kind in ("listeners", "pools", "caches", "stores"):
        found[kind] = {
            name: _filled(one, totals.sums, f"{kind}/{name}", kind == "stores")
            for name, one in told.get(kind, {}).items()
        }
    for name, number in totals.items():
        if not name.startswith(_TOLD):
            continue  # most of them
        kind, one, *path = name.split("/")
        # Reasons that a process names once it has met them; targets come and go by themselves.
        if number and "targets" not in path:
            _add(found[kind].get(one), path, number)
    return found


def _add(tree: dict[str, Any] | None, path: list[str], number: Number) -> None:
    """Put in what is not there."""
    *way, last = path
    for word in way:
        tree = tree.get(word) if tree is not None else None
    if isinstance(tree, dict):
        tree.setdefault(last, number)


def _filled(
    tree: dict[str, Any], sums: Mapping[str, Number], base: str, added: bool
) -> dict[str, Any]:
    """`added`: its own numbers count as well, for it does some of that itself."""
    found: dict[str, Any] = {}
    for name, value in tree.items():
        at = f"{base}/{name}"
        if name in _OWN:
            found[name] = value
        elif isinstance(value, dict):
            found[name] = _filled(value, sums, at, added)
        elif isinstance(value, bool) or not isinstance(value, int | float):
            found[name] = value
        elif name == "amplification":
            requests = sums.get(f"{base}/requests", 0)
            spent = sums.get(f"{base}/spent", 0)
            found[name] = round(1.0 + spent / requests, 4) if requests else 1.0
        else:
            found[name] = sums.get(at, 0) + (value if added else 0)
    return found


def worked(numbers: Mapping[str, Number]) -> dict[str, int]:
    """What one process has done, of its `numbers`: exchanges since its start, and connections that are open."""
    found = {"exchanges": 0, "open": 0}
    for name, number in numbers.items():
        if not name.startswith(_TOLD):
            continue  # most of them
        kind, _, *path = name.split("/")
        if (kind, path) == ("pools", ["exchanges"]):
            found["exchanges"] += int(number)
        elif (kind, path) == ("listeners", ["open"]):
            found["open"] += int(number)
    return found


def show(service: LollyService, totals: Totals) -> None:
    """Give the nodes and pools of a process that serves nobody the numbers of those that do."""
    served, refused = _served(totals), _refused(totals)
    for name, pool in service.pools.items():
        pool.refusals = int(totals[f"pools/{name}/refusals"])
        counters = service.running_pools[name].forwarder.counters
        words = ("failed", "gone", "retries")
        numbers = {word: totals[f"pools/{name}/{word}"] for word in words}
        numbers["hedges"] = totals[f"pools/{name}/hedged"]
        counters.take({**numbers, "served": served.get(name, {})})
        for node in pool.nodes.values():
            _show_node(node, f"nodes/{name}/{node.id}", totals.sums)
        for node in pool.departed.values():
            left = node.in_flight
            _show_node(node, f"nodes/{name}/{node.id}", totals.sums)
            if left and not node.in_flight:
                pool.roster.see_off(node, service.now())
    for name, acceptor in service.acceptors.items():
        acceptor.accepted = int(totals[f"listeners/{name}/accepted"])
    for name, resource in service.resources.items():
        codes = refused.get(name, {})
        resource.proxy.refused_codes.update(codes)


def _show_node(node: Node, base: str, sums: Mapping[str, Number]) -> None:
    found = sums.get
    node.in_flight = int(found(f"{base}/in_flight", 0))
    stats = node.stats
    for word in _SEEN_STATS:
        setattr(stats, word, found(f"{base}/{word}", 0))
    if stats.successes:
        stats.slower = [int(found(base + place, 0)) for place in _PLACES]


def _served(totals: Totals) -> dict[str, Any]:
    """What exchanges came to, by pool and listener, as `Counters.take` likes it."""
    found: dict[str, Any] = {}
    for name, number in totals.items():
        if name.startswith("pools/") and "/served/" in name:
            _, pool, _, listener, *way, last = name.split("/")
            tree = found.setdefault(pool, {}).setdefault(listener, {})
            for word in way:
                tree = tree.setdefault(word, {})
            tree[last] = number
    return found


def _refused(totals: Totals) -> dict[str, dict[int, int]]:
    """Requests that no pool has seen, by listener and status."""
    found: dict[str, dict[int, int]] = {}
    for name, number in totals.items():
        if name.startswith("listeners/") and "/refused_codes/" in name:
            _, listener, _, code = name.split("/")
            found.setdefault(listener, {})[int(code)] = int(number)
    return found
