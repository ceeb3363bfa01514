"""The types of middleware that are built in, each with the class of its settings.

Imports: config.middleware. Used by: config.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from lolly_tx.config.middleware.access import Access
from lolly_tx.config.middleware.bandwidth import Bandwidth
from lolly_tx.config.middleware.basic_auth import BasicAuth
from lolly_tx.config.middleware.concurrency import Concurrency
from lolly_tx.config.middleware.forward_auth import ForwardAuth
from lolly_tx.config.middleware.headers import Headers
from lolly_tx.config.middleware.jwt import Jwt
from lolly_tx.config.middleware.rate_limit import RateLimit

BUILT_IN: Mapping[str, type] = MappingProxyType(
    {
        "access": Access,
        "bandwidth": Bandwidth,
        "basic_auth": BasicAuth,
        "concurrency": Concurrency,
        "forward_auth": ForwardAuth,
        "headers": Headers,
        "jwt": Jwt,
        "rate_limit": RateLimit,
    }
)
