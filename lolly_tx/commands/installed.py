"""The plugins and the types of endpoint strings that this installation has.

Imports: config, plugins, service, Twisted. Used by: commands, tap.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Set
from functools import cached_property
from typing import Any

from twisted.internet.interfaces import (
    IStreamClientEndpointStringParserWithReactor,
    IStreamServerEndpointStringParser,
)
from twisted.plugin import getPlugins

from lolly_tx import plugins
from lolly_tx.config import Names
from lolly_tx.service.registry import Registry


class EndpointTypes(Set[str]):
    """The types of endpoint strings: those that Twisted has in the code, and those of plugins of `interface`.

    Plugins are looked for with the first type that is another: that takes longer than to read a configuration.
    `folded`: how the name of one is written.
    """

    _in_code = frozenset({"tcp", "ssl", "unix"})

    def __init__(self, interface: Any, folded: Callable[[str], str] = str) -> None:
        self._interface = interface
        self._folded = folded

    @cached_property
    def _all(self) -> frozenset[str]:
        found = (str(plugin.prefix) for plugin in getPlugins(self._interface))
        return self._in_code | {self._folded(name) for name in found}

    def __contains__(self, name: object) -> bool:
        return name in self._in_code or name in self._all

    def __iter__(self) -> Iterator[str]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)


def installed_registry() -> Registry:
    """The plugins this installation has."""
    registry = Registry()
    registry.discover(plugins)
    return registry


def installed_names(registry: Registry | None = None) -> Names:
    """The plugins and the types of endpoint strings this installation has."""
    registry = registry or installed_registry()
    return registry.known_names(
        server=EndpointTypes(IStreamServerEndpointStringParser),
        client=EndpointTypes(IStreamClientEndpointStringParserWithReactor, str.lower),
    )
