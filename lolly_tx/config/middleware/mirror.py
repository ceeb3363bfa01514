"""The settings of `type = "mirror"`: copies of requests for another pool.

Imports: config.kinds. Used by: proxy.middleware.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import attrs

from lolly_tx.config.kinds.plain import TEXT, Count, Number, Size, nearest
from lolly_tx.config.kinds.schema import Place, about


@attrs.frozen
class Mirror:
    """Copies of requests for another pool, whose answers nobody gets."""

    pool: str = attrs.field(metadata=about(TEXT, "The pool that gets the copies."))
    percent: float = attrs.field(
        default=100.0,
        metadata=about(
            Number(0.0, 100.0), "Of how many requests there is one, in percent."
        ),
    )
    body: int = attrs.field(
        default=64 << 10,
        metadata=about(
            Size(0, 64 << 20),
            "The longest body that is copied; a request with a longer one has no copy. 0 = none with a body has.",
        ),
    )
    most: int = attrs.field(
        default=100,
        metadata=about(
            Count(1, 100_000),
            "Copies under way at once; requests that come meanwhile have none.",
        ),
    )

    def rules(self, config: Any, place: Place) -> None:
        """The pool has to be there."""
        if self.pool not in config.pools:
            place.at("pool").wrong(
                "no pool has this name" + nearest(self.pool, config.pools)
            )

    def facts(self) -> Iterator[str]:
        """What it is at the most."""
        kept = self.most * self.body / (1 << 20)
        yield (
            f"pool {self.pool} gets copies of {self.percent:g} % of the requests, at most {self.most} at once"
            f" ({kept:.3g} MiB of bodies)"
        )
