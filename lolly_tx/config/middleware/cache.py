"""The settings of `type = "cache"`: which cache it is that answers are taken from.

Imports: config.kinds. Used by: proxy.middleware.
"""

from __future__ import annotations

from typing import Any

import attrs

from lolly_tx.config.kinds.plain import TEXT, nearest
from lolly_tx.config.kinds.schema import Place, about


@attrs.frozen
class Cache:
    """Answers that may be shared are stored, and given to all that ask for the same (RFC 9111)."""

    cache: str = attrs.field(
        metadata=about(
            TEXT,
            "Name of the `[cache.NAME]` table; several routes may share it, since what is stored is known by scheme,"
            " host, path and query.",
        ),
    )

    def rules(self, config: Any, place: Place) -> None:
        """See `config.middleware.rules`."""
        if self.cache not in config.caches:
            place.at("cache").wrong(
                "no cache has this name" + nearest(self.cache, config.caches)
            )
