"""The types of middleware that are built in, each with the class of its settings.

Imports: config.middleware. Used by: config, proxy.middleware.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from lolly_tx.config.middleware.access import Access
from lolly_tx.config.middleware.bandwidth import Bandwidth
from lolly_tx.config.middleware.basic_auth import BasicAuth
from lolly_tx.config.middleware.bodies import BodyLimit, Buffer
from lolly_tx.config.middleware.cache import Cache
from lolly_tx.config.middleware.compress import Compress
from lolly_tx.config.middleware.concurrency import Concurrency
from lolly_tx.config.middleware.cors import Cors
from lolly_tx.config.middleware.fault import Fault
from lolly_tx.config.middleware.forward_auth import ForwardAuth
from lolly_tx.config.middleware.headers import Headers
from lolly_tx.config.middleware.identity import RequestIdOfRoute
from lolly_tx.config.middleware.jwt import Jwt
from lolly_tx.config.middleware.location import Location
from lolly_tx.config.middleware.mirror import Mirror
from lolly_tx.config.middleware.pages import ErrorPages, Maintenance
from lolly_tx.config.middleware.paths import AddPrefix, ReplacePath, StripPrefix
from lolly_tx.config.middleware.rate_limit import RateLimit
from lolly_tx.config.middleware.rewrite import Rewrite
from lolly_tx.config.middleware.security import SecurityHeaders

BUILT_IN: Mapping[str, type] = MappingProxyType(
    {
        "access": Access,
        "add_prefix": AddPrefix,
        "bandwidth": Bandwidth,
        "basic_auth": BasicAuth,
        "body_limit": BodyLimit,
        "buffer": Buffer,
        "compress": Compress,
        "concurrency": Concurrency,
        "cors": Cors,
        "error_pages": ErrorPages,
        "forward_auth": ForwardAuth,
        "cache": Cache,
        "headers": Headers,
        "rewrite": Rewrite,
        "mirror": Mirror,
        "fault": Fault,
        "location": Location,
        "jwt": Jwt,
        "maintenance": Maintenance,
        "rate_limit": RateLimit,
        "replace_path": ReplacePath,
        "request_id": RequestIdOfRoute,
        "security_headers": SecurityHeaders,
        "strip_prefix": StripPrefix,
    }
)
