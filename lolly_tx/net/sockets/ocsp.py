"""What is asked of an authority about a certificate of its own (OCSP, RFC 6960), and which answers are believed.

    certificate with its issuer --question_of--> whom to ask, and what
    answer --staple_of--> signed by who may, about this certificate, of now: what clients can be shown

Imports: nothing of ours. Used by: service.certificates, service.changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import attrs
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID

SKEW_SECONDS = 300.0
"""By so much the clock of a responder may be ahead of ours."""

_BROKEN_HASHES = ("md5", "sha1")
"""Clients believe no signature made with these."""


class NoResponder(Exception):
    """Nobody can be asked about a certificate. The text says why, for a person."""


class NotBelieved(Exception):
    """An answer cannot be shown to clients. The text says why, for a person."""


@attrs.frozen(eq=False)
class Question:
    """Whom to ask about a certificate. `url`: of the responder."""

    url: str
    leaf: x509.Certificate
    issuer: x509.Certificate

    def as_bytes(self) -> bytes:
        """What to ask, in DER. By SHA-1, which names the certificate and protects nothing: every responder knows it."""
        return self.request(SHA1()).public_bytes(Encoding.DER)  # noqa: S303

    def request(self, algorithm: Any) -> ocsp.OCSPRequest:
        """The same with the certificate named by hashes of `algorithm`."""
        builder = ocsp.OCSPRequestBuilder()
        return builder.add_certificate(self.leaf, self.issuer, algorithm).build()


@attrs.frozen
class Staple:
    """An answer that clients can be shown. `begins`, `ends`, `revoked`: seconds since the epoch; 0: it is good."""

    der: bytes = attrs.field(repr=False)
    begins: float
    ends: float
    revoked: float = 0.0


def question_of(chain: Sequence[x509.Certificate]) -> Question:
    """Whom to ask about the first of `chain`. Raises `NoResponder`."""
    leaf = chain[0]
    urls = _responders(leaf)
    if not urls:
        raise NoResponder("names no OCSP responder (many authorities have none today)")
    plain = [url for url in urls if url.lower().startswith("http://")]
    if not plain:
        raise NoResponder(f"names an OCSP responder that is not http: {urls[0]}")
    for one in chain[1:]:
        if _issued(leaf, one):
            return Question(plain[0], leaf, one)
    raise NoResponder("has not the certificate of its issuer behind it, in its file")


def must_be_stapled(certificate: x509.Certificate) -> bool:
    """Whether it says that clients are to refuse it without a staple (RFC 7633)."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.TLSFeature)
    except (x509.ExtensionNotFound, ValueError):
        return False
    return x509.TLSFeatureType.status_request in found.value


def _responders(certificate: x509.Certificate) -> list[str]:
    try:
        found = certificate.extensions.get_extension_for_class(
            x509.AuthorityInformationAccess
        )
    except (x509.ExtensionNotFound, ValueError):
        return []
    return [
        one.access_location.value
        for one in found.value
        if one.access_method == AuthorityInformationAccessOID.OCSP
        and isinstance(one.access_location, x509.UniformResourceIdentifier)
    ]


def _issued(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def staple_of(question: Question, der: bytes, now: float) -> Staple:
    """The answer `der`, if clients can be shown it at `now` (seconds since the epoch). Raises `NotBelieved`."""
    try:
        return _staple_of(question, der, now)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise NotBelieved(f"it cannot be read ({error})") from error


def _staple_of(question: Question, der: bytes, now: float) -> Staple:
    response = ocsp.load_der_ocsp_response(der)
    if response.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
        said = response.response_status.name.lower().replace("_", " ")
        raise NotBelieved(f'the responder says "{said}"')
    about = [one for one in response.responses if _is_about(one, question)]
    if not about:
        raise NotBelieved("it is about another certificate")
    _verify(response, question.issuer, now)
    one = about[0]
    begins, ends = one.this_update_utc.timestamp(), one.next_update_utc
    if begins > now + SKEW_SECONDS:
        raise NotBelieved(f"it holds from {one.this_update_utc:%Y-%m-%d %H:%M} UTC on")
    if ends is None:
        raise NotBelieved(
            "it does not say until when it holds (RFC 5019 section 2.2.4)"
        )
    if ends.timestamp() <= now:
        raise NotBelieved(f"it held until {ends:%Y-%m-%d %H:%M} UTC")
    if one.certificate_status is ocsp.OCSPCertStatus.UNKNOWN:
        raise NotBelieved("the responder does not know the certificate")
    revoked = one.revocation_time_utc
    at = 0.0 if revoked is None else revoked.timestamp()
    return Staple(der, begins, ends.timestamp(), at)


def _is_about(one: ocsp.OCSPSingleResponse, question: Question) -> bool:
    asked = question.request(one.hash_algorithm)
    return (one.serial_number, one.issuer_name_hash, one.issuer_key_hash) == (
        asked.serial_number,
        asked.issuer_name_hash,
        asked.issuer_key_hash,
    )


def _verify(response: ocsp.OCSPResponse, issuer: x509.Certificate, now: float) -> None:
    """That it is signed by the issuer, or by somebody it has made responder (RFC 6960 section 4.2.2.2)."""
    signers = [one for one in (issuer, *response.certificates) if _is(response, one)]
    if not signers:
        raise NotBelieved("its signer is neither the issuer nor in it")
    for one in signers:
        if one != issuer:
            _delegated(one, issuer, now)
        if _signed(response, one.public_key()):
            return
    raise NotBelieved("its signature is wrong")


def _is(response: ocsp.OCSPResponse, certificate: x509.Certificate) -> bool:
    """Whether `certificate` is what a response names as its signer's."""
    if response.responder_name is not None:
        return response.responder_name == certificate.subject
    key = x509.SubjectKeyIdentifier.from_public_key(certificate.public_key())
    return response.responder_key_hash == key.digest


def _delegated(one: x509.Certificate, issuer: x509.Certificate, now: float) -> None:
    if not _issued(one, issuer):
        raise NotBelieved("its signer has no certificate of the issuer")
    try:
        uses = one.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        uses = x509.ExtendedKeyUsage([])
    if ExtendedKeyUsageOID.OCSP_SIGNING not in uses:
        raise NotBelieved("its signer may not sign answers (no OCSPSigning use)")
    at = datetime.fromtimestamp(now, UTC)
    if not one.not_valid_before_utc <= at <= one.not_valid_after_utc:
        raise NotBelieved("the certificate of its signer is out of date")


def _signed(response: ocsp.OCSPResponse, key: Any) -> bool:
    algorithm = response.signature_hash_algorithm
    if algorithm is not None and algorithm.name in _BROKEN_HASHES:
        raise NotBelieved(f"it is signed with {algorithm.name}, which clients refuse")
    rest: tuple[Any, ...]
    if isinstance(key, rsa.RSAPublicKey) and algorithm is not None:
        rest = PKCS1v15(), algorithm
    elif isinstance(key, ec.EllipticCurvePublicKey) and algorithm is not None:
        rest = (ec.ECDSA(algorithm),)
    elif isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey):
        rest = ()
    else:
        raise NotBelieved("it is signed in a way we do not know")
    try:
        key.verify(response.signature, response.tbs_response_bytes, *rest)
    except InvalidSignature:
        return False
    return True
