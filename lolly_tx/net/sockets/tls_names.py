"""What is said of TLS where there may be none: names of protocols and servers, and unusable files.

Imports: pyOpenSSL. Used by: net, net.checks, net.forward, net.http1, net.http2,
net.sockets, service, service.acme, service.certificates, service.changes, tap.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from OpenSSL import SSL

ALPN_HTTP1 = b"http/1.1"
ALPN_HTTP2 = b"h2"
"""What they are called in ALPN (RFC 7301, RFC 9113 section 3.1)."""


class TLSSettingsError(ValueError):
    """A file of TLS settings cannot be used. The text names the file and the reason."""

    def __init__(self, path: str | Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = str(path)
        self.reason = reason


def server_name(connection: SSL.Connection) -> str:
    """What the client has called the server, lower case and without a final dot; "" for nothing."""
    name = connection.get_servername() or b""
    return name.decode("latin-1").lower().removesuffix(".")
