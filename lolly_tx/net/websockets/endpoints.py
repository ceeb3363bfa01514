"""Endpoint strings of WebSockets, for whatever speaks over TCP.

    ws:PORT:interface=...:path=/x:origin=...     a server; with the `tls` of its listener or stream it is wss
    ws:HOST:PORT:path=/x                         a client
    wss:HOST:PORT:path=/x                        a client, with TLS that is verified by the system's authorities

Imports: net.websockets, Twisted. Used by: twisted.plugins.
"""

from __future__ import annotations

from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import (
    HostnameEndpoint,
    TCP4ServerEndpoint,
    TCP6ServerEndpoint,
    wrapClientTLS,
)
from twisted.internet.interfaces import (
    IAddress,
    IProtocolFactory,
    IStreamClientEndpoint,
    IStreamServerEndpoint,
)
from twisted.internet.protocol import Factory
from twisted.internet.ssl import optionsForClientTLS
from zope.interface import implementer

from lolly_tx.net.websockets.bridge import ClientBridge, ServerBridges


@implementer(IStreamServerEndpoint)
@attrs.frozen
class WebSocketServerEndpoint:
    """Listens by `below`. `path`: the only one that is served; "" for any. `origins`: pages that may connect."""

    clock: Any
    below: IStreamServerEndpoint
    path: str = ""
    origins: tuple[str, ...] = ()

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        """Listen for WebSockets that `protocolFactory` makes protocols for."""
        bridges = ServerBridges(self.clock, protocolFactory, self.path, self.origins)
        return self.below.listen(bridges)


class _Dialing(Factory):
    """Makes one bridge."""

    noisy = False

    def __init__(self, bridge: ClientBridge) -> None:
        self._bridge = bridge

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """It."""
        return self._bridge


@implementer(IStreamClientEndpoint)
@attrs.frozen
class WebSocketClientEndpoint:
    """Connects by `below`. `host`, `path`: what the server is asked for."""

    clock: Any
    below: IStreamClientEndpoint
    host: str
    path: str = "/"

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        """Connect. Fires when the handshake is done; errbacks with `ConnectFailed` when it is refused."""
        return Deferred.fromCoroutine(self._connect(protocolFactory))

    async def _connect(self, factory: IProtocolFactory) -> Any:
        bridge = ClientBridge(self.clock, self.host, self.path, factory)
        await self.below.connect(_Dialing(bridge))
        return await bridge.ready


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) <= 65535):
        raise ValueError(f"ws: {text!r} is no port")
    return int(text)


def parse_server(
    reactor: Any, port: str, interface: str = "", path: str = "", origin: str = ""
) -> WebSocketServerEndpoint:
    """What `ws:PORT...` means. Raises ValueError and TypeError for anything else."""
    kind: Any = TCP6ServerEndpoint if ":" in interface else TCP4ServerEndpoint
    below = kind(reactor, _port(port), interface=interface)
    origins = tuple(origin.split(",")) if origin else ()
    return WebSocketServerEndpoint(reactor, below, path, origins)


def parse_client(
    reactor: Any, secure: bool, host: str, port: str, path: str = "/"
) -> WebSocketClientEndpoint:
    """What `ws:HOST:PORT...` means, or `wss:` where it is `secure`. Raises as `parse_server`."""
    if (
        not path.startswith("/")
        or not path.isascii()
        or not path.isprintable()
        or " " in path
    ):
        raise ValueError("ws: a path begins with /, and has no blanks")
    below: Any = HostnameEndpoint(reactor, host, _port(port))
    if secure:
        below = wrapClientTLS(optionsForClientTLS(host), below)
    shown = f"[{host}]" if ":" in host else host
    return WebSocketClientEndpoint(reactor, below, f"{shown}:{port}", path)
