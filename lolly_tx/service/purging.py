"""What purges of caches are to those who ask for them, do them and tell of them.

    admin API --> `Purging` --> with workers to all of them, as messages say it --> `Purged`

Imports: domain.caching, Twisted. Used by: service.admin, service.service,
service.serving, service.stores, service.workers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs
from twisted.internet.defer import Deferred

from lolly_tx.domain.caching.catalog import Purge


@attrs.frozen
class Told:
    """Whether other instances were told, of one cache.

    `subscribers`: how many heard it at once, us included; None: nobody was told, `why` says why not.
    """

    cache: str
    store: str
    subscribers: int | None
    why: str = ""


@attrs.frozen
class Purged:
    """`count`: answers that are not stored any more. `late`: workers that have not said so in time, but will do it.

    `told`: of each cache that has a store.
    """

    count: int
    late: tuple[int, ...] = ()
    told: tuple[Told, ...] = ()


Purging = Callable[[Sequence[Purge]], "Deferred[Purged]"]


def told(purge: Purge) -> dict[str, Any]:
    """It as a message says it."""
    return {
        name: value.decode("latin-1") if isinstance(value, bytes) else value
        for name, value in attrs.asdict(purge).items()
    }


def heard(words: Mapping[str, Any]) -> Purge:
    """The other way round."""
    known: dict[str, Any] = {
        name: value.encode("latin-1") if isinstance(value, str) else value
        for name, value in words.items()
    }
    return Purge(**known)
