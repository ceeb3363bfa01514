"""TLS settings turned into OpenSSL contexts, with errors that name the file.

Imports: net.sockets, pyOpenSSL. Used by: net.sockets, service.acme,
service.certificates, service.changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from OpenSSL import SSL
from OpenSSL._util import lib as _openssl  # ERR_clear_error has no public name

from lolly_tx.net.sockets.certificates import Certificate, load_certificate
from lolly_tx.net.sockets.tls_names import ALPN_HTTP1, TLSSettingsError

# TLS 1.2 suites with forward secrecy and authenticated encryption. Those of TLS 1.3 are
# good as they come.
_TLS12_CIPHERS = b"ECDHE+AESGCM:ECDHE+CHACHA20"

VERSIONS = {"1.2": SSL.TLS1_2_VERSION, "1.3": SSL.TLS1_3_VERSION}


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
    context.set_min_proto_version(VERSIONS[minimum])
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
    add_certificate(context, certificate)
    return context


def add_certificate(context: SSL.Context, certificate: Certificate) -> None:
    """Let `context` show `certificate`. Raises TLSSettingsError, should its key be another's."""
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
