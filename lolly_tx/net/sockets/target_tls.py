"""TLS towards targets: whom we believe, who we are, and sessions that go on.

    TargetContext    one for targets with the same settings: the OpenSSL context, made again when its files change
      +-- TargetTLS  one for each name that is asked for and verified, with the session of its last connection

Whatever decides who is at the other end is verified within the handshake, so that a target hears why it was refused,
and so do we (`refusal`). A session goes on only where its name and its context are the same, and for an hour at most
after a certificate was shown: an expired one is not believed for longer than that.

Imports: config, domain, net.sockets, Twisted, pyOpenSSL. Used by:
net.sockets.endpoints, service.changes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from ipaddress import ip_address
from typing import Any, ClassVar
from weakref import WeakKeyDictionary

from OpenSSL import SSL, crypto
from OpenSSL._util import ffi as _ffi
from OpenSSL._util import lib as _openssl  # the words for errors have no public name
from service_identity import CertificateError, VerificationError
from service_identity.cryptography import (
    verify_certificate_hostname,
    verify_certificate_ip_address,
)
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.logger import Logger
from zope.interface import implementer

from lolly_tx.config.pools import UpstreamTLS
from lolly_tx.domain.errors import CertificateRefused, TLSFailed
from lolly_tx.net.sockets.certificates import (
    certificates_in,
    load_certificate,
    signature_of,
)
from lolly_tx.net.sockets.tls_contexts import VERSIONS, add_certificate
from lolly_tx.net.sockets.tls_names import TLSSettingsError

LOOK_SECONDS = 2.0
"""How often at most the files are looked at, by who connects."""

SESSION_SECONDS = 3600.0
"""After so long a certificate has to be shown again."""

_CIPHERS = (
    b"ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:DHE+CHACHA20:ECDHE+AES:DHE+AES:"
    b"RSA+AESGCM:RSA+AES:!aNULL:!MD5:!DSS"
)
"""Of TLS 1.2. Targets may be old: those with forward secrecy first, then the others that are sound."""


class TargetContext:
    """See the module. `now`: seconds, monotonic. `alpn`: what to agree on, if anything. Raises TLSSettingsError."""

    _log: ClassVar[Logger] = Logger()

    def __init__(
        self,
        settings: UpstreamTLS,
        now: Callable[[], float] = time.monotonic,
        alpn: tuple[bytes, ...] = (),
    ) -> None:
        self.settings = settings
        self._alpn = [*alpn]
        self.now = now
        self._files = [
            path for path in (settings.ca, settings.certificate, settings.key) if path
        ]
        self._signature = signature_of(self._files)
        self._look_at = now() + LOOK_SECONDS
        self._shaking: WeakKeyDictionary[SSL.Connection, _Shaking] = WeakKeyDictionary()
        self._context = self._made()

    def current(self) -> SSL.Context:
        """The context for a connection that begins now. Files that cannot be used are told, and what was holds."""
        if self._files and self.now() >= self._look_at:
            self._look_at = self.now() + LOOK_SECONDS
            signature = signature_of(self._files)
            if signature != self._signature:
                self._signature = signature
                self._renew()
        return self._context

    def _renew(self) -> None:
        try:
            self._context = self._made()
        except TLSSettingsError as error:
            self._log.error(
                "What was read of it before goes on towards targets: {error}",
                error=error,
            )
        else:
            self._log.info("Read again: {files}", files=", ".join(self._files))

    def _made(self) -> SSL.Context:
        settings = self.settings
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        context.set_min_proto_version(VERSIONS[settings.minimum])
        context.set_options(SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION)
        context.set_mode(SSL.MODE_RELEASE_BUFFERS)
        context.set_cipher_list(_CIPHERS)
        # Sessions are kept by `TargetTLS`, one for each name.
        context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
        context.set_info_callback(self._info)
        if self._alpn:
            context.set_alpn_protos(self._alpn)
        if settings.certificate:
            own = load_certificate(settings.certificate, settings.key)
            add_certificate(context, own)
        if not settings.verify:
            context.set_verify(SSL.VERIFY_NONE)
            return context
        context.set_verify(SSL.VERIFY_PEER, self._verify)
        if settings.ca:
            store = context.get_cert_store()
            assert store is not None  # a context has one
            for authority in certificates_in(settings.ca):
                store.add_cert(crypto.X509.from_cryptography(authority))
        else:
            context.set_default_verify_paths()
        return context

    # -- handshakes

    def begin(self, tls: TargetTLS) -> SSL.Connection:
        """A connection for `tls`, which hears when its handshake is done."""
        connection = SSL.Connection(self.current(), None)
        self._shaking[connection] = _Shaking(tls)
        return connection

    def refusal(self, connection: Any) -> TLSFailed | None:
        """Why the target was not believed, if that is how the handshake of `connection` ended."""
        shaking = self._shaking.get(connection)
        return None if shaking is None else shaking.refusal

    def _verify(
        self,
        connection: SSL.Connection,
        certificate: Any,
        error: int,
        depth: int,
        ok: int,
    ) -> bool:
        """Look at each certificate of the chain, the target's own last."""
        shaking = self._shaking[connection]
        if not ok:
            said = _ffi.string(_openssl.X509_verify_cert_error_string(error)).decode()
            which = "" if depth == 0 else f" (certificate {depth} of its chain)"
            shaking.refusal = CertificateRefused(f"TLS: {said}{which}")
        elif depth == 0:
            shaking.refusal = shaking.tls.objection_to(certificate.to_cryptography())
            shaking.shown = True
        return shaking.refusal is None

    def _info(self, connection: SSL.Connection, where: int, value: int) -> None:
        if where & SSL.SSL_CB_HANDSHAKE_DONE:
            shaking = self._shaking.pop(connection, None)
            if shaking is not None:
                shaking.tls.has_shaken(connection, shaking.shown)


