"""The client endpoint strings `socks5:` and `connect:`: what is behind a proxy.

Imported by every program that reads a plug-in endpoint string, so it imports nothing of
ours until such a string is used.
"""

from twisted.internet.interfaces import IStreamClientEndpointStringParserWithReactor
from twisted.plugin import IPlugin
from zope.interface import implementer


@implementer(IPlugin, IStreamClientEndpointStringParserWithReactor)
class ProxiedClientParser:
    """Parses `socks5:HOST:PORT:via=...` and `connect:`; see `lolly_tx.net.proxies.endpoints`."""

    def __init__(self, prefix, socks):  # type: ignore[no-untyped-def]  # a plug-in, untyped as the others
        self.prefix = prefix
        self.socks = socks

    def parseStreamClient(self, reactor, *args, **kwargs):  # type: ignore[no-untyped-def]  # as in the interface
        """Make the endpoint. Raises ValueError, TypeError or OSError for a string that cannot be meant."""
        from lolly_tx.net.proxies.endpoints import parse_client

        return parse_client(reactor, self.socks, *args, **kwargs)


socksClient = ProxiedClientParser("socks5", True)
connectClient = ProxiedClientParser("connect", False)
