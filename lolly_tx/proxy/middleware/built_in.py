"""The factories of the middleware that is built in; plugins come through the same door (`service.registry`).

A factory has `name`, `settings` (an attrs class) and `build(settings, deps)`, with `proxy.middleware.deps`. It may have

    tables    fields of `config.model.Config`: what is made is made anew when one of these changes

A module is imported when the first of its type is made: few configurations have many of them.

What a reload leaves as it is stays in place with all it knows. `stop()` of what is made, where it has that, is called
when nobody uses it any more.

Imports: config.middleware, domain. Used by: service.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from zope.interface import implementer

from lolly_tx.config.middleware.by_type import BUILT_IN as SETTINGS
from lolly_tx.domain.interfaces import IMiddlewareFactory

_MODULES = "lolly_tx.proxy.middleware"


@implementer(IMiddlewareFactory)
class BuiltIn:
    """The factory of a type. `place`: module and class of the one that does it."""

    def __init__(self, name: str, place: str) -> None:
        self.name = name
        self._place = place
        self._made: Any = None

    @property
    def settings(self) -> type:
        """See the module."""
        return SETTINGS[self.name]

    @property
    def tables(self) -> tuple[str, ...]:
        """See the module."""
        tables: tuple[str, ...] = getattr(self._factory(), "tables", ())
        return tables

    def build(self, settings: Any, deps: Any) -> Any:
        """See `IMiddlewareFactory`."""
        return self._factory().build(settings, deps)

    def _factory(self) -> Any:
        if self._made is None:
            module, name = self._place.split(".")
            self._made = getattr(import_module(f"{_MODULES}.{module}"), name)()
        return self._made


_PLACES = {
    "access": "access.AccessFactory",
    "add_prefix": "paths.AddPrefixFactory",
    "bandwidth": "bandwidth.BandwidthFactory",
    "basic_auth": "basic_auth.BasicAuthFactory",
    "body_limit": "body_limit.BodyLimitFactory",
    "buffer": "buffer.BufferFactory",
    "cache": "cache.CacheFactory",
    "compress": "compress.CompressFactory",
    "concurrency": "concurrency.ConcurrencyFactory",
    "cors": "cors.CorsFactory",
    "error_pages": "error_pages.ErrorPagesFactory",
    "forward_auth": "forward_auth.ForwardAuthFactory",
    "headers": "headers.HeadersFactory",
    "jwt": "jwt.JwtFactory",
    "maintenance": "maintenance.MaintenanceFactory",
    "rate_limit": "rate_limit.RateLimitFactory",
    "replace_path": "paths.ReplacePathFactory",
    "request_id": "request_id.RequestIdFactory",
    "security_headers": "security_headers.SecurityHeadersFactory",
    "strip_prefix": "paths.StripPrefixFactory",
    "rewrite": "rewrite.RewriteFactory",
    "mirror": "mirror.MirrorFactory",
    "fault": "fault.FaultFactory",
    "location": "location.LocationFactory",
}

BUILT_IN: tuple[Any, ...] = tuple(BuiltIn(*one) for one in _PLACES.items())
