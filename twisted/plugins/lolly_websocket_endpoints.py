"""The endpoint strings `ws:` and `wss:`: WebSockets for whatever speaks over TCP.

Imported by every program that reads a plug-in endpoint string, so it imports nothing of
ours until such a string is used.
"""

from twisted.internet.interfaces import (
    IStreamClientEndpointStringParserWithReactor,
    IStreamServerEndpointStringParser,
)
from twisted.plugin import IPlugin
from zope.interface import implementer


@implementer(IPlugin, IStreamServerEndpointStringParser)
class WebSocketServerParser:
    """Parses `ws:PORT...`; see `lolly_tx.net.websockets.endpoints`."""

    prefix = "ws"

    def parseStreamServer(self, reactor, *args, **kwargs):  # type: ignore[no-untyped-def]  # as in the interface
        """Make the endpoint. Raises ValueError or TypeError for a string that cannot be meant."""
        from lolly_tx.net.websockets.endpoints import parse_server

        return parse_server(reactor, *args, **kwargs)


@implementer(IPlugin, IStreamClientEndpointStringParserWithReactor)
class WebSocketClientParser:
    """Parses `ws:HOST:PORT...` and `wss:`; see there."""

    def __init__(self, prefix, secure):  # type: ignore[no-untyped-def]  # a plug-in, untyped as the others
        self.prefix = prefix
        self.secure = secure

    def parseStreamClient(self, reactor, *args, **kwargs):  # type: ignore[no-untyped-def]  # as in the interface
        """Make the endpoint. Raises ValueError or TypeError for a string that cannot be meant."""
        from lolly_tx.net.websockets.endpoints import parse_client

        return parse_client(reactor, self.secure, *args, **kwargs)


wsServer = WebSocketServerParser()
wsClient = WebSocketClientParser("ws", False)
wssClient = WebSocketClientParser("wss", True)
