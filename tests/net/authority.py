"""An authority of certificates that answers for them (OCSP), for tests: everything it signs is made here."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509 import ocsp
from cryptography.x509.oid import (
    AuthorityInformationAccessOID,
    ExtendedKeyUsageOID,
    NameOID,
)

from lolly_tx.net.sockets.certificates import Certificate, load_certificate

DAY = 86400.0


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


class Authority:
    """`certificate`, `key`: its own. `wall`: what it takes for now, whole seconds since the epoch."""

    def __init__(self, name: str = "authority", key: Any = None) -> None:
        self.wall = float(int(datetime.now(UTC).timestamp()))
        self.key = key or ec.generate_private_key(ec.SECP256R1())
        self.certificate = self._signed(name, self.key, (), _name(name))
        self.asked = 0

    def _signed(
        self,
        name: str,
        key: Any,
        extensions: tuple[x509.ExtensionType, ...],
        issuer: x509.Name | None = None,
        days: tuple[float, float] = (-1, 60),
    ) -> x509.Certificate:
        begins, ends = (self._at(day * DAY) for day in days)
        builder = (
            x509.CertificateBuilder()
            .subject_name(_name(name))
            .issuer_name(issuer or self.certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begins)
            .not_valid_after(ends)
        )
        if issuer is not None:
            authority = x509.BasicConstraints(ca=True, path_length=None)
            builder = builder.add_extension(authority, critical=True)
        for each in extensions:
            builder = builder.add_extension(each, critical=False)
        return builder.sign(self.key, SHA256())

    def _at(self, seconds: float) -> datetime:
        return datetime.fromtimestamp(self.wall, UTC) + timedelta(seconds=seconds)

    def issue(
        self, name: str, url: str = "http://ocsp.test/", must_staple: bool = False
    ) -> tuple[x509.Certificate, Any]:
        """A certificate that names a responder, and its key. `url` "": it names none."""
        key = ec.generate_private_key(ec.SECP256R1())
        extensions: list[x509.ExtensionType] = [
            x509.SubjectAlternativeName([x509.DNSName(name)])
        ]
        if url:
            location = x509.UniformResourceIdentifier(url)
            method = AuthorityInformationAccessOID.OCSP
            described = x509.AccessDescription(method, location)
            extensions.append(x509.AuthorityInformationAccess([described]))
        if must_staple:
            extensions.append(x509.TLSFeature([x509.TLSFeatureType.status_request]))
        return self._signed(name, key, tuple(extensions)), key

    def write(self, path: Path, name: str, chain: bool = True, **named: Any) -> Any:
        """The same in a PEM file, with the authority's own behind it if `chain`; the certificate."""
        leaf, key = self.issue(name, **named)
        parts = [
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
            leaf.public_bytes(Encoding.PEM),
        ]
        if chain:
            parts.append(self.certificate.public_bytes(Encoding.PEM))
        path.write_bytes(b"".join(parts))
        return leaf

    def loaded(self, path: Path, name: str, **named: Any) -> Certificate:
        """The same as the proxy reads it."""
        self.write(path, name, **named)
        return load_certificate(path)

    def delegate(
        self, signing: bool = True, days: tuple[float, float] = (-1, 1)
    ) -> tuple[x509.Certificate, Any]:
        """Somebody who signs answers in its place; `signing`: and may."""
        key = ec.generate_private_key(ec.SECP256R1())
        use = ExtendedKeyUsageOID.OCSP_SIGNING if signing else x509.OID_SERVER_AUTH
        made = self._signed("delegate", key, (x509.ExtendedKeyUsage([use]),), days=days)
        return made, key

    def respond(
        self,
        leaf: x509.Certificate,
        *,
        begins: float = 0.0,
        ends: float | None = DAY,
        status: ocsp.OCSPCertStatus = ocsp.OCSPCertStatus.GOOD,
        signer: tuple[x509.Certificate, Any] | None = None,
        issuer: x509.Certificate | None = None,
        algorithm: Any = None,
        by_key: bool = False,
        embedded: bool = True,
    ) -> bytes:
        """An answer about `leaf`. `begins`, `ends`: seconds from now on. `signer`: other than itself."""
        self.asked += 1
        certificate, key = signer or (self.certificate, self.key)
        revoked = status is ocsp.OCSPCertStatus.REVOKED
        encoding = ocsp.OCSPResponderEncoding
        builder = (
            ocsp.OCSPResponseBuilder()
            .add_response(
                cert=leaf,
                issuer=issuer or self.certificate,
                algorithm=SHA256(),
                cert_status=status,
                this_update=self._at(begins),
                next_update=None if ends is None else self._at(ends),
                revocation_time=self._at(-100) if revoked else None,
                revocation_reason=x509.ReasonFlags.key_compromise if revoked else None,
            )
            .responder_id(encoding.HASH if by_key else encoding.NAME, certificate)
        )
        if signer and embedded:
            builder = builder.certificates([certificate])
        return builder.sign(key, algorithm or SHA256()).public_bytes(Encoding.DER)
