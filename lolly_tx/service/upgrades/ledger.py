"""What was counted, as plain values, for the code that takes over in an upgrade: no counter begins afresh.

Counters of targets go with their facts (`domain.shared.heritage`). What is not there begins at 0, so that older and
newer code understand each other.

Imports: service, service.metrics. Used by: service.upgrades.handover.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from lolly_tx.service.metrics.statistics import cache_statistics
from lolly_tx.service.service import LollyService


def counted(service: LollyService) -> dict[str, Any]:
    """All of it, JSON-able."""
    renewals = service.upkeep.renewals
    return {
        "failures": service.generation.failures,
        "stalls": service.watched().stalls,
        "acme": {"issued": renewals.issued, "failed": renewals.failed},
        "past": service.past.as_dict(),
        "pools": {
            name: {
                "counters": one.forwarder.counters.as_dict(),
                "refusals": one.pool.refusals,
                "checks": one.pool.check_times.as_dict(),
            }
            for name, one in service.running_pools.items()
        },
        "refused": {
            name: resource.proxy.refused_codes
            for name, resource in service.resources.items()
        },
        "proxied": {
            name: dict(acceptor.proxied.refused)
            for name, acceptor in service.acceptors.items()
            if acceptor.proxied is not None
        },
        "streams": {
            name: one.as_dict() for name, one in service.stream_counters.items()
        },
        "forwards": {
            name: {
                "counters": one.counters.as_dict(),
                "refused": one.proxy.refused_codes,
                "denied": dict(one.proxy.turned_away),
            }
            for name, one in service.forwards.items()
        },
        "caches": cache_statistics(service.middlewares.caches),
        "tls": {
            name: {
                "completed": one.credentials.handshakes.completed,
                "failures": dict(one.credentials.handshakes.failures),
                "refusals": one.refusals,
            }
            for name, one in service.listeners.certificates
        },
    }


def count_on(service: LollyService, said: Mapping[str, Any]) -> None:
    """Go on from there, for a `service` that has not started.

    Raises what reading other shapes raises; what was read before it is taken.
    """
    failures = int(said.get("failures", 0))
    service.generation = attrs.evolve(service.generation, failures=failures)
    service.watchdog.count_on(int(said.get("stalls", 0)))
    acme = said.get("acme", {})
    service.upkeep.renewals.issued = int(acme.get("issued", 0))
    service.upkeep.renewals.failed = int(acme.get("failed", 0))
    service.past.take(said.get("past", {}))
    for name, one in service.running_pools.items():
        pool = said.get("pools", {}).get(name, {})
        one.forwarder.counters.take(pool.get("counters", {}))
        one.pool.refusals = int(pool.get("refusals", 0))
        one.pool.check_times.take(pool.get("checks", {}))
    for name, resource in service.resources.items():
        codes = said.get("refused", {}).get(name, {}).items()
        resource.proxy.refused_codes.update({int(c): int(n) for c, n in codes})
    for name, acceptor in service.acceptors.items():
        reasons = said.get("proxied", {}).get(name, {}).items()
        if acceptor.proxied is not None:
            acceptor.proxied.refused.update({str(r): int(n) for r, n in reasons})
    for name, counters in service.stream_counters.items():
        counters.take(said.get("streams", {}).get(name, {}))
    for name, forward in service.forwards.items():
        there = said.get("forwards", {}).get(name, {})
        forward.counters.take(there.get("counters", {}))
        codes = there.get("refused", {}).items()
        forward.proxy.refused_codes.update({int(c): int(n) for c, n in codes})
        reasons = there.get("denied", {}).items()
        forward.proxy.turned_away.update({str(r): int(n) for r, n in reasons})
    for store in service.middlewares.caches:
        cache = said.get("caches", {}).get(store.name, {})
        store.count_on(
            cache.get("requests", {}),
            cache.get("stored", 0),
            cache.get("evicted", 0),
            cache.get("file_errors", 0),
        )
    for name, files in service.listeners.certificates:
        secure = said.get("tls", {}).get(name, {})
        handshakes = files.credentials.handshakes
        handshakes.completed += int(secure.get("completed", 0))
        failed = secure.get("failures", {}).items()
        handshakes.failures.update({str(reason): int(n) for reason, n in failed})
        files.refusals += int(secure.get("refusals", 0))
