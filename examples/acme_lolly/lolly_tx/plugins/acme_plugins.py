"""What lolly_tx finds of acme_lolly: a factory for each plugin.

Imported whenever lolly_tx looks for plugins, so keep it quick.
"""

from typing import Any

from acme_lolly.balancer import FirstLetter, FirstLetterSettings
from acme_lolly.check import FileCheck, FileCheckSettings
from acme_lolly.discovery import Folder, FolderSettings
from acme_lolly.middleware import Opening, OpeningSettings
from twisted.plugin import IPlugin
from zope.interface import implementer

from lolly_tx.domain.interfaces import (
    IBalancerFactory,
    IDiscoveryFactory,
    IHealthCheckFactory,
    IMiddlewareFactory,
)


@implementer(IPlugin, IBalancerFactory)
class FirstLetterFactory:
    """Builds the balancer."""

    name = "acme_first_letter"
    settings = FirstLetterSettings

    def build(self, settings: FirstLetterSettings, deps: Any) -> FirstLetter:
        """Build it. `deps` has `clock`, `now`, `random` and `log`; this one needs none of them."""
        return FirstLetter(settings)


@implementer(IPlugin, IHealthCheckFactory)
class FileCheckFactory:
    """Builds the check."""

    name = "acme_file"
    settings = FileCheckSettings

    def build(self, settings: FileCheckSettings, deps: Any) -> FileCheck:
        """Build it."""
        return FileCheck(settings)


@implementer(IPlugin, IMiddlewareFactory)
class OpeningFactory:
    """Builds the middleware."""

    name = "acme_opening"
    settings = OpeningSettings

    def build(self, settings: OpeningSettings, deps: Any) -> Opening:
        """Build it. `deps`: see `lolly_tx.proxy.middleware.deps`."""
        return Opening(settings, deps.now)


@implementer(IPlugin, IDiscoveryFactory)
class FolderFactory:
    """Builds who finds targets in a folder."""

    name = "acme_folder"
    settings = FolderSettings

    def build(self, settings: FolderSettings, deps: Any) -> Folder:
        """Build it. `deps`: see `lolly_tx.net.discovery.deps`."""
        return Folder(settings, deps.clock, deps.interval)


firstLetter = FirstLetterFactory()
fileCheck = FileCheckFactory()
opening = OpeningFactory()
folder = FolderFactory()
