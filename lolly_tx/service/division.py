"""The settings of a process that serves, one of several: no checks, no sinks, its part of what is divided.

Numbers that are cheap to count together are (`domain.shared.together`), so they stay as they are here. The others are
divided among the workers, rounded up: together they are as much as was asked for, and at most one less than the number
of workers more.

Imports: config. Used by: service.middlewares, service.service, service.workers, tap.
"""

from __future__ import annotations

import os
from types import MappingProxyType
from typing import TYPE_CHECKING

import attrs

from lolly_tx.config.local_fault import LocalFault
from lolly_tx.config.model import Config, PoolSettings

if TYPE_CHECKING:  # pragma: no cover
    from lolly_tx.config.caching import CacheSettings


def workers_of(config: Config) -> int:
    """How many processes serve."""
    if config.workers == "auto":
        return len(os.sched_getaffinity(0))
    return config.workers


def part_of(number: int, workers: int) -> int:
    """The part of `number` that each worker has; 0 is no limit, and stays that."""
    return -(-number // workers)


def of_worker(config: Config, workers: int) -> Config:
    """The settings of one process that serves."""
    limits = attrs.evolve(
        config.limits,
        connections=part_of(config.limits.connections, workers),
        connections_per_client=part_of(config.limits.connections_per_client, workers),
        connections_per_listener=part_of(
            config.limits.connections_per_listener, workers
        ),
        handshakes=part_of(config.limits.handshakes, workers),
    )
    pools = {name: _pool(one, workers) for name, one in config.pools.items()}
    streams = {
        name: attrs.evolve(one, sessions=part_of(one.sessions, workers))
        for name, one in config.streams.items()
    }
    caches = {name: _cache(one, workers) for name, one in config.caches.items()}
    return attrs.evolve(
        config,
        caches=MappingProxyType(caches),
        events=MappingProxyType({}),
        limits=limits,
        local_fault=LocalFault(hosts=0),
        streams=MappingProxyType(streams),
        pools=MappingProxyType(pools),
    )


def _cache(settings: CacheSettings, workers: int) -> CacheSettings:
    size = part_of(settings.size, workers)
    return attrs.evolve(
        settings,
        size=size,
        memory=part_of(settings.memory, workers),
        entry=min(settings.entry, size),
    )


def _pool(settings: PoolSettings, workers: int) -> PoolSettings:
    keep, queue, adaptive = settings.connections, settings.queue, settings.adaptive
    if keep.idle != "auto":
        keep = attrs.evolve(keep, idle=part_of(keep.idle, workers))
    if queue is not None:
        queue = attrs.evolve(queue, size=part_of(queue.size, workers))
    if adaptive is not None:
        adaptive = attrs.evolve(
            adaptive,
            initial=part_of(adaptive.initial, workers),
            floor=part_of(adaptive.floor, workers),
            ceiling=part_of(adaptive.ceiling, workers),
        )
    # The share of a budget is one of the requests a worker has, so it is right as it is.
    floor = settings.retry.budget_floor / workers
    return attrs.evolve(
        settings,
        health=None,
        checks=(),
        agent=None,
        outlier=None,
        passive=attrs.evolve(
            settings.passive, recheck=0.0, policies=MappingProxyType({}), share=""
        ),
        connections=keep,
        queue=queue,
        adaptive=adaptive,
        retry=attrs.evolve(settings.retry, budget_floor=floor),
    )
