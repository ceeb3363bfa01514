"""The factories of the middleware that is built in; plugins come through the same door (`service.registry`).

A factory has `name`, `settings` (an attrs class) and `build(settings, deps)`, with `proxy.middleware.deps`. It may have

    tables    fields of `config.model.Config`: what is made is made anew when one of these changes

What a reload leaves as it is stays in place with all it knows. `stop()` of what is made, where it has that, is called
when nobody uses it any more.

Imports: proxy.middleware. Used by: service.
"""

from __future__ import annotations

from typing import Any

from lolly_tx.proxy.middleware.access import AccessFactory
from lolly_tx.proxy.middleware.bandwidth import BandwidthFactory
from lolly_tx.proxy.middleware.basic_auth import BasicAuthFactory
from lolly_tx.proxy.middleware.body_limit import BodyLimitFactory
from lolly_tx.proxy.middleware.buffer import BufferFactory
from lolly_tx.proxy.middleware.cache import CacheFactory
from lolly_tx.proxy.middleware.compress import CompressFactory
from lolly_tx.proxy.middleware.concurrency import ConcurrencyFactory
from lolly_tx.proxy.middleware.cors import CorsFactory
from lolly_tx.proxy.middleware.error_pages import ErrorPagesFactory
from lolly_tx.proxy.middleware.fault import FaultFactory
from lolly_tx.proxy.middleware.forward_auth import ForwardAuthFactory
from lolly_tx.proxy.middleware.headers import HeadersFactory
from lolly_tx.proxy.middleware.jwt import JwtFactory
from lolly_tx.proxy.middleware.location import LocationFactory
from lolly_tx.proxy.middleware.maintenance import MaintenanceFactory
from lolly_tx.proxy.middleware.mirror import MirrorFactory
from lolly_tx.proxy.middleware.paths import (
    AddPrefixFactory,
    ReplacePathFactory,
    StripPrefixFactory,
)
from lolly_tx.proxy.middleware.rate_limit import RateLimitFactory
from lolly_tx.proxy.middleware.request_id import RequestIdFactory
from lolly_tx.proxy.middleware.rewrite import RewriteFactory
from lolly_tx.proxy.middleware.security_headers import SecurityHeadersFactory

BUILT_IN: tuple[Any, ...] = (
    AccessFactory(),
    AddPrefixFactory(),
    BandwidthFactory(),
    BasicAuthFactory(),
    BodyLimitFactory(),
    BufferFactory(),
    CacheFactory(),
    CompressFactory(),
    ConcurrencyFactory(),
    CorsFactory(),
    ErrorPagesFactory(),
    ForwardAuthFactory(),
    HeadersFactory(),
    JwtFactory(),
    MaintenanceFactory(),
    RateLimitFactory(),
    ReplacePathFactory(),
    RequestIdFactory(),
    SecurityHeadersFactory(),
    StripPrefixFactory(),
    RewriteFactory(),
    MirrorFactory(),
    FaultFactory(),
    LocationFactory(),
)
