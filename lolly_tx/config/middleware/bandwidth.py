"""The settings of `type = "bandwidth"`: how fast an answer's body may be.

Imports: config.kinds. Used by: proxy.middleware.
"""

from __future__ import annotations

import attrs

from lolly_tx.config.kinds.plain import Size
from lolly_tx.config.kinds.schema import about


@attrs.frozen
class Bandwidth:
    """How fast the body of each answer may be sent."""

    rate: int = attrs.field(metadata=about(Size(1024, 1 << 40), "Bytes in a second."))
    burst: int = attrs.field(
        default=0,
        metadata=about(
            Size(0, 1 << 40), "Bytes of each answer that are sent without a limit."
        ),
    )
