"""What a provider brings is put into force, as any other change of the settings.

Imports: config, service, service.changes, Twisted. Used by: service.providers.provider,
service.providers.textprovider.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from types import MappingProxyType

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from lolly_tx.config.model import Config
from lolly_tx.config.provided import Provided
from lolly_tx.service.changes.reload import Reloader
from lolly_tx.service.generation import Reloaded

FOUND_SECONDS = 1.0
"""A new pool whose targets are not found within it, perhaps for there are none, is not waited for."""

LOOK_SECONDS = 0.05
"""Between two looks at what was found."""


Made = Callable[[Config], Provided]
"""What a provider brings, beside the settings of the file."""


async def bring(reloader: Reloader, name: str, made: Made) -> None:
    """Let this be what the provider `name` brings. Errbacks with `Refused`, and what `made` raises.

    Pools that are new come first, so that no route leads to one whose targets nobody has found yet. `made`: called in
    threads, too.
    """
    standing = reloader.standing
    before = standing.provided.get(name, Provided())
    provided = made(standing.base)
    if before == provided:
        return
    fresh = [
        pool
        for pool in provided.pools.keys() - before.pools.keys()
        if provided.pools[pool].discover is not None
    ]
    if fresh and reloader.service.discoveries is not None:

        def with_pools(base: Config) -> Provided:
            both = MappingProxyType({**before.pools, **made(base).pools})
            return attrs.evolve(before, pools=both)

        await _amend(reloader, name, with_pools)
        around = reloader.service.surroundings
        until = around.now() + FOUND_SECONDS
        while not _found(reloader, fresh) and around.now() < until:
            await deferLater(around.reactor, LOOK_SECONDS)
    await _amend(reloader, name, made)


def _amend(reloader: Reloader, name: str, made: Made) -> Deferred[Reloaded]:
    return reloader.amend(
        lambda now: now.providing(name, made(now.base)), f"provider: {name}"
    )


def _found(reloader: Reloader, pools: Collection[str]) -> bool:
    """Whether targets were found for all of these."""
    found = reloader.standing.found
    return all(found.get(pool) for pool in pools)
