"""The plugins and the types of endpoint strings that this installation has.

Imports: config, plugins, service, Twisted. Used by: commands, tap.
"""

from __future__ import annotations

from twisted.internet.interfaces import (
    IStreamClientEndpointStringParserWithReactor,
    IStreamServerEndpointStringParser,
)
from twisted.plugin import getPlugins

from lolly_tx import plugins
from lolly_tx.config import Names
from lolly_tx.service.registry import Registry

# Twisted has these in the code, not as plugins.
_BUILT_IN_ENDPOINTS = frozenset({"tcp", "ssl", "unix"})


def installed_registry() -> Registry:
    """The plugins this installation has."""
    registry = Registry()
    registry.discover(plugins)
    return registry


def installed_names(registry: Registry | None = None) -> Names:
    """The plugins and the types of endpoint strings this installation has."""
    registry = registry or installed_registry()
    servers = getPlugins(IStreamServerEndpointStringParser)
    clients = getPlugins(IStreamClientEndpointStringParserWithReactor)
    return registry.known_names(
        server=_BUILT_IN_ENDPOINTS | {str(plugin.prefix) for plugin in servers},
        client=_BUILT_IN_ENDPOINTS | {str(plugin.prefix).lower() for plugin in clients},
    )
