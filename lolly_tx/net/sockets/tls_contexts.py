"""TLS settings turned into OpenSSL contexts, with errors that name the file.

Imports: net.sockets, Twisted, pyOpenSSL. Used by: net.http1, net.http2,
net.sockets.credentials, net.sockets.eager, net.sockets.endpoints, net.sockets.tls,
service, tap.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from OpenSSL import SSL, crypto
from OpenSSL._util import lib as _openssl  # ERR_clear_error has no public name
from twisted.internet import ssl
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from zope.interface import implementer

from lolly_tx.net.sockets.certificates import (
    Certificate,
    TLSSettingsError,
    load_certificate,
    private_key,
    read_file,
)

__all__ = [
    "ALPN_HTTP1",
    "ALPN_HTTP2",
    "TLSSettingsError",
    "alpn_chooser",
    "bare_context",
    "clear_errors",
    "client_options",
    "context_of",
    "private_key",
    "server_context",
]

ALPN_HTTP1 = b"http/1.1"
ALPN_HTTP2 = b"h2"
"""What they are called in ALPN (RFC 7301, RFC 9113 section 3.1)."""

# TLS 1.2 suites with forward secrecy and authenticated encryption. Those of TLS 1.3 are
# good as they come.
_TLS12_CIPHERS = b"ECDHE+AESGCM:ECDHE+CHACHA20"

_VERSIONS = {"1.2": SSL.TLS1_2_VERSION, "1.3": SSL.TLS1_3_VERSION}


def clear_errors() -> None:
    """Empty OpenSSL's error queue.

    It belongs to the thread, and what one failed call leaves in it makes the next
    `SSL_get_error` report another connection as failed.
    """
    _openssl.ERR_clear_error()


def bare_context(
    *, alpn: Sequence[bytes] = (ALPN_HTTP1,), minimum: str = "1.2"
) -> SSL.Context:
    """What the contexts of listeners have in common: no renegotiation, suites with forward secrecy.

    `alpn`: application protocols in order of preference; a client that shares none goes on
    without. `minimum`: the oldest version of TLS, "1.2" or "1.3".
    """
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(_VERSIONS[minimum])
    context.set_options(
        SSL.OP_NO_COMPRESSION
        | SSL.OP_NO_RENEGOTIATION
        | SSL.OP_CIPHER_SERVER_PREFERENCE
    )
    # An idle connection gives its two record buffers back: 34 KiB each otherwise.
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    context.set_cipher_list(_TLS12_CIPHERS)
    # Resumption goes by tickets; the cache would keep 20,000 sessions in memory.
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_session_id(b"lolly")
    context.set_alpn_select_callback(alpn_chooser(tuple(alpn)))
    return context


def context_of(
    certificate: Certificate,
    *,
    alpn: Sequence[bytes] = (ALPN_HTTP1,),
    minimum: str = "1.2",
) -> SSL.Context:
    """The context that serves `certificate`. Raises TLSSettingsError, should its key be another's."""
    context = bare_context(alpn=alpn, minimum=minimum)
    try:
        context.use_certificate(certificate.leaf)
        for behind in certificate.chain[1:]:
            context.add_extra_chain_cert(behind)
    except SSL.Error as error:
        clear_errors()
        raise TLSSettingsError(
            certificate.path, f"cannot be used ({_reasons(error)})"
        ) from error
    try:
        context.use_privatekey(certificate.key)
        context.check_privatekey()
    except SSL.Error as error:
        clear_errors()
        raise TLSSettingsError(
            certificate.key_path,
            f"is not the private key of {certificate.path} ({_reasons(error)})",
        ) from error
    return context


def server_context(
    certificate_path: str | Path,
    key_path: str | Path | None = None,
    *,
    alpn: tuple[bytes, ...] = (ALPN_HTTP1,),
) -> SSL.Context:
    """The context of a TLS listener that has one certificate and never another.

    `certificate_path`: the certificate and the chain behind it, PEM. `key_path`: its
    private key, PEM and not encrypted; None: in the same file. Raises TLSSettingsError.
    """
    return context_of(load_certificate(certificate_path, key_path or ""), alpn=alpn)


def _reasons(error: SSL.Error) -> str:
    return ", ".join(str(entry[-1]) for entry in error.args[0])


def alpn_chooser(offered: tuple[bytes, ...] = (ALPN_HTTP1,)) -> Any:
    """A callback that agrees on the first of `offered` a client has, or goes on without."""

    def choose(connection: SSL.Connection, theirs: list[bytes]) -> Any:
        for name in offered:
            if name in theirs:
                return name
        return SSL.NO_OVERLAPPING_PROTOCOLS

    return choose


def client_options(
    hostname: str,
    *,
    verify: bool = True,
    ca: str | Path | None = None,
    server_name: str | None = None,
) -> Any:
    """What `wrapClientTLS` needs to speak TLS to a target: TLS 1.2 or 1.3, with SNI.

    `hostname`: of the target. `verify`: check its certificate, chain and name. `ca`: a
    PEM file of the only authorities trusted; None: the system's. `server_name`: the
    name to send and to verify in place of `hostname`. Raises TLSSettingsError.
    """
    name = server_name or hostname
    if not verify:
        return UnverifiedOptions(name)
    trust = None if ca is None else ssl.trustRootFromCertificates(_authorities(ca))
    return ssl.optionsForClientTLS(name, trustRoot=trust)


def _authorities(path: str | Path) -> list[ssl.Certificate]:
    begin = b"-----BEGIN CERTIFICATE-----"
    blocks = read_file(path).split(begin)[1:]
    if not blocks:
        raise TLSSettingsError(path, "holds no PEM certificate")
    try:
        return [ssl.Certificate.loadPEM(begin + block) for block in blocks]
    except (crypto.Error, ValueError) as error:
        clear_errors()
        raise TLSSettingsError(path, "holds a broken PEM certificate") from error


@implementer(IOpenSSLClientConnectionCreator)
class UnverifiedOptions:
    """TLS to a target whose certificate is not looked at: the operator said so."""

    def __init__(self, hostname: str) -> None:
        self._context = ssl.CertificateOptions(verify=False).getContext()
        self._name = b""
        if not isIPAddress(hostname) and not isIPv6Address(hostname):
            self._name = hostname.encode("idna")

    def clientConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        """A connection that sends the name and verifies nothing."""
        connection = SSL.Connection(self._context, None)
        if self._name:
            connection.set_tlsext_host_name(self._name)
        return connection