class _Shaking:
    """A handshake that is under way. `refusal`: why its target is not believed."""

    __slots__ = ("refusal", "shown", "tls")

    def __init__(self, tls: TargetTLS) -> None:
        self.tls = tls
        self.shown = False
        self.refusal: TLSFailed | None = None


@implementer(IOpenSSLClientConnectionCreator)
class TargetTLS:
    """What `wrapClientTLS` needs to speak TLS to a target.

    `name`: to ask for (SNI) and to verify, a host name or an address. `resumed`: connections that went on with a
    session.
    """

    def __init__(self, context: TargetContext, name: str) -> None:
        self.name = name
        self.resumed = 0
        self._context = context
        self._sent = b""
        self._is_address = _is_address(name)
        if not self._is_address:
            self._sent = name.encode("ascii" if name.isascii() else "idna")
        self._latest: SSL.Connection | None = None
        self._shown_at = 0.0

    def clientConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        """A connection that sends the name, and goes on with the last session if there is one."""
        connection = self._context.begin(self)
        if self._sent:
            connection.set_tlsext_host_name(self._sent)
        session = self._session(connection)
        if session is not None:
            connection.set_session(session)
        return connection

    def _session(self, connection: SSL.Connection) -> Any:
        latest = self._latest
        if latest is None:
            return None
        old = self._context.now() >= self._shown_at + SESSION_SECONDS
        if old or latest.get_context() is not connection.get_context():
            self.forget()
            return None
        # TLS 1.3 brings it after the handshake, so it is not asked for earlier than it is needed.
        return latest.get_session()

    def has_shaken(self, connection: SSL.Connection, shown: bool) -> None:
        """A handshake is done. `shown`: with a certificate that was verified; else with a session."""
        if shown or self._latest is None:
            self._shown_at = self._context.now()
        self._latest = connection
        self.resumed += bool(_openssl.SSL_session_reused(connection._ssl))

    def refusal(self, connection: Any) -> TLSFailed | None:
        """Why the target was not believed, if that is how the handshake of `connection` ended."""
        return self._context.refusal(connection)

    def forget(self) -> None:
        """A connect has failed: let the next one begin anew."""
        self._latest = None

    def objection_to(self, certificate: Any) -> TLSFailed | None:
        """Why a certificate that somebody vouches for is not that of the name."""
        try:
            if self._is_address:
                verify_certificate_ip_address(certificate, self.name)
            else:
                verify_certificate_hostname(certificate, self._sent.decode("ascii"))
        except (VerificationError, CertificateError):
            said = f'TLS: the certificate is not for "{self.name}"'
            return CertificateRefused(said)
        return None


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def client_options(
    hostname: str, *, context: TargetContext | None = None, **settings: Any
) -> TargetTLS:
    """TLS to one target. `hostname`: its own, to ask for and to verify unless `server_name` is another.

    `settings`: those of `UpstreamTLS`, where there is no `context` that others share. Raises TLSSettingsError.
    """
    context = context or TargetContext(UpstreamTLS(**settings))
    return TargetTLS(context, context.settings.server_name or hostname)
