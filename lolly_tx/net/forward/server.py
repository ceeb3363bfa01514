"""The HTTP/1.1 side of a forward proxy's client: `net.http1.server` with CONNECT.

Imports: net, net.http1. Used by: net.forward.first_byte, net.forward.listening.
"""

from __future__ import annotations

from typing import Any

from lolly_tx.net.deadlines import NEVER
from lolly_tx.net.http1.server import Http1Server

ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"


class ForwardServer(Http1Server):
    """One client connection."""

    __slots__ = ()

    def opened(self, target: Any) -> None:
        """The tunnel begins (RFC 9110 section 9.3.6); to clients of HTTP/1.0 as well."""
        self.transport.write(ESTABLISHED)

    def _patience(self) -> float:
        """Who has sent all it has to, and shut its side down, still waits for the target of its CONNECT."""
        head = getattr(self.exchange, "head", None)
        if head is not None and head.method == b"CONNECT":
            return NEVER
        return super()._patience()
