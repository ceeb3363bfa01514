"""lolly_tx: a reverse proxy and load balancer that is a Twisted plugin, and a library of the same parts.

What this module exports is promised to stay (docs/library.md); it is imported when it is asked for.

Imports: _version, config, domain, net.library, net.sockets, proxy, service,
service.checks. Used by: programs.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from lolly_tx._version import __version__

if TYPE_CHECKING:
    from lolly_tx.config.pools import UpstreamTLS
    from lolly_tx.domain.errors import (
        AddressDown,
        AllDown,
        AllFull,
        NoTarget,
        ProxyError,
    )
    from lolly_tx.domain.target import Target
    from lolly_tx.net.library.agent import BalancedAgent
    from lolly_tx.net.library.balanced import BalancedEndpoint
    from lolly_tx.net.library.client import client
    from lolly_tx.net.library.pools import balanced
    from lolly_tx.net.library.tracker import Tracker
    from lolly_tx.net.sockets.health_map import HealthMap
    from lolly_tx.proxy.resource import ReverseProxyResource
    from lolly_tx.service.checks.checker import HealthChecker
    from lolly_tx.service.standalone import reverse_proxy

__all__ = [
    "AddressDown",
    "AllDown",
    "AllFull",
    "BalancedAgent",
    "BalancedEndpoint",
    "HealthChecker",
    "HealthMap",
    "NoTarget",
    "ProxyError",
    "ReverseProxyResource",
    "Target",
    "Tracker",
    "UpstreamTLS",
    "__version__",
    "balanced",
    "client",
    "reverse_proxy",
]

_HOMES = {
    "AddressDown": "domain.errors",
    "AllDown": "domain.errors",
    "AllFull": "domain.errors",
    "BalancedAgent": "net.library.agent",
    "BalancedEndpoint": "net.library.balanced",
    "HealthChecker": "service.checks.checker",
    "HealthMap": "net.sockets.health_map",
    "NoTarget": "domain.errors",
    "ProxyError": "domain.errors",
    "ReverseProxyResource": "proxy.resource",
    "Target": "domain.target",
    "Tracker": "net.library.tracker",
    "UpstreamTLS": "config.pools",
    "balanced": "net.library.pools",
    "client": "net.library.client",
    "reverse_proxy": "service.standalone",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value  # found at once from now on
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
