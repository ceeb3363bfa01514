"""The settings of `request_id`: an id for each request of some routes.

Imports: config, config.kinds. Used by: proxy.middleware.
"""

from __future__ import annotations

from typing import Any

import attrs

from lolly_tx.config.kinds.plain import FLAG
from lolly_tx.config.kinds.schema import Place, about
from lolly_tx.config.tracing import ID_FIELD


@attrs.frozen
class RequestIdOfRoute:
    """An id for each request: at the target, at the client, in the access log, and as `$request_id`."""

    header: str = attrs.field(
        default="X-Request-Id",
        metadata=about(ID_FIELD, "The field that targets and clients are told in."),
    )
    trust: bool = attrs.field(
        default=False,
        metadata=about(
            FLAG,
            "Whether a well-formed id of any client is taken over; else only those of `trusted_proxies` are.",
        ),
    )

    def rules(self, config: Any, place: Place) -> None:
        """What must hold between this and the rest of a configuration."""
        if config.request_id is not None:
            place.wrong(
                "[request_id] gives every request an id already; leave one of them out"
            )
