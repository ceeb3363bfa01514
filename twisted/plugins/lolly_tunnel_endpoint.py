"""The client endpoint string `tunnel:NAME:SERVICE`: a service of a connector that is connected to this process.

Imported by every program that reads a plug-in endpoint string, so it imports nothing of
ours until such a string is used.
"""

from twisted.internet.interfaces import IStreamClientEndpointStringParserWithReactor
from twisted.plugin import IPlugin
from zope.interface import implementer


@implementer(IPlugin, IStreamClientEndpointStringParserWithReactor)
class ServiceEndpointParser:
    """Parses `tunnel:...`; see `lolly_tx.net.tunnels.directory.parse_service_endpoint`."""

    prefix = "tunnel"

    def parseStreamClient(self, reactor, *args, **kwargs):  # type: ignore[no-untyped-def]  # as in the interface
        """Make the endpoint. Raises ValueError for a string that cannot be meant."""
        from lolly_tx.net.tunnels.directory import parse_service_endpoint

        return parse_service_endpoint(*args, **kwargs)


tunnelEndpoint = ServiceEndpointParser()
