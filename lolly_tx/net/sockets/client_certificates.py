"""What a listener asks of the certificates of its clients.

Imports: net.sockets, pyOpenSSL. Used by: net.sockets.credentials, service.certificates,
service.changes.
"""

from __future__ import annotations

from typing import Literal

import attrs
from cryptography import x509
from OpenSSL import SSL, crypto

from lolly_tx.net.sockets.certificates import certificates_in, read_file
from lolly_tx.net.sockets.tls_names import TLSSettingsError

Mode = Literal["off", "request", "require"]

_MODES: dict[Mode, int] = {
    "off": SSL.VERIFY_NONE,
    "request": SSL.VERIFY_PEER,
    "require": SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT,
}


@attrs.frozen(eq=False)
class ClientPolicy:
    """Whether clients show a certificate, and who has to have signed it.

    `revoked`: lists of certificates that count no more; with any, each authority of a chain needs one.
    """

    mode: Mode = "off"
    authorities: tuple[x509.Certificate, ...] = ()
    revoked: tuple[x509.CertificateRevocationList, ...] = ()

    @property
    def verification(self) -> int:
        """OpenSSL's word for the mode."""
        return _MODES[self.mode]

    def apply(self, context: SSL.Context) -> None:
        """Have connections of `context` ask for such certificates."""
        if self.mode == "off":
            return
        context.set_verify(self.verification)
        store = context.get_cert_store()
        assert store is not None  # every context has one
        for authority in self.authorities:
            store.add_cert(crypto.X509.from_cryptography(authority))
            context.add_client_ca(authority)
        for one in self.revoked:
            store.add_crl(one)
        if self.revoked:
            flags = crypto.X509StoreFlags
            store.set_flags(flags.CRL_CHECK | flags.CRL_CHECK_ALL)


NOBODY = ClientPolicy()
"""Clients are not asked."""


def load_policy(mode: Mode, ca: str, crl: str = "") -> ClientPolicy:
    """The policy in files of PEM. Raises TLSSettingsError."""
    if mode == "off":
        return NOBODY
    return ClientPolicy(mode, certificates_in(ca), revoked_in(crl) if crl else ())


_END = b"-----END X509 CRL-----"


def revoked_in(path: str) -> tuple[x509.CertificateRevocationList, ...]:
    """The lists of a file, one after the other."""
    blocks = [part + _END for part in read_file(path).split(_END)[:-1]]
    if not blocks:
        raise TLSSettingsError(path, "holds no PEM certificate revocation list")
    try:
        return tuple(map(x509.load_pem_x509_crl, blocks))
    except ValueError as error:
        raise TLSSettingsError(
            path, "holds a broken certificate revocation list"
        ) from error
