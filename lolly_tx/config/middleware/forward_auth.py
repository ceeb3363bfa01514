"""The settings of `type = "forward_auth"`: an authority is asked about each request.

Imports: config.kinds. Used by: proxy.middleware.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import attrs

from lolly_tx.config.kinds.httpkinds import FIELD_NAME, REQUEST_PATH
from lolly_tx.config.kinds.plain import TEXT, Duration, nearest
from lolly_tx.config.kinds.schema import Place, about
from lolly_tx.config.kinds.tables import ListOf

_NAMES = ListOf(FIELD_NAME, "names", single=True)


@attrs.frozen
class ForwardAuth:
    """An authority says of each request whether it may pass: 2xx lets it, 401 and 403 go to the client; else 500."""

    pool: str = attrs.field(metadata=about(TEXT, "The pool that is asked."))
    path: str = attrs.field(
        default="/",
        metadata=about(
            REQUEST_PATH,
            "What it is asked for, by GET. X-Forwarded-Method and X-Forwarded-Uri tell it of the request.",
        ),
    )
    request_headers: tuple[str, ...] = attrs.field(
        default=("Authorization", "Cookie"),
        metadata=about(_NAMES, "Fields of the request that it gets."),
    )
    response_headers: tuple[str, ...] = attrs.field(
        default=(),
        metadata=about(
            _NAMES,
            "Fields of its answer that the target gets. What clients send under these names is taken away, always.",
        ),
    )
    timeout: float = attrs.field(
        default=5.0, metadata=about(Duration(0.001), "How long it may take.")
    )

    def rules(self, config: Any, place: Place) -> None:
        """The pool has to be there."""
        if self.pool not in config.pools:
            place.at("pool").wrong(
                "no pool has this name" + nearest(self.pool, config.pools)
            )

    def facts(self) -> Iterator[str]:
        """Who is asked."""
        yield f"each request waits for pool {self.pool} to allow it"
