"""What is wrong with a message, as values.

Imports: nothing of ours. Used by: net, net.checks, net.forward, net.http1, net.http2,
net.proxies, net.tunnels, proxy, proxy.forwards, service, service.forwards, wire,
wire.hpack, wire.http2.
"""

from __future__ import annotations


class BadMessage(Exception):
    """The peer's bytes are not a message we accept.

    `status`: what to answer when the peer is a client (RFC 9110 section 15); a backend's bad message is always a 502.
    `reason`: one line for the log, without the peer's bytes. `line`: the start line of the message as far as it was
    read, for a log that escapes; set by who has the bytes.
    """

    def __init__(self, reason: str, status: int = 400) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status
        self.line = b""
