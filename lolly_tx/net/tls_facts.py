"""What TLS has agreed on with a client, and who the client has shown to be.

Imports: net, net.sockets, pyOpenSSL. Used by: proxy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from lolly_tx.net.doors import Peer
from lolly_tx.net.loaded import loaded
from lolly_tx.net.sockets.tls_names import server_name

if TYPE_CHECKING:
    from OpenSSL import SSL


@attrs.frozen
class Facts:
    """`version`: "TLSv1.3". `alpn`: "h2". The rest is "" where there is none.

    `subject`, `issuer`: RFC 4514. `serial`, `fingerprint` (SHA-256): hexadecimal. `verify`: "SUCCESS" for a client with
    a certificate (one that is not believed gets no connection), or "NONE", as nginx has it.
    """

    version: str
    cipher: str
    server_name: str
    alpn: str = ""
    verify: str = "NONE"
    subject: str = ""
    issuer: str = ""
    serial: str = ""
    fingerprint: str = ""


def asked_for(transport: Any) -> str:
    """The server name that the client of a connection has asked for; "" for none, or no TLS."""
    handle = _handle(transport)
    return "" if handle is None else server_name(handle)


def facts_of(transport: Any) -> Facts | None:
    """Those of a connection whose handshake is done; None: it has no TLS."""
    handle = _handle(transport)
    if handle is None:
        return None
    said = (
        handle.get_protocol_version_name(),
        handle.get_cipher_name() or "",
        server_name(handle),
        handle.get_alpn_proto_negotiated().decode("latin-1"),
    )
    certificate = handle.get_peer_certificate(as_cryptography=True)
    if certificate is None:
        return Facts(*said)
    from cryptography.hazmat.primitives.hashes import SHA256  # there is TLS

    return Facts(
        *said,
        "SUCCESS",
        certificate.subject.rfc4514_string(),
        certificate.issuer.rfc4514_string(),
        f"{certificate.serial_number:x}",
        certificate.fingerprint(SHA256()).hex(),
    )


def facts_of_peer(peer: Peer) -> Facts | None:
    """The same of a client, whose connection is asked once: they stay what they are."""
    facts: Facts | None = peer.tls
    if facts is None:
        facts = peer.tls = facts_of(peer.transport)
    return facts


def _handle(transport: Any) -> SSL.Connection | None:
    get = getattr(transport, "getHandle", None)
    try:
        handle = None if get is None else get()
    except AttributeError:  # closed
        return None
    return handle if isinstance(handle, loaded("OpenSSL.SSL", "Connection")) else None
