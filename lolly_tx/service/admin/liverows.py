"""The state of the proxy as rows, to be looked at again and again: what a row says changes only when something did.

    "proxy"              which settings, since when, the verdict
    "pool/NAME"          its targets and its traffic, in counters
    "target/POOL/ID"     what it is, since when, why, what brings it back, and its last hour
    "listener/NAME"      a listener, stream or forward proxy with its traffic, in counters
    "worker/N", "certificate/N"

So times are moments, seconds since the epoch, and no ages. A thousand targets are some tens of milliseconds: rows are
made in slices.

Imports: _version, domain, service, service.admin, service.records. Used by:
service.admin.live.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from lolly_tx._version import __version__
from lolly_tx.domain.account import summary
from lolly_tx.domain.histogram import NONE, dense, filled_in
from lolly_tx.domain.node import UNLIMITED, Node
from lolly_tx.domain.pool import Pool
from lolly_tx.domain.wayback import Planned, ways_back
from lolly_tx.service.admin.answers import unready
from lolly_tx.service.records.history import word_of
from lolly_tx.service.serving import Serving

SLICE = 25
"""Targets in one turn of the event loop: some 2 ms when all of them are out."""

STRIP_SECONDS = 3600.0
"""How far back a target's own line of time goes."""

_FACTS = {
    "disabled": ("enabled",),
    "draining": ("enabled",),
    "not connected": ("tunnel",),
    "unhealthy": ("health",),
    "ejected": ("ejection",),
}
"""The facts of events that explain why a target is out; others are its agent's and its checks' word."""

_AGES = ("seconds", "silent_seconds", "oldest_seconds")
"""What is other each time it is looked at."""

Row = Mapping[str, Any]


def rows_of(
    serving: Serving, numbers: Mapping[str, Any], now: float, epoch: float
) -> Iterator[tuple[str, Row]]:
    """All rows, each with its key, in the order in which they are read.

    `numbers`: all counters. `epoch`: the moment at which `now` was 0, seconds since the epoch.
    """
    yield "proxy", _proxy(serving, numbers, now)
    for name, pool in tuple(serving.pools.items()):
        available = len(pool.available(now))
        yield f"pool/{name}", _pool(pool, available, numbers["pools"].get(name, {}))
        for node in tuple(pool.nodes.values()):
            yield f"target/{name}/{node.id}", _target(serving, pool, node, now, epoch)
    counted = numbers["listeners"]
    for place in serving.places(numbers):
        numbered = counted.get(place["name"], {})
        shown = {k: v for k, v in place.items() if k not in _AGES}
        yield f"listener/{place['name']}", {**shown, **_traffic(numbered)}
    for worker in numbers.get("workers", ()):
        row = {k: v for k, v in worker.items() if k not in _AGES}
        since = worker["seconds"]
        row["since"] = None if since is None else round(now + epoch - since)
        yield f"worker/{worker['worker']}", row
    for number, one in enumerate(serving.certificates()):
        words = ("listener", "names", "issuer", "not_after", "refused", "path")
        yield f"certificate/{number}", {word: one[word] for word in words}


def _traffic(numbers: Mapping[str, Any]) -> Row:
    """What came to a listener; each is None where it is not counted.

    `served`: requests that are over, or sessions of a stream. `refused`: those that went nowhere.
    """
    counters = ("accepted", "open", "turned_away", "shed", "refused")
    served = numbers.get("exchanges", numbers.get("streams"))
    row = {word: numbers.get(word) for word in (*counters, "bytes_in", "bytes_out")}
    return {
        "kind": _kind_of(numbers),
        "served": served,
        "in_flight": numbers.get("in_flight"),
        **row,
    }


def _kind_of(numbers: Mapping[str, Any]) -> str:
    if "streams" in numbers:
        return "stream"
    return "forward" if "denied" in numbers else "listener"


def _proxy(serving: Serving, numbers: Mapping[str, Any], now: float) -> Row:
    said = verdict(serving, now)
    return {
        "version": __version__,
        **numbers.get("settings", {}),
        "draining": serving.draining,
        "unready": unready(serving, now),
        "verdict": said,
        "well": said == ALL_WELL,
    }


ALL_WELL = "All targets take requests"


