"""The settings of `type = "concurrency"`: how many requests of one kind at once.

Imports: config.kinds. Used by: proxy.middleware.
"""

from __future__ import annotations

import attrs

from lolly_tx.config.kinds.plain import Count
from lolly_tx.config.kinds.schema import about
from lolly_tx.config.kinds.templatekinds import TEMPLATE


@attrs.frozen
class Concurrency:
    """How many requests with the same key at once, tunnels included; the others get 503."""

    limit: int = attrs.field(metadata=about(Count(1, 10**6), "Requests at once."))
    key: str = attrs.field(
        default="$client",
        metadata=about(
            TEMPLATE,
            "What requests are counted by; a text without variables counts them all together. An IPv6 client counts"
            " with all of its /64.",
        ),
    )
