"""What a PROXY header tells a target of a client: from what is known of its connection.

Imports: net, wire, pyOpenSSL. Used by: service.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lolly_tx.net.doors import Peer
from lolly_tx.net.loaded import loaded
from lolly_tx.wire.proxyline import NOBODY, ProxyLine
from lolly_tx.wire.tlvs import Encrypted

if TYPE_CHECKING:
    from OpenSSL import SSL


def line_of(peer: Peer) -> ProxyLine:
    """The line for the client `peer`; one that says nothing where its address is not known.

    Who was spoken for by a PROXY header is passed on with the addresses of that one, and with what it said of TLS
    unless TLS ends here.
    """
    if not peer.address:
        return NOBODY
    transport = peer.transport
    told = peer.told
    if told is None:
        source, port = peer.address, _port(transport, "getPeer")
        host = _address(transport, "getHost")
        told = ProxyLine(source, port, getattr(host, "host", ""), _port_of(host))
    handle = getattr(transport, "getHandle", lambda: None)()
    if not isinstance(handle, loaded("OpenSSL.SSL", "Connection")):
        return told
    return ProxyLine(
        told.source,
        told.source_port,
        told.destination,
        told.destination_port,
        handle.get_servername() or b"",
        handle.get_alpn_proto_negotiated(),
        _encrypted(handle),
    )


def _encrypted(handle: SSL.Connection) -> Encrypted:
    """What is said of a connection whose handshake is done: a certificate that was refused would have ended it."""
    certificate = handle.get_peer_certificate()
    name = "" if certificate is None else certificate.get_subject().CN or ""
    has_one = certificate is not None
    return Encrypted(handle.get_protocol_version_name(), has_one, has_one, name)


def _address(transport: Any, which: str) -> Any:
    return getattr(transport, which, lambda: None)()


def _port(transport: Any, which: str) -> int:
    return _port_of(_address(transport, which))


def _port_of(address: Any) -> int:
    port = getattr(address, "port", 0)
    return port if isinstance(port, int) else 0
