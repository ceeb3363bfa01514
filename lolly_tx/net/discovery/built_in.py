"""The factories of the discoveries that are built in; plugins come through the same door (`service.registry`).

What most configurations do not have is imported when it is first built.

Imports: config, net.discovery. Used by: service.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from lolly_tx.config.discovering import BUILT_IN as SETTINGS
from lolly_tx.net.discovery.deps import DiscoveryDeps

PLACES = {
    "dns": ("dns", "DnsFactory"),
    "srv": ("dns", "SrvFactory"),
    "file": ("file", "FileFactory"),
    "http": ("http", "HttpFactory"),
    "etcd": ("etcd", "EtcdFactory"),
    "consul": ("consul", "ConsulFactory"),
    "kubernetes": ("kubernetes", "KubernetesFactory"),
}
"""The module and the factory of each type."""


class Later:
    """A factory by its name, whose module is imported when something is built."""

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def settings(self) -> type:
        """The class of its settings."""
        return SETTINGS[self.name]

    def build(self, settings: Any, deps: DiscoveryDeps) -> Any:
        """See `IPluginFactory`."""
        module, factory = PLACES[self.name]
        found = import_module(f"lolly_tx.net.discovery.{module}")
        return getattr(found, factory)().build(settings, deps)


BUILT_IN = tuple(Later(name) for name in SETTINGS)
