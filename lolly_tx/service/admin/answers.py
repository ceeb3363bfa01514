"""What the admin API answers, as JSON-able values: pools, targets, events, traces, the watchdog.

Imports: domain, service. Used by: service, service.admin.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Mapping
from typing import Any

import attrs

from lolly_tx.domain.account import account, departed_account
from lolly_tx.domain.node import Node
from lolly_tx.domain.pool import Pool
from lolly_tx.domain.snapshot import describe, event_dict
from lolly_tx.domain.target import Target
from lolly_tx.domain.wayback import Planned
from lolly_tx.service.isotime import iso_time
from lolly_tx.service.serving import Serving
from lolly_tx.service.watchdog import WatchdogSnapshot

MOST_EVENTS = 1000

TARGETS_AT_ONCE = 25
"""Told in one turn of the event loop, with their accounts some 2 ms."""

POOLS_AT_ONCE = 10

Making = Generator[None, None, dict[str, Any]]
"""Makes what is told, a part at each step."""


def unready(serving: Serving, now: float) -> list[str]:
    """Why new requests are better sent elsewhere; empty when all is well."""
    reasons = []
    colleagues = serving.colleagues
    if colleagues is not None and not colleagues.serving:
        reasons += colleagues.ailing() or ["no worker serves yet"]
    if not serving.listening:
        reasons.append("not every listener is up")
    if serving.draining:
        reasons.append("draining")
    elif serving.listener_drains.everywhere:
        reasons.append("every listener is drained")
    fault = serving.local_fault()
    if fault is not None and fault["kind"] == "network":
        reasons.append(f"local fault: {fault['why']}")
    providers = serving.providers
    if providers is not None:
        reasons += providers.unready()
    return reasons + [
        f"pool {name}: no target is available"
        for name, pool in serving.pools.items()
        # Whoever deploys a service without endpoints does not take the proxy of all others away. Neither does who is
        # behind a tunnel: connectors may well come in by whoever asks whether we are ready.
        if not (
            pool.available(now)
            or (providers and providers.provides(name))
            or any(node.absent for node in pool.nodes.values())
        )
    ]


def readiness(serving: Serving, now: float) -> tuple[int, dict[str, Any]]:
    """The status that says it, and what a person wants to know besides."""
    reasons = unready(serving, now)
    body: dict[str, Any] = {"ready": not reasons}
    if reasons:
        body["reasons"] = reasons
    left = serving.stopping.shown() if serving.draining else None
    if left is not None:
        body["draining"] = left
    degraded = [f"listener {name} is drained" for name, _ in serving.listener_drains]
    fault = serving.local_fault()
    if fault is not None:
        degraded.append(f"local fault: {fault['why']}")
    if serving.colleagues is not None:
        degraded += serving.colleagues.ailing()
    if serving.providers is not None:
        degraded += [
            f"provider {one['name']}: {one['error']}"
            for one in serving.providers.shown()
            if one["error"]
        ]
    if degraded and not reasons:
        body["degraded"] = degraded
    return (503 if reasons else 200), body


def pools_shown(serving: Serving, now: Callable[[], float]) -> Making:
    """Every pool with its targets, some of them at each step."""
    found = []
    for number, pool in enumerate(tuple(serving.pools.values()), 1):
        found.append((yield from pool_shown(serving, pool, now)))
        if not number % POOLS_AT_ONCE:
            yield
    return {"pools": found}


def _of_targets(
    told: Callable[[Serving, Pool, Node, float], dict[str, Any]],
    serving: Serving,
    pool: Pool,
    clock: Callable[[], float],
) -> Generator[None, None, list[dict[str, Any]]]:
    """What is told of every target, of some of them at each step."""
    pool.available(clock())  # what time has brought is to be told as well
    found = []
    for number, node in enumerate(tuple(pool.nodes.values()), 1):
        found.append(told(serving, pool, node, clock()))
        if not number % TARGETS_AT_ONCE:
            yield
    return found


def pool_shown(serving: Serving, pool: Pool, clock: Callable[[], float]) -> Making:
    """One pool with its targets, some of them at each step. `clock`: the monotonic one of the pools."""
    targets = yield from _of_targets(_shown, serving, pool, clock)
    now = clock()
    return {
        "name": pool.name,
        "available": len(pool.available(now)),
        "refusals": pool.refusals,
        "local_fault": serving.local_fault(),
        "discovery": _discovery(serving, pool),
        "targets": targets,
        "leaving": [
            {
                "id": node.id,
                "address": node.target.address,
                "in_flight": node.in_flight,
                "last_change": event_dict(node.last_change, now),
            }
            for node in pool.departed.values()
            if node.in_flight
        ],
    }


def target_shown(
    serving: Serving, pool: Pool, target: str, now: float
) -> dict[str, Any]:
    """One target, named by its id or its address. Raises `UnknownNode`."""
    pool.available(now)
    return _shown(serving, pool, pool.node(id_of(pool, target)), now)


def _shown(serving: Serving, pool: Pool, node: Node, now: float) -> dict[str, Any]:
    shown = describe(node, pool.thresholds, now, _planned(serving, pool, node.id))
    shown["drain_ends_in_seconds"] = serving.drains.left(pool.name, node.id)
    return shown


def _planned(serving: Serving, pool: Pool, target: str) -> Planned:
    """Who asks the target of that id next."""
    return Planned(
        serving.next_check(pool.name, target), serving.next_recheck(pool.name, target)
    )


def id_of(pool: Pool, text: str) -> str:
    """The id of the target that `text` names: by its id, or by its address, with or without the scheme."""
    if text in pool.nodes:
        return text
    wanted = _address(text)
    found = [
        node.id
        for node in pool.nodes.values()
        if wanted in (_address(node.target.address), _place(node.target))
    ]
    return found[0] if len(found) == 1 else text


def _address(text: str) -> str:
    return text.lower().rstrip("/")


def _place(target: Target) -> str:
    """HOST:PORT as people write it, "" for an endpoint string."""
    if not target.host:
        return ""
    host = f"[{target.host}]" if ":" in target.host else target.host
    return f"{host}:{target.port}".lower()


def pool_explained(serving: Serving, pool: Pool, clock: Callable[[], float]) -> Making:
    """Every target of a pool with its account, some at each step. `clock`: the monotonic one of the pools."""
    targets = yield from _of_targets(_explained, serving, pool, clock)
    now = clock()
    return {
        "pool": pool.name,
        "available": len(pool.available(now)),
        "panic_odds": round(pool.choice.panic_odds, 6),
        "local_fault": serving.local_fault(),
        "discovery": _discovery(serving, pool),
        "targets": targets,
    }


def _discovery(serving: Serving, pool: Pool) -> Mapping[str, Any] | None:
    found = serving.discoveries
    return None if found is None else found.shown(pool.name)


def target_explained(
    serving: Serving, pool: Pool, target: str, now: float
) -> dict[str, Any]:
    """The account of one target. Raises `UnknownNode`."""
    pool.available(now)  # what time has brought is to be told as well
    if target in pool.departed:
        found = departed_account(pool.departed[target], pool.thresholds, now)
        return {**found, "local_fault": serving.local_fault()}
    return _explained(serving, pool, pool.node(id_of(pool, target)), now)


def _explained(serving: Serving, pool: Pool, node: Node, now: float) -> dict[str, Any]:
    planned = _planned(serving, pool, node.id)
    found = account(node, pool.thresholds, now, planned)
    return {**found, "local_fault": serving.local_fault()}


def events_shown(
    serving: Serving,
    now: float,
    wall: float,
    *,
    after: int = 0,
    limit: int = MOST_EVENTS,
) -> dict[str, Any]:
    """The latest `limit` events with a number above `after`, in the order they happened.

    `wall`: seconds since the epoch at `now`. The end of an ejection is noticed when somebody looks, so numbers, which
    say when an event was noticed, need not be in that order.
    """
    for pool in serving.pools.values():
        pool.available(now)  # what time has brought is to be told as well
    journal = serving.journal
    chosen = list(journal.after(after))[-limit:] if limit else []
    chosen.sort(key=lambda one: one[1].at)
    return {
        "latest": journal.count,
        "events": [
            {
                "number": number,
                "time": iso_time(wall - max(0.0, now - event.at)),
                "pool": event.pool,
                "target": event.node,
                **(event_dict(event, now) or {}),
            }
            for number, event in chosen
        ],
    }


def watchdog_shown(seen: WatchdogSnapshot, now: float) -> dict[str, Any]:
    """How the event loop has been."""
    last = seen.last
    return {
        **attrs.asdict(
            seen,
            filter=attrs.filters.exclude(
                attrs.fields(WatchdogSnapshot).last,
                attrs.fields(WatchdogSnapshot).lateness,
            ),
        ),
        "lateness": [
            {"at_most_seconds": None if math.isinf(bound) else bound, "beats": count}
            for bound, count in seen.lateness
        ],
        "last": None
        if last is None
        else {
            "seconds_ago": round(max(0.0, now - last.at), 3),
            "seconds": last.seconds,
            "waiting": last.waiting,
            "stack": list(last.stack),
        },
    }