def verdict(serving: Serving, now: float) -> str:
    """The worst fact there is, in a sentence: it stands at the top of the page and in its title."""
    if serving.draining:
        return "The proxy is stopping"
    fault = serving.local_fault()
    if fault is not None:
        what = "no network" if fault["kind"] == "network" else "out of resources"
        return f"Local fault, {what}: {fault['why']}"
    ailing: list[tuple[float, str]] = []
    for name, pool in serving.pools.items():
        pool.available(now)
        out = [node for node in pool.nodes.values() if word_of(node) != "up"]
        if not pool.nodes:
            ailing.append((0.0, f"{name}: no targets"))
        elif out:
            every = len(pool.nodes)
            willed = all(node.enabled != "up" for node in out)
            by = " by the operator" if willed else ""
            share = (every - len(out)) / every
            # What somebody wants comes after what went wrong, unless nothing is left.
            weight = share + (1.0 if willed and share else 0.0)
            ailing.append((weight, f"{name}: {len(out)} of {every} out{by}"))
    if ailing:
        ailing.sort()
        others = len(ailing) - 1
        more = f", and {others} more pool{'s' if others > 1 else ''}" if others else ""
        return f"{ailing[0][1]}{more}"
    colleagues = serving.colleagues
    if colleagues is not None and (silent := colleagues.ailing()):
        return silent[0]
    if not serving.listening:
        return "Not every listener is up"
    return ALL_WELL


def _pool(pool: Pool, available: int, numbers: Mapping[str, Any]) -> Row:
    out = sum(word_of(node) != "up" for node in pool.nodes.values())
    counters = ("exchanges", "failed", "gone", "retries", "in_flight", "bytes_in")
    connections = numbers.get("connections") or {}
    return {
        "name": pool.name,
        "targets": len(pool.nodes),
        "out": out,
        "available": available,
        "refused": numbers.get("refused", {}).get("in_all", 0),
        **{word: numbers.get(word, 0) for word in (*counters, "bytes_out")},
        "queue": numbers.get("queue"),
        "open": connections.get("open", 0),
        "idle": connections.get("idle", 0),
        "panics": numbers.get("panic", {}).get("leases", 0),
        "served": _served(numbers.get("served")),
    }


def _served(told: Mapping[str, Any] | None) -> list[int] | None:
    """How many exchanges took how long, of all listeners together; None: it is not counted."""
    if told is None:
        return None
    found = list(NONE)
    for one in told.values():
        slower = dense(one.get("slower", {}), len(NONE))
        counts = filled_in(sum(one.get("codes", {}).values()), slower)
        found = [old + count for old, count in zip(found, counts, strict=True)]
    return found


def _target(
    serving: Serving, pool: Pool, node: Node, now: float, epoch: float
) -> dict[str, Any]:
    target, stats = node.target, node.stats
    word = word_of(node)
    row: dict[str, Any] = {
        "pool": pool.name,
        "id": node.id,
        "address": target.address,
        "backup": target.backup,
        "weight": target.weight,
        "state": word,
        "enabled": node.enabled,
        "full": node.full,
        "in_flight": node.in_flight,
        "room": None if node.capacity == UNLIMITED else node.capacity,
        "requests": stats.requests,
        "failures": stats.failures,
        "successes": stats.successes,
        "seconds": round(stats.latency_sum, 4),
        "bytes_in": stats.bytes_in,
        "bytes_out": stats.bytes_out,
        "strip": [
            [round(one.at, 1), one.word]
            for one in serving.history.of(pool.name, node, now + epoch - STRIP_SECONDS)
        ],
    }
    if word != "up":
        row.update(_outage(serving, pool, node, now, epoch, word))
    return row


def _outage(
    serving: Serving, pool: Pool, node: Node, now: float, epoch: float, word: str
) -> Row:
    """Why it is out, since when, and what ends that."""
    facts = _FACTS.get(word, ("agent", "drain"))
    events = reversed(node.history)
    last = next((one for one in events if one.fact in facts), node.last_change)
    cause = "" if last is None else last.cause
    if word == "not connected" and cause != node.absent:
        last, cause = None, node.absent  # so from the beginning, without an event
    planned = Planned(
        serving.next_check(pool.name, node.id), serving.next_recheck(pool.name, node.id)
    )
    back = ways_back(node, pool.thresholds, now, planned)
    left = serving.drains.left(pool.name, node.id)
    checks = node.evidence.checks
    return {
        "since": None if last is None else round(last.at + epoch, 1),
        "cause": cause,
        "seen": checks[-1].cause if checks and not checks[-1].ok else "",
        "back": summary(node, back),
        "drain_ends": None if left is None else round(now + epoch + left),
    }
