"""The client endpoint string `lolly:pool=NAME`: one of the targets of a running pool.

Imported by every program that reads a plug-in endpoint string, so it imports nothing of
ours until such a string is used.
"""

from twisted.internet.interfaces import IStreamClientEndpointStringParserWithReactor
from twisted.plugin import IPlugin
from zope.interface import implementer


@implementer(IPlugin, IStreamClientEndpointStringParserWithReactor)
class PoolEndpointParser:
    """Parses `lolly:...`; see `lolly_tx.net.library.directory.parse_pool_endpoint`."""

    prefix = "lolly"

    def parseStreamClient(self, reactor, *args, **kwargs):  # type: ignore[no-untyped-def]  # as in the interface
        """Make the endpoint. Raises ValueError for a string that cannot be meant."""
        from lolly_tx.net.library.directory import parse_pool_endpoint

        return parse_pool_endpoint(*args, **kwargs)


lollyEndpoint = PoolEndpointParser()
