"""The settings of `body_limit` and `buffer`: how much of a request's body there may be, and when it is taken.

Imports: config.kinds. Used by: proxy.middleware.
"""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from lolly_tx.config.kinds.plain import Size, size_text
from lolly_tx.config.kinds.schema import about


@attrs.frozen
class BodyLimit:
    """Requests with a longer body get 413, chunked ones as well; `limits.body_size` holds besides."""

    size: int = attrs.field(
        metadata=about(Size(0, 1 << 50), "The longest body, in bytes.")
    )


@attrs.frozen
class Buffer:
    """The whole body of a request is taken before a target is chosen, so that no slow client holds one up.

    A longer body gets 413.
    """

    request: int = attrs.field(
        default=1 << 20,
        metadata=about(
            Size(1, 1 << 30), "The longest body; so much memory a request may take."
        ),
    )

    def facts(self) -> Iterator[str]:
        """What they imply."""
        most = size_text(self.request)
        yield f"each request in flight may take {most} of memory; longer bodies get 413"
